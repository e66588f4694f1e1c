//! Filling a page with what the index names.

use super::address::Address;
use super::index::{Cursor, Search, Sought};
use super::reading::{End, Finder, Looked, Reading};
use super::walker::Walker;
use crate::error::Error;
use crate::event::Batch;
use crate::position::{Position, Version};
use crate::store::query::Direction;

/// How many candidates are looked at for one page.
const CANDIDATES_MAX: u64 = 1024;

/// Of a stream with more versions than this before those that are asked for, their beginning is searched for.
const LONG_STREAM: u64 = 256;

/// How far apart candidates may be to be read together, and how much is read together at most.
const GAP_BYTES: u32 = 4 << 10;
const JOINED_BYTES: u32 = 256 << 10;
/// How many candidates are looked for to find out whether most of the log is such, and how far apart they are then at most.
const PROBED: usize = 64;
const PROBED_BYTES: u32 = 48 << 10;
/// How many groups of candidates are worth a large buffer.
const MANY: usize = 64;
/// How long most records are at most; longer ones take two reads. Where others were met, those that follow are taken to be hardly
/// longer.
const RECORD_BYTES: u32 = 512;
const HARDLY_BYTES: u32 = 64;

/// What the index names.
#[derive(Default)]
struct Candidates {
    /// Ascending.
    found: Vec<Address>,
    /// Where the search for more became too long.
    tired: Option<Address>,
    /// Whether there are no more.
    are_all: bool,
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

impl Reading<'_> {
    /// Looks at the candidates that the index names. Those outside the range of positions, which only an inexact window
    /// lets in, do not make a page.
    pub(super) fn look_up(&mut self, mut cursor: Cursor) -> Result<(), Error> {
        self.narrow(&mut cursor)?;
        let Some(mut probed) = self.walk_along(&mut cursor)? else { return Ok(()) };
        while let Some(reached) = self.look_up_some(&mut cursor, std::mem::take(&mut probed))? {
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

    /// Goes through the log where most of it is candidates, which takes less than to look each of them up. If it is not so, the
    /// candidates that were found.
    fn walk_along(&mut self, cursor: &mut Cursor) -> Result<Option<Candidates>, Error> {
        let is_short = self.limit() <= PROBED as u64;
        if self.query.direction() == Direction::Backwards || is_short {
            return Ok(Some(Candidates::default()));
        }
        let (mut start, mut probed) = (self.low, Candidates::default());
        if !self.goes_along {
            probed = self.candidates(cursor, PROBED, probed)?;
            let ([first, .., last], PROBED) = (&probed.found[..], probed.found.len()) else {
                return Ok(Some(probed));
            };
            let is_near =
                first.segment() == last.segment() && last.offset() - first.offset() <= PROBED_BYTES;
            if !is_near {
                return Ok(Some(probed));
            }
            start = *first;
        }
        let walker = self.walker(start);
        let walked = self.walk_with(walker, |walked, meant| walked > PROBED + 3 * meant);
        self.goes_along = walked.as_ref().is_ok_and(|is_in_vain| !is_in_vain);
        if walked.is_ok() {
            return Ok(None);
        }
        // What cannot be read may be nothing that is asked for: from there on the index tells.
        let got_on = |(position, _): &(Position, Address)| *position > self.query.positions().0;
        if let Some((position, at)) = self.looked_at.filter(got_on) {
            self.end = End::Stopped(position, at);
            return Ok(None);
        }
        (self.batch, self.looked_at) = (Batch::new(), None);
        Ok(Some(probed))
    }

    /// Leaves out what versions leave out of the one stream that is asked for, where that is much.
    fn narrow(&mut self, cursor: &mut Cursor) -> Result<(), Error> {
        let (after, up_to) = self.query.versions();
        if self.only_stream().is_none() {
            return Ok(());
        }
        if after.get() > LONG_STREAM {
            let low = self.first_above(cursor, after)?.0;
            // Elsewhere no record need begin.
            self.goes_along &= low == self.low;
            self.low = low;
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

    /// Looks at the next candidates, of which some may be known, and says how far they reach if there may be more.
    fn look_up_some(
        &mut self,
        cursor: &mut Cursor,
        known: Candidates,
    ) -> Result<Option<Reached>, Error> {
        let direction = self.query.direction();
        let max = usize::try_from(self.limit().clamp(16, CANDIDATES_MAX)).expect("a page");
        let Candidates { found, tired, are_all } = self.candidates(cursor, max, known)?;
        let groups = groups(&found);
        let last = match direction {
            Direction::Forwards => self.look_at_all(&groups)?,
            Direction::Backwards => self.look_back_at(groups)?,
        };
        if self.end != End::Reached {
            return Ok(None);
        }
        if let Some(at) = tired {
            return self.reached_before(at).map(Some);
        }
        Ok(last.filter(|_| !are_all).map(|last| {
            let next = if direction == Direction::Forwards { last.at.next() } else { last.at };
            Reached { position: last.position, hint: last.at, next }
        }))
    }

    /// Looks at candidates until enough of them match, and says which was the last.
    fn look_at_all(&mut self, groups: &[&[Address]]) -> Result<Option<Looked>, Error> {
        let Some(first) = groups.first() else { return Ok(None) };
        let mut walker = Walker::from_record(self.view, first[0]);
        if groups.len() >= MANY {
            walker.expect_much();
        }
        let mut finder = Finder::new(walker);
        let mut read = Ok(());
        for group in groups {
            read = self.read_group(group, &mut finder);
            if read.is_err() || self.is_full_with(&finder) {
                break;
            }
        }
        let found = finder.into_found();
        self.hand_out(&found)?;
        if self.end == End::Reached {
            read?;
        }
        Ok(found.looked.last().copied())
    }

    /// Like [`look_at_all`](Self::look_at_all), the last group first.
    fn look_back_at(&mut self, mut groups: Vec<&[Address]>) -> Result<Option<Looked>, Error> {
        let mut last = None;
        while let Some(group) = groups.pop() {
            let mut finder = Finder::new(Walker::from_record(self.view, group[0]));
            let read = self.read_group(group, &mut finder);
            if let ([first, .., last], Err(_)) = (group, &read) {
                // What comes first in the order of the read may be what was not read.
                let middle = first.number().midpoint(last.number());
                let (before, behind) =
                    group.split_at(group.partition_point(|at| at.number() <= middle));
                groups.extend([before, behind]);
                continue;
            }
            let found = finder.into_found();
            self.hand_out(&found)?;
            last = found.looked.first().copied();
            if self.end != End::Reached {
                break;
            }
            read?;
        }
        Ok(last)
    }

    /// Everything before the record at this address was looked at, and that was not.
    fn reached_before(&self, at: Address) -> Result<Reached, Error> {
        let mut walker = Walker::from_record(self.view, at);
        walker.go_to(at, RECORD_BYTES)?;
        let position = walker.outline().position.get();
        let (position, next) = match self.query.direction() {
            Direction::Forwards => (position - 1, at),
            Direction::Backwards => (position.saturating_add(1), at.next()),
        };
        Ok(Reached { position: Position::new(position), hint: at, next })
    }

    /// The first candidates in the order of the read, so many at most. Some may be known, of a read forwards.
    fn candidates(
        &self,
        cursor: &mut Cursor,
        max: usize,
        known: Candidates,
    ) -> Result<Candidates, Error> {
        let direction = self.query.direction();
        let search = Search::new(&self.view.sources, self.low, self.high);
        let Candidates { mut found, mut tired, mut are_all } = known;
        let mut at = match (direction, found.last()) {
            (Direction::Forwards, Some(last)) => last.next(),
            (Direction::Forwards, None) => self.low,
            (Direction::Backwards, _) => self.high.before(),
        };
        while found.len() < max && tired.is_none() && !are_all {
            match cursor.seek(&search, at, direction)? {
                Sought::At(next) => {
                    found.push(next);
                    at = match direction {
                        Direction::Forwards => next.next(),
                        Direction::Backwards => next.before(),
                    };
                }
                Sought::Nothing => are_all = true,
                Sought::Tired(next) => tired = Some(next),
            }
        }
        if direction == Direction::Backwards {
            found.reverse();
        }
        Ok(Candidates { found, tired, are_all })
    }

    /// Looks at candidates that lie near one another, which are read together as far as that can be done.
    fn read_group(&self, group: &[Address], finder: &mut Finder<'_>) -> Result<(), Error> {
        let end = group[group.len() - 1].offset();
        for at in group {
            let bytes = match finder.longest {
                0 => RECORD_BYTES,
                longest => longest.min(RECORD_BYTES).next_multiple_of(HARDLY_BYTES),
            };
            finder.walker.go_to(*at, end - at.offset() + bytes)?;
            finder.look(self);
            if self.query.direction() == Direction::Forwards && self.is_full_with(finder) {
                break;
            }
        }
        Ok(())
    }

    /// Whether the page is full with what was found.
    fn is_full_with(&self, finder: &Finder<'_>) -> bool {
        let (events, bytes) = finder.walker.taken();
        self.is_full((self.batch.len() + events, self.batch.byte_len() + bytes))
    }
}

/// Ascending candidates in groups, each of which is read at once.
fn groups(mut candidates: &[Address]) -> Vec<&[Address]> {
    let mut groups = Vec::with_capacity(candidates.len());
    while let Some(first) = candidates.first() {
        let joins = |(before, at): (&Address, &Address)| {
            at.segment() == first.segment()
                && at.offset() - before.offset() <= GAP_BYTES
                && at.offset() - first.offset() <= JOINED_BYTES
        };
        let pairs = candidates.iter().zip(&candidates[1..]);
        let (group, rest) = candidates.split_at(1 + pairs.take_while(|pair| joins(*pair)).count());
        groups.push(group);
        candidates = rest;
    }
    groups
}
