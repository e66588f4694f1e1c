//! The largest, the smallest and the strangest that may be written and asked for.

use std::num::NonZeroU64;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::law::Law;
use super::material::{event, event_type, id, stream, tag, tags, with_payload};
use super::oracle::Verdict;
use super::report::{Held, hold};
use super::trial::Trial;
use crate::error::ErrorKind;
use crate::event::{Encoding, Metadata, NewEvent};
use crate::id::{CorrelationId, EventId};
use crate::position::{Position, SchemaVersion, Version};
use crate::store::{Clause, Commit, Expected, Filter, Limits, Query};

fn commit(events: impl IntoIterator<Item = NewEvent>) -> Commit {
    Commit::new().write(stream("a/1"), Expected::Any, events)
}

/// Malformed commits, also such as would conflict or repeat if they were not.
pub(super) fn malformed(trial: &mut Trial) -> Held {
    let known = || event("X").with_id(id(1));
    trial.append(&commit([known()]))?;
    let stale = Expected::Exactly(Version::new(9));
    let malformed = [
        Commit::new(),
        Commit::new().guard(stream("a/1"), stale),
        commit([]),
        commit([known()]).write(stream("b/1"), Expected::Any, []),
        commit([known()]).write(stream("a/1"), stale, [event("X")]),
        commit([known(), known()]),
        commit([event("X").with_id(id(2))]).write(
            stream("b/1"),
            stale,
            [event("X").with_id(id(2))],
        ),
    ];
    for commit in malformed {
        refused(trial, &commit, &ErrorKind::InvalidCommit)?;
    }
    trial.read_all()
}

/// Commits at the limits and one beyond.
pub(super) fn limits(trial: &mut Trial) -> Held {
    let limits = Limits::default();
    let payload = |bytes: usize| with_payload("X", &format!("\"{}\"", "x".repeat(bytes - 2)));
    let actor = |bytes: usize| Metadata::new().with_actor("x".repeat(bytes - 3));
    let told = |bytes: usize| event("X").with_metadata(actor(bytes).with_header("é", "x"));
    let names = |count: usize| (0..count).map(|n| tag(&n.to_string()));
    let tagged = |count: usize| event("X").with_tags(names(count).collect());
    let too_large = |limit: usize| ErrorKind::TooLarge { limit, actual: limit + 1 };

    let max = limits.payload_bytes_max;
    trial.append(&commit([payload(max)]))?;
    refused(trial, &commit([payload(max + 1)]), &too_large(max))?;
    let max = limits.metadata_bytes_max;
    trial.append(&commit([told(max)]))?;
    refused(trial, &commit([told(max + 1)]), &too_large(max))?;
    let max = limits.tags_max;
    trial.append(&commit([tagged(max)]))?;
    refused(trial, &commit([tagged(max + 1)]), &too_large(max))?;
    let max = limits.commit_events_max;
    refused(trial, &commit(vec![event("X"); max + 1]), &too_large(max))?;
    trial.read_all()
}

fn refused(trial: &mut Trial, commit: &Commit, kind: &ErrorKind) -> Held {
    let verdict = trial.append(commit)?;
    let as_said = matches!(&verdict, Verdict::Malformed(actual) if actual == kind);
    hold!(Law::WellFormed, as_said, "{verdict:?}, expected {kind:?}")
}

/// Every field with the least, the most and the strangest in it.
fn strange_events() -> Vec<NewEvent> {
    let strange = "\u{0}\n\"\\🦀 e\u{301} \u{202E}";
    let full = Metadata::new()
        .with_correlation(CorrelationId::new(Uuid::max()))
        .with_causation(EventId::new(Uuid::nil()))
        .with_actor(strange)
        .with_header("", "")
        .with_header(strange, strange)
        .with_header("long", "é".repeat(10_000));
    let told = |metadata: Metadata| event("X").with_metadata(metadata);
    let payloads = ["\"\"", "{}", "[]", "-0.0", " { \"a\" : 1.50 } \n", "\"🦀\\u0000\""];
    let mut events: Vec<NewEvent> = payloads.map(|payload| with_payload("X", payload)).into();
    // The same byte is the text `1` in JSON and the number 49 in binary.
    let one = |encoding| {
        NewEvent::of_valid(event_type("X"), SchemaVersion::FIRST, encoding, b"1".to_vec())
    };
    events.extend([
        one(Encoding::Json),
        one(Encoding::Binary),
        told(full),
        told(Metadata::new().with_actor("")),
        told(Metadata::new().with_occurred_at(DateTime::<Utc>::MIN_UTC)),
        told(Metadata::new().with_occurred_at(DateTime::<Utc>::MAX_UTC)),
        event("X").with_schema(SchemaVersion::new(u32::MAX).expect("it is not 0")),
        event(&"é".repeat(128)).with_tags(tags(&["é", "z", "a", "a b", "A", &"t".repeat(512)])),
        event("X").with_id(EventId::new(Uuid::nil())),
        event("X").with_id(EventId::new(Uuid::max())),
    ]);
    events
}

/// Strange events in strange streams, one by one and all together.
pub(super) fn content(trial: &mut Trial) -> Held {
    let long = format!("{}/{}", "é".repeat(64), "🦀".repeat(128));
    for name in [&long, "a/b/c//", "a/ "].map(stream) {
        trial.append(&Commit::new().write(name.clone(), Expected::Empty, [event("X")]))?;
        trial.read(&Query::new(name))?;
    }
    let mut together = Commit::new();
    for (n, event) in strange_events().into_iter().enumerate() {
        together = together.write(stream(&format!("a/{n}")), Expected::Empty, [event]);
    }
    trial.append(&together)?;
    trial.append(&together)?;
    trial.read_all()
}

/// Ranges that begin before the first, end behind the last, are empty or upside down.
pub(super) fn ranges(trial: &mut Trial) -> Held {
    for n in 0..4_u8 {
        trial.clock.advance(TimeDelta::microseconds(i64::from(n)));
        trial.append(&commit([event("X"), event("Y")]))?;
    }
    let ends = [0, 1, 2, 3, 7, 8, 9, u64::MAX - 1, u64::MAX];
    for after in ends {
        for up_to in ends {
            let (start, end) = (Position::new(after), Position::new(up_to));
            check(trial, &Query::default().after(start).up_to(end))?;
            let (start, end) = (Version::new(after), Version::new(up_to));
            let one = Query::new(stream("a/1"));
            check(trial, &one.after_version(start).up_to_version(end))?;
        }
    }
    times(trial)
}

/// Filters that match nothing.
pub(super) fn nothing(trial: &mut Trial) -> Held {
    trial.append(&commit([event("X")]))?;
    let clauses =
        [Clause::new().streams([]), Clause::new().categories([]), Clause::new().types([])];
    for clause in clauses {
        check(trial, &Query::new(clause))?;
    }
    check(trial, &Query::new(Filter::any_of([])))
}

/// Filters that name an event, or a cause.
pub(super) fn ids(trial: &mut Trial) -> Held {
    let caused = |cause| event("X").with_metadata(Metadata::new().with_causation(id(cause)));
    trial.append(&commit([event("X").with_id(id(1)), caused(1).with_id(id(2))]))?;
    trial.append(&commit([caused(1).with_id(id(3)), caused(2).with_id(id(4)), event("X")]))?;
    for number in 0..5 {
        let named = Clause::new().event(id(number));
        let effects = Clause::new().caused_by(id(number));
        check(trial, &Query::new(named.clone()))?;
        check(trial, &Query::new(effects.clone()))?;
        check(trial, &Query::new(effects.clone().event(id(3))))?;
        check(trial, &Query::new(Filter::any_of([named, effects])))?;
    }
    Ok(())
}

fn times(trial: &Trial) -> Held {
    let recorded = trial.oracle.facts().iter().map(|fact| fact.recorded_at);
    let outside = [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC];
    let times: Vec<DateTime<Utc>> = recorded.step_by(2).chain(outside).collect();
    for start in &times {
        for end in &times {
            check(trial, &Query::default().after_time(*start).up_to_time(*end))?;
        }
    }
    Ok(())
}

/// Reads in both directions, with limits and without.
fn check(trial: &Trial, query: &Query) -> Held {
    for query in [query.clone(), query.clone().backwards()] {
        trial.read(&query)?;
        for limit in [NonZeroU64::MIN, NonZeroU64::MAX] {
            trial.read(&query.clone().limit(limit))?;
        }
    }
    Ok(())
}
