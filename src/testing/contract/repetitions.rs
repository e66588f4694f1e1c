//! Commits that were sent before, as they were or almost.

use chrono::TimeDelta;

use super::law::Law;
use super::material::{correlation, event, id, stream, tags, with_payload};
use super::oracle::Verdict;
use super::random::identified;
use super::report::{Held, hold};
use super::trial::Trial;
use crate::event::{Metadata, NewEvent};
use crate::id::EventId;
use crate::position::{Position, SchemaVersion, Version};
use crate::store::{Clause, Commit, Expected};

/// Exact repetitions, at once and later, whatever they ask for besides.
pub(super) fn exact(trial: &mut Trial) -> Held {
    let one = || event("X").with_id(id(1));
    let two = || with_payload("Y", "[2]").with_id(id(2)).with_tags(tags(&["p"]));
    let events = |expected, other| {
        Commit::new().write(stream("a/1"), expected, [one(), two()]).write(
            stream("b/1"),
            other,
            [event("Z").with_id(id(3))],
        )
    };
    let first = events(Expected::Empty, Expected::Exactly(Version::ZERO));
    trial.append(&first)?;
    trial.append(&first)?;
    trial.clock.advance(TimeDelta::hours(1));
    trial.append(&Commit::new().write(stream("a/1"), Expected::Any, [event("X")]))?;
    trial.append(&first)?;
    let failing = events(Expected::Empty, Expected::Exactly(Version::new(9)))
        .guard(stream("a/1"), Expected::Empty)
        .require_none(Clause::new(), Position::START);
    trial.append(&failing)?;
    trial.append(&events(Expected::Any, Expected::Exists))?;
    let other_order = Commit::new()
        .write(stream("b/1"), Expected::Empty, [event("Z").with_id(id(3))])
        .write(stream("a/1"), Expected::Empty, [one(), two()]);
    trial.append(&other_order)?;
    let turned = Commit::new().write(stream("a/1"), Expected::Any, [two(), one()]).write(
        stream("b/1"),
        Expected::Any,
        [event("Z").with_id(id(3))],
    );
    trial.append(&turned)?;
    trial.read_all()
}

/// A commit whose ids were made by the store is repeated by giving them.
pub(super) fn made_ids(trial: &mut Trial) -> Held {
    let commit = Commit::new().write(stream("a/1"), Expected::Any, [event("X"), event("X")]);
    trial.append(&commit)?;
    let known = identified(&commit, trial.oracle.facts());
    trial.append(&known)?;
    let facts = trial.oracle.facts();
    let versions = facts.iter().map(|fact| fact.id.as_uuid().get_version_num());
    hold!(
        Law::IdsAreUnique,
        versions.clone().all(|version| version == 7),
        "made ids are UUIDs of the versions {:?}, expected 7",
        versions.collect::<Vec<_>>()
    )?;
    trial.append(&commit)?;
    trial.read_all()
}

fn known(number: u64) -> NewEvent {
    event("X").with_id(id(number))
}

fn write(name: &str, events: impl IntoIterator<Item = NewEvent>) -> Commit {
    Commit::new().write(stream(name), Expected::Any, events)
}

/// Parts of one earlier commit, more than it, it and another one, and its ids elsewhere.
fn overlapping(one_two: &Commit) -> Vec<Commit> {
    let more = |event| one_two.clone().write(stream("b/1"), Expected::Any, [event]);
    let stale = Expected::Exactly(Version::new(9));
    vec![
        write("a/1", [known(1)]),
        write("a/1", [known(2)]),
        write("a/1", [known(1), known(2), known(4)]),
        write("a/1", [known(1), known(2), event("X")]),
        write("a/1", [known(1), event("X")]),
        write("a/2", [known(1), known(2)]),
        write("b/1", [known(4), known(3)]),
        more(known(3)),
        more(known(4)),
        more(event("X")),
        write("a/1", [known(1)]).write(stream("a/2"), Expected::Any, [known(2)]),
        Commit::new().write(stream("a/2"), stale, [known(1)]),
    ]
}

/// Commits that share ids with earlier ones and do not repeat them.
pub(super) fn overlaps(trial: &mut Trial) -> Held {
    let one_two = write("a/1", [known(1), known(2)]);
    trial.append(&one_two)?;
    trial.append(&write("b/1", [known(3)]))?;
    for overlap in overlapping(&one_two) {
        let verdict = trial.append(&overlap)?;
        // Were it not so, the naive model itself would be wrong.
        let taken = matches!(verdict, Verdict::IdTaken);
        hold!(Law::IdsAreUnique, taken, "{overlap:?} is judged {verdict:?}")?;
    }
    trial.append(&write("b/1", [known(4), known(5)]))?;
    trial.read_all()
}

/// The same event with every part of its content changed in turn.
fn changes(original: &NewEvent, id: EventId) -> Vec<NewEvent> {
    let metadata = original.metadata();
    let other = |name, payload| {
        let event = with_payload(name, payload).with_id(id).with_tags(original.tags().clone());
        event.with_metadata(metadata.clone())
    };
    let told = |metadata: Metadata| original.clone().with_metadata(metadata);
    let time = "2020-01-01T00:00:00Z".parse().expect("the time is valid");
    vec![
        other("X", r#"{"a":2}"#),
        other("X", r#"{"a": 1}"#),
        other("Y", r#"{"a":1}"#),
        original.clone().with_schema(SchemaVersion::new(2).expect("2 is not 0")),
        original.clone().with_tags(tags(&["p"])),
        original.clone().with_tags(tags(&["p", "q", "r"])),
        told(metadata.clone().with_actor("bob")),
        told(metadata.clone().with_header("k", "w")),
        told(metadata.clone().with_header("l", "v")),
        told(metadata.clone().with_correlation(correlation(1))),
        told(metadata.clone().with_causation(EventId::random())),
        told(metadata.clone().with_occurred_at(time)),
        told(Metadata::new()),
    ]
}

/// The same ids in the same streams, with other content.
pub(super) fn other_content(trial: &mut Trial) -> Held {
    let original = with_payload("X", r#"{"a":1}"#)
        .with_id(id(1))
        .with_metadata(Metadata::new().with_actor("ann").with_header("k", "v"))
        .with_tags(tags(&["p", "q"]));
    let commit = |event| Commit::new().write(stream("a/1"), Expected::Any, [event]);
    trial.append(&commit(original.clone()))?;
    for event in changes(&original, id(1)) {
        trial.append(&commit(event))?;
    }
    trial.append(&commit(original))?;
    trial.read_all()
}
