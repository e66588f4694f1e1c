//! A store that was damaged and salvaged.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use annals::id::{Category, CorrelationId, EventType, Tag};
use annals::storage::Directory;
use annals::store::{Commit, EventStore, Events, Expected, FileStore, Query, care};
use annals::transfer::export;
use annals::uuid::Uuid;
use annals::{
    Annals, Error, ErrorKind, Metadata, NewEvent, Position, RecordedEvent, Repository, StreamId,
    Tags, Version,
};

use crate::account::{Account, Command};
use crate::directory::Directory as Scratch;

type Owned = RecordedEvent<'static>;

pub(super) fn stream(name: &str) -> StreamId {
    name.parse().unwrap()
}

pub(super) fn tag(name: &str) -> Tag {
    Tag::new(name).unwrap()
}

pub(super) fn category(name: &str) -> Category {
    Category::new(name).unwrap()
}

pub(super) fn event_type(name: &str) -> EventType {
    EventType::new(name).unwrap()
}

pub(super) fn correlation() -> CorrelationId {
    CorrelationId::new(Uuid::from_u64_pair(0xC0, 1))
}

pub(super) fn noted(text: &str) -> NewEvent {
    let metadata = Metadata::new().with_correlation(correlation());
    let event = NewEvent::new(event_type("Noted"), text).unwrap().with_metadata(metadata);
    event.with_tags(Tags::of([format!("about:{text}")]).unwrap())
}

pub(super) fn all(store: &dyn EventStore) -> Vec<Owned> {
    Events::new(store, Query::default()).map(Result::unwrap).collect()
}

/// The numbers of the positions that a query finds.
pub(super) fn found(store: &dyn EventStore, query: Query) -> Vec<u64> {
    Events::new(store, query).map(|event| event.unwrap().position().get()).collect()
}

/// Sixteen events of six streams, at these positions:
///
/// ```text
/// account/alice  1  3  4        8                   12
/// account/bob       2        5        9 10
/// account/carol               7                        13
/// note/x                   6                11
/// note/y                                                  14
/// note/z                                                     15 16 17
/// ```
///
/// 6 and 7 are one commit, 9 and 10, and 15 to 17.
fn write(path: &Path) {
    let store: Arc<dyn EventStore> = Arc::new(FileStore::open(path).unwrap());
    let accounts = Annals::with_store(Arc::clone(&store)).of::<Account>().unwrap();
    let execute = |id: &str, command| drop(accounts.execute(id, command).unwrap());
    let append = |commit: Commit| drop(store.append(commit).unwrap());
    let note = |name: &str, events: Vec<NewEvent>| {
        Commit::new().write(stream(name), Expected::Any, events)
    };
    execute("alice", Command::Open("ann".into()));
    execute("bob", Command::Open("ben".into()));
    execute("alice", Command::Deposit(100));
    execute("alice", Command::Deposit(200));
    execute("bob", Command::Deposit(10));
    let cleo = NewEvent::from_json(event_type("Opened"), r#"{"owner":"cleo"}"#).unwrap();
    append(note("note/x", vec![noted("one")]).write(
        stream("account/carol"),
        Expected::Empty,
        [cleo],
    ));
    execute("alice", Command::Withdraw(50));
    execute("bob", Command::Close);
    append(note("note/x", vec![noted("two")]));
    execute("alice", Command::Deposit(1));
    execute("carol", Command::Deposit(5));
    append(note("note/y", vec![noted("alone")]));
    append(note("note/z", vec![noted("first"), noted("second"), noted("third")]));
    store.close().unwrap();
}

/// How the store was salvaged.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Index {
    Kept,
    Removed,
}

/// A store, and what was salvaged of it.
pub(super) struct Patient {
    _scratch: Scratch,
    before: Vec<Owned>,
    pub(super) store: Arc<FileStore>,
    pub(super) copied: care::Copied,
    pub(super) accounts: Repository<Account>,
}

impl Patient {
    /// Flips a byte in the records of the events at these positions, and salvages what is left.
    pub(super) fn without(lost: &[u64], index: Index) -> Self {
        let scratch = Scratch::new();
        let [damaged, whole] = ["damaged", "whole"].map(|name| scratch.path().join(name));
        write(&damaged);
        let before = all(&FileStore::follow(&damaged).unwrap());
        assert_eq!(before.len(), 17);
        let log = damaged.join("0000000001.log");
        let mut bytes = fs::read(&log).unwrap();
        for position in lost {
            let id = before[usize::try_from(*position).unwrap() - 1].event_id();
            // Of an id that the store made, the time of recording is a part.
            let id = &id.as_uuid().as_bytes()[6..];
            let at = bytes.windows(id.len()).position(|window| window == id).unwrap();
            bytes[at + 3] ^= 0x10;
        }
        fs::write(&log, bytes).unwrap();
        if index == Index::Removed {
            for entry in fs::read_dir(&damaged).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "index") {
                    fs::remove_file(path).unwrap();
                }
            }
        }
        let into = Directory::new(&whole).unwrap();
        let copied = care::salvage(Directory::to_read(&damaged).unwrap(), into, |_| {}).unwrap();
        let store = Arc::new(FileStore::open(&whole).unwrap());
        let accounts = Annals::with_store(Arc::clone(&store)).of::<Account>().unwrap();
        let patient = Self { _scratch: scratch, before, store, copied, accounts };
        patient.check(lost);
        patient
    }

    /// Every event is what it was, but for gaps at these positions.
    fn check(&self, lost: &[u64]) {
        let after = all(&*self.store);
        assert_eq!(after.len(), self.before.len());
        for (was, is) in self.before.iter().zip(&after) {
            if lost.contains(&was.position().get()) {
                assert!(is.is_gap() && is.event_type() == "$gap", "{is:?}");
                assert_eq!((is.position(), is.payload()), (was.position(), &b"null"[..]));
            } else {
                assert_eq!(is, was);
                assert!(!is.is_gap());
            }
        }
        assert_eq!(
            (self.copied.gaps, self.copied.events),
            (lost.len() as u64, 17 - self.copied.gaps)
        );
        assert_eq!(self.copied.findings.is_empty(), lost.is_empty());
    }

    /// The stream and version at which the event at this position stands.
    pub(super) fn place(&self, position: u64) -> (String, u64) {
        let event = &all(&*self.store)[usize::try_from(position).unwrap() - 1];
        (event.stream().to_string(), event.version().get())
    }

    pub(super) fn version(&self, name: &str) -> u64 {
        self.store.version(&stream(name)).unwrap().get()
    }
}

/// An error that names events that are missing: which, in which stream, and where.
#[track_caller]
pub(super) fn assert_missing(error: &Error, name: &str, (from, to): (u64, u64), position: u64) {
    let (from, to) = (Version::new(from), Version::new(to));
    assert_eq!(*error.kind(), ErrorKind::MissingEvents { from, to }, "{error:?}");
    assert_eq!(error.stream().map(StreamId::as_str), Some(name), "{error:?}");
    assert_eq!(error.position(), Some(Position::new(position)), "{error:?}");
}

pub(super) fn lines_of(store: &dyn EventStore) -> Vec<u8> {
    let mut lines = Vec::new();
    export(store, Query::default(), &mut lines, |_| {}).unwrap();
    lines
}
