//! What a store tells of itself.

use std::fs;
use std::time::Duration;

use annals::id::EventType;
use annals::store::{
    Commit, Durability, EventStore, Expected, FileOptions, FileStore, Query, Upkeep,
};
use annals::{ErrorKind, NewEvent, StreamId};

use crate::directory::Directory;

fn stream(number: u64) -> StreamId {
    format!("account/{number}").parse().unwrap()
}

fn commit(number: u64, events: u64) -> Commit {
    let event = |_| NewEvent::new(EventType::new("Moved").unwrap(), &"x".repeat(50)).unwrap();
    Commit::new().write(stream(number), Expected::Any, (0..events).map(event))
}

fn tiny() -> FileOptions {
    FileStore::options().segment_bytes(4096).recent_bytes(1024).upkeep(Upkeep::Inline)
}

fn bytes_of(directory: &Directory, extension: &str) -> (u64, u64) {
    let paths = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let files = paths.filter(|path| path.extension().is_some_and(|found| found == extension));
    files.fold((0, 0), |(count, bytes), path| (count + 1, bytes + path.metadata().unwrap().len()))
}

#[test]
fn a_new_store_has_nothing_but_a_segment() {
    let directory = Directory::new();
    let store = FileStore::open(directory.path()).unwrap();
    let found = store.statistics().unwrap();
    assert_eq!((found.segments, found.log_bytes), (1, 96), "a header");
    assert_eq!((found.events, found.unsynced_events, found.commits, found.syncs), (0, 0, 0, 0));
    assert_eq!((found.appended, found.streams, found.types), (0, 0, 0));
    assert_eq!((found.runs, found.run_bytes, found.last_sync), (0, 0, None));
}

#[test]
fn events_commits_syncs_segments_and_runs_are_counted() {
    let directory = Directory::new();
    let store = tiny().open(directory.path()).unwrap();
    for number in 0..100 {
        let before = store.statistics().unwrap();
        store.append(commit(number % 5, 2)).unwrap();
        let after = store.statistics().unwrap();
        assert_eq!((after.events, after.commits), (before.events + 2, before.commits + 1));
        let (took, ago) = after.last_sync.unwrap();
        assert!(after.syncs > before.syncs && took > Duration::ZERO, "{after:?}");
        assert!(ago < Duration::from_secs(60), "{after:?}");
        assert_eq!((after.appended, after.types), (number + 1, 1));
        assert_eq!(after.streams, 5.min(number + 1));
        assert!(after.log_bytes > before.log_bytes + 200, "{after:?}");
        assert_eq!(after.unsynced_events, 0);
    }
    let found = store.statistics().unwrap();
    assert!(found.segments > 3 && found.runs > 0, "{found:?}");
    let refused = Commit::new().write(stream(0), Expected::Empty, []);
    assert!(store.append(refused).is_err());
    assert_eq!(store.statistics().unwrap().commits, found.commits, "what is refused is no commit");
    let followed = tiny().follow(directory.path()).unwrap().statistics().unwrap();
    assert_eq!((followed.events, followed.log_bytes), (found.events, found.log_bytes));
    assert_eq!((followed.segments, followed.runs), (found.segments, found.runs));
    assert_eq!((followed.commits, followed.streams, followed.types), (100, 5, 1));
    assert_eq!((followed.appended, followed.syncs), (0, 0));
    store.close().unwrap();
    assert_eq!(*store.statistics().unwrap_err().kind(), ErrorKind::Closed);
    // Once it is closed, no space is prepared.
    assert_eq!(bytes_of(&directory, "log"), (found.segments, found.log_bytes));
    let store = tiny().open(directory.path()).unwrap();
    let again = store.statistics().unwrap();
    assert_eq!((again.events, again.commits, again.streams), (found.events, 100, 5));
    assert_eq!((again.appended, again.syncs), (0, 0));
    assert_eq!(bytes_of(&directory, "index"), (again.runs, again.run_bytes));
}

#[test]
fn a_repetition_is_not_counted() {
    let directory = Directory::new();
    let store = FileStore::open(directory.path()).unwrap();
    let event = NewEvent::new(EventType::new("Moved").unwrap(), &()).unwrap();
    let event = event.with_id(annals::id::EventId::random());
    let known = Commit::new().write(stream(1), Expected::Any, [event]);
    assert!(!store.append(known.clone()).unwrap().already_there);
    let once = store.statistics().unwrap();
    assert!(store.append(known).unwrap().already_there);
    let twice = store.statistics().unwrap();
    assert_eq!((once.events, once.commits), (1, 1));
    assert_eq!((twice.events, twice.commits, twice.appended), (1, 1, 1));
}

#[test]
fn what_is_buffered_lags_behind_until_a_sync() {
    let directory = Directory::new();
    let options = FileStore::options().durability(Durability::Buffered).upkeep(Upkeep::Inline);
    let store = options.open(directory.path()).unwrap();
    (0..10).for_each(|number| drop(store.append(commit(number, 3)).unwrap()));
    let found = store.statistics().unwrap();
    assert_eq!((found.events, found.unsynced_events, found.commits), (30, 30, 10));
    assert_eq!(found.syncs, 0);
    let follower = FileStore::follow(directory.path()).unwrap();
    assert_eq!(follower.statistics().unwrap().events, 0);
    store.sync().unwrap();
    let found = store.statistics().unwrap();
    assert_eq!((found.unsynced_events, found.syncs), (0, 1));
}

#[test]
fn the_cache_is_asked_in_vain_at_first_and_then_helps() {
    let directory = Directory::new();
    let store = tiny().open(directory.path()).unwrap();
    (0..200).for_each(|number| drop(store.append(commit(number % 5, 2)).unwrap()));
    store.close().unwrap();
    let store = tiny().open(directory.path()).unwrap();
    let before = store.statistics().unwrap();
    let look = || {
        store.read(&Query::new(stream(1))).unwrap();
        store.statistics().unwrap()
    };
    let (first, second) = (look(), look());
    assert!(first.cache_misses > before.cache_misses, "{first:?}");
    assert_eq!(second.cache_misses, first.cache_misses, "{second:?}");
    assert!(second.cache_hits > first.cache_hits, "{second:?}");
}

#[test]
fn what_is_most_of_the_log_is_read_on_without_the_index_and_what_is_rare_with_it() {
    let directory = Directory::new();
    let options = FileStore::options().durability(Durability::Buffered).recent_bytes(64 << 10);
    let store = options.clone().upkeep(Upkeep::Inline).open(directory.path()).unwrap();
    (0..60).for_each(|_| drop(store.append(commit(1, 100)).unwrap()));
    for _ in 0..10 {
        (0..10).for_each(|_| drop(store.append(commit(2, 100)).unwrap()));
        store.append(commit(1, 1)).unwrap();
    }
    store.close().unwrap();
    let store = options.open(directory.path()).unwrap();
    let asked = || {
        let found = store.statistics().unwrap();
        found.cache_hits + found.cache_misses
    };
    let (mut next, mut version, mut pages) = (Some(Query::new(stream(1))), 0, Vec::new());
    while let Some(query) = next {
        let before = asked();
        let (batch, rest) = store.read(&query).unwrap();
        for event in batch.iter() {
            version += 1;
            assert_eq!(event.version().get(), version);
        }
        pages.push((batch.len(), asked() - before));
        next = rest;
    }
    assert_eq!(version, 6_010);
    let [(_, first), (many, second), (_, third), .., (few, last)] = pages[..] else {
        panic!("{pages:?}")
    };
    assert!(many > 500 && few < 20, "{pages:?}");
    assert!(first > 0 && second == 0 && third == 0 && last > 0, "{pages:?}");
}

#[test]
fn numbers_are_the_statistics_under_names() {
    let directory = Directory::new();
    let annals = annals::Annals::with_store(tiny().open(directory.path()).unwrap());
    for number in 0..100 {
        annals.store().append(commit(number % 5, 2)).unwrap();
    }
    let statistics = annals.statistics().unwrap();
    let numbers: std::collections::BTreeMap<_, _> = statistics.numbers().collect();
    assert_eq!(numbers.len(), statistics.numbers().count(), "each name once");
    let expected = [
        ("events", 200),
        ("commits", 100),
        ("streams", 5),
        ("appended", 100),
        ("syncs", statistics.syncs),
        ("segments", statistics.segments),
        ("cache_hits", statistics.cache_hits),
        ("cache_misses", statistics.cache_misses),
        ("conflicts", 0),
    ];
    for (name, value) in expected {
        assert_eq!(numbers[name], value, "{name}");
    }
    assert!(numbers["segments"] > 1 && numbers["syncs"] >= 100, "{numbers:?}");
}
