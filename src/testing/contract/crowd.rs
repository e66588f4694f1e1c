//! What a crowd was told and saw, held against the log that it left.

use std::collections::{BTreeMap, BTreeSet};

use super::blame::{blame_hole, check_event};
use super::law::Law;
use super::oracle::{Cause, Oracle, Verdict};
use super::reading::{Recorded, read};
use super::report::{Failure, Held, hold};
use super::traffic::{Traffic, traffic};
use super::trial::{Factory, Trial};
use crate::error::ErrorKind;
use crate::event::RecordedEvent;
use crate::id::EventId;
use crate::position::Position;
use crate::store::{AppendError, Appended, Commit, Conflict, Query};

/// Lets a crowd into a store and judges afterwards, causes before their consequences.
pub(super) fn crowd(factory: &Factory<'_>, seed: u64) -> Held {
    let trial = Trial::begin(factory)?;
    let traffic = traffic(&trial, seed);
    let log = read(&*trial.store, &Query::default())?;
    check_positions(&trial, &traffic, &log)?;
    let ends = replay(&traffic, &log)?;
    let ids: BTreeSet<EventId> = log.iter().map(RecordedEvent::event_id).collect();
    hold!(Law::IdsAreUnique, ids.len() == log.len(), "an id stands in the log twice")?;
    check_refusals(&traffic)?;
    check_repetitions(&traffic)?;
    for reading in &traffic.readings {
        check_reading(reading, &log, &ends)?;
    }
    traffic.held.into_iter().collect()
}

fn check_positions(trial: &Trial, traffic: &Traffic, log: &[Recorded]) -> Held {
    let dense = |(n, event): (usize, &Recorded)| event.position() == Position::new(n as u64 + 1);
    if log.iter().enumerate().all(dense) {
        return Ok(());
    }
    let positions: BTreeSet<Position> = log.iter().map(RecordedEvent::position).collect();
    let there = |position| positions.contains(position);
    let accepted = accepted(traffic);
    for (_, appended) in &accepted {
        let complete = there(&appended.first) && there(&appended.last);
        hold!(Law::LogOnlyGrows, complete, "the log lacks events of {appended:?}")?;
    }
    let law = blame_hole(&*trial.store, accepted.len() < traffic.sent.len())?;
    Err(Failure::of(law, "a crowd left a log with holes"))
}

/// The commits that were accepted, as they follow each other in the log, have to make up the log, and each has to be
/// one that may follow those before it. Returns where they end.
fn replay(traffic: &Traffic, log: &[Recorded]) -> Held<BTreeSet<Position>> {
    let (mut oracle, mut ends) = (Oracle::default(), BTreeSet::from([Position::START]));
    let mut rest = log;
    for (commit, appended) in accepted(traffic) {
        let due = Position::new(oracle.head().get() + 1);
        hold!(Law::RefusedLeavesNoTrace, appended.first <= due, "nobody's events stand at {due}")?;
        let stretch = rest.get(..commit.events().count());
        let Some(events) = stretch.filter(|events| holds(commit, events)) else {
            let unseen = rest.is_empty();
            let law = if unseen { Law::VisibleWhenAcknowledged } else { Law::Atomicity };
            let message = format!("the log lacks the events, side by side, of {appended:?}");
            return Err(Failure::of(law, message));
        };
        follow(&mut oracle, commit, events)?;
        ends.insert(appended.last);
        rest = &rest[events.len()..];
    }
    hold!(Law::RefusedLeavesNoTrace, rest.is_empty(), "nobody's events end the log: {rest:?}")?;
    Ok(ends)
}

/// The commits that were written, in the order of their positions.
fn accepted(traffic: &Traffic) -> Vec<(&Commit, &Appended)> {
    let answers = traffic.sent.iter();
    let accepted = answers.filter_map(|(commit, answer)| match answer {
        Ok(appended) if !appended.already_there => Some((commit, appended)),
        _ => None,
    });
    let mut accepted: Vec<(&Commit, &Appended)> = accepted.collect();
    accepted.sort_by_key(|(_, appended)| appended.first);
    accepted
}

fn holds(commit: &Commit, events: &[Recorded]) -> bool {
    commit.events().zip(events).all(|((stream, event), recorded)| {
        recorded.stream() == *stream && recorded.payload() == event.payload()
    })
}

/// The commit may follow those before it, and its events are what they should be.
fn follow(oracle: &mut Oracle, commit: &Commit, events: &[Recorded]) -> Held {
    let law = match oracle.judge(commit) {
        Verdict::Accepted => None,
        Verdict::Malformed(_) => Some(Law::WellFormed),
        Verdict::Repeats(_) => Some(Law::RepetitionIsRecognised),
        Verdict::IdTaken => Some(Law::IdsAreUnique),
        Verdict::Refused(Cause::Write(_), _) => Some(Law::ExpectedVersions),
        Verdict::Refused(Cause::Guard(_), _) => Some(Law::Guards),
        Verdict::Refused(Cause::Condition(_), _) => Some(Law::Conditions),
        Verdict::TooEarly(_) => Some(Law::OwnTime),
    };
    if let Some(law) = law {
        let message = format!("{commit:?} was accepted after position {}", oracle.head());
        return Err(Failure::of(law, message));
    }
    let ids: Vec<EventId> = events.iter().map(RecordedEvent::event_id).collect();
    let facts = oracle.record(commit, &ids, events[0].recorded_at());
    oracle.facts()[facts].iter().zip(events).try_for_each(|(fact, event)| check_event(fact, event))
}

/// A refusal names something that really stands in the way.
fn check_refusals(traffic: &Traffic) -> Held {
    for (commit, answer) in &traffic.sent {
        let law = match answer {
            Err(AppendError::Conflict(Conflict::Stream { expected, actual, .. })) => {
                expected.allows(*actual).then_some(Law::ExpectedVersions)
            }
            Err(AppendError::Conflict(Conflict::Event { .. })) => {
                commit.conditions().is_empty().then_some(Law::Conditions)
            }
            // All ids that are used again belong to the same commit.
            Err(AppendError::Store(error)) if *error.kind() == ErrorKind::EventIdTaken => {
                Some(Law::RepetitionIsRecognised)
            }
            Err(AppendError::Store(error)) => match error.kind() {
                ErrorKind::TimeBeforeLast { last } => {
                    commit.own_time().is_none_or(|own| own >= *last).then_some(Law::OwnTime)
                }
                _ => Some(Law::Serves),
            },
            Ok(_) => None,
        };
        if let Some(law) = law {
            return Err(Failure::of(law, format!("{commit:?} is answered {answer:?}")));
        }
    }
    Ok(())
}

/// Of the same commit sent several times, one is written, and the others are told of that one.
fn check_repetitions(traffic: &Traffic) -> Held {
    let mut groups: BTreeMap<EventId, Vec<&Result<Appended, AppendError>>> = BTreeMap::new();
    for (commit, answer) in &traffic.sent {
        let first = commit.events().next();
        if let Some(id) = first.and_then(|(_, event)| event.id()) {
            groups.entry(id).or_default().push(answer);
        }
    }
    groups.iter().try_for_each(|(id, answers)| {
        let right = are_one_commit(answers);
        hold!(Law::RepetitionIsRecognised, right, "commits of {id} are answered {answers:?}")
    })
}

/// Whether these are answers to the same commit: all refused, or all about the one time that it was written.
fn are_one_commit(answers: &[&Result<Appended, AppendError>]) -> bool {
    let accepted: Vec<&Appended> =
        answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
    let Some(first) = accepted.first() else {
        return true;
    };
    let same = |one: &&Appended| (one.first, one.last) == (first.first, first.last);
    let written = accepted.iter().filter(|one| !one.already_there).count();
    written == 1 && accepted.len() == answers.len() && accepted.iter().all(same)
}

/// What was seen is a part of the log from its beginning to the end of a commit.
fn check_reading(
    reading: &[(Position, EventId)],
    log: &[Recorded],
    ends: &BTreeSet<Position>,
) -> Held {
    let is = |((position, id), event): (&(Position, EventId), &Recorded)| {
        *position == event.position() && *id == event.event_id()
    };
    let prefix = reading.len() <= log.len() && reading.iter().zip(log).all(is);
    hold!(Law::LogOnlyGrows, prefix, "a read showed {reading:?}, which is not how the log begins")?;
    let last = reading.last().map_or(Position::START, |(position, _)| *position);
    hold!(
        Law::Atomicity,
        ends.contains(&last),
        "a read ended at position {last}, in the middle of a commit"
    )
}
