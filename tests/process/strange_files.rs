//! Files in the directory of a store that are not what they should be.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, thread};

use annals::store::FileStore;
use annals::{Error, ErrorKind};

use crate::history::{self, History, Which};
use crate::places::Place;

/// A store of several segments, with an index.
fn filled(place: &Place) -> u64 {
    let store = history::options(true).open(place.store()).unwrap();
    for number in 0..100 {
        Which { life: 0, thread: 0, number }.append(&store).unwrap();
    }
    History::of(&store).events
}

/// Opens a store on a thread of its own: should that hang, the test does not.
fn open(directory: &Path) -> Result<FileStore, Error> {
    let (sender, receiver) = mpsc::channel();
    let directory = directory.to_owned();
    thread::spawn(move || sender.send(history::options(true).open(directory)));
    receiver.recv_timeout(Duration::from_secs(20)).expect("opening hangs")
}

/// Puts something else where a file was, which is kept under the name `aside`.
fn put(path: &Path, strange: &str) {
    let aside = path.with_file_name("aside");
    fs::rename(path, &aside).unwrap();
    match strange {
        "a link" => symlink(&aside, path).unwrap(),
        "a pipe" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
        "a directory" => fs::create_dir(path).unwrap(),
        _ => unreachable!("there are three"),
    }
}

#[test]
fn what_is_no_plain_file_in_the_place_of_a_file_is_named_and_never_waited_for() {
    let mut tried = 0;
    for name in
        ["0000000001.log", "0000000002.log", "last.log", "first.index", "store", "watermark"]
    {
        for strange in ["a link", "a pipe", "a directory"] {
            let place = Place::new();
            filled(&place);
            let names = fs::read_dir(place.store()).unwrap();
            let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let name = match name {
                "last.log" => names.filter(|name| name.ends_with(".log")).max().unwrap(),
                "first.index" => names.filter(|name| name.ends_with(".index")).min().unwrap(),
                name => name.to_owned(),
            };
            put(&place.store().join(&name), strange);
            let error = open(&place.store()).unwrap_err();
            assert!(format!("{error:?}").contains(&name), "{strange} for {name}: {error:?}");
            if name.ends_with(".log") {
                let expected = ErrorKind::Damaged { file: name.clone(), offset: 0 };
                assert_eq!(error.kind(), &expected, "{strange} for {name}");
            }
            let moved = Command::new("rm").arg("-rf").arg(place.store().join(&name)).status();
            assert!(moved.unwrap().success());
            fs::rename(place.store().join("aside"), place.store().join(&name)).unwrap();
            assert_eq!(History::of(&open(&place.store()).unwrap()).commits.len(), 100);
            tried += 1;
        }
    }
    println!("{tried} strange files were named");
}

#[test]
fn files_that_a_store_does_not_know_are_left_alone() {
    let place = Place::new();
    let events = filled(&place);
    let inside = |name: &str| place.store().join(name);
    for name in
        ["notes.txt", "1.log", "00000000001.log", "a-b.index", "lock~", "0000000001.log.bak"]
    {
        fs::write(inside(name), "mine").unwrap();
    }
    fs::create_dir(inside("folder")).unwrap();
    fs::write(inside("folder/0000000009.log"), "mine").unwrap();
    symlink("nowhere", inside("link")).unwrap();
    assert!(Command::new("mkfifo").arg(inside("pipe")).status().unwrap().success());
    let count = || fs::read_dir(place.store()).unwrap().count();
    let before = count();
    let store = open(&place.store()).unwrap();
    assert!(store.recovery().clean);
    assert_eq!(History::of(&store).events, events);
    drop(store);
    assert_eq!(fs::read(inside("1.log")).unwrap(), b"mine");
    assert_eq!(fs::read(inside("folder/0000000009.log")).unwrap(), b"mine");
    assert!(inside("link").symlink_metadata().unwrap().is_symlink());
    println!("9 strangers among {before} files, {} afterwards", count());
}
