//! Reads to their end, and what holds for every batch on the way.

use super::law::Law;
use super::report::{Failure, Held, hold};
use crate::error::Error;
use crate::event::{Batch, RecordedEvent};
use crate::position::Position;
use crate::store::{Direction, EventStore, Query};

/// Far above the size that the port speaks of, and far below what the long reads ask for.
const BATCH_BYTES_MAX: usize = 2 << 20;

pub(super) type Recorded = RecordedEvent<'static>;

/// What a call of an open store returned; that it failed breaks a law of its own.
pub(super) fn served<T>(answer: Result<T, Error>) -> Held<T> {
    answer.map_err(|error| Failure::of(Law::Serves, format!("a call failed: {error}")))
}

/// One batch, and the query for the rest, which is seen to be narrower.
pub(super) fn read_page(store: &dyn EventStore, query: &Query) -> Held<(Batch, Option<Query>)> {
    let (batch, rest) = served(store.read(query))?;
    let width = |query: &Query| {
        let (after, up_to) = query.positions();
        up_to.map_or(u64::MAX, Position::get).saturating_sub(after.get())
    };
    let narrower = rest.as_ref().is_none_or(|rest| width(rest) < width(query));
    hold!(Law::ReadPaging, narrower, "the rest {rest:?} is no narrower than {query:?}")?;
    let bytes = batch.byte_len();
    hold!(
        Law::BoundedBatches,
        bytes <= BATCH_BYTES_MAX,
        "a batch of {bytes} bytes answers {query:?}"
    )?;
    Ok((batch, rest))
}

/// All that a query asks for, going on with the rest that comes with each batch.
pub(super) fn read(store: &dyn EventStore, query: &Query) -> Held<Vec<Recorded>> {
    let mut events = Vec::new();
    let mut next = Some(query.clone());
    while let Some(query) = next {
        let (batch, rest) = read_page(store, &query)?;
        events.extend(batch.iter().map(RecordedEvent::into_owned));
        next = rest;
    }
    Ok(events)
}

/// All that a query asks for, going on by a new query behind the last event of each batch.
pub(super) fn read_by_hand(store: &dyn EventStore, query: &Query) -> Held<Vec<Recorded>> {
    let mut events = Vec::new();
    let mut next = query.clone();
    loop {
        let (batch, rest) = read_page(store, &next)?;
        events.extend(batch.iter().map(RecordedEvent::into_owned));
        let Some(rest) = rest else { return Ok(events) };
        let last = batch.iter().last().map(|last| last.position());
        next = match (last, query.direction()) {
            (None, _) => rest,
            (Some(last), Direction::Forwards) => query.clone().after(last),
            (Some(last), Direction::Backwards) => {
                query.clone().up_to(Position::new(last.get().saturating_sub(1)))
            }
        };
    }
}
