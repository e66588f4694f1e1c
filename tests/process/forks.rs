//! A process that forks with a store open.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, process, thread};

use annals::ErrorKind;
use annals::store::{EventStore, FileStore, Upkeep};
use fork::{Fork, fork, waitpid};

use crate::child::{Notes, Role, Task};
use crate::history::{self, History, Which, kind};
use crate::places::Place;

fn which(thread: u64, number: u64) -> Which {
    Which { life: 0, thread, number }
}

/// All files of a directory with their bytes.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// What a forked child finds when it uses its parent's store. No panic may leave it: its end is all that its parent sees.
fn use_in_a_fork(store: FileStore) -> ! {
    let append = which(9, 0).append(&store);
    let is_refused = append.is_err_and(|refusal| kind(&refusal) == ErrorKind::Forked)
        && store.sync().is_err_and(|error| error.kind() == &ErrorKind::Forked);
    let is_closed = store.close().is_ok();
    drop(store);
    process::exit(if is_refused && is_closed { 0 } else { 1 });
}

/// The part of the process that forks, when nothing is due in its store; or, if things are small, when something is.
pub(crate) fn fork_with_a_store(task: &Task, notes: &Notes) {
    if task.is_small { fork_with_work_due(task, notes) } else { fork_at_rest(task, notes) }
}

fn fork_at_rest(task: &Task, notes: &Notes) {
    let store = history::options(false).upkeep(Upkeep::Inline).open(&task.directory).unwrap();
    let append = |number| {
        let appended = which(0, number).append(&store).unwrap();
        notes.write(&which(0, number).acknowledged(&appended));
    };
    append(0);
    let before = contents(&task.directory);
    match fork().unwrap() {
        Fork::Child => use_in_a_fork(store),
        Fork::Parent(child) => {
            assert_eq!(waitpid(child).unwrap(), 0, "the child was not refused");
            assert_eq!(contents(&task.directory), before, "the child has changed something");
            let error = FileStore::open(&task.directory).unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::InUse, "the child has released the lock");
            append(1);
            notes.write("child refused");
        }
    }
}

/// The parent could not prepare space for a while, as on a full disk. When it forks, that is still to be done, and the child
/// finds it so; but where the child would prepare space, the parent writes.
fn fork_with_work_due(task: &Task, notes: &Notes) {
    let store = history::options(false).upkeep(Upkeep::Inline).open(&task.directory).unwrap();
    let segment = task.directory.join("0000000001.log");
    let aside = task.directory.join("aside");
    let append = |number| {
        let appended = which(0, number).append(&store).unwrap();
        notes.write(&which(0, number).acknowledged(&appended));
    };
    fs::rename(&segment, &aside).unwrap();
    // More than half of the first extent.
    (0..2000).for_each(append);
    fs::rename(&aside, &segment).unwrap();
    let go = task.notes.with_extension("go");
    match fork().unwrap() {
        Fork::Child => {
            while !go.exists() {
                thread::sleep(Duration::from_millis(1));
            }
            use_in_a_fork(store)
        }
        Fork::Parent(child) => {
            (2000..4000).for_each(append);
            fs::write(go, "").unwrap();
            assert_eq!(waitpid(child).unwrap(), 0, "the child was not refused");
            append(4000);
            notes.write("child refused");
        }
    }
}

fn fork_and_look(is_small: bool) {
    let place = Place::new();
    Task { is_small, ..Task::new(Role::Forks, &place) }.run(&[]);
    let notes = place.read_notes();
    assert_eq!(notes.last().unwrap(), "child refused");
    let store = FileStore::open(place.store()).unwrap();
    let found = History::of(&store).has_all_of(&notes);
    println!("{found} commits of the parent, none of the child");
}

#[test]
fn a_forked_child_is_refused_and_leaves_files_and_lock_to_its_parent() {
    fork_and_look(false);
}

#[test]
fn a_forked_child_does_none_of_the_work_that_is_due_in_its_parents_store() {
    fork_and_look(true);
}
