//! Answering queries, a page at a time.

use std::collections::VecDeque;
use std::num::NonZeroU64;

use parking_lot::Mutex;

use super::address::Address;
use super::fault::Fault;
use super::index::{Cursor, Place, Search, Sought, cursor_for};
use super::view::{View, damaged_run};
use super::walker::Walker;
use crate::error::Error;
use crate::event::{Batch, RecordedEvent};
use crate::id::StreamId;
use crate::position::{Position, Version};
use crate::store::query::{Direction, Query};

/// About how many bytes one page hands out, and how many events it looks at.
const PAGE_BYTES: usize = 256 << 10;
const CANDIDATES_MAX: usize = 1024;
const WALKED_MAX: usize = 16 << 10;

/// Of a stream with more versions than this before those that are asked for, their beginning is searched for.
const LONG_STREAM: u64 = 256;

/// How far apart candidates may be to be read together, and how much is read together at most.
const GAP_BYTES: u32 = 16 << 10;
const JOINED_BYTES: u32 = 256 << 10;
/// About how long a record is, when it is read together with others.
const TAIL_BYTES: u32 = 1 << 10;

/// Where recent reads left off, so that their next page need not look for the place.
#[derive(Debug, Default)]
pub(super) struct Hints(Mutex<VecDeque<(Position, Address)>>);

const HINTS_MAX: usize = 64;

impl Hints {
    fn leave(&self, position: Position, address: Address) {
        let mut hints = self.0.lock();
        hints.push_front((position, address));
        hints.truncate(HINTS_MAX);
    }

    fn find(&self, position: Position) -> Option<Address> {
        let hints = self.0.lock();
        hints.iter().find(|(found, _)| *found == position).map(|(_, address)| *address)
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
    let (low, high) = window(view, query, hints)?;
    let low = low.max(from);
    let at_frame = low == from || low == view.log.start();
    let (batch, looked_at, end) = (Batch::new(), None, End::Reached);
    let mut page = Reading { view, query, low, at_frame, high, batch, looked_at, end };
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
    hints.leave(position, address);
    let rest = query.rest(position, page.batch.len(), view.head);
    Ok((page.batch, rest))
}

/// Between which addresses everything lies that the ranges of the query leave; it may be a little too much.
fn window(view: &View<'_>, query: &Query, hints: &Hints) -> Result<(Address, Address), Error> {
    let ((after, up_to), (after_time, up_to_time)) = (query.positions(), query.times());
    let (mut low, mut high) = (view.log.start(), view.end);
    let around = |is_before: &dyn Fn(&Place) -> bool| view.sources.places_around(is_before);
    let address = |place: Option<Place>| place.map(|place| place.address);
    if let Some(hint) = hints.find(after) {
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

/// A page that is being filled.
struct Reading<'r> {
    view: &'r View<'r>,
    query: &'r Query,
    low: Address,
    /// Whether a frame begins at `low`, and not a record.
    at_frame: bool,
    /// Behind the last address that is looked at.
    high: Address,
    batch: Batch,
    /// The position that was looked at last.
    looked_at: Option<(Position, Address)>,
    end: End,
}

/// How a page ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// There is nothing behind it.
    Reached,
    /// There may be more behind this place, which was looked at last.
    Stopped(Position, Address),
    /// There is more, but none of it can match.
    Past,
}

/// How far a search has come.
struct Reached {
    /// Everything up to here, in the direction of the read, was looked at.
    position: Position,
    /// Where a read that goes on behind this position may begin.
    hint: Address,
    /// Where the search goes on.
    next: Address,
}

/// An event that was looked at.
#[derive(Clone, Copy)]
struct Looked {
    at: Address,
    position: Position,
    /// Which of the matching events it is, if it is one.
    matching: Option<usize>,
    /// Whether no event behind it can match.
    is_past: bool,
}

impl<'r> Reading<'r> {
    fn is_full(&self) -> bool {
        let limit = self.query.limited_to().map_or(u64::MAX, NonZeroU64::get);
        self.batch.len() as u64 >= limit || self.batch.byte_len() >= PAGE_BYTES
    }

    /// The one stream that is asked for, if it is one.
    fn only_stream(&self) -> Option<&'r StreamId> {
        match self.query.filter().clauses() {
            [clause] => clause.named_streams().and_then(|streams| match streams {
                [only] => Some(only),
                _ => None,
            }),
            _ => None,
        }
    }

    /// Whether no event after this one, in the direction of the read, can match: the versions of the one stream that is asked
    /// for have left the range.
    fn is_past(&self, event: &RecordedEvent<'_>) -> bool {
        let (after, up_to) = self.query.versions();
        self.only_stream().is_some_and(|only| event.stream() == *only)
            && match self.query.direction() {
                Direction::Forwards => up_to.is_some_and(|last| event.version() >= last),
                Direction::Backwards => event.version() <= after,
            }
    }

    /// Goes through all events, forwards.
    fn walk(&mut self) -> Result<(), Error> {
        let mut walker = self.walker(self.low);
        let mut walked = 0;
        while let Some((at, record)) = walker.next()? {
            if at >= self.high {
                break;
            }
            if self.query.matches(&record.event) {
                self.batch.push(&record.event);
            }
            self.looked_at = Some((record.event.position(), at));
            walked += 1;
            if self.is_full() || walked == WALKED_MAX {
                self.end = End::Stopped(record.event.position(), at);
                break;
            }
        }
        Ok(())
    }

    /// Goes through all events, backwards: a stretch at a time forwards, which is then turned round.
    fn walk_back(&mut self) -> Result<(), Error> {
        const FEW: u64 = 16;
        let is_short = self.query.limited_to().is_some_and(|limit| limit.get() <= FEW);
        let stretch = if is_short { 4 << 10 } else { JOINED_BYTES / 2 };
        let (mut high, mut walked) = (self.high, 0);
        while high > self.low {
            let far = Address::from_number(high.number().saturating_sub(stretch.into()));
            let (place, _) = self.view.sources.places_around(|place| place.address <= far)?;
            let start = place.map(|place| place.address).filter(|start| *start > self.low);
            let (start, found, looked) = self.readable_stretch(start, high)?;
            walked += looked.len();
            self.hand_out(&found, &looked)?;
            let (Some(start), End::Reached) = (start, self.end) else { break };
            high = start;
            if walked >= WALKED_MAX {
                self.stop_at(looked.first());
                break;
            }
        }
        Ok(())
    }

    /// A stretch from here on; or if that cannot be read, from a later place on.
    fn readable_stretch(
        &self,
        mut start: Option<Address>,
        high: Address,
    ) -> Result<(Option<Address>, Batch, Vec<Looked>), Error> {
        loop {
            let from = start.unwrap_or(self.low);
            let error = match self.stretch(from, high) {
                Ok((found, looked)) => return Ok((start, found, looked)),
                Err(error) => error,
            };
            let (_, later) = self.view.sources.places_around(|place| place.address <= from)?;
            let Some(later) = later.filter(|later| later.address < high) else { return Err(error) };
            start = Some(later.address);
        }
    }

    fn walker(&self, start: Address) -> Walker<'r, 'r> {
        if start == self.low && self.at_frame {
            Walker::from_frame(self.view, start)
        } else {
            Walker::from_record(self.view, start)
        }
    }

    /// Ends the page where an error came up, so that what lies before it is handed out; the next page begins with the error. An error
    /// that came up first is the answer.
    fn stop_before(&mut self, error: Error) -> Result<(), Error> {
        let (after, up_to) = self.query.positions();
        let is_ahead = |(position, _): &(Position, Address)| match self.query.direction() {
            Direction::Forwards => *position > after,
            Direction::Backwards => up_to.is_none_or(|up_to| *position <= up_to),
        };
        // What is wrong with the index can be mended, and then there is no error.
        let last = self.looked_at.filter(|last| damaged_run(&error).is_none() && is_ahead(last));
        let Some((position, at)) = last else { return Err(error) };
        self.end = End::Stopped(position, at);
        Ok(())
    }

    fn stop_at(&mut self, last: Option<&Looked>) {
        self.end = last.map_or(End::Reached, |last| End::Stopped(last.position, last.at));
    }

    /// The matching events of a stretch, and everything that was looked at: where, and which of the matching it is.
    fn stretch(&self, start: Address, end: Address) -> Result<(Batch, Vec<Looked>), Error> {
        let mut walker = self.walker(start);
        let (mut found, mut looked) = (Batch::new(), Vec::new());
        while let Some((at, record)) = walker.next()? {
            if at >= end {
                break;
            }
            looked.push(self.look_at(&mut found, at, &record.event));
        }
        Ok((found, looked))
    }

    /// Positions ascend with addresses; a log that has it otherwise is not what was written, whatever its checksums say.
    fn check_order(&mut self, one: &Looked) -> Result<(), Error> {
        let follows = |(before, _)| match self.query.direction() {
            Direction::Forwards => one.position > before,
            Direction::Backwards => one.position < before,
        };
        if !self.looked_at.is_none_or(follows) {
            // A page that begins here could not tell.
            self.looked_at = None;
            return Err(self.view.damage(one.at, Fault::Wrong("a record is not in its place")));
        }
        self.looked_at = Some((one.position, one.at));
        Ok(())
    }

    fn look_at(&self, found: &mut Batch, at: Address, event: &RecordedEvent<'_>) -> Looked {
        let matches = self.query.matches(event);
        if matches {
            found.push(event);
        }
        let matching = matches.then(|| found.len() - 1);
        Looked { at, position: event.position(), matching, is_past: self.is_past(event) }
    }

    /// Hands out what was found, in the order of the read, until the page is full.
    fn hand_out(&mut self, found: &Batch, looked: &[Looked]) -> Result<(), Error> {
        for n in 0..looked.len() {
            let one = match self.query.direction() {
                Direction::Forwards => &looked[n],
                Direction::Backwards => &looked[looked.len() - 1 - n],
            };
            self.check_order(one)?;
            if let Some(index) = one.matching {
                self.batch.share(found, index);
            }
            if one.is_past {
                self.end = End::Past;
                break;
            }
            if self.is_full() {
                self.stop_at(Some(one));
                break;
            }
        }
        Ok(())
    }

    /// Looks at the candidates that the index names. Those outside the range of positions, which only an inexact window
    /// lets in, do not make a page.
    fn look_up(&mut self, mut cursor: Cursor) -> Result<(), Error> {
        self.narrow(&mut cursor)?;
        while let Some(reached) = self.look_up_some(&mut cursor)? {
            let (after, up_to) = self.query.positions();
            if reached.position > after && up_to.is_none_or(|up_to| reached.position <= up_to) {
                self.end = End::Stopped(reached.position, reached.hint);
                break;
            }
            match self.query.direction() {
                Direction::Forwards => self.low = reached.next,
                Direction::Backwards => self.high = reached.next,
            }
        }
        Ok(())
    }

    /// Leaves out what versions leave out of the one stream that is asked for, where that is much.
    fn narrow(&mut self, cursor: &mut Cursor) -> Result<(), Error> {
        let (after, up_to) = self.query.versions();
        if self.only_stream().is_none() {
            return Ok(());
        }
        if after.get() > LONG_STREAM {
            self.low = self.first_above(cursor, after)?.0;
        }
        if let Some(up_to) = up_to
            && self.query.direction() == Direction::Backwards
        {
            self.high = self.first_above(cursor, up_to)?.1;
        }
        Ok(())
    }

    /// Where the stream's versions rise above this one: before the first address they are not, from the second on they are. Mostly
    /// it is one address.
    fn first_above(
        &self,
        cursor: &mut Cursor,
        version: Version,
    ) -> Result<(Address, Address), Error> {
        let search = Search::new(&self.view.sources, self.low, self.high);
        let (mut low, mut high) = (self.low.number(), self.high.number());
        while low < high {
            let middle = low + (high - low) / 2;
            let at = Address::from_number(middle);
            let Sought::At(found) = cursor.seek(&search, at, Direction::Forwards)? else {
                high = middle;
                continue;
            };
            let bytes = self.view.record_bytes(found)?;
            let event = self.view.record(found, &bytes)?.event;
            // Of another stream with the same hash nothing can be learnt.
            if self.only_stream().is_none_or(|stream| event.stream() != *stream) {
                break;
            }
            if event.version() > version {
                high = middle;
            } else {
                low = found.number() + 1;
            }
        }
        Ok((Address::from_number(low), Address::from_number(high)))
    }

    /// Looks at the next candidates, and says how far they reach if there may be more.
    fn look_up_some(&mut self, cursor: &mut Cursor) -> Result<Option<Reached>, Error> {
        let direction = self.query.direction();
        let (candidates, tired) = self.candidates(cursor)?;
        let is_all = candidates.len() < self.candidates_max() && tired.is_none();
        let groups: Vec<&[Address]> = candidates.chunk_by(|a, b| near(*a, *b)).collect();
        let mut groups: Vec<&[Address]> = groups.into_iter().flat_map(split_large).collect();
        if direction == Direction::Forwards {
            groups.reverse();
        }
        let mut last = None;
        while let Some(group) = groups.pop() {
            let (mut found, mut looked) = (Batch::new(), Vec::with_capacity(group.len()));
            let read = self.read_group(group, &mut found, &mut looked);
            if let ([first, .., last], Direction::Backwards, Err(_)) = (group, direction, &read) {
                // What comes first in the order of the read may be what was not read.
                let middle = group
                    .partition_point(|at| at.number() <= first.number().midpoint(last.number()));
                let (before, behind) = group.split_at(middle);
                groups.extend([before, behind]);
                continue;
            }
            self.hand_out(&found, &looked)?;
            if self.end != End::Reached {
                return Ok(None);
            }
            read?;
            last = match direction {
                Direction::Forwards => looked.last().copied(),
                Direction::Backwards => looked.first().copied(),
            };
        }
        if let Some(at) = tired {
            return self.reached_before(at).map(Some);
        }
        Ok(last.filter(|_| !is_all).map(|last| {
            let next = if direction == Direction::Forwards { last.at.next() } else { last.at };
            Reached { position: last.position, hint: last.at, next }
        }))
    }

    /// Everything before the record at this address was looked at, and that was not.
    fn reached_before(&self, at: Address) -> Result<Reached, Error> {
        let bytes = self.view.record_bytes_directly(at)?;
        let position = self.view.record(at, &bytes)?.event.position().get();
        Ok(match self.query.direction() {
            Direction::Forwards => {
                Reached { position: Position::new(position - 1), hint: at, next: at }
            }
            Direction::Backwards => {
                let position = Position::new(position.saturating_add(1));
                Reached { position, hint: at, next: at.next() }
            }
        })
    }

    fn candidates_max(&self) -> usize {
        let limit = self.query.limited_to().map_or(u64::MAX, NonZeroU64::get);
        usize::try_from(limit).unwrap_or(usize::MAX).clamp(16, CANDIDATES_MAX)
    }

    /// The first candidates in the order of the read, ascending; and where the search for more became too long.
    fn candidates(&self, cursor: &mut Cursor) -> Result<(Vec<Address>, Option<Address>), Error> {
        let (max, direction) = (self.candidates_max(), self.query.direction());
        let search = Search::new(&self.view.sources, self.low, self.high);
        let (mut found, mut tired) = (Vec::new(), None);
        let mut at = match direction {
            Direction::Forwards => self.low,
            Direction::Backwards => self.high.before(),
        };
        while found.len() < max {
            match cursor.seek(&search, at, direction)? {
                Sought::At(next) => found.push(next),
                Sought::Nothing => break,
                Sought::Tired(next) => {
                    tired = Some(next);
                    break;
                }
            }
            at = match (direction, found.last()) {
                (Direction::Forwards, Some(last)) => last.next(),
                (Direction::Backwards, Some(last)) => last.before(),
                (_, None) => break,
            };
        }
        if direction == Direction::Backwards {
            found.reverse();
        }
        Ok((found, tired))
    }

    /// Reads candidates that lie near one another together.
    fn read_group(
        &self,
        group: &[Address],
        found: &mut Batch,
        looked: &mut Vec<Looked>,
    ) -> Result<(), Error> {
        let (view, first, last) = (self.view, group[0], group[group.len() - 1]);
        let end = (last.offset().saturating_add(TAIL_BYTES)).min(view.record_limit(first));
        let mut bytes = vec![0; end.saturating_sub(first.offset()) as usize];
        let is_staged = view.staged.is_some_and(|(start, _)| last >= start);
        // Where they cannot be read together, it shows one by one which cannot.
        if group.len() == 1 || is_staged || view.log.read(first, &mut bytes).is_err() {
            bytes.clear();
        }
        for at in group {
            let together = bytes.get((at.offset() - first.offset()) as usize..).unwrap_or(&[]);
            let is_whole = super::record::claimed_length(together)
                .is_ok_and(|length| length as usize <= together.len());
            let alone = (!is_whole).then(|| view.record_bytes_directly(*at)).transpose()?;
            let record = view.record(*at, alone.as_deref().unwrap_or(together))?;
            looked.push(self.look_at(found, *at, &record.event));
        }
        Ok(())
    }
}

fn near(a: Address, b: Address) -> bool {
    a.segment() == b.segment() && b.offset() - a.offset() <= GAP_BYTES
}

/// Cuts a group into parts that are not too large to be read at once.
fn split_large(group: &[Address]) -> Vec<&[Address]> {
    let (mut parts, mut rest) = (Vec::new(), group);
    while let Some(first) = rest.first() {
        let fits = rest.partition_point(|at| at.offset() - first.offset() <= JOINED_BYTES);
        let (part, more) = rest.split_at(fits);
        parts.push(part);
        rest = more;
    }
    parts
}
