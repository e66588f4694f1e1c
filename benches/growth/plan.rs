//! What is written, so that every answer can be held against it.

use std::path::Path;
use std::sync::Arc;

use annals::id::{CorrelationId, EventType, Tag};
use annals::store::{Clause, Commit, EventStore, Expected, FileStore, Filter, Query};
use annals::uuid::Uuid;
use annals::{Metadata, NewEvent, Position, StreamId, Tags};

use crate::workload::{buffered, each, metadata, new_event, stream};

const COMMIT_EVENTS: u64 = 1_000;
pub(crate) const STREAM_EVENTS: u64 = 100;
pub(crate) const CORRELATED: u64 = 10;
/// One of so many events has the rare type, and another one the rare tag.
pub(crate) const RARITY: u64 = 10_000;
const RARE_TYPE_AT: u64 = 500;
pub(crate) const RARE_TAG_AT: u64 = 700;

pub(crate) fn event_type(name: &str) -> EventType {
    EventType::new(name).unwrap()
}

pub(crate) fn tag(name: &str) -> Tag {
    Tag::new(name).unwrap()
}

/// What is written as a store's event with a number, from 0; its position is one higher.
pub(crate) struct Plan {
    pub(crate) events: u64,
}

impl Plan {
    /// There are more streams in a larger store, and each is scattered over all of it.
    fn stream_number(&self, number: u64) -> u64 {
        let streams = self.events / STREAM_EVENTS;
        number / COMMIT_EVENTS.div_ceil(streams) % streams
    }

    pub(crate) fn has_rare_tag(number: u64) -> bool {
        number % RARITY == RARE_TAG_AT
    }

    fn has_rare_type(number: u64) -> bool {
        number % RARITY == RARE_TYPE_AT
    }

    fn type_name(number: u64) -> &'static str {
        match number {
            number if Self::has_rare_type(number) => "Frozen",
            number if number.is_multiple_of(3) => "Withdrawn",
            _ => "Deposited",
        }
    }

    /// An id as good as random, which is known again.
    pub(crate) fn correlation(number: u64) -> CorrelationId {
        const SPREAD: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;
        Uuid::from_u128((u128::from(number / CORRELATED) + 1).wrapping_mul(SPREAD)).into()
    }

    fn metadata(number: u64) -> Arc<Metadata> {
        Metadata::clone(&metadata()).with_correlation(Self::correlation(number)).into()
    }

    fn event(number: u64, metadata: &Arc<Metadata>) -> NewEvent {
        let payload = new_event(number, metadata).payload().to_vec();
        let event_type = event_type(Self::type_name(number));
        let rare = Self::has_rare_tag(number).then_some("audited:yes");
        let tags = Tags::of(["currency:EUR"].into_iter().chain(rare)).unwrap();
        let event = NewEvent::from_json(event_type, payload).unwrap();
        event.with_metadata(Arc::clone(metadata)).with_tags(tags)
    }

    fn commit(&self, first: u64) -> Commit {
        let mut writes: Vec<(u64, Vec<NewEvent>)> = Vec::new();
        let mut metadata = Self::metadata(first);
        for number in first..first + COMMIT_EVENTS {
            if number.is_multiple_of(CORRELATED) {
                metadata = Self::metadata(number);
            }
            let (stream, event) = (self.stream_number(number), Self::event(number, &metadata));
            match writes.last_mut().filter(|(last, _)| *last == stream) {
                Some((_, events)) => events.push(event),
                None => writes.push((stream, vec![event])),
            }
        }
        writes.into_iter().fold(Commit::new(), |commit, (stream, events)| {
            commit.write(name(stream), Expected::Any, events)
        })
    }

    pub(crate) fn load(&self, directory: &Path) {
        let store = buffered(directory);
        for first in (0..self.events).step_by(usize::try_from(COMMIT_EVENTS).unwrap()) {
            store.append(self.commit(first)).unwrap();
        }
        store.close().unwrap();
    }

    /// Holds an answer against what was written.
    fn check(&self, store: &FileStore, query: Query, is_meant: impl Fn(u64) -> bool) {
        let mut expected = (0..self.events).filter(|number| is_meant(*number));
        each(store, query.up_to(Position::new(self.events)), |event| {
            let number = expected.next().unwrap();
            let written = Self::event(number, &Self::metadata(number));
            assert_eq!(event.position(), Position::new(number + 1));
            assert_eq!(event.payload(), written.payload());
            assert_eq!(event.event_type(), written.event_type().as_str());
            assert!(event.tags().eq(written.tags().iter()));
            assert!(event.stream() == name(self.stream_number(number)));
            assert_eq!(event.correlation(), Some(Self::correlation(number)));
        });
        assert_eq!(expected.next(), None);
    }

    pub(crate) fn check_all(&self, store: &FileStore) {
        let of_type = |name: &str| Clause::new().event_type(event_type(name));
        self.check(store, Query::default(), |_| true);
        self.check(store, Query::new(tag("currency:EUR")), |_| true);
        self.check(store, Query::new(of_type("Frozen")), Self::has_rare_type);
        self.check(store, Query::new(of_type("Deposited")), |number| {
            Self::type_name(number) == "Deposited"
        });
        self.check(store, Query::new(both_common_and_rare()), Self::has_rare_tag);
        for stream in 0..self.events / STREAM_EVENTS {
            let is_of_it = |number: u64| self.stream_number(number) == stream;
            self.check(store, Query::new(name(stream)), is_of_it);
        }
    }
}

pub(crate) fn name(stream_number: u64) -> StreamId {
    stream(&format!("{stream_number:05}"))
}

pub(crate) fn both_common_and_rare() -> Filter {
    Clause::new().event_type(event_type("Deposited")).tag(tag("audited:yes")).into()
}
