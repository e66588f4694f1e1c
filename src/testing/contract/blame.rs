//! Which law a discrepancy breaks: where several could be to blame, the store is asked something simpler.

use super::law::Law;
use super::oracle::{Cause, Fact, Oracle, Verdict};
use super::reading::{Recorded, read, read_by_hand};
use super::report::{Failure, Held, hold};
use crate::error::ErrorKind;
use crate::event::NewEvent;
use crate::id::{EventType, StreamId};
use crate::position::Position;
use crate::store::{
    AppendError, Appended, Commit, Conflict, Direction, EventStore, Expected, Query,
};

type Answer = Result<Appended, AppendError>;

/// The law that an answer breaks which is not the verdict's.
pub(super) fn blame_answer(
    store: &dyn EventStore,
    oracle: &Oracle,
    (commit, verdict, answer): (&Commit, &Verdict, &Answer),
) -> Held<Law> {
    match (verdict, answer) {
        (Verdict::Malformed(_), _) => Ok(Law::WellFormed),
        (Verdict::Repeats(_), _) => Ok(Law::RepetitionIsRecognised),
        (_, Ok(appended)) if appended.already_there => Ok(Law::RepetitionIsExact),
        (Verdict::IdTaken, _) => Ok(Law::IdsAreUnique),
        (Verdict::Refused(cause, conflict), Err(error)) if names_a_requirement(error) => {
            blame_conflict(store, oracle, commit, (*cause, conflict))
        }
        (Verdict::Refused(cause, _), _) => law_of(store, oracle, commit, *cause),
        (_, Err(AppendError::Conflict(conflict))) => match cause_named(commit, conflict) {
            Some(cause) => law_of(store, oracle, commit, cause),
            None => Ok(Law::OrderOfJudgement),
        },
        (_, Err(AppendError::Store(error))) => Ok(match error.kind() {
            ErrorKind::EventIdTaken => Law::IdsAreUnique,
            ErrorKind::InvalidCommit | ErrorKind::TooLarge { .. } => Law::WellFormed,
            ErrorKind::TimeBeforeLast { .. } => Law::OwnTime,
            _ => Law::Serves,
        }),
        (Verdict::TooEarly(_), Ok(_)) => Ok(Law::OwnTime),
        (Verdict::Accepted, Ok(_)) => Ok(Law::Serves),
    }
}

/// Whether something is named that the commit rests on.
fn names_a_requirement(error: &AppendError) -> bool {
    match error {
        AppendError::Conflict(_) => true,
        AppendError::Store(error) => matches!(error.kind(), ErrorKind::TimeBeforeLast { .. }),
    }
}

/// The store named another conflict than the first: does it see the first when nothing else is required?
fn blame_conflict(
    store: &dyn EventStore,
    oracle: &Oracle,
    commit: &Commit,
    (cause, first): (Cause, &Conflict),
) -> Held<Law> {
    match store.append(alone(commit, cause)) {
        Err(AppendError::Conflict(conflict)) if conflict == *first => Ok(Law::OrderOfJudgement),
        _ => law_of(store, oracle, commit, cause),
    }
}

/// The same events, requiring of a commit only one of the things that it requires.
fn alone(commit: &Commit, cause: Cause) -> Commit {
    let mut alone = Commit::new();
    for (n, write) in commit.writes().iter().enumerate() {
        let kept = matches!(cause, Cause::Write(kept) if kept == n);
        let expected = if kept { write.expected } else { Expected::Any };
        alone = alone.write(write.stream.clone(), expected, write.events.clone());
    }
    match cause {
        Cause::Write(_) => alone,
        Cause::Guard(n) => {
            let guard = commit.guards()[n].clone();
            alone.guard(guard.stream, guard.expected)
        }
        Cause::Condition(n) => {
            let condition = commit.conditions()[n].clone();
            alone.require_none(condition.none_of, condition.after)
        }
    }
}

/// What a commit requires that could have led to this conflict.
fn cause_named(commit: &Commit, conflict: &Conflict) -> Option<Cause> {
    let Conflict::Stream { stream, expected, .. } = conflict else {
        return (!commit.conditions().is_empty()).then_some(Cause::Condition(0));
    };
    let named = |one: &StreamId, required: Expected| one == stream && required == *expected;
    let mut writes = commit.writes().iter();
    let mut guards = commit.guards().iter();
    let write = writes.position(|write| named(&write.stream, write.expected));
    let mut guard = || guards.position(|guard| named(&guard.stream, guard.expected));
    write.map(Cause::Write).or_else(|| guard().map(Cause::Guard))
}

/// The law about one thing that a commit requires. A condition may be wrong because its filter is.
fn law_of(store: &dyn EventStore, oracle: &Oracle, commit: &Commit, cause: Cause) -> Held<Law> {
    match cause {
        Cause::Write(_) => Ok(Law::ExpectedVersions),
        Cause::Guard(_) => Ok(Law::Guards),
        Cause::Condition(_) => {
            for condition in commit.conditions() {
                let query = Query::new(condition.none_of.clone()).up_to(oracle.head());
                check_read(store, oracle, &query)?;
            }
            Ok(Law::Conditions)
        }
    }
}

/// The event is what it should be, positions apart.
pub(super) fn check_event(fact: &Fact, event: &Recorded) -> Held {
    let (differences, version) = (fact.differences(event), fact.version);
    hold!(
        Law::Content,
        differences.is_empty(),
        "{event:?} differs in {differences:?} from {fact:?}"
    )?;
    hold!(
        Law::DenseVersions,
        event.version() == version,
        "{event:?} should have version {version}"
    )?;
    let place = fact.commit;
    hold!(Law::CommitPlaces, event.commit() == place, "{event:?} should be {place:?}")?;
    let time = fact.recorded_at;
    let law = if fact.brings_time { Law::OwnTime } else { Law::RecordedAt };
    hold!(law, event.recorded_at() == time, "{event:?} should be recorded at {time}")
}

/// Reads what the query asks for and holds it against what should be there.
pub(super) fn check_read(store: &dyn EventStore, oracle: &Oracle, query: &Query) -> Held {
    let (events, expected) = (read(store, query)?, oracle.answer(query));
    if agrees(oracle, &expected, &events) {
        return Ok(());
    }
    let law = blame_read(store, oracle, query)?;
    let read: Vec<u64> = events.iter().map(|event| event.position().get()).collect();
    let expected: Vec<u64> = expected.iter().map(|index| *index as u64 + 1).collect();
    let (read, expected) = (listed(&read), listed(&expected));
    Err(Failure::of(law, format!("{query:?} is answered with {read}, expected {expected}")))
}

fn listed(positions: &[u64]) -> String {
    match positions {
        [first, .., last] if positions.len() > 40 => {
            format!("{} events from position {first} to {last}", positions.len())
        }
        _ => format!("the positions {positions:?}"),
    }
}

/// Whether these are the events at these indices of what should be there.
pub(super) fn agrees(oracle: &Oracle, expected: &[usize], events: &[Recorded]) -> bool {
    let is = |(index, event): (&usize, &Recorded)| oracle.facts()[*index].is(event);
    expected.len() == events.len() && expected.iter().zip(events).all(is)
}

/// Builds the query up from its parts; the law about the part that makes it go wrong is the one that is broken.
fn blame_read(store: &dyn EventStore, oracle: &Oracle, query: &Query) -> Held<Law> {
    let filtered = Query::new(query.filter().clone());
    let ranged = with_ranges(filtered.clone(), query);
    let directed = match query.direction() {
        Direction::Forwards => ranged.clone(),
        Direction::Backwards => ranged.clone().backwards(),
    };
    let steps = [
        (Law::LogOnlyGrows, Query::default()),
        (Law::Filters, filtered),
        (Law::Ranges, ranged),
        (Law::ReadOrder, directed),
    ];
    for (law, step) in steps {
        let expected = oracle.answer(&step);
        if !agrees(oracle, &expected, &read(store, &step)?) {
            let paged = agrees(oracle, &expected, &read_by_hand(store, &step)?);
            return Ok(if paged { Law::ReadPaging } else { law });
        }
    }
    Ok(Law::ReadLimit)
}

fn with_ranges(mut bare: Query, query: &Query) -> Query {
    let ((after, up_to), (after_version, up_to_version)) = (query.positions(), query.versions());
    let (after_time, up_to_time) = query.times();
    bare = bare.after(after).after_version(after_version);
    bare = up_to.map_or(bare.clone(), |end| bare.up_to(end));
    bare = up_to_version.map_or(bare.clone(), |end| bare.up_to_version(end));
    bare = after_time.map_or(bare.clone(), |start| bare.after_time(start));
    up_to_time.map_or(bare.clone(), |end| bare.up_to_time(end))
}

/// The law that a hole in the positions breaks: a hole that only a refused commit leaves does not come back without.
pub(super) fn blame_hole(store: &dyn EventStore, after_refusal: bool) -> Held<Law> {
    const PROBES: usize = 16;
    if !after_refusal {
        return Ok(Law::DensePositions);
    }
    let stream: StreamId = "probe/hole".parse().expect("the name is valid");
    let event_type = EventType::new("Probed").expect("the name is valid");
    let event = NewEvent::new(event_type, &()).expect("the unit is JSON");
    let mut last: Option<Position> = None;
    for _ in 0..PROBES {
        let commit = Commit::new().write(stream.clone(), Expected::Any, [event.clone()]);
        let Ok(appended) = store.append(commit) else {
            return Ok(Law::Serves);
        };
        if last.is_some_and(|last| last.checked_add(1) != Some(appended.first)) {
            return Ok(Law::DensePositions);
        }
        last = Some(appended.last);
    }
    Ok(Law::RefusedLeavesNoTrace)
}
