//! Backups of stores that are in use, and stores that are taken back to an earlier position.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use annals::id::EventType;
use annals::storage::Directory;
use annals::store::{
    Commit, Durability, EventStore, Events, Expected, FileStore, Query, Upkeep, care,
};
use annals::{ErrorKind, NewEvent, Position, RecordedEvent, StreamId};

use crate::directory::Directory as Scratch;

fn event(text: &str) -> NewEvent {
    NewEvent::new(EventType::new("Said").unwrap(), text).unwrap()
}

fn stream(name: &str) -> StreamId {
    format!("talk/{name}").parse().unwrap()
}

fn append(store: &FileStore, name: &str, texts: &[&str]) {
    let events: Vec<_> = texts.iter().map(|text| event(text)).collect();
    store.append(Commit::new().write(stream(name), Expected::Any, events)).unwrap();
}

fn small(path: &Path) -> FileStore {
    FileStore::options().segment_bytes(16 << 10).recent_bytes(4 << 10).open(path).unwrap()
}

fn events(store: &dyn EventStore) -> Vec<RecordedEvent<'static>> {
    Events::new(store, Query::default()).map(Result::unwrap).collect()
}

fn to_read(path: &Path) -> Directory {
    Directory::to_read(path).unwrap()
}

fn backup(from: &Path, into: &Path) -> care::BackedUp {
    care::backup(to_read(from), Directory::new(into).unwrap(), |_| {}).unwrap()
}

/// The backup is sound, and holds the beginning of what the store holds.
fn check(backed_up: care::BackedUp, path: &Path, store: &FileStore) {
    let verified = care::verify(to_read(path), Position::START, |_| {}).unwrap();
    assert!(verified.is_sound(), "{verified:?}");
    assert_eq!(verified.up_to, backed_up.up_to);
    let copy = FileStore::follow(path).unwrap();
    let (copied, all) = (events(&copy), events(store));
    assert_eq!(Position::new(copied.len() as u64), backed_up.up_to);
    assert!(copied[..] == all[..copied.len()]);
}

#[test]
fn a_backup_beside_sixteen_writers_is_the_beginning_of_the_log() {
    const ROUNDS: usize = 200;
    let scratch = Scratch::new();
    let (from, is_over) = (scratch.path().join("store"), AtomicBool::new(false));
    let store = small(&from);
    let mut bytes = 0;
    thread::scope(|scope| {
        for writer in 0..16 {
            let (store, is_over) = (&store, &is_over);
            scope.spawn(move || {
                for round in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let text = format!("{writer} says {round}");
                    append(store, &writer.to_string(), &[&text, "and more"]);
                    thread::sleep(Duration::from_millis(10));
                }
            });
        }
        for round in 0..ROUNDS {
            // Every tenth is a new one; the others bring that up to date.
            let into = scratch.path().join(format!("copy-{}", round / 10));
            let backed_up = backup(&from, &into);
            bytes += backed_up.bytes;
            check(backed_up, &into, &store);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    println!("{ROUNDS} backups, {bytes} bytes; the log has {} events", events(&store).len());
    // The last one opens as a store, and goes on.
    let last = scratch.path().join("copy-19");
    let copy = small(&last);
    assert!(copy.recovery().clean, "{:?}", copy.recovery());
    assert_eq!(copy.identity(), store.identity());
    append(&copy, "0", &["alone"]);
    copy.close().unwrap();
    let refused = care::backup(to_read(&from), Directory::new(&last).unwrap(), |_| {}).unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Occupied, "{refused:?}");
}

#[test]
fn a_second_backup_writes_only_what_is_new() {
    let scratch = Scratch::new();
    let (from, into) = (scratch.path().join("store"), scratch.path().join("copy"));
    let store = small(&from);
    for number in 0..500 {
        append(&store, "a", &[&format!("{number:0100}")]);
    }
    let first = backup(&from, &into);
    append(&store, "a", &["one more"]);
    let second = backup(&from, &into);
    check(second, &into, &store);
    assert!(first.bytes > 50_000 && second.bytes < 1_000, "{first:?}, {second:?}");
    let third = backup(&from, &into);
    assert_eq!((third.bytes, third.up_to), (0, Position::new(501)));
}

#[test]
fn a_backup_of_another_store_is_left_alone() {
    let scratch = Scratch::new();
    let [one, other, into] = ["one", "other", "copy"].map(|name| scratch.path().join(name));
    let (one_store, other_store) = (small(&one), small(&other));
    append(&one_store, "a", &["mine"]);
    append(&other_store, "a", &["yours"]);
    let backed_up = backup(&one, &into);
    let refused =
        care::backup(to_read(&other), Directory::new(&into).unwrap(), |_| {}).unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Occupied);
    check(backed_up, &into, &one_store);
    // As a first backup leaves it that was interrupted.
    std::fs::remove_file(into.join("store")).unwrap();
    let refused =
        care::backup(to_read(&other), Directory::new(&into).unwrap(), |_| {}).unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Occupied);
    check(backup(&one, &into), &into, &one_store);
}

#[test]
fn a_backup_that_was_written_to_is_left_alone_also_where_the_store_stood_still() {
    let scratch = Scratch::new();
    let (from, into) = (scratch.path().join("store"), scratch.path().join("copy"));
    let store = small(&from);
    append(&store, "a", &["both"]);
    backup(&from, &into);
    let copy = small(&into);
    append(&copy, "a", &["only here"]);
    copy.close().unwrap();
    let refused = care::backup(to_read(&from), Directory::new(&into).unwrap(), |_| {}).unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Occupied, "{refused:?}");
    assert_eq!(events(&small(&into)).len(), 2);
}

/// The backup had more in a segment than the store, which had gone on in the next one; that was cut off.
#[test]
fn a_backup_that_was_written_to_is_left_alone_also_where_the_store_went_on_in_another_segment() {
    let scratch = Scratch::new();
    let (from, into) = (scratch.path().join("store"), scratch.path().join("copy"));
    let store = small(&from);
    append(&store, "a", &["both"]);
    backup(&from, &into);
    let copy = small(&into);
    append(&copy, "a", &["only here"]);
    copy.close().unwrap();
    append(&store, "a", &[&"large".repeat(4000)]);
    assert_eq!(store.statistics().unwrap().segments, 2);
    let refused = care::backup(to_read(&from), Directory::new(&into).unwrap(), |_| {}).unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Occupied, "{refused:?}");
    assert_eq!(events(&small(&into)).len(), 2);
}

#[test]
fn a_backup_that_is_open_or_in_the_making_is_left_alone() {
    let scratch = Scratch::new();
    let (from, into) = (scratch.path().join("store"), scratch.path().join("copy"));
    let store = small(&from);
    append(&store, "a", &["one"]);
    let again = || care::backup(to_read(&from), Directory::new(&into).unwrap(), |_| {});
    let mut within = None;
    care::backup(to_read(&from), Directory::new(&into).unwrap(), |_| within = Some(again()))
        .unwrap();
    assert_eq!(*within.unwrap().unwrap_err().kind(), ErrorKind::InUse);
    append(&store, "a", &["two"]);
    let copy = small(&into);
    assert_eq!(*again().unwrap_err().kind(), ErrorKind::InUse);
    copy.close().unwrap();
    check(again().unwrap(), &into, &store);
}

/// What was not synced was cut off, and the space that the writer had prepared.
#[test]
fn a_store_is_not_copied_into_itself() {
    let scratch = Scratch::new();
    let from = scratch.path().join("store");
    let options = FileStore::options().durability(Durability::Buffered).upkeep(Upkeep::Inline);
    let store = options.open(&from).unwrap();
    append(&store, "a", &["synced"]);
    store.sync().unwrap();
    append(&store, "a", &["not synced"]);
    // As a writer leaves it that is killed.
    let killed = scratch.path().join("killed");
    std::fs::create_dir(&killed).unwrap();
    let files = ["store", "lock", "0000000001.log", "watermark"];
    for file in files {
        std::fs::copy(from.join(file), killed.join(file)).unwrap();
    }
    for path in [&killed, &from] {
        let (all, into) = (Position::new(u64::MAX), || Directory::new(path).unwrap());
        let refused = [
            care::backup(to_read(path), into(), |_| {}).map(|_| ()),
            care::salvage(to_read(path), into(), |_| {}).map(|_| ()),
            care::restore(to_read(path), into(), all, |_| {}).map(|_| ()),
        ];
        for refused in refused {
            assert_eq!(*refused.unwrap_err().kind(), ErrorKind::Occupied);
        }
        for file in files {
            let [now, before] = [path, &from].map(|path| std::fs::read(path.join(file)).unwrap());
            assert!(now == before, "{file} of {}", path.display());
        }
    }
    assert_eq!(events(&small(&killed)).len(), 2);
    append(&store, "a", &["and on"]);
    store.close().unwrap();
    assert_eq!(events(&small(&from)).len(), 3);
}

/// What a writer has not synced, it may still write anew: what was seen of it says nothing.
#[test]
fn verifying_and_restoring_leave_what_is_not_synced_to_another_time() {
    let scratch = Scratch::new();
    let [from, first, second] = ["store", "first", "second"].map(|name| scratch.path().join(name));
    let store = FileStore::options().durability(Durability::Buffered).open(&from).unwrap();
    append(&store, "a", &["one", "two"]);
    store.sync().unwrap();
    append(&store, "a", &["three"]);
    let verify = || care::verify(to_read(&from), Position::START, |_| {}).unwrap();
    let restore = |into: &Path| {
        let all = Position::new(u64::MAX);
        care::restore(to_read(&from), Directory::new(into).unwrap(), all, |_| {}).unwrap()
    };
    let verified = verify();
    assert_eq!((verified.is_sound(), verified.up_to, verified.events), (true, Position::new(2), 2));
    assert_eq!(restore(&first).head, Position::new(2));
    store.sync().unwrap();
    assert_eq!((verify().up_to, restore(&second).head), (Position::new(3), Position::new(3)));
}

#[test]
fn a_store_is_restored_to_any_commit_as_a_store_of_its_own() {
    let scratch = Scratch::new();
    let from = scratch.path().join("store");
    let store = small(&from);
    for number in 0..60 {
        append(&store, "a", &["first", "second", &format!("{number:0100}")]);
    }
    let all = events(&store);
    for up_to in [0, 1, 3, 4, 100, 179, 180, u64::MAX] {
        let into = scratch.path().join(format!("restored-{up_to}"));
        let target = Directory::new(&into).unwrap();
        let copied = care::restore(to_read(&from), target, Position::new(up_to), |_| {}).unwrap();
        let whole = usize::try_from(up_to.min(180) / 3 * 3).unwrap();
        assert_eq!((copied.events, copied.gaps), (whole as u64, 0), "up to {up_to}");
        let restored = FileStore::open(&into).unwrap();
        assert!(events(&restored) == all[..whole], "up to {up_to}");
        let parent = Some((store.identity().id, Position::new(whole as u64)));
        assert_eq!(restored.identity().parent, parent);
        assert_ne!(restored.identity().id, store.identity().id);
        append(&restored, "a", &["another way"]);
        restored.close().unwrap();
        let verified = care::verify(to_read(&into), Position::START, |_| {}).unwrap();
        assert!(verified.is_sound(), "{verified:?}");
        let refused =
            care::restore(to_read(&from), Directory::new(&into).unwrap(), Position::START, |_| {});
        assert_eq!(*refused.unwrap_err().kind(), ErrorKind::Occupied);
    }
}

/// It was made, and did not open.
#[test]
fn a_backup_that_no_longer_says_who_it_is_is_told_again() {
    let scratch = Scratch::new();
    let (from, into) = (scratch.path().join("store"), scratch.path().join("copy"));
    let store = small(&from);
    append(&store, "a", &["one"]);
    backup(&from, &into);
    let mut bytes = std::fs::read(into.join("store")).unwrap();
    bytes[20] ^= 1;
    std::fs::write(into.join("store"), bytes).unwrap();
    append(&store, "a", &["two"]);
    check(backup(&from, &into), &into, &store);
}

/// Lengths were added up. A file system that has no such files lets this pass.
#[test]
fn segments_that_are_longer_than_any_can_be_are_damage_and_no_more() {
    let scratch = Scratch::new();
    let (from, into) = (scratch.path().join("store"), scratch.path().join("copy"));
    let store = small(&from);
    for number in 0..600 {
        append(&store, "a", &[&format!("{number:0100}")]);
    }
    for number in 1..=4 {
        let path = from.join(format!("{number:010}.log"));
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        if file.set_len(1 << 62).is_err() {
            return;
        }
    }
    let verified = care::verify(to_read(&from), Position::START, |_| {}).unwrap();
    assert_eq!((verified.findings.count(), verified.events), (4, 600), "{verified:?}");
    let salvaged = care::salvage(to_read(&from), Directory::new(&into).unwrap(), |_| {}).unwrap();
    assert_eq!((salvaged.events, salvaged.gaps), (600, 0));
    let copy = scratch.path().join("backup");
    let refused = care::backup(to_read(&from), Directory::new(copy).unwrap(), |_| {}).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Damaged { .. }), "{refused:?}");
}

#[test]
fn what_is_new_can_be_verified_alone() {
    let scratch = Scratch::new();
    let store = small(scratch.path());
    for number in 0..400 {
        append(&store, "a", &[&format!("{number:0100}")]);
    }
    let all = care::verify(to_read(scratch.path()), Position::START, |_| {}).unwrap();
    assert_eq!((all.is_sound(), all.events, all.up_to.get()), (true, 400, 400));
    append(&store, "a", &["new"]);
    let mut last = None;
    let new = care::verify(to_read(scratch.path()), all.up_to, |progress| last = Some(progress));
    let new = new.unwrap();
    assert_eq!((new.is_sound(), new.up_to.get()), (true, 401), "{new:?}");
    assert!(new.events < 100, "{new:?}");
    assert!(last.is_some_and(|last| last.done <= last.total));
}
