//! Followers: reading a store beside its writer, or without one.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use annals::storage::{Directory, FileName, Storage};
use annals::store::{
    AppendError, Batches, Durability, EventStore, Events, FileStore, Follower, Interrupt, Query,
    Upkeep,
};
use annals::{Annals, ErrorKind, ExecuteError, Position, Version};

use crate::account::{Account, Command};
use crate::directory::Directory as Temporary;
use crate::file_store::{commit, killed, stream, tiny};
use crate::guarded::Guarded;

pub(crate) fn append(store: &FileStore, numbers: std::ops::Range<u64>) {
    for number in numbers {
        store.append(commit(&(number % 7).to_string(), &number.to_string())).unwrap();
    }
}

/// The numbers that [`append`] wrote, as a store shows them.
fn numbers(store: &dyn EventStore) -> Vec<u64> {
    let mut numbers = Vec::new();
    for batch in Batches::new(store, Query::default()) {
        for event in batch.unwrap().iter() {
            let text: String = serde_json::from_slice(event.payload()).unwrap();
            numbers.push(text.parse().unwrap());
        }
    }
    numbers
}

pub(crate) fn shows(store: &dyn EventStore, count: u64) {
    assert_eq!(store.head().unwrap().durable, Position::new(count));
    assert_eq!(store.head().unwrap().acknowledged, Position::new(count));
    assert_eq!(numbers(store), (0..count).collect::<Vec<_>>());
    let last = count.saturating_sub(1);
    if count > 0 {
        let version = store.version(&stream(&(last % 7).to_string())).unwrap();
        assert_eq!(version, Version::new(last / 7 + 1));
    }
}

/// All files of a directory with their bytes and the time of their last change, and that of the directory itself.
fn everything(directory: &Path) -> (BTreeMap<PathBuf, (Vec<u8>, SystemTime)>, SystemTime) {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let changed = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let all = paths.map(|path| (path.clone(), (fs::read(&path).unwrap(), changed(&path))));
    (all.collect(), changed(directory))
}

#[test]
fn a_follower_shows_each_commit_once_it_is_acknowledged_over_many_segments_and_runs() {
    let directory = Temporary::new();
    let store = tiny().open(directory.path()).unwrap();
    let follower = tiny().follow(directory.path()).unwrap();
    shows(&follower, 0);
    for number in 0..400 {
        append(&store, number..number + 1);
        assert_eq!(follower.head().unwrap(), store.head().unwrap());
        let of_stream = stream(&(number % 7).to_string());
        assert_eq!(follower.version(&of_stream).unwrap(), store.version(&of_stream).unwrap());
    }
    shows(&follower, 400);
    store.close().unwrap();
    let store = tiny().open(directory.path()).unwrap();
    append(&store, 400..450);
    shows(&follower, 450);
    let statistics = follower.statistics().unwrap();
    assert!(statistics.segments > 5 && statistics.runs > 0, "{statistics:?}");
}

#[test]
fn nothing_is_written_by_a_follower_also_where_nothing_can_be_written() {
    let directory = Temporary::new();
    let store = tiny().open(directory.path()).unwrap();
    append(&store, 0..200);
    let copy = killed(directory.path());
    for (path, mode) in [(directory.path(), None), (copy.path(), Some(0o555))] {
        if let Some(mode) = mode {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let before = everything(path);
        let follower = tiny().follow(path).unwrap();
        shows(&follower, 200);
        assert!(follower.append(commit("a", "b")).is_err());
        follower.close().unwrap();
        let untouchable = Guarded::new(path, |change| panic!("{change:?} is changed"));
        shows(&tiny().follow_on(untouchable).unwrap(), 200);
        assert_eq!(everything(path), before);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_directory_that_is_open_to_be_read_refuses_every_change() {
    let directory = Temporary::new();
    append(&tiny().open(directory.path()).unwrap(), 0..1);
    let to_read = Directory::to_read(directory.path()).unwrap();
    let refused = io::ErrorKind::ReadOnlyFilesystem;
    assert_eq!(to_read.create(FileName::Spare).unwrap_err().kind(), refused);
    let rename = to_read.rename(FileName::Store, FileName::Spare);
    assert_eq!(rename.unwrap_err().kind(), refused);
    assert_eq!(to_read.remove(FileName::Store).unwrap_err().kind(), refused);
    assert_eq!(to_read.sync_names().unwrap_err().kind(), refused);
    assert_eq!(to_read.lock().unwrap_err().kind(), refused);
    let file = to_read.open(FileName::Watermark).unwrap();
    assert!(file.write_at(0, &[1]).is_err() && file.set_len(0).is_err());
    assert!(Directory::to_read(directory.path().join("nothing")).is_err());
    shows(&tiny().open(directory.path()).unwrap(), 1);
}

#[test]
fn there_is_nothing_to_follow_where_there_is_no_store() {
    let directory = Temporary::new();
    for path in [directory.path().to_owned(), directory.path().join("nothing")] {
        assert_eq!(*FileStore::follow(&path).unwrap_err().kind(), ErrorKind::NoStore);
    }
    assert!(fs::read_dir(directory.path()).unwrap().next().is_none(), "nothing was made");
    fs::write(directory.path().join("lock"), "").unwrap();
    let refused = FileStore::follow(directory.path()).unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::NoStore, "a lock is no store");
}

#[test]
fn appending_through_a_follower_is_refused_and_everything_else_of_the_domain_works() {
    let directory = Temporary::new();
    let annals = Annals::open(directory.path()).unwrap();
    let accounts = annals.of::<Account>().unwrap();
    accounts.execute("alice", Command::Deposit(100)).unwrap();
    accounts.execute("alice", Command::Withdraw(30)).unwrap();
    let following = Annals::with_store(FileStore::follow(directory.path()).unwrap());
    let followed = following.of::<Account>().unwrap().snapshot_every(1);
    assert_eq!(followed.load("alice").unwrap().state().cents, 70);
    assert_eq!(followed.load_at("alice", Version::new(1)).unwrap().state().cents, 100);
    let view = following.view::<u64>("events").on::<Account>(|count, _| *count += 1).run();
    assert_eq!(*view.unwrap(), 2);
    match followed.execute("alice", Command::Deposit(1)) {
        Err(ExecuteError::Store(error)) => assert_eq!(*error.kind(), ErrorKind::ReadOnly),
        other => panic!("{other:?}"),
    }
    accounts.execute("alice", Command::Deposit(5)).unwrap();
    assert_eq!(followed.load("alice").unwrap().state().cents, 75);
}

#[test]
fn a_closed_follower_says_so_and_wakes_those_who_wait() {
    let directory = Temporary::new();
    let store = tiny().open(directory.path()).unwrap();
    let follower = tiny().follow(directory.path()).unwrap();
    let wait = |after, timeout, interrupt: &_| follower.wait(after, timeout, interrupt);
    thread::scope(|scope| {
        let never = Interrupt::new();
        let waiting = scope.spawn(move || wait(Position::START, Duration::from_secs(60), &never));
        thread::sleep(Duration::from_millis(20));
        follower.close().unwrap();
        let woken = waiting.join().unwrap();
        assert_eq!(*woken.unwrap_err().kind(), ErrorKind::Closed);
    });
    let closed = |kind: &ErrorKind| assert_eq!(*kind, ErrorKind::Closed);
    closed(follower.head().unwrap_err().kind());
    closed(follower.read(&Query::default()).unwrap_err().kind());
    closed(follower.statistics().unwrap_err().kind());
    let AppendError::Store(error) = follower.append(commit("a", "b")).unwrap_err() else {
        panic!("no conflict")
    };
    closed(error.kind());
    append(&store, 0..1);
}

#[test]
fn who_waits_on_a_follower_learns_of_a_commit_within_milliseconds() {
    let directory = Temporary::new();
    let store = tiny().open(directory.path()).unwrap();
    let follower = tiny().follow(directory.path()).unwrap();
    let wait = |after, timeout, interrupt: &_| follower.wait(after, timeout, interrupt);
    thread::scope(|scope| {
        let never = Interrupt::new();
        let waiting = scope.spawn(move || wait(Position::START, Duration::from_secs(60), &never));
        thread::sleep(Duration::from_millis(20));
        append(&store, 0..1);
        assert_eq!(waiting.join().unwrap().unwrap(), Position::new(1));
    });
    let began = Instant::now();
    let waited = wait(Position::new(1), Duration::from_millis(30), &Interrupt::new()).unwrap();
    assert_eq!(waited, Position::new(1));
    assert!(began.elapsed() >= Duration::from_millis(30));
}

#[test]
fn only_what_is_synced_of_a_buffered_store_is_shown() {
    let directory = Temporary::new();
    let options = FileStore::options().durability(Durability::Buffered).upkeep(Upkeep::Inline);
    let store = options.open(directory.path()).unwrap();
    let follower = FileStore::follow(directory.path()).unwrap();
    for round in 0..5 {
        append(&store, round * 10..round * 10 + 10);
        shows(&follower, round * 10);
        store.sync().unwrap();
        shows(&follower, round * 10 + 10);
    }
    append(&store, 50..60);
    // The copy has the frames that are not synced, too: nobody knows whether they reach the disk.
    let copy = killed(directory.path());
    shows(&FileStore::follow(copy.path()).unwrap(), 50);
    // Recovery takes them in and makes sure of them.
    let recovered = FileStore::open(copy.path()).unwrap();
    shows(&FileStore::follow(copy.path()).unwrap(), 60);
    shows(&recovered, 60);
}

#[test]
fn a_read_of_a_follower_shows_one_moment() {
    let directory = Temporary::new();
    let store = tiny().open(directory.path()).unwrap();
    append(&store, 0..100);
    let follower: Follower = tiny().follow(directory.path()).unwrap();
    let mut events = Events::new(&follower, Query::default());
    assert_eq!(events.next().unwrap().unwrap().position(), Position::new(1));
    append(&store, 100..200);
    assert_eq!(events.map(|event| event.unwrap().position().get()).last(), Some(100));
    shows(&follower, 200);
}

#[test]
fn followers_on_many_threads_see_a_log_that_only_grows() {
    let directory = Temporary::new();
    let options = FileStore::options().segment_bytes(16 << 10).recent_bytes(4 << 10);
    let store = options.clone().open(directory.path()).unwrap();
    let follower = options.follow(directory.path()).unwrap();
    let (is_over, began) = (AtomicBool::new(false), Instant::now());
    let looks: u64 = thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let (mut last, mut looks) = (0, 0);
                    while !is_over.load(SeqCst) && began.elapsed() < Duration::from_secs(60) {
                        let seen = numbers(&follower);
                        assert!(seen.len() >= last, "{} after {last}", seen.len());
                        assert!(seen.iter().copied().eq(0..seen.len() as u64));
                        (last, looks) = (seen.len(), looks + 1);
                    }
                    looks
                })
            })
            .collect();
        append(&store, 0..1_500);
        is_over.store(true, SeqCst);
        readers.into_iter().map(|reader| reader.join().unwrap()).sum()
    });
    shows(&follower, 1_500);
    println!("{looks} looks at a growing log");
}

/// A restore in place left followers with the files of the store that was gone, for ever.
#[test]
fn a_follower_notices_that_another_store_has_taken_the_place() {
    let (home, other) = (crate::directory::Directory::new(), crate::directory::Directory::new());
    drop(FileStore::open(home.path()).unwrap());
    drop(FileStore::open(other.path()).unwrap());
    let follower = FileStore::follow(home.path()).unwrap();
    assert!(follower.head().is_ok());
    fs::copy(other.path().join("store"), home.path().join("new")).unwrap();
    fs::rename(home.path().join("new"), home.path().join("store")).unwrap();
    let error = follower.wait(Position::START, Duration::from_secs(20), &Interrupt::new());
    assert_eq!(*error.unwrap_err().kind(), ErrorKind::OtherStore);
}
