//! What is stored, and what its writer knows of it.

use std::path::Path;
use std::sync::Arc;

use annals::id::{CorrelationId, EventId, EventType};
use annals::store::{Batches, Commit, Durability, EventStore, Expected, FileStore, Query};
use annals::{Metadata, NewEvent, RecordedEvent, StreamId, Version};
use serde::{Deserialize, Serialize};

/// What both events hold: 163 bytes of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Movement {
    cents: u64,
    currency: String,
    reference: String,
    counterparty: String,
    booked_on: String,
    note: String,
}

#[derive(Debug, Clone)]
pub(crate) enum Event {
    Deposited(Movement),
    Withdrawn(Movement),
}

impl Event {
    /// Decodes what is stored under a type's name.
    pub(crate) fn decode(name: &str, payload: &[u8]) -> Self {
        let movement = serde_json::from_slice(payload).unwrap();
        match name {
            "Deposited" => Self::Deposited(movement),
            "Withdrawn" => Self::Withdrawn(movement),
            name => panic!("{name}"),
        }
    }

    /// Something that takes all of it.
    pub(crate) fn weight(&self) -> u64 {
        let (Self::Deposited(m) | Self::Withdrawn(m)) = self;
        let texts = [&m.currency, &m.reference, &m.counterparty, &m.booked_on, &m.note];
        m.cents + texts.iter().map(|text| text.len() as u64).sum::<u64>()
    }
}

fn name_of(number: u64) -> &'static str {
    if number.is_multiple_of(3) { "Withdrawn" } else { "Deposited" }
}

/// The envelope that the events of a commit share.
pub(crate) fn metadata() -> Arc<Metadata> {
    let metadata = Metadata::new().with_actor("teller 7").with_header("branch", "Ulm");
    let metadata = metadata.with_correlation(CorrelationId::random());
    metadata.with_causation(EventId::random()).into()
}

pub(crate) fn new_event(number: u64, metadata: &Arc<Metadata>) -> NewEvent {
    let movement = Movement {
        cents: 10_000 + number % 90_000,
        currency: "EUR".to_owned(),
        reference: format!("INV-2024-A{:07}", number % 1_000_000),
        counterparty: "DE89370400440532013000".to_owned(),
        booked_on: "2024-05-17".to_owned(),
        note: "membership fees, in full".to_owned(),
    };
    let event = NewEvent::new(EventType::new(name_of(number)).unwrap(), &movement).unwrap();
    assert_eq!(event.payload().len(), 163, "the payload that the figures are about");
    event.with_metadata(Arc::clone(metadata))
}

pub(crate) fn stream(name: &str) -> StreamId {
    format!("account/{name}").parse().unwrap()
}

/// What a read gave: how many events, and the checksum of all their payloads, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Digest {
    events: u64,
    payloads: u32,
}

/// What was written, collected while it is.
#[derive(Clone, Default)]
pub(crate) struct Written {
    pub(crate) events: u64,
    payloads: crc32fast::Hasher,
}

impl Written {
    pub(crate) fn add(&mut self, payload: &[u8]) {
        self.events += 1;
        self.payloads.update(payload);
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest { events: self.events, payloads: self.payloads.clone().finalize() }
    }
}

pub(crate) fn each(store: &FileStore, query: Query, mut look: impl FnMut(&RecordedEvent<'_>)) {
    for batch in Batches::new(store, query) {
        batch.unwrap().iter().for_each(|event| look(&event));
    }
}

pub(crate) fn digest(store: &FileStore, query: Query) -> Digest {
    let mut read = Written::default();
    each(store, query, |event| read.add(event.payload()));
    read.digest()
}

pub(crate) fn buffered(directory: &Path) -> FileStore {
    FileStore::options().durability(Durability::Buffered).open(directory).unwrap()
}

/// One stream, and what its writer knows of it.
pub(crate) struct Account {
    stream: StreamId,
    written: Written,
}

impl Account {
    pub(crate) fn new(name: &str) -> Self {
        Self { stream: stream(name), written: Written::default() }
    }

    /// Commits of so many events each, made ahead.
    pub(crate) fn events(&mut self, commits: usize, each: usize) -> Vec<Vec<NewEvent>> {
        let commit = |_| {
            let metadata = metadata();
            let event = |_| {
                let event = new_event(self.written.events, &metadata);
                self.written.add(event.payload());
                event
            };
            (0..each).map(event).collect()
        };
        (0..commits).map(commit).collect()
    }

    /// Appends them one after the other, each with the version checked.
    pub(crate) fn append(&self, store: &FileStore, commits: Vec<Vec<NewEvent>>) {
        let events: usize = commits.iter().map(Vec::len).sum();
        let mut version = Version::new(self.written.events - events as u64);
        for events in commits {
            let expected = Expected::Exactly(version);
            let commit = Commit::new().write(self.stream.clone(), expected, events);
            version = store.append(commit).unwrap().versions[0].1;
        }
    }

    pub(crate) fn check(&self, store: &FileStore) {
        assert_eq!(store.version(&self.stream).unwrap().get(), self.written.events);
        let query = Query::new(self.stream.clone());
        assert_eq!(digest(store, query), self.written.digest());
    }
}
