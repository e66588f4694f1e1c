//! Followers: reading a store beside its writer, or without one.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use annals::id::EventType;
use annals::storage::{Directory, FileName, Storage};
use annals::store::{
    AppendError, Batches, Commit, Durability, EventStore, Events, Expected, FileOptions, FileStore,
    Follower, Query, Upkeep,
};
use annals::{Annals, ErrorKind, ExecuteError, NewEvent, Position, StreamId, Version};

use crate::account::{Account, Command};
use crate::directory::Directory as Temporary;
use crate::guarded::{Change, Guarded};

fn stream(name: &str) -> StreamId {
    format!("account/{name}").parse().unwrap()
}

fn commit(name: &str, payload: &str) -> Commit {
    let event = NewEvent::new(EventType::new("Moved").unwrap(), payload).unwrap();
    Commit::new().write(stream(name), Expected::Any, [event])
}

/// Segments and runs so small that a few commits fill them.
fn tiny() -> FileOptions {
    FileStore::options().segment_bytes(4096).recent_bytes(1024).upkeep(Upkeep::Inline)
}

fn append(store: &FileStore, numbers: std::ops::Range<u64>) {
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

fn shows(store: &dyn EventStore, count: u64) {
    assert_eq!(store.head().unwrap().durable, Position::new(count));
    assert_eq!(store.head().unwrap().acknowledged, Position::new(count));
    assert_eq!(numbers(store), (0..count).collect::<Vec<_>>());
    let last = count.saturating_sub(1);
    if count > 0 {
        let version = store.version(&stream(&(last % 7).to_string())).unwrap();
        assert_eq!(version, Version::new(last / 7 + 1));
    }
}

/// Leaves a directory as a killed process does, by copying it while the store is open.
fn killed(directory: &Path) -> Temporary {
    let copy = Temporary::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    paths.sort();
    paths
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
        assert_eq!(*FileStore::follow(&path).unwrap_err().kind(), ErrorKind::Store);
    }
    assert!(fs::read_dir(directory.path()).unwrap().next().is_none(), "nothing was made");
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
    thread::scope(|scope| {
        let waiting = scope.spawn(|| follower.wait(Position::START, Duration::from_secs(60)));
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
    thread::scope(|scope| {
        let waiting = scope.spawn(|| follower.wait(Position::START, Duration::from_secs(60)));
        thread::sleep(Duration::from_millis(20));
        append(&store, 0..1);
        assert_eq!(waiting.join().unwrap().unwrap(), Position::new(1));
    });
    let began = Instant::now();
    let waited = follower.wait(Position::new(1), Duration::from_millis(30)).unwrap();
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
fn without_a_watermark_a_follower_relies_on_what_frames_segments_and_runs_say() {
    let directory = Temporary::new();
    let store = tiny().open(directory.path()).unwrap();
    append(&store, 0..150);
    for without_runs in [false, true] {
        let copy = killed(directory.path());
        fs::remove_file(copy.path().join("watermark")).unwrap();
        if without_runs {
            files(copy.path(), "index").iter().for_each(|run| fs::remove_file(run).unwrap());
        }
        let follower = tiny().recent_bytes(1 << 20).follow(copy.path()).unwrap();
        // Each commit was a group of its own, so the last frame proves all but itself.
        shows(&follower, 149);
        let recovered = tiny().open(copy.path()).unwrap();
        shows(&follower, 150);
        append(&recovered, 150..160);
        shows(&follower, 160);
    }
}

#[test]
fn a_watermark_that_is_made_again_is_found_by_those_who_knew_the_old_one() {
    let directory = Temporary::new();
    append(&tiny().open(directory.path()).unwrap(), 0..10);
    let follower = tiny().follow(directory.path()).unwrap();
    shows(&follower, 10);
    fs::remove_file(directory.path().join("watermark")).unwrap();
    let store = tiny().open(directory.path()).unwrap();
    append(&store, 10..12);
    // The first look learns from the frames that the old one is behind.
    assert!(follower.head().unwrap().durable >= Position::new(11));
    shows(&follower, 12);
}

/// A directory whose watermark cannot be written.
fn unmarked(path: &Path) -> Guarded {
    Guarded::new(path, |change| match change {
        Change::Bytes(FileName::Watermark) => Err(io::ErrorKind::Other.into()),
        _ => Ok(()),
    })
}

#[test]
fn a_writer_that_cannot_write_its_watermark_is_followed_one_group_behind() {
    let directory = Temporary::new();
    let store = tiny().open_on(unmarked(directory.path())).unwrap();
    let follower = tiny().follow(directory.path()).unwrap();
    for number in 0..300 {
        append(&store, number..number + 1);
        let head = follower.head().unwrap().durable.get();
        assert!(head == number || head == number + 1, "{head} of {}", number + 1);
    }
    shows(&follower, follower.head().unwrap().durable.get());
}

#[test]
fn a_follower_that_has_looked_ahead_at_what_is_cut_off_looks_again() {
    let directory = Temporary::new();
    let options = || FileStore::options().upkeep(Upkeep::Inline);
    let buffered = options().durability(Durability::Buffered).open(directory.path()).unwrap();
    append(&buffered, 0..3);
    let copy = killed(directory.path());
    fs::remove_file(copy.path().join("watermark")).unwrap();
    let follower = FileStore::follow(copy.path()).unwrap();
    shows(&follower, 0);
    // The last of the frames that are not synced turns out to be torn, and is cut off; longer ones come in its place.
    let path = copy.path().join("0000000001.log");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let store = options().open_on(unmarked(copy.path())).unwrap();
    assert!(store.recovery().cut.is_some());
    let long = stream("a-name-that-is-longer-than-those-before-it");
    for _ in 0..3 {
        let event = NewEvent::new(EventType::new("Moved").unwrap(), "2").unwrap();
        store.append(Commit::new().write(long.clone(), Expected::Any, [event])).unwrap();
    }
    assert_eq!(follower.head().unwrap().durable, Position::new(4), "all but the last group");
    assert_eq!(follower.version(&long).unwrap(), Version::new(2));
}

#[test]
fn a_torn_slot_of_the_watermark_leaves_the_other() {
    let directory = Temporary::new();
    let store = FileStore::options().upkeep(Upkeep::Inline).open(directory.path()).unwrap();
    append(&store, 0..10);
    for torn in [0, 4096] {
        let copy = killed(directory.path());
        let watermark = copy.path().join("watermark");
        let follower = FileStore::follow(copy.path()).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&watermark).unwrap();
        file.write_all_at(&[0x55; 20], torn + 30).unwrap();
        // What was shown stays; and who opens now has the slot before, or the last frame's word for all but itself.
        shows(&follower, 10);
        let late = FileStore::follow(copy.path()).unwrap();
        let head = late.head().unwrap().durable.get();
        assert!((9..=10).contains(&head), "{head}");
        shows(&late, head);
        file.write_all_at(&[0x55; 20], 4096 - torn + 30).unwrap();
        shows(&FileStore::follow(copy.path()).unwrap(), 9);
    }
}

#[test]
fn damage_to_what_is_proven_is_named_and_what_lies_behind_is_nobodys_business() {
    let directory = Temporary::new();
    let store = FileStore::options().upkeep(Upkeep::Inline).open(directory.path()).unwrap();
    append(&store, 0..10);
    let segment = "0000000001.log";
    let end = usize::try_from(store.statistics().unwrap().log_bytes).unwrap();
    let copy = killed(directory.path());
    let path = copy.path().join(segment);
    let follower = FileStore::follow(copy.path()).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0x55; 100], end as u64).unwrap();
    shows(&follower, 10);
    shows(&FileStore::follow(copy.path()).unwrap(), 10);
    let mut bytes = fs::read(&path).unwrap();
    bytes[end - 5] ^= 1;
    fs::write(&path, bytes).unwrap();
    let refused = FileStore::follow(copy.path()).unwrap_err();
    assert!(
        matches!(refused.kind(), ErrorKind::Damaged { file, .. } if file == segment),
        "{refused}"
    );
    assert_eq!(refused.position(), Some(Position::new(10)));
    fs::remove_file(&path).unwrap();
    let refused = FileStore::follow(copy.path()).unwrap_err();
    let missing = ErrorKind::Damaged { file: segment.to_owned(), offset: 0 };
    assert_eq!(*refused.kind(), missing, "{refused}");
}

#[test]
fn runs_that_are_merged_while_a_follower_looks_for_them_are_looked_for_again() {
    let directory = Temporary::new();
    let store = tiny().open(directory.path()).unwrap();
    let plain = Directory::to_read(directory.path()).unwrap();
    let is_run = |name: &FileName| matches!(name, FileName::Run(..));
    let mut count = 0;
    let mut grow = |names: &mut Vec<FileName>| {
        append(&store, count..count + 1);
        count += 1;
        *names = plain.list().unwrap();
        names.iter().filter(|name| is_run(name)).count()
    };
    let (mut before, mut after) = (Vec::new(), Vec::new());
    while grow(&mut before) < 3 {}
    while grow(&mut after) > 1 {}
    assert!(!before.iter().any(|name| is_run(name) && after.contains(name)), "all are merged");
    let late = |times| {
        let guarded = Guarded::new(directory.path(), |_| Ok(())).listing(&before, times);
        tiny().recent_bytes(256).follow_on(guarded)
    };
    shows(&late(2).unwrap(), count);
    // Who is never shown the merged run cannot go on for ever.
    assert!(matches!(late(9).unwrap_err().kind(), ErrorKind::IndexBehind { .. }));
}

#[test]
fn a_damaged_run_is_named_until_the_writer_has_made_it_again() {
    let directory = Temporary::new();
    let store = tiny().cache_bytes(0).open(directory.path()).unwrap();
    append(&store, 0..300);
    let follower = tiny().cache_bytes(0).follow(directory.path()).unwrap();
    shows(&follower, 300);
    let runs = files(directory.path(), "index");
    let file = fs::OpenOptions::new().write(true).open(&runs[0]).unwrap();
    let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
    file.write_all_at(&vec![0xAA; length - 4096], 4096).unwrap();
    let of_stream = || follower.read(&Query::new(stream("1")));
    let refused = of_stream().unwrap_err();
    let name = runs[0].file_name().unwrap().to_str().unwrap();
    assert!(matches!(refused.kind(), ErrorKind::Damaged { file, .. } if file == name), "{refused}");
    assert_eq!(store.read(&Query::new(stream("1"))).unwrap().0.len(), 43, "and makes it again");
    assert_eq!(of_stream().unwrap().0.len(), 43);
    shows(&follower, 300);
}

#[test]
fn a_log_without_an_index_is_followed_as_far_as_memory_allows() {
    let directory = Temporary::new();
    let store = tiny().open(directory.path()).unwrap();
    append(&store, 0..200);
    let copy = killed(directory.path());
    files(copy.path(), "index").iter().for_each(|run| fs::remove_file(run).unwrap());
    let refused = tiny().follow(copy.path()).unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::IndexBehind { limit: 8 * 1024 });
    shows(&tiny().recent_bytes(1 << 20).follow(copy.path()).unwrap(), 200);
    tiny().open(copy.path()).unwrap().close().unwrap();
    shows(&tiny().follow(copy.path()).unwrap(), 200);
}

#[test]
fn a_follower_for_whom_the_index_is_behind_goes_on_once_it_is_made() {
    let directory = Temporary::new();
    // The writer makes runs of so much that the follower would have to hold too much in memory.
    let store = tiny().recent_bytes(64 << 10).open(directory.path()).unwrap();
    let follower = tiny().follow(directory.path()).unwrap();
    append(&store, 0..30);
    shows(&follower, 30);
    append(&store, 30..200);
    assert_eq!(*follower.head().unwrap_err().kind(), ErrorKind::IndexBehind { limit: 8 * 1024 });
    assert_eq!(follower.statistics().unwrap().events, 30);
    store.close().unwrap();
    shows(&follower, 200);
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
