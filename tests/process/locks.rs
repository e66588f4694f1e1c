//! One writer at a time.

use std::process::{self, Command};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use annals::ErrorKind;
use annals::store::{EventStore, FileOptions, FileStore};

use crate::child::{Notes, Role, Task};
use crate::history::{History, Which};
use crate::places::Place;

/// Little is prepared: these tests open thousands of times.
fn options() -> FileOptions {
    FileStore::options().segment_bytes(4096)
}

/// Tries to open a store that somebody else has open, and demands to be told who.
fn refused(times: u64, directory: &std::path::Path, holder: &str) {
    for _ in 0..times {
        let error = options().open(directory).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::InUse);
        assert!(error.to_string().ends_with(holder), "{error}");
    }
}

/// The part of a second process: its parent has the store open.
pub(crate) fn knock(task: &Task, notes: &Notes) {
    let parent = std::os::unix::process::parent_id();
    refused(task.commits, &task.directory, &format!("process {parent}"));
    notes.write(&format!("refused {}", task.commits));
}

#[test]
fn a_second_opening_is_refused_each_time_and_told_who_has_the_store() {
    let place = Place::in_memory();
    let store = options().open(place.store()).unwrap();
    let began = Instant::now();
    refused(9_000, &place.store(), &format!("process {}", process::id()));
    Task { commits: 1_000, ..Task::new(Role::Knocks, &place) }.run(&[]);
    assert_eq!(place.read_notes(), ["refused 1000"]);
    println!("9000 openings refused here, 1000 in a second process, in {:?}", began.elapsed());
    Which { life: 0, thread: 0, number: 0 }.append(&store).unwrap();
    drop(store);
    options().open(place.store()).unwrap();
}

#[test]
fn a_store_is_opened_again_at_once_while_children_are_spawned() {
    const TIMES: u64 = 10_000;
    let place = Place::in_memory();
    let (is_over, spawned) = (AtomicBool::new(false), AtomicUsize::new(0));
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                assert!(Command::new("true").status().unwrap().success());
                spawned.fetch_add(1, Ordering::Relaxed);
            }
        });
        let reopened = thread::Builder::new().spawn_scoped(scope, || {
            for time in 0..TIMES {
                let store = options().open(place.store()).unwrap();
                assert!(store.recovery().clean, "the opening {time} is not clean");
                if time % 100 == 0 {
                    Which { life: 0, thread: 0, number: time }.append(&store).unwrap();
                }
                if time % 2 == 0 {
                    store.close().unwrap();
                }
            }
        });
        let reopened = reopened.unwrap().join();
        is_over.store(true, Ordering::Relaxed);
        reopened.unwrap();
    });
    let (spawned, elapsed) = (spawned.into_inner(), began.elapsed());
    println!("{TIMES} openings while {spawned} children were spawned, in {elapsed:?}");
    assert!(spawned > 100, "too few children to prove anything");
}

#[test]
fn the_lock_of_a_killed_process_is_gone_with_it() {
    let place = Place::new();
    let mut child = Task::new(Role::Work, &place).start();
    while place.read_notes().len() < 2 {
        thread::sleep(Duration::from_millis(1));
    }
    let error = options().open(place.store()).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::InUse);
    assert!(error.to_string().ends_with(&format!("process {}", child.id())), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    let store = options().open(place.store()).unwrap();
    let found = History::of(&store).has_all_of(&place.read_notes());
    println!("{found} commits of the killed process");
}
