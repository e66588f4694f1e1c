//! annals.

use std::path::Path;
use std::sync::Arc;

use annals::id::{CorrelationId, EventId, EventType};
use annals::store::{Batches, Commit, Durability, EventStore, Expected, FileStore, Query};
use annals::{Aggregate, Encoding, Metadata, NewEvent, StreamId, Version};

use crate::contender::{Contender, Mode, Setting};
use crate::workload::{self, Event, Movement};

pub struct Annals(Arc<FileStore>);

impl Annals {
    fn read(&self, query: Query, mut look: impl FnMut(&str, &[u8])) {
        for batch in Batches::new(&*self.0, query) {
            batch.unwrap().iter().for_each(|event| look(event.event_type(), event.payload()));
        }
    }
}

/// What the events are of, for those who read them through a view.
#[derive(Default)]
struct Account;

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Id = str;
    type Event = Event;
    type Command = ();
    type Error = std::convert::Infallible;
    type Services = ();

    fn apply(&mut self, _: &Event) {}

    fn handle(&self, (): (), _: &annals::Context<'_, Self>) -> Result<Vec<Event>, Self::Error> {
        Ok(Vec::new())
    }
}

impl Annals {
    /// What a view makes of all events that adds up their weight.
    pub fn weight(&self, threads: usize) -> u64 {
        let view = annals::Annals::with_store(Arc::clone(&self.0)).view::<u64>("weight");
        let view = view.on::<Account>(|weight, e| *weight += e.event().weight());
        view.decoding_threads(threads).run().unwrap().into_inner()
    }
}

/// The payload of an event as it is kept: what was JSON, in an encoding.
fn event(kind: &str, payload: &[u8], encoding: Encoding) -> NewEvent {
    let kind = EventType::new(kind).unwrap();
    match encoding {
        Encoding::Binary => {
            let movement: Movement = serde_json::from_slice(payload).unwrap();
            NewEvent::encoded(encoding, kind, &movement).unwrap()
        }
        _ => NewEvent::from_json(kind, payload).unwrap(),
    }
}

fn commit_of(commit: &workload::Commit, encoding: Encoding) -> Commit {
    let context = &commit.context;
    let metadata = Metadata::new()
        .with_actor(context.actor)
        .with_header("branch", context.branch)
        .with_correlation(CorrelationId::new(context.correlation))
        .with_causation(EventId::new(context.causation));
    let metadata = Arc::new(metadata);
    commit.writes.iter().fold(Commit::new(), |all, write| {
        let stream: StreamId = write.stream.parse().unwrap();
        let events = write.facts.iter().map(|fact| {
            event(fact.kind, &fact.payload, encoding).with_metadata(Arc::clone(&metadata))
        });
        all.write(stream, Expected::Exactly(Version::new(write.expected)), events)
    })
}

/// A store whose payloads are binary.
pub struct Binary(Annals);

impl Binary {
    pub fn load(directory: &Path, commits: impl FnOnce(&mut dyn FnMut(workload::Commit))) -> Self {
        let options = FileStore::options().encoding(Encoding::Binary);
        let store = options.durability(Durability::Buffered).open(directory).unwrap();
        commits(&mut |commit| {
            store.append(commit_of(&commit, Encoding::Binary)).unwrap();
        });
        store.close().unwrap();
        Self(Annals::open(directory, Mode::Durable))
    }

    fn weight(&self, query: Query) -> u64 {
        let mut weight = 0;
        for batch in Batches::new(&*self.0.0, query) {
            for event in batch.unwrap().iter() {
                weight += Event::of(event.event_type(), event.decode().unwrap()).weight();
            }
        }
        weight
    }

    pub fn weight_of_all(&self) -> u64 {
        self.weight(Query::default())
    }

    pub fn weight_of_streams(&self, streams: &[String]) -> u64 {
        let of = |stream: &String| self.weight(Query::new(stream.parse::<StreamId>().unwrap()));
        streams.iter().map(of).sum()
    }
}

impl Contender for Annals {
    const NAME: &'static str = "annals";
    const SETTINGS: &'static [Setting] = &[
        ("Durability::Synced, as by default", "../../src/store/file/options.rs"),
        ("bulk: Durability::Buffered, and close", "../../src/store/file/options.rs"),
    ];
    type Commit = Commit;

    fn open(directory: &Path, mode: Mode) -> Self {
        let durability = if mode == Mode::Bulk { Durability::Buffered } else { Durability::Synced };
        let store = FileStore::options().durability(durability).open(directory).unwrap();
        Self(Arc::new(store))
    }

    fn prepare(commit: &workload::Commit) -> Commit {
        commit_of(commit, Encoding::Json)
    }

    fn append(&self, commit: Commit) {
        self.0.append(commit).unwrap();
    }

    fn replay(&self, look: impl FnMut(&str, &[u8])) {
        self.read(Query::default(), look);
    }

    fn stream(&self, stream: &str, look: impl FnMut(&str, &[u8])) {
        self.read(Query::new(stream.parse::<StreamId>().unwrap()), look);
    }

    fn close(self) {
        self.0.close().unwrap();
    }
}
