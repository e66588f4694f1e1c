//! Histories to move, and means to compare them.

use annals::id::{CorrelationId, EventId, EventType, Tag};
use annals::store::{Commit, EventStore, Events, Expected, Limits, MemoryStore, Query};
use annals::testing::ManualClock;
use annals::transfer::{Import, ImportReport, export};
use annals::{Error, Metadata, NewEvent, RecordedEvent, SchemaVersion, StreamId, Tags};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

pub(super) fn start() -> DateTime<Utc> {
    "2024-02-29T12:00:00.000001Z".parse().unwrap()
}

pub(super) fn empty() -> MemoryStore {
    MemoryStore::with(ManualClock::at(start() + TimeDelta::days(400)), Limits::default())
}

pub(super) fn lines_of(store: &dyn EventStore) -> Vec<u8> {
    let mut lines = Vec::new();
    export(store, Query::default(), &mut lines, |_| {}).unwrap();
    lines
}

pub(super) fn events_of(store: &dyn EventStore) -> Vec<RecordedEvent<'static>> {
    Events::new(store, Query::default()).collect::<Result<_, _>>().unwrap()
}

pub(super) fn copy(store: &dyn EventStore, lines: &[u8]) -> Result<ImportReport, Error> {
    Import::copy().run(store, lines, |_| {})
}

pub(super) fn append(store: &dyn EventStore, lines: &[u8]) -> Result<ImportReport, Error> {
    Import::append().run(store, lines, |_| {})
}

/// Holds one store against another: event by event in all that an event shows, and line by line.
#[track_caller]
pub(super) fn assert_same(one: &dyn EventStore, other: &dyn EventStore) {
    let (ours, theirs) = (events_of(one), events_of(other));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
    assert_eq!(lines_of(one), lines_of(other));
}

pub(super) fn stream(name: &str) -> StreamId {
    name.parse().unwrap()
}

pub(super) fn id(number: u64) -> EventId {
    EventId::new(Uuid::from_u64_pair(0xE0, number))
}

pub(super) fn event(number: u64, payload: &str) -> NewEvent {
    let event_type = EventType::new("Happened").unwrap();
    NewEvent::from_json(event_type, payload).unwrap().with_id(id(number))
}

/// Four commits in the lines 1, 2 to 4, 5, and 6.
pub(super) fn small() -> MemoryStore {
    let clock = ManualClock::at(start());
    let store = MemoryStore::with(clock.clone(), Limits::default());
    let one = |name: &str, number| {
        Commit::new().write(stream(name), Expected::Any, [event(number, "[1.5]")])
    };
    let several = Commit::new()
        .write(stream("a/1"), Expected::Any, [event(2, "2"), event(3, "3")])
        .write(stream("b/1"), Expected::Any, [event(4, "{}")]);
    for commit in [one("a/1", 1), several, one("a/1", 5), one("c/1", 6)] {
        store.append(commit).unwrap();
        clock.advance(TimeDelta::microseconds(1_000_001));
    }
    store
}

/// Events with the least, the most and the strangest in every field.
fn strange_events() -> Vec<NewEvent> {
    let strange = "\u{0}\n\"\\🦀 e\u{301} \u{202E}\u{2028}\u{7f}";
    let full = Metadata::new()
        .with_correlation(CorrelationId::new(Uuid::max()))
        .with_causation(EventId::new(Uuid::nil()))
        .with_actor(strange)
        .with_occurred_at(start())
        .with_header("", "")
        .with_header(strange, strange)
        .with_header("long", "é".repeat(10_000));
    let payloads = [
        "null",
        "\"\"",
        "-0.0",
        "1E400",
        "0.1000000000000000055511151231257827",
        "123456789012345678901234567890",
        " { \"a\" : 1.50 ,\t\"a\":2} ",
        "{\n  \"a\": [\r\n 1, \"\\n\"\n]}",
        "\"\\ud83e\\udd80 \\ud800 \\/ 🦀 \u{2028}\"",
    ];
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let payloads = payloads.into_iter().chain([deep.as_str()]);
    let numbers = 1_000..;
    let mut events: Vec<NewEvent> =
        numbers.zip(payloads).map(|(number, payload)| event(number, payload)).collect();
    let tags = ["é", "z", "a b", "A", "\"", "\\", &"t".repeat(512), "$once:1"];
    let tags: Tags = tags.iter().map(|name| Tag::stored(name).unwrap()).collect();
    let told = |number, metadata: Metadata| event(number, "0").with_metadata(metadata);
    events.extend([
        told(2_000, full),
        told(2_001, Metadata::new().with_actor("")),
        told(2_002, Metadata::new().with_occurred_at(DateTime::<Utc>::MIN_UTC)),
        told(2_003, Metadata::new().with_occurred_at(DateTime::<Utc>::MAX_UTC)),
        event(2_004, "0").with_schema(SchemaVersion::new(u32::MAX).unwrap()).with_tags(tags),
        NewEvent::new(EventType::new("é\"\\ ".repeat(50)).unwrap(), &"x".repeat(400_000)).unwrap(),
        NewEvent::new(EventType::new("x$").unwrap(), &()).unwrap(),
    ]);
    events
}

/// A history in which everything occurs.
pub(super) fn strange() -> MemoryStore {
    let clock = ManualClock::at(start());
    let store = MemoryStore::with(clock.clone(), Limits::default());
    let first = Commit::new().write(stream("a/b/c//"), Expected::Any, [event(1, "1")]);
    store.append(first.recorded_at(DateTime::<Utc>::MIN_UTC)).unwrap();
    let long = format!("{}/{}", "é".repeat(64), "🦀".repeat(128));
    let mut together = Commit::new();
    for (number, event) in strange_events().into_iter().enumerate() {
        store.append(Commit::new().write(stream(&long), Expected::Any, [event.clone()])).unwrap();
        clock.advance(TimeDelta::nanoseconds(700));
        let again = event.with_id(id(5_000 + number as u64));
        together = together.write(stream(&format!("a \"\\/{number}")), Expected::Any, [again]);
    }
    store.append(together).unwrap();
    let many = (0..3_000).map(|number| event(10_000 + number, "{}"));
    store.append(Commit::new().write(stream("a/1"), Expected::Any, many)).unwrap();
    let last = Commit::new().write(stream("a/1"), Expected::Any, [event(2, "2")]);
    store.append(last.recorded_at(DateTime::<Utc>::MAX_UTC)).unwrap();
    store
}
