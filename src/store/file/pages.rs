//! Answering queries, a page at a time.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::address::Address;
use super::index::{Place, cursor_for};
use super::reading::{Asked, End, Reading};
use super::view::View;
use crate::error::Error;
use crate::event::Batch;
use crate::position::Position;
use crate::store::query::{Direction, Query};

/// Where recent reads left off, so that their next page need not look for the place.
#[derive(Debug, Default)]
pub(super) struct Hints(Mutex<VecDeque<Hint>>);

/// Where a page ended.
#[derive(Debug, Clone, Copy)]
struct Hint {
    position: Position,
    address: Address,
    /// Whether it went along the log, where the index could have told.
    goes_along: bool,
}

const HINTS_MAX: usize = 64;

impl Hints {
    fn leave(&self, hint: Hint) {
        let mut hints = self.0.lock();
        hints.push_front(hint);
        hints.truncate(HINTS_MAX);
    }

    fn find(&self, position: Position) -> Option<Hint> {
        self.0.lock().iter().find(|hint| hint.position == position).copied()
    }
}

type Page = (Batch, Option<Query>);

/// The next events that a query asks for among those from an address on, and the query for the rest.
pub(super) fn page(
    view: &View<'_>,
    query: &Query,
    hints: &Hints,
    from: Address,
) -> Result<Page, Error> {
    let (after, up_to) = query.positions();
    let nothing = query.filter().clauses().is_empty()
        || after >= up_to.map_or(view.head, |up_to| up_to.min(view.head));
    if nothing {
        return Ok((Batch::new(), None));
    }
    let hint = hints.find(after);
    let (low, high) = window(view, query, hint.map(|hint| hint.address))?;
    let (low, goes_on) = (low.max(from), hint.is_some());
    let at_frame = low == from || low == view.log.start();
    let mut page = Reading {
        view,
        query,
        asked: Asked::by(query.filter()),
        low,
        at_frame,
        goes_on,
        goes_along: hint.is_some_and(|hint| hint.goes_along),
        high,
        batch: Batch::new(),
        looked_at: None,
        end: End::Reached,
    };
    if low < high {
        let filled = match (cursor_for(query.filter(), view.terms), query.direction()) {
            (Some(cursor), _) => page.look_up(cursor),
            (None, Direction::Forwards) => page.walk(),
            (None, Direction::Backwards) => page.walk_back(),
        };
        if let Err(error) = filled {
            page.stop_before(error)?;
        }
    }
    let End::Stopped(position, address) = page.end else { return Ok((page.batch, None)) };
    hints.leave(Hint { position, address, goes_along: page.goes_along });
    let rest = query.rest(position, page.batch.len(), view.head);
    Ok((page.batch, rest))
}

/// Between which addresses everything lies that the ranges of the query leave; it may be a little too much.
fn window(
    view: &View<'_>,
    query: &Query,
    hint: Option<Address>,
) -> Result<(Address, Address), Error> {
    let ((after, up_to), (after_time, up_to_time)) = (query.positions(), query.times());
    let (mut low, mut high) = (view.log.start(), view.end);
    let around = |is_before: &dyn Fn(&Place) -> bool| view.sources.places_around(is_before);
    let address = |place: Option<Place>| place.map(|place| place.address);
    if let Some(hint) = hint {
        low = low.max(hint);
    } else if after > Position::START {
        low = address(around(&|place| place.position <= after)?.0).unwrap_or(low);
    }
    if let Some(up_to) = up_to.filter(|up_to| *up_to < view.head) {
        high = high.min(address(around(&|place| place.position <= up_to)?.1).unwrap_or(high));
    }
    if let Some(time) = after_time.map(|time| time.timestamp_micros()) {
        low = low.max(address(around(&|place| place.time <= time)?.0).unwrap_or(low));
    }
    if let Some(time) = up_to_time.map(|time| time.timestamp_micros()) {
        high = high.min(address(around(&|place| place.time <= time)?.1).unwrap_or(high));
    }
    Ok((low, high))
}
