//! The store on disk, as its users meet it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use annals::id::{Category, EventId, EventType};
use annals::store::{
    AppendError, Batches, Clause, Commit, Durability, EventStore, Events, Expected, FileOptions,
    FileStore, Head, Interrupt, Limits, Query, Upkeep,
};
use annals::testing::ManualClock;
use annals::{Clock, ErrorKind, NewEvent, Position, StreamId, Version};
use uuid::Uuid;

use crate::directory::Directory;

pub(crate) fn stream(name: &str) -> StreamId {
    format!("account/{name}").parse().unwrap()
}

fn event(payload: &str) -> NewEvent {
    NewEvent::new(EventType::new("Moved").unwrap(), payload).unwrap()
}

pub(crate) fn commit(name: &str, payload: &str) -> Commit {
    Commit::new().write(stream(name), Expected::Any, [event(payload)])
}

/// Segments and runs so small that a few commits fill them.
pub(crate) fn tiny() -> FileOptions {
    FileStore::options().segment_bytes(4096).recent_bytes(1024).upkeep(Upkeep::Inline)
}

/// Leaves a directory as a killed process does, by copying it while the store is open.
pub(crate) fn killed(directory: &Path) -> Directory {
    let copy = Directory::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

fn payloads(store: &FileStore) -> Vec<String> {
    let events = Events::new(store, Query::default());
    events.map(|event| serde_json::from_slice(event.unwrap().payload()).unwrap()).collect()
}

pub(crate) fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    paths.sort();
    paths
}

#[test]
fn what_was_acknowledged_is_there_when_the_store_is_opened_again() {
    let directory = Directory::new();
    for round in 0..5_u64 {
        let store = FileStore::open(directory.path().join("deep/down")).unwrap();
        assert!(store.recovery().clean);
        assert_eq!(store.head().unwrap().durable, Position::new(round));
        store.append(commit("a", &round.to_string())).unwrap();
        assert_eq!(store.version(&stream("a")).unwrap(), Version::new(round + 1));
        store.close().unwrap();
        store.close().unwrap();
    }
}

#[test]
fn a_store_that_was_dropped_without_closing_is_closed() {
    let directory = Directory::new();
    drop(FileStore::open(directory.path()).unwrap());
    assert!(FileStore::open(directory.path()).unwrap().recovery().clean);
}

#[test]
fn a_second_opening_is_told_who_has_the_store() {
    let directory = Directory::new();
    let store = FileStore::open(directory.path()).unwrap();
    let refused = FileStore::open(directory.path()).unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::InUse);
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
    store.close().unwrap();
    FileStore::open(directory.path()).unwrap();
}

#[test]
fn a_buffered_store_shows_at_once_and_promises_after_a_sync() {
    let directory = Directory::new();
    let options = FileStore::options().durability(Durability::Buffered);
    let store = options.open(directory.path()).unwrap();
    let known =
        Commit::new().write(stream("a"), Expected::Empty, [event("1").with_id(EventId::random())]);
    store.append(known.clone()).unwrap();
    let (start, one) = (Position::START, Position::new(1));
    assert_eq!(store.head().unwrap(), Head { acknowledged: one, durable: start });
    assert_eq!(payloads(&store), ["1"]);
    assert_eq!(store.wait(start, Duration::from_millis(1), &Interrupt::new()).unwrap(), start);
    // Somebody who repeats a commit wants to be certain.
    assert!(store.append(known).unwrap().already_there);
    assert_eq!(store.head().unwrap(), Head { acknowledged: one, durable: one });
    store.append(commit("a", "2")).unwrap();
    assert_eq!(store.sync().unwrap(), Position::new(2));
    assert_eq!(
        store.wait(one, Duration::from_secs(9), &Interrupt::new()).unwrap(),
        Position::new(2)
    );
}

/// Up to where each run of the index goes, in the order of the log.
fn runs(directory: &Path) -> Vec<Position> {
    let names = files(directory, "index");
    let last = |path: &PathBuf| path.file_stem()?.to_str()?.split_once('-')?.1.parse().ok();
    names.iter().map(|path| Position::new(last(path).expect("a run is named so"))).collect()
}

#[test]
fn a_buffered_store_promises_what_its_index_covers() {
    let directory = Directory::new();
    let options = FileStore::options().durability(Durability::Buffered).recent_bytes(1024);
    let store = options.upkeep(Upkeep::Inline).open(directory.path()).unwrap();
    for number in 1..=100 {
        store.append(commit("a", &number.to_string())).unwrap();
        let covered = runs(directory.path()).last().copied().unwrap_or_default();
        let promised = Head { acknowledged: Position::new(number), durable: covered };
        assert_eq!(store.head().unwrap(), promised);
    }
    assert!(store.head().unwrap().durable > Position::new(80));
}

#[test]
fn runs_of_the_index_become_one_when_many_look_into_them_or_there_are_many() {
    let directory = Directory::new();
    let options = FileStore::options().recent_bytes(1024).upkeep(Upkeep::Inline);
    let store = options.open(directory.path()).unwrap();
    let fill = |until: &dyn Fn(usize) -> bool| {
        while !until(runs(directory.path()).len()) {
            store.append(commit("a", "x")).unwrap();
        }
    };
    // Its last event is recent, and so nobody looks further.
    fill(&|count| count == 12);
    fill(&|count| count == 1);
    fill(&|count| count == 9);
    let before = runs(directory.path());
    store.append(commit("a", "x")).unwrap();
    assert_eq!(runs(directory.path()), before);
    for _ in 0..100 {
        assert_eq!(store.version(&stream("of nobody")).unwrap(), Version::ZERO);
    }
    store.append(commit("a", "x")).unwrap();
    let after = runs(directory.path());
    assert!(after.len() < 4, "{before:?} and {after:?}");
    assert_eq!(after.last(), before.last());
    assert_eq!(payloads(&store).len() as u64, store.head().unwrap().acknowledged.get());
}

#[test]
fn a_commit_that_is_larger_than_a_segment_has_one_of_its_own() {
    let directory = Directory::new();
    let store = tiny().open(directory.path()).unwrap();
    store.append(commit("a", "small")).unwrap();
    let large = "x".repeat(100_000);
    store.append(commit("a", &large)).unwrap();
    store.append(commit("a", "small again")).unwrap();
    store.close().unwrap();
    assert_eq!(files(directory.path(), "log").len(), 3);
    let store = tiny().open(directory.path()).unwrap();
    assert_eq!(payloads(&store), ["small", &large, "small again"]);
}

#[test]
fn what_is_too_large_for_the_limits_is_refused_before_a_byte_is_written() {
    let directory = Directory::new();
    let mut limits = Limits::default();
    limits.payload_bytes_max = 10;
    let store = FileStore::options().limits(limits).open(directory.path()).unwrap();
    let AppendError::Store(error) = store.append(commit("a", "more than ten")).unwrap_err() else {
        panic!("no conflict")
    };
    assert!(matches!(error.kind(), ErrorKind::TooLarge { limit: 10, .. }), "{error}");
    assert_eq!(store.head().unwrap(), Head::default());
}

#[test]
fn the_index_is_made_again_where_it_is_missing() {
    let directory = Directory::new();
    let store = tiny().open(directory.path()).unwrap();
    for number in 0..200 {
        store.append(commit(&(number % 9).to_string(), &number.to_string())).unwrap();
    }
    store.close().unwrap();
    let runs = files(directory.path(), "index");
    assert!((1..=12).contains(&runs.len()), "merged, so few: {}", runs.len());
    fs::remove_file(&runs[0]).unwrap();
    let store = tiny().open(directory.path()).unwrap();
    assert_eq!(store.recovery().replayed_events, 200, "{:?}", store.recovery());
    assert_eq!(store.recovery().removed_runs.len(), runs.len() - 1);
    assert_eq!(store.version(&stream("3")).unwrap(), Version::new(22));
    store.close().unwrap();
    assert_eq!(tiny().open(directory.path()).unwrap().recovery().replayed_events, 0);
}

#[test]
fn a_run_that_is_damaged_while_the_store_is_open_is_made_again() {
    let directory = Directory::new();
    let store = tiny().cache_bytes(0).open(directory.path()).unwrap();
    for number in 0..300 {
        store.append(commit(&(number % 9).to_string(), &number.to_string())).unwrap();
    }
    let accounts = Query::new(Category::new("account").unwrap());
    let count = |store: &FileStore| -> usize {
        Batches::new(store, accounts.clone()).map(|batch| batch.unwrap().len()).sum()
    };
    for run in files(directory.path(), "index") {
        let length = fs::metadata(&run).unwrap().len();
        let garbage = vec![0xAA; usize::try_from(length).unwrap() - 4096];
        let mut file = fs::OpenOptions::new().write(true).open(&run).unwrap();
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(4096)).unwrap();
        file.write_all(&garbage).unwrap();
        assert_eq!(count(&store), 300);
        assert_eq!(store.version(&stream("1")).unwrap(), Version::new(34));
    }
    store.append(commit("1", "on")).unwrap();
    store.close().unwrap();
    let store = tiny().open(directory.path()).unwrap();
    assert_eq!(store.recovery().removed_runs, Vec::<String>::new());
    assert_eq!(count(&store), 301);
}

#[test]
fn a_torn_tail_is_cut_off_and_set_aside() {
    let directory = Directory::new();
    let store = FileStore::open(directory.path()).unwrap();
    store.append(commit("a", "whole")).unwrap();
    let copy = killed(directory.path());
    let segment = copy.path().join("0000000001.log");
    let mut bytes = fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    // Space may be prepared by now, or not.
    bytes.resize(bytes.len().max(end + 70), 0);
    bytes[end..end + 70].fill(0x55);
    fs::write(&segment, bytes).unwrap();
    let store = FileStore::open(copy.path()).unwrap();
    let cut = store.recovery().cut.clone().unwrap();
    assert_eq!((cut.file.as_str(), cut.offset, cut.bytes), ("0000000001.log", end as u64, 70));
    let saved = copy.path().join(cut.saved_as.unwrap());
    assert_eq!(fs::read(saved).unwrap(), [0x55; 70]);
    assert_eq!(payloads(&store), ["whole"]);
}

#[test]
fn a_store_that_misses_a_segment_is_not_opened() {
    let directory = Directory::new();
    let store = tiny().open(directory.path()).unwrap();
    for number in 0..200 {
        store.append(commit("a", &number.to_string())).unwrap();
    }
    store.close().unwrap();
    let segments = files(directory.path(), "log");
    assert!(segments.len() > 3);
    for missing in [0, 1, segments.len() - 1] {
        let copy = killed(directory.path());
        let name = segments[missing].file_name().unwrap();
        fs::remove_file(copy.path().join(name)).unwrap();
        let refused = FileStore::open(copy.path()).unwrap_err();
        let damaged = ErrorKind::Damaged { file: name.to_str().unwrap().to_owned(), offset: 0 };
        assert_eq!(*refused.kind(), damaged, "{refused}");
    }
}

#[test]
fn a_store_opens_with_other_settings_than_it_was_written_with() {
    let directory = Directory::new();
    let numbers: Vec<String> = (0..150).map(|number| number.to_string()).collect();
    for (part, options) in numbers.chunks(50).zip([
        tiny().segment_bytes(100_000),
        tiny().segment_bytes(500).recent_bytes(1),
        tiny().durability(Durability::Buffered).recent_bytes(1 << 20),
    ]) {
        let store = options.open(directory.path()).unwrap();
        part.iter().for_each(|number| drop(store.append(commit("a", number)).unwrap()));
        store.close().unwrap();
    }
    assert_eq!(payloads(&FileStore::open(directory.path()).unwrap()), numbers);
}

/// Ids that begin with the time of recording stand in the index under what those of a commit have in common, others alone.
#[test]
fn an_event_is_found_by_its_id_and_recognised_whatever_its_id_looks_like() {
    let directory = Directory::new();
    let clock = ManualClock::at("2024-02-29T12:00:00Z".parse().unwrap());
    let millis = u128::try_from(clock.now().timestamp_millis()).unwrap();
    let version_7 = |millis: u128, rest: u128| millis << 80 | 7 << 76 | 0b10 << 62 | rest;
    let own = [
        version_7(millis, 1),
        version_7(millis, 2),
        version_7(millis, 1 << 32),
        version_7(millis - 1, 1),
        version_7(millis + 1, 1),
        millis << 80 | 4 << 76 | 0b10 << 62 | 1,
        1,
    ];
    let with_id = |number: u128| event("own").with_id(EventId::new(Uuid::from_u128(number)));
    let commit = |events: Vec<NewEvent>| Commit::new().write(stream("a"), Expected::Any, events);
    let store = tiny().clock(clock.clone()).open(directory.path()).unwrap();
    let mut ids = Vec::new();
    for number in own {
        ids.extend(store.append(commit(vec![with_id(number)])).unwrap().ids);
        ids.extend(store.append(commit(vec![event("fresh"); 3])).unwrap().ids);
    }
    for reopened in [false, true] {
        if reopened {
            store.close().unwrap();
        }
        let again = reopened.then(|| tiny().clock(clock.clone()).open(directory.path()).unwrap());
        let store = again.as_ref().unwrap_or(&store);
        for (number, id) in (1..).zip(&ids) {
            let query = Query::new(Clause::new().event(*id));
            let found: Vec<_> = Events::new(store, query).map(Result::unwrap).collect();
            assert_eq!(found.len(), 1, "{id}");
            assert_eq!((found[0].event_id(), found[0].position()), (*id, Position::new(number)));
        }
        for (number, id) in own.iter().zip(ids.iter().step_by(4)) {
            let repeated = store.append(commit(vec![with_id(*number)])).unwrap();
            assert!(repeated.already_there && repeated.ids == [*id], "{id}");
        }
        for id in &ids[1..4] {
            let taken = commit(vec![event("fresh").with_id(*id)]);
            let Err(AppendError::Store(error)) = store.append(taken) else { panic!("{id}") };
            assert_eq!(*error.kind(), ErrorKind::EventIdTaken);
        }
        let fresh = ids[1..4].iter().map(|id| event("fresh").with_id(*id)).collect();
        assert!(store.append(commit(fresh)).unwrap().already_there);
        let unknown = EventId::new(Uuid::from_u128(version_7(millis, 3)));
        let query = Query::new(Clause::new().event(unknown));
        assert_eq!(Events::new(store, query).count(), 0);
    }
}
