//! Stores that earlier versions wrote are opened by every later one.
//!
//! `tests/fixtures/v1` holds a store that was closed and one whose process was killed, both as format version 1 lays them
//! down. They are never written again; a new format gets a directory of its own.

use std::fs;
use std::path::{Path, PathBuf};

use annals::id::{EventId, EventType};
use annals::store::{Batches, Clause, Commit, EventStore, Events, Expected, FileStore, Query};
use annals::testing::ManualClock;
use annals::{Metadata, NewEvent, Position, StreamId, Tags, Version};
use uuid::Uuid;

use crate::directory::Directory;

/// As many as it takes for the last segment to be half full, so that a spare one lies beside it.
const COMMITS: u32 = 66;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

fn stream(number: u32) -> StreamId {
    format!("account/{}", number % 7).parse().unwrap()
}

fn event(commit: u32, number: u32) -> NewEvent {
    let id = EventId::new(Uuid::from_u128(u128::from(commit) << 64 | u128::from(number)));
    let payload = serde_json::json!({ "commit": commit, "text": "ä".repeat(number as usize) });
    let metadata = Metadata::new()
        .with_correlation(Uuid::from_u128(commit.into()).into())
        .with_actor("ann")
        .with_header("number", number.to_string());
    NewEvent::new(EventType::new(["Opened", "Moved"][(number % 2) as usize]).unwrap(), &payload)
        .unwrap()
        .with_id(id)
        .with_metadata(metadata)
        .with_tags(Tags::of([format!("commit:{commit}"), "all".to_owned()]).unwrap())
}

/// Every commit of the fixtures: a few events in one or two streams.
fn commit(number: u32) -> Commit {
    let first = (0..=number % 3).map(|of| event(number, of));
    let commit = Commit::new().write(stream(number), Expected::Any, first);
    if !number.is_multiple_of(5) {
        return commit;
    }
    commit.write(stream(number + 1), Expected::Any, [event(number, 9)])
}

fn clock(number: u32) -> ManualClock {
    let start = "2024-02-29T12:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    ManualClock::at(start + chrono::TimeDelta::seconds(number.into()))
}

/// Writes the fixtures anew: only when a format is new.
#[test]
#[ignore = "writes the fixtures"]
fn write_fixtures() {
    for name in ["closed", "killed"] {
        let (directory, kept) = (Directory::new(), fixtures().join(name));
        fs::remove_dir_all(&kept).ok();
        let clock = clock(0);
        let options = FileStore::options().clock(clock.clone());
        let options = options.segment_bytes(6000).recent_bytes(3000);
        let store = options.upkeep(annals::store::Upkeep::Inline).open(directory.path()).unwrap();
        for number in 0..COMMITS {
            store.append(commit(number)).unwrap();
            clock.advance(chrono::TimeDelta::seconds(1));
        }
        if name == "closed" {
            store.close().unwrap();
        }
        copy(directory.path(), &kept);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "lock" {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn check(store: &FileStore) {
    let mut events = Events::new(store, Query::default());
    let (mut position, mut versions) = (0, std::collections::BTreeMap::new());
    for number in 0..COMMITS {
        for (stream, new) in commit(number).events() {
            let event = events.next().unwrap().unwrap();
            position += 1;
            let version: &mut u64 = versions.entry(stream.clone()).or_default();
            *version += 1;
            assert_eq!(event.position(), Position::new(position));
            assert_eq!(event.version(), Version::new(*version));
            assert_eq!(event.stream(), *stream);
            assert_eq!(Some(event.event_id()), new.id());
            assert_eq!(event.recorded_at(), annals::Clock::now(&clock(number)));
            assert!(event.has_content_of(new));
        }
        let tag = annals::id::Tag::new(format!("commit:{number}")).unwrap();
        let found: usize =
            Batches::new(store, Query::new(Clause::new().tag(tag))).map(|b| b.unwrap().len()).sum();
        assert_eq!(found, commit(number).events().count(), "by the index");
    }
    assert!(events.next().is_none());
    for (stream, version) in &versions {
        assert_eq!(store.version(stream).unwrap(), Version::new(*version));
    }
}

#[test]
fn stores_of_format_version_1_are_opened_read_and_continued() {
    for name in ["closed", "killed"] {
        let directory = Directory::new();
        copy(&fixtures().join(name), directory.path());
        let store = FileStore::open(directory.path()).unwrap();
        assert_eq!(store.recovery().clean, name == "closed", "{:?}", store.recovery());
        assert_eq!(store.recovery().removed_runs, Vec::<String>::new());
        check(&store);
        assert!(store.append(commit(3)).unwrap().already_there);
        store.append(Commit::new().write(stream(1), Expected::Exists, [event(99, 0)])).unwrap();
        store.close().unwrap();
        let store = FileStore::open(directory.path()).unwrap();
        let last = Events::new(&store, Query::default().backwards()).next().unwrap().unwrap();
        assert!(last.has_content_of(&event(99, 0)));
    }
}
