//! Holds a store against the log that it should hold: every event in every field, and every answer of the index against
//! a search from end to end.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use annals::store::{Batches, Direction, EventStore, FileStore, Interrupt, Query};
use annals::{Error, Position, Version};

use crate::log::{Fact, Log};
use crate::random::Random;
use crate::terms::Terms;

/// Why a store does not keep its promise.
pub(crate) type Complaint = String;

/// Why a store could not be held against a log.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It answered with an error.
    Error(Error),
    /// It gave a wrong answer.
    Wrong(Complaint),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => write!(f, "the store answers with {error:?}"),
            Self::Wrong(complaint) => f.write_str(complaint),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Complaint> for Trouble {
    fn from(complaint: Complaint) -> Self {
        Self::Wrong(complaint)
    }
}

impl From<Trouble> for Complaint {
    fn from(trouble: Trouble) -> Self {
        trouble.to_string()
    }
}

/// How many commits of the log the store holds: whole ones, without a gap, exact in every field, and nothing else.
pub(crate) fn recovered(
    store: &dyn EventStore,
    log: &Log,
    commits: RangeInclusive<usize>,
) -> Result<usize, Trouble> {
    let mut read = 0;
    for batch in Batches::new(store, Query::default()) {
        for event in batch?.iter() {
            match log.events().get(read) {
                Some(right) if event == **right => read += 1,
                Some(right) => {
                    return Err(format!("{event:?} stands where {right:?} should").into());
                }
                None => return Err(format!("{event:?} stands in the log, invented").into()),
            }
        }
    }
    let head = store.head()?;
    let end = Position::new(read as u64);
    if head.acknowledged != end {
        return Err(format!("the head is {head:?} and {read} events can be read").into());
    }
    let Some(found) = log.commits_in(read) else {
        return Err(format!("a part of a commit is found: {read} events").into());
    };
    if found < *commits.start() {
        let least = commits.start();
        return Err(format!("commits are lost: {found} are found, {least} are durable").into());
    }
    if found > *commits.end() {
        let most = commits.end();
        return Err(format!("{found} commits are found, only {most} were attempted").into());
    }
    Ok(found)
}

/// How many commits a store holds that was just opened; all of them have to be durable.
pub(crate) fn opened(
    store: &FileStore,
    log: &Log,
    commits: RangeInclusive<usize>,
) -> Result<usize, Trouble> {
    let found = recovered(store, log, commits)?;
    let head = store.head()?;
    if head.durable != head.acknowledged {
        return Err(format!("what recovery shows is not all durable: {head:?}").into());
    }
    let before = Position::new(head.durable.get().saturating_sub(1));
    let seen = store.wait(before, Duration::ZERO, &Interrupt::new())?;
    if seen != head.durable {
        return Err(format!("waiting shows {seen}, the head is {head:?}").into());
    }
    Ok(found)
}

/// Holds the answer to one query against the events.
pub(crate) fn answers(
    store: &dyn EventStore,
    events: &[Fact],
    query: &Query,
) -> Result<(), Trouble> {
    let limit = query
        .limited_to()
        .map_or(usize::MAX, |limit| usize::try_from(limit.get()).unwrap_or(usize::MAX));
    let meant = events.iter().filter(|event| query.matches(event));
    let mut right: Vec<&Fact> = match query.direction() {
        Direction::Forwards => meant.take(limit).collect(),
        Direction::Backwards => meant.rev().take(limit).collect(),
    };
    right.reverse();
    for batch in Batches::new(store, query.clone()) {
        for event in batch?.iter() {
            match right.pop() {
                Some(right) if event == **right => {}
                right => {
                    let text = format!("{query:?} is answered with {event:?}, not with {right:?}");
                    return Err(text.into());
                }
            }
        }
    }
    match right.pop() {
        Some(missing) => Err(format!("the answer to {query:?} lacks {missing:?}").into()),
        None => Ok(()),
    }
}

/// Holds the version of every stream against the events.
pub(crate) fn versions(
    store: &dyn EventStore,
    events: &[Fact],
    terms: &Terms,
) -> Result<(), Trouble> {
    for stream in &terms.streams {
        let mut of_stream = events.iter().rev().filter(|event| event.stream() == *stream);
        let right = of_stream.next().map_or(Version::ZERO, |event| event.version());
        let version = store.version(stream)?;
        if version != right {
            return Err(format!("{stream} is said to be at {version}, not at {right}").into());
        }
    }
    Ok(())
}

/// Asks for everything that an index can be asked for, forwards and backwards.
pub(crate) fn every_answer(
    store: &dyn EventStore,
    events: &[Fact],
    terms: &Terms,
) -> Result<(), Trouble> {
    versions(store, events, terms)?;
    for filter in &terms.filters {
        let query = Query::new(filter.clone());
        answers(store, events, &query)?;
        answers(store, events, &query.backwards())?;
    }
    Ok(())
}

/// Asks for this many things, in random ranges.
pub(crate) fn some_answers(
    store: &dyn EventStore,
    events: &[Fact],
    terms: &Terms,
    count: usize,
    random: &mut Random,
) -> Result<(), Trouble> {
    for _ in 0..count {
        answers(store, events, &terms.query(events.len(), random))?;
    }
    Ok(())
}
