//! Looking through the index: the addresses at which terms, and combinations of terms, are to be found.

use std::cell::Cell;
use std::sync::Arc;

use parking_lot::RwLock;

use super::place::Place;
use super::recent::{Found, Recent, nearest};
use super::run::{Coverage, Run};
use super::tally::Tally;
use super::terms::Hash;
use crate::error::Error;
use crate::position::Position;
use crate::store::file::address::Address;
use crate::store::query::Direction;

/// The whole index at one moment: runs, then recent events; each covers what lies behind the one before.
#[derive(Clone, Default)]
pub(crate) struct Sources {
    pub(crate) runs: Vec<Arc<Run>>,
    /// At least one. The last grows; the others wait to become runs.
    pub(crate) recents: Vec<Part>,
}

/// A part of the recent events.
#[derive(Clone)]
pub(crate) struct Part {
    /// Where the part begins.
    pub(crate) from: Address,
    pub(crate) first: Position,
    pub(crate) recent: Arc<RwLock<Recent>>,
    /// What it covers, once it grows no more.
    pub(crate) settled: Option<Coverage>,
}

impl Part {
    /// A part that begins behind this address and position.
    pub(crate) fn behind(from: Address, last: Position, recent: Recent) -> Self {
        let first = Position::new(last.get().saturating_add(1));
        Self { from, first, recent: Arc::new(RwLock::new(recent)), settled: None }
    }
}

type Around = (Option<Place>, Option<Place>);

impl Sources {
    /// The part that grows.
    pub(crate) fn growing(&self) -> &Part {
        self.recents.last().expect("there is always one")
    }

    /// Lets the part that grows grow no more: it covers this, and another begins behind it.
    pub(crate) fn settle(&mut self, covered: Coverage) {
        let recent = Recent::new(self.growing().recent.read().terms);
        if let Some(last) = self.recents.last_mut() {
            last.settled = Some(covered);
        }
        self.recents.push(Part::behind(covered.to, covered.last, recent));
    }

    /// The first part that waits to become a run, and what it covers.
    pub(crate) fn settled(&self) -> Option<(&Part, Coverage)> {
        let first = self.recents.first()?;
        first.settled.map(|covered| (first, covered))
    }

    /// What the last part that waits to become a run covers.
    pub(crate) fn settled_up_to(&self) -> Option<Coverage> {
        self.recents.iter().rev().find_map(|part| part.settled)
    }

    /// What is counted of the whole log.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        self.runs.iter().for_each(|run| tally.add(&run.tally));
        self.recents.iter().for_each(|part| tally.add(&part.recent.read().tally()));
        tally
    }

    /// The last place of which `is_before` is true, and the first of which it is not.
    pub(crate) fn places_around(
        &self,
        is_before: impl Fn(&Place) -> bool + Copy,
    ) -> Result<Around, Error> {
        let mut after = None;
        for part in self.recents.iter().rev() {
            let recent = part.recent.read();
            let places = recent.places();
            let split = places.partition_point(is_before);
            after = places.get(split).copied().or(after);
            if let Some(before) = split.checked_sub(1) {
                return Ok((Some(places[before]), after));
            }
        }
        for run in self.runs.iter().rev() {
            let (before, behind) = run.places_around(is_before)?;
            after = behind.or(after);
            if before.is_some() {
                return Ok((before, after));
            }
        }
        Ok((None, after))
    }
}

/// A part of the log that is searched, and how long.
pub(crate) struct Search<'s> {
    pub(crate) sources: &'s Sources,
    /// What lies before this address is not of interest.
    pub(crate) low: Address,
    /// What lies at this address or behind it is not of interest.
    pub(crate) high: Address,
    /// How many more times several cursors may look for a place where they meet.
    patience: Cell<u32>,
}

/// Enough for about a page of work.
const PATIENCE: u32 = 4096;

impl<'s> Search<'s> {
    pub(crate) fn new(sources: &'s Sources, low: Address, high: Address) -> Self {
        Self { sources, low, high, patience: Cell::new(PATIENCE) }
    }
}

/// What a search comes upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sought {
    At(Address),
    Nothing,
    /// There is nothing before this record, in the direction of the search; whether there is anything from it on would have
    /// taken too long to find out.
    Tired(Address),
}

/// Which events are looked for.
pub(crate) enum Cursor {
    /// Those of one term.
    Term(TermCursor),
    /// Those that any of these finds.
    Any(Vec<Cursor>),
    /// Those that all of these find; at least one.
    All(Vec<Cursor>),
}

impl Cursor {
    /// The first address from this one on, in this direction.
    pub(crate) fn seek(
        &mut self,
        search: &Search<'_>,
        at: Address,
        direction: Direction,
    ) -> Result<Sought, Error> {
        match self {
            Self::Term(term) => {
                let found = match direction {
                    Direction::Forwards => term.at_or_after(search, at)?,
                    Direction::Backwards => term.at_or_before(search, at)?,
                };
                let inside = |found: &Address| (search.low..search.high).contains(found);
                Ok(found.filter(inside).map_or(Sought::Nothing, Sought::At))
            }
            Self::Any(any) => {
                let mut nearest = Sought::Nothing;
                for cursor in any {
                    nearest = nearer(nearest, cursor.seek(search, at, direction)?, direction);
                }
                Ok(nearest)
            }
            Self::All(all) => agree(all, search, at, direction),
        }
    }
}

/// Which of two comes first in this direction. At one address, what was found counts before what was not looked at.
fn nearer(a: Sought, b: Sought, direction: Direction) -> Sought {
    let (Sought::At(at) | Sought::Tired(at)) = a else { return b };
    let (Sought::At(other) | Sought::Tired(other)) = b else { return a };
    let b_is_before = match direction {
        Direction::Forwards => other < at,
        Direction::Backwards => other > at,
    };
    if b_is_before || (at == other && b == Sought::At(other)) { b } else { a }
}

/// Moves all cursors on until they stand at one address. Each jumps to where the others are, so the rarest sets the pace.
fn agree(
    all: &mut [Cursor],
    search: &Search<'_>,
    mut at: Address,
    direction: Direction,
) -> Result<Sought, Error> {
    let mut agreed = 0;
    for turn in (0..all.len()).cycle() {
        match all[turn].seek(search, at, direction)? {
            Sought::At(found) => {
                agreed = if found == at { agreed + 1 } else { 1 };
                at = found;
            }
            other => return Ok(other),
        }
        if agreed == all.len() {
            break;
        }
        match search.patience.get().checked_sub(1) {
            Some(left) => search.patience.set(left),
            None => return Ok(Sought::Tired(at)),
        }
    }
    Ok(Sought::At(at))
}

/// Looks for one term, and remembers the leaf where it was.
pub(crate) struct TermCursor {
    hash: Hash,
    leaf: Option<LeafOfTerm>,
}

/// The addresses of a term in one leaf of a run.
struct LeafOfTerm {
    run: Address,
    leaf: u32,
    addresses: Vec<Address>,
    /// Whether the term may go on in the next leaf.
    goes_on: bool,
}

impl TermCursor {
    pub(crate) fn new(hash: Hash) -> Self {
        Self { hash, leaf: None }
    }

    /// The first address from this one on. What lies behind the part that is searched may be passed over.
    fn at_or_after(&mut self, search: &Search<'_>, at: Address) -> Result<Option<Address>, Error> {
        let sources = search.sources;
        let first = sources.runs.partition_point(|run| run.coverage.to <= at);
        let runs = sources.runs[first..].iter();
        for run in runs.take_while(|run| run.coverage.from < search.high) {
            if let Some(found) = self.in_run(run, at, Direction::Forwards)? {
                return Ok(Some(found));
            }
        }
        let parts = sources.recents.iter().take_while(|part| part.from < search.high);
        let found = |part: &Part| {
            Found::before(search.high, &part.recent).seek(self.hash, at, Direction::Forwards)
        };
        Ok(parts.filter_map(found).next())
    }

    /// The last address up to this one. What lies before the part that is searched may be passed over.
    fn at_or_before(&mut self, search: &Search<'_>, at: Address) -> Result<Option<Address>, Error> {
        let sources = search.sources;
        for part in sources.recents.iter().rev() {
            if part.settled.is_some_and(|covered| covered.to <= search.low) {
                return Ok(None);
            }
            if part.from > at {
                continue;
            }
            let found = Found::before(at.next(), &part.recent);
            if let Some(found) = found.seek(self.hash, at, Direction::Backwards) {
                return Ok(Some(found));
            }
        }
        let end = sources.runs.partition_point(|run| run.coverage.from <= at);
        let runs = sources.runs[..end].iter().rev();
        for run in runs.take_while(|run| run.coverage.to > search.low) {
            if let Some(found) = self.in_run(run, at, Direction::Backwards)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn in_run(
        &mut self,
        run: &Run,
        at: Address,
        direction: Direction,
    ) -> Result<Option<Address>, Error> {
        if let Some(LeafOfTerm { addresses, .. }) = self.remembered(run)
            && addresses.first().is_some_and(|first| *first <= at)
            && addresses.last().is_some_and(|last| *last >= at)
        {
            return Ok(nearest(addresses, at, direction));
        }
        if !run.may_have(self.hash)? {
            return Ok(None);
        }
        // The leaf whose first pair is the last up to this one: if the term has an address up to `at`, it is there.
        let mut number = run.leaf_for((self.hash, at))?;
        loop {
            let leaf = self.load(run, number)?;
            let found = nearest(&leaf.addresses, at, direction);
            if found.is_some() || !leaf.goes_on || direction == Direction::Backwards {
                return Ok(found);
            }
            number += 1;
        }
    }

    fn remembered(&self, run: &Run) -> Option<&LeafOfTerm> {
        self.leaf.as_ref().filter(|leaf| leaf.run == run.coverage.from)
    }

    fn load(&mut self, run: &Run, number: u32) -> Result<&LeafOfTerm, Error> {
        let from = run.coverage.from;
        if self.remembered(run).is_none_or(|leaf| leaf.leaf != number) {
            let (addresses, goes_on) = run.addresses(number, self.hash)?;
            self.leaf = Some(LeafOfTerm { run: from, leaf: number, addresses, goes_on });
        }
        Ok(self.leaf.as_ref().expect("it was just set"))
    }
}
