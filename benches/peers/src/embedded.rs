//! annals.

use std::path::Path;
use std::sync::Arc;

use annals::id::{CorrelationId, EventId, EventType};
use annals::store::{Batches, Commit, Durability, EventStore, Expected, FileStore, Query};
use annals::{Aggregate, Metadata, NewEvent, StreamId, Version};

use crate::contender::{Contender, Mode, Setting};
use crate::workload::{self, Event};

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
                let kind = EventType::new(fact.kind).unwrap();
                let event = NewEvent::from_json(kind, &fact.payload).unwrap();
                event.with_metadata(Arc::clone(&metadata))
            });
            all.write(stream, Expected::Exactly(Version::new(write.expected)), events)
        })
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
