//! A page of a read while it is filled, and going through the log for it.

use std::num::NonZeroU64;

use super::address::Address;
use super::fault::Fault;
use super::view::{View, damaged_run};
use super::walker::Walker;
use crate::error::Error;
use crate::event::{Batch, GAP};
use crate::id::{Category, StreamId};
use crate::position::Position;
use crate::store::filter::{Clause, Filter};
use crate::store::query::{Direction, Query};

/// About how many bytes one page hands out at most, and how many events are walked over for it.
const PAGE_BYTES: usize = 512 << 10;
const WALKED_MAX: usize = 16 << 10;

/// How long a stretch is that is gone through at once on the way back: a short one for those who want little.
const STRETCH_BYTES: u64 = 128 << 10;
const SHORT_STRETCH_BYTES: u64 = 4 << 10;
const LITTLE: u64 = 16;

/// A page that is being filled.
pub(super) struct Reading<'r> {
    pub(super) view: &'r View<'r>,
    pub(super) query: &'r Query,
    pub(super) asked: Asked<'r>,
    pub(super) low: Address,
    /// Whether a frame begins at `low`, and not a record.
    pub(super) at_frame: bool,
    /// Whether the page follows another one.
    pub(super) goes_on: bool,
    /// Whether what the index could name is looked for along the log instead, because most of the log is such.
    pub(super) goes_along: bool,
    /// Behind the last address that is looked at.
    pub(super) high: Address,
    pub(super) batch: Batch,
    /// The position that was looked at last.
    pub(super) looked_at: Option<(Position, Address)>,
    pub(super) end: End,
}

/// What a query's filter asks for.
#[derive(Clone, Copy)]
pub(super) enum Asked<'r> {
    All,
    /// All events of one stream.
    Stream(&'r StreamId),
    /// All events of some categories.
    Categories(&'r [Category]),
    Other,
}

impl<'r> Asked<'r> {
    pub(super) fn by(filter: &'r Filter) -> Self {
        match filter.clauses() {
            [clause] if *clause == Clause::new() => Self::All,
            [clause] => match (clause.named_streams(), clause.named_categories()) {
                (Some([only]), None) if *clause == Clause::new().stream(only.clone()) => {
                    Self::Stream(only)
                }
                (None, Some(all)) if *clause == Clause::new().categories(all.iter().cloned()) => {
                    Self::Categories(all)
                }
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

/// How a page ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// There is nothing behind it.
    Reached,
    /// There may be more behind this place, which was looked at last.
    Stopped(Position, Address),
    /// There is more, but none of it can match.
    Past,
}

/// An event that was looked at.
#[derive(Clone, Copy)]
pub(super) struct Looked {
    pub(super) at: Address,
    pub(super) position: Position,
    /// Which of the matching events it is, if it is one.
    matching: Option<usize>,
    /// Whether no event behind it can match.
    is_past: bool,
}

impl<'r> Reading<'r> {
    /// How many events are wanted at most.
    pub(super) fn limit(&self) -> u64 {
        self.query.limited_to().map_or(u64::MAX, NonZeroU64::get)
    }

    pub(super) fn is_full(&self, (events, bytes): (usize, usize)) -> bool {
        events as u64 >= self.limit() || bytes >= PAGE_BYTES
    }

    /// The one stream that is asked for, if it is one.
    pub(super) fn only_stream(&self) -> Option<&'r StreamId> {
        let [clause] = self.query.filter().clauses() else { return None };
        clause
            .named_streams()
            .and_then(|streams| if let [only] = streams { Some(only) } else { None })
    }

    /// Whether the event that the walker has come to is meant by the query, and whether no event after it can be, in the direction of
    /// the read: the versions of the one stream that is asked for have left the range.
    #[inline]
    fn judge(&self, walker: &Walker<'_, '_>) -> (bool, bool) {
        let (is_asked_for, is_of_stream) = match self.asked {
            Asked::All => (true, false),
            Asked::Stream(stream) => {
                let is_it = walker.stream() == stream.as_str().as_bytes();
                (is_it, is_it)
            }
            // Of a gap nobody may know the category.
            Asked::Categories(all) if !walker.stream().starts_with(GAP.as_bytes()) => {
                (all.iter().any(|one| one.has(walker.stream())), false)
            }
            Asked::Categories(_) | Asked::Other => {
                let event = walker.event();
                let is_of_stream = self.only_stream().is_some_and(|only| event.stream() == *only);
                (self.query.filter().matches(&event), is_of_stream)
            }
        };
        let (outline, (after, up_to)) = (walker.outline(), self.query.versions());
        let has_left = match self.query.direction() {
            Direction::Forwards => up_to.is_some_and(|last| outline.version >= last),
            Direction::Backwards => outline.version <= after,
        };
        (is_asked_for && self.query.has_in_range(outline), is_of_stream && has_left)
    }

    /// Goes through all events, forwards.
    pub(super) fn walk(&mut self) -> Result<(), Error> {
        let walker = self.walker(self.low);
        self.walk_with(walker, |_, _| false).map(drop)
    }

    /// Goes on through all events, until of so many in the range of positions too few are meant; and whether that is why it ends.
    pub(super) fn walk_with(
        &mut self,
        mut walker: Walker<'_, '_>,
        is_in_vain: impl Fn(usize, usize) -> bool,
    ) -> Result<bool, Error> {
        let walked = self.walk_on(&mut walker, is_in_vain);
        self.batch = walker.into_batch();
        walked
    }

    fn walk_on(
        &mut self,
        walker: &mut Walker<'_, '_>,
        is_in_vain: impl Fn(usize, usize) -> bool,
    ) -> Result<bool, Error> {
        let (mut walked, mut in_range, after) = (0, 0, self.query.positions().0);
        while walker.next()? && walker.at() < self.high {
            let (is_meant, is_past) = self.judge(walker);
            if is_meant {
                walker.take();
            }
            let looked_at = (walker.outline().position, walker.at());
            self.looked_at = Some(looked_at);
            walked += 1;
            in_range += usize::from(looked_at.0 > after);
            if is_past {
                self.end = End::Past;
                break;
            }
            let (events, bytes) = walker.taken();
            // What was read is used up, rather than read once more for the next page.
            let is_full =
                self.is_full((events, bytes)) || (bytes >= PAGE_BYTES / 4 && walker.is_used_up());
            let is_over = is_full || walked == WALKED_MAX;
            if is_over || is_in_vain(in_range, events) {
                self.end = End::Stopped(looked_at.0, looked_at.1);
                return Ok(!is_over);
            }
        }
        Ok(false)
    }

    /// Goes through all events, backwards: a stretch at a time forwards, which is then turned round.
    pub(super) fn walk_back(&mut self) -> Result<(), Error> {
        let stretch = if self.limit() <= LITTLE { SHORT_STRETCH_BYTES } else { STRETCH_BYTES };
        let (mut high, mut walked) = (self.high, 0);
        while high > self.low {
            let far = Address::from_number(high.number().saturating_sub(stretch));
            let (place, _) = self.view.sources.places_around(|place| place.address <= far)?;
            let start = place.map(|place| place.address).filter(|start| *start > self.low);
            let (start, found) = self.readable_stretch(start, high)?;
            walked += found.looked.len();
            self.hand_out(&found)?;
            let (Some(start), End::Reached) = (start, self.end) else { break };
            high = start;
            if walked >= WALKED_MAX {
                self.stop_at(found.looked.first());
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
    ) -> Result<(Option<Address>, Found), Error> {
        loop {
            let from = start.unwrap_or(self.low);
            let error = match self.stretch(from, high) {
                Ok(found) => return Ok((start, found)),
                Err(error) => error,
            };
            let (_, later) = self.view.sources.places_around(|place| place.address <= from)?;
            let Some(later) = later.filter(|later| later.address < high) else { return Err(error) };
            start = Some(later.address);
        }
    }

    fn stretch(&self, start: Address, end: Address) -> Result<Found, Error> {
        let mut finder = Finder::new(self.walker(start));
        while finder.walker.next()? && finder.walker.at() < end {
            finder.look(self);
        }
        Ok(finder.into_found())
    }

    /// A walker that begins here.
    pub(super) fn walker(&self, start: Address) -> Walker<'r, 'r> {
        let mut walker = if start == self.low && self.at_frame {
            Walker::from_frame(self.view, start)
        } else {
            Walker::from_record(self.view, start)
        };
        if self.goes_on && self.limit() > LITTLE {
            walker.expect_much();
        }
        walker
    }

    /// Ends the page where an error came up, so that what lies before it is handed out; the next page begins with the error. An error
    /// that came up first is the answer.
    pub(super) fn stop_before(&mut self, error: Error) -> Result<(), Error> {
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

    /// Hands out what was found, in the order of the read, until the page is full.
    pub(super) fn hand_out(&mut self, found: &Found) -> Result<(), Error> {
        let Found { looked, matching } = found;
        for n in 0..looked.len() {
            let one = match self.query.direction() {
                Direction::Forwards => &looked[n],
                Direction::Backwards => &looked[looked.len() - 1 - n],
            };
            self.check_order(one)?;
            if let Some(index) = one.matching {
                self.batch.share(matching, index);
            }
            if one.is_past {
                self.end = End::Past;
                break;
            }
            if self.is_full((self.batch.len(), self.batch.byte_len())) {
                self.stop_at(Some(one));
                break;
            }
        }
        Ok(())
    }
}

/// Events that were looked at, ascending, and those among them that match.
pub(super) struct Found {
    pub(super) looked: Vec<Looked>,
    matching: Batch,
}

/// Looks at events, and takes those along that match.
pub(super) struct Finder<'r> {
    pub(super) walker: Walker<'r, 'r>,
    pub(super) looked: Vec<Looked>,
    /// How many bytes the longest record took.
    pub(super) longest: u32,
}

impl<'r> Finder<'r> {
    pub(super) fn new(walker: Walker<'r, 'r>) -> Self {
        Self { walker, looked: Vec::new(), longest: 0 }
    }

    /// Looks at the event that the walker has come to.
    pub(super) fn look(&mut self, reading: &Reading<'_>) {
        let (is_matching, is_past) = reading.judge(&self.walker);
        let matching = is_matching.then(|| self.walker.taken().0);
        let (at, position) = (self.walker.at(), self.walker.outline().position);
        self.longest = self.longest.max(self.walker.record_bytes());
        self.looked.push(Looked { at, position, matching, is_past });
        if is_matching {
            self.walker.take();
        }
    }

    pub(super) fn into_found(self) -> Found {
        Found { looked: self.looked, matching: self.walker.into_batch() }
    }
}
