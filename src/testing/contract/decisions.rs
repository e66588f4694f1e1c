//! Expectations, guards and conditions, each at its edges, and the order in which they are judged.

use super::material::{category, event, event_type, stream, tag, tags};
use super::report::Held;
use super::trial::Trial;
use crate::position::{Position, Version};
use crate::store::{Clause, Commit, Expected, Filter};

fn every_expectation() -> Vec<Expected> {
    let exactly = [0, 1, 2, 3, 4, 5, u64::MAX].map(|n| Expected::Exactly(Version::new(n)));
    [&[Expected::Any, Expected::Empty, Expected::Exists], &exactly[..]].concat()
}

/// Every expectation of an empty stream and of streams of a few versions, by a write and by a guard.
pub(super) fn expectations(trial: &mut Trial) -> Held {
    for name in ["a/1", "a/2", "a/3"] {
        for expected in every_expectation() {
            let written = Commit::new().write(stream(name), expected, [event("X")]);
            trial.append(&written)?;
            let guarded = Commit::new().write(stream("b/1"), Expected::Any, [event("X")]);
            trial.append(&guarded.guard(stream(name), expected))?;
        }
    }
    trial.read_all()
}

/// Of all requirements that fail, the first counts, whatever else fails behind it.
pub(super) fn first_failure(trial: &mut Trial) -> Held {
    let opening = Commit::new().write(stream("a/1"), Expected::Empty, [event("X"), event("Y")]);
    trial.append(&opening)?;
    (1..64).try_for_each(|failing| trial.append(&demanding(failing)).map(drop))
}

/// A commit with six requirements, of which those fail whose bits are set.
fn demanding(failing: u32) -> Commit {
    let fails = |bit: u32| failing & (1 << bit) != 0;
    let expected = |bit| match fails(bit) {
        true => Expected::Exactly(Version::new(7)),
        false => Expected::Any,
    };
    let after = |bit| Position::new(if fails(bit) { 0 } else { u64::MAX });
    let none = |name| Clause::new().event_type(event_type(name));
    Commit::new()
        .require_none(none("Y"), after(4))
        .guard(stream("b/2"), expected(2))
        .write(stream("a/1"), expected(0), [event("X")])
        .require_none(none("X"), after(5))
        .guard(stream("a/1"), expected(3))
        .write(stream("b/1"), expected(1), [event("X")])
}

/// A commit is judged by the log as it was before: its own events neither help nor hinder it.
pub(super) fn state_before(trial: &mut Trial) -> Held {
    let one = stream("a/1");
    let none_of_x = Clause::new().event_type(event_type("X"));
    let first = Commit::new()
        .write(one.clone(), Expected::Any, [event("X"), event("X")])
        .write(stream("b/1"), Expected::Empty, [event("X")])
        .guard(one.clone(), Expected::Empty)
        .guard(stream("b/1"), Expected::Exactly(Version::ZERO))
        .require_none(none_of_x, Position::START)
        .require_none(Clause::new().stream(one.clone()), Position::START);
    trial.append(&first)?;
    trial.append(&first)?;
    let second = Commit::new().write(one.clone(), Expected::Any, [event("Y")]);
    let late = second.clone().guard(one.clone(), Expected::Exactly(Version::new(3)));
    trial.append(&late)?;
    trial.append(&second.guard(one, Expected::Exactly(Version::new(2))))?;
    trial.read_all()
}

fn filters() -> Vec<Filter> {
    vec![
        Filter::all(),
        Filter::any_of([]),
        Clause::new().streams([]).into(),
        Clause::new().categories([]).into(),
        Clause::new().types([]).into(),
        Clause::new().stream(stream("a/9")).into(),
        Clause::new().category(category("b")).into(),
        Clause::new().tag(tag("p")).tag(tag("q")).into(),
        Clause::new().tag(tag("q")).event_type(event_type("Y")).into(),
        Filter::any_of([Clause::new().event_type(event_type("Y")), Clause::new().tag(tag("q"))]),
    ]
}

/// Conditions of every kind of clause, from every position on.
pub(super) fn conditions(trial: &mut Trial) -> Held {
    let tagged = |names: &[&str]| event("X").with_tags(tags(names));
    let opening = Commit::new()
        .write(stream("a/1"), Expected::Any, [tagged(&["p"]), tagged(&["p", "q"])])
        .write(stream("b/1"), Expected::Any, [event("Y"), tagged(&["q"])]);
    trial.append(&opening)?;
    for filter in filters() {
        for after in (0..6).chain([u64::MAX]).map(Position::new) {
            let commit = Commit::new().write(stream("c/1"), Expected::Any, [event("Z")]);
            trial.append(&commit.require_none(filter.clone(), after))?;
        }
    }
    trial.read_all()
}
