//! Writes commits out, as they grow from a seed.

use annals::id::EventId;
use annals::store::{Clause, Commit, Expected};
use annals::uuid::Uuid;
use annals::{Metadata, NewEvent, Position, SchemaVersion, Tags, Version};

use crate::log::Log;
use crate::random::Random;
use crate::terms::{
    CORRELATIONS, STREAMS, TAGS, TYPES, category, correlation, event_type, stream, tag,
};

/// Writes commits out.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    pub(crate) random: Random,
    seed: u64,
    /// Numbers events, so that no two are alike.
    events: u64,
    /// Whether the store never has to make an id.
    pub(crate) gives_all_ids: bool,
}

impl Author {
    pub(crate) fn new(seed: u64, gives_all_ids: bool) -> Self {
        Self { random: Random::of(&[seed, 0xA0]), seed, events: 0, gives_all_ids }
    }

    /// A commit that a store which holds this log accepts.
    pub(crate) fn commit(&mut self, log: &Log) -> Commit {
        let streams = if self.random.chance(20) { 2 } else { 1 };
        // The last stream is never written to.
        let first = self.random.index(STREAMS.len() - 1);
        let with_ids = self.gives_all_ids || self.random.chance(70);
        let mut commit = Commit::new();
        for n in 0..streams {
            let stream = stream(STREAMS[(first + n) % (STREAMS.len() - 1)]);
            let count = 1 + self.random.below(if streams > 1 { 2 } else { 5 });
            let events: Vec<NewEvent> = (0..count).map(|_| self.event(with_ids)).collect();
            let expected = self.fitting(log.version(&stream));
            commit = commit.write(stream, expected, events);
        }
        match self.random.below(6) {
            0 => {
                let guarded = stream(STREAMS[self.random.index(STREAMS.len())]);
                let expected = Expected::Exactly(log.version(&guarded));
                commit.guard(guarded, expected)
            }
            1 => commit.require_none(tag("t:never"), Position::START),
            2 => commit.require_none(category("a"), log.head()),
            _ => commit,
        }
    }

    fn fitting(&mut self, actual: Version) -> Expected {
        match self.random.below(3) {
            0 => Expected::Any,
            1 if actual > Version::ZERO => Expected::Exists,
            1 => Expected::Empty,
            _ => Expected::Exactly(actual),
        }
    }

    /// A commit that a store which holds this log refuses.
    pub(crate) fn refused(&mut self, log: &Log) -> Commit {
        let stream = stream(STREAMS[0]);
        let wrong = Version::new(log.version(&stream).get() + 1);
        let event = self.event(true);
        match (self.random.below(3), log.last()) {
            (0, Some(last)) => {
                let condition = Clause::new().stream(last.stream().to_stream_id());
                let before = Position::new(last.position().get() - 1);
                Commit::new().write(stream, Expected::Any, [event]).require_none(condition, before)
            }
            (1, Some(last)) => {
                let event = event.with_id(last.event_id());
                Commit::new().write(stream, Expected::Any, [event])
            }
            _ => Commit::new().write(stream, Expected::Exactly(wrong), [event]),
        }
    }

    fn event(&mut self, with_id: bool) -> NewEvent {
        self.events += 1;
        let filler = match self.random.below(100) {
            0 => 1500,
            1..20 => 300,
            _ => self.random.below(60),
        };
        let filler = "x".repeat(usize::try_from(filler).unwrap());
        let payload = format!("\"{:06}{filler}\"", self.events);
        let name = TYPES[self.random.index(TYPES.len() - 1)];
        let tags = TAGS[..TAGS.len() - 1].iter().filter(|_| self.random.chance(30));
        let event = NewEvent::from_json(event_type(name), payload)
            .unwrap()
            .with_tags(Tags::of(tags).unwrap())
            .with_metadata(self.metadata());
        let event = match self.random.below(4) {
            0 => event.with_schema(SchemaVersion::new(7).unwrap()),
            _ => event,
        };
        let id = EventId::new(Uuid::from_u64_pair(self.seed, self.events));
        if with_id { event.with_id(id) } else { event }
    }

    fn metadata(&mut self) -> Metadata {
        let mut metadata = Metadata::new();
        if self.random.chance(60) {
            metadata = metadata.with_correlation(correlation(self.random.below(CORRELATIONS - 1)));
        }
        if self.random.chance(20) {
            let cause = self.random.below(self.events);
            metadata = metadata.with_causation(EventId::new(Uuid::from_u64_pair(self.seed, cause)));
        }
        if self.random.chance(20) {
            metadata = metadata.with_actor("ann").with_header("n", self.events.to_string());
        }
        metadata
    }
}

/// A commit whose every frame and record is as long as that of the given one, with other contents and other ids.
pub(crate) fn altered(commit: &Commit, random: &mut Random) -> Commit {
    let mut altered = Commit::new();
    for write in commit.writes() {
        let events = write.events.iter().map(|event| {
            let text = char::from(b'A' + u8::try_from(random.below(26)).unwrap());
            let payload: String = std::iter::repeat_n(text, event.payload().len() - 2).collect();
            NewEvent::from_json(event.event_type().clone(), format!("\"{payload}\""))
                .unwrap()
                .with_schema(event.schema())
                .with_tags(event.tags().clone())
                .with_metadata(event.metadata().clone())
                .with_id(EventId::new(Uuid::from_u128(random.next_u128())))
        });
        let events: Vec<NewEvent> = events.collect();
        altered = altered.write(write.stream.clone(), Expected::Any, events);
    }
    altered
}

/// The commit as it is repeated: each event with the id under which it was recorded.
pub(crate) fn identified(commit: &Commit, ids: &[EventId]) -> Commit {
    let mut ids = ids.iter();
    let mut identified = Commit::new();
    for write in commit.writes() {
        let events = write.events.iter().zip(&mut ids);
        let events: Vec<NewEvent> = events.map(|(event, id)| event.clone().with_id(*id)).collect();
        identified = identified.write(write.stream.clone(), write.expected, events);
    }
    for guard in commit.guards() {
        identified = identified.guard(guard.stream.clone(), guard.expected);
    }
    for condition in commit.conditions() {
        identified = identified.require_none(condition.none_of.clone(), condition.after);
    }
    identified
}
