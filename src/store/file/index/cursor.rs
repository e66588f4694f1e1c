//! Looking through the index: the addresses at which terms, and combinations of terms, are to be found.

use std::sync::Arc;

use parking_lot::RwLock;

use super::place::Place;
use super::recent::Recent;
use super::run::{Coverage, Run};
use super::terms::{Hash, Terms};
use crate::error::Error;
use crate::position::Position;
use crate::store::file::address::Address;

/// The whole index at one moment: runs, then recent events; each covers what lies behind the one before.
#[derive(Debug, Clone, Default)]
pub(in crate::store::file) struct Sources {
    pub(in crate::store::file) runs: Vec<Arc<Run>>,
    /// At least one. The last grows; the others wait to become runs.
    pub(in crate::store::file) recents: Vec<Part>,
}

/// A part of the recent events.
#[derive(Debug, Clone)]
pub(in crate::store::file) struct Part {
    /// Where the part begins.
    pub(in crate::store::file) from: Address,
    pub(in crate::store::file) first: Position,
    pub(in crate::store::file) recent: Arc<RwLock<Recent>>,
    /// What it covers, once it grows no more.
    pub(in crate::store::file) settled: Option<Coverage>,
}

impl Part {
    /// A part that begins behind this address and position.
    pub(in crate::store::file) fn behind(from: Address, last: Position, terms: Terms) -> Self {
        let first = Position::new(last.get().saturating_add(1));
        let recent = Arc::new(RwLock::new(Recent::new(terms)));
        Self { from, first, recent, settled: None }
    }
}

impl Sources {
    /// The part that grows.
    pub(in crate::store::file) fn growing(&self) -> &Part {
        self.recents.last().expect("there is always one")
    }
}

type Around = (Option<Place>, Option<Place>);

impl Sources {
    /// The last place of which `is_before` is true, and the first of which it is not.
    pub(in crate::store::file) fn places_around(
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

/// Which events are looked for.
#[derive(Debug)]
pub(in crate::store::file) enum Cursor {
    /// Those of one term.
    Term(TermCursor),
    /// Those that any of these finds.
    Any(Vec<Cursor>),
    /// Those that all of these find; at least one.
    All(Vec<Cursor>),
}

impl Cursor {
    /// The first address from this one on.
    pub(in crate::store::file) fn at_or_after(
        &mut self,
        sources: &Sources,
        at: Address,
    ) -> Result<Option<Address>, Error> {
        match self {
            Self::Term(term) => term.at_or_after(sources, at),
            Self::Any(any) => {
                let found = any.iter_mut().map(|cursor| cursor.at_or_after(sources, at));
                Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().min())
            }
            Self::All(all) => agree(all, at, |cursor, at| cursor.at_or_after(sources, at)),
        }
    }

    /// The last address up to this one.
    pub(in crate::store::file) fn at_or_before(
        &mut self,
        sources: &Sources,
        at: Address,
    ) -> Result<Option<Address>, Error> {
        match self {
            Self::Term(term) => term.at_or_before(sources, at),
            Self::Any(any) => {
                let found = any.iter_mut().map(|cursor| cursor.at_or_before(sources, at));
                Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().max())
            }
            Self::All(all) => agree(all, at, |cursor, at| cursor.at_or_before(sources, at)),
        }
    }
}

/// Moves all cursors on until they stand at one address. Each jumps to where the others are, so the rarest sets the pace.
fn agree(
    all: &mut [Cursor],
    mut at: Address,
    mut seek: impl FnMut(&mut Cursor, Address) -> Result<Option<Address>, Error>,
) -> Result<Option<Address>, Error> {
    let mut agreed = 0;
    for turn in (0..all.len()).cycle() {
        let Some(found) = seek(&mut all[turn], at)? else { return Ok(None) };
        agreed = if found == at { agreed + 1 } else { 1 };
        at = found;
        if agreed == all.len() {
            break;
        }
    }
    Ok(Some(at))
}

/// Looks for one term, and remembers the leaf where it was.
#[derive(Debug)]
pub(in crate::store::file) struct TermCursor {
    hash: Hash,
    leaf: Option<LeafOfTerm>,
}

/// The addresses of a term in one leaf of a run.
#[derive(Debug)]
struct LeafOfTerm {
    run: Address,
    leaf: u32,
    addresses: Vec<Address>,
    /// Whether the term may go on in the next leaf.
    goes_on: bool,
}

impl TermCursor {
    pub(in crate::store::file) fn new(hash: Hash) -> Self {
        Self { hash, leaf: None }
    }

    fn at_or_after(&mut self, sources: &Sources, at: Address) -> Result<Option<Address>, Error> {
        let first = sources.runs.partition_point(|run| run.coverage.to <= at);
        for run in &sources.runs[first..] {
            if let Some(found) = self.in_run_after(run, at)? {
                return Ok(Some(found));
            }
        }
        let recents = sources.recents.iter();
        Ok(recents.filter_map(|part| part.recent.read().at_or_after(self.hash, at)).next())
    }

    fn at_or_before(&mut self, sources: &Sources, at: Address) -> Result<Option<Address>, Error> {
        for part in sources.recents.iter().rev() {
            if part.from <= at
                && let Some(found) = part.recent.read().at_or_before(self.hash, at)
            {
                return Ok(Some(found));
            }
        }
        let end = sources.runs.partition_point(|run| run.coverage.from <= at);
        for run in sources.runs[..end].iter().rev() {
            if let Some(found) = self.in_run_before(run, at)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn in_run_after(&mut self, run: &Run, at: Address) -> Result<Option<Address>, Error> {
        if let Some(leaf) = self.remembered(run)
            && leaf.addresses.first().is_some_and(|first| *first <= at)
            && let Some(found) = first_from(&leaf.addresses, at)
        {
            return Ok(Some(found));
        }
        if !run.may_have(self.hash)? {
            return Ok(None);
        }
        let mut number = run.leaf_for((self.hash, at))?;
        loop {
            let leaf = self.load(run, number)?;
            if let Some(found) = first_from(&leaf.addresses, at) {
                return Ok(Some(found));
            }
            if !leaf.goes_on {
                return Ok(None);
            }
            number += 1;
        }
    }

    fn in_run_before(&mut self, run: &Run, at: Address) -> Result<Option<Address>, Error> {
        if let Some(leaf) = self.remembered(run)
            && leaf.addresses.last().is_some_and(|last| *last >= at)
            && let Some(found) = last_up_to(&leaf.addresses, at)
        {
            return Ok(Some(found));
        }
        if !run.may_have(self.hash)? {
            return Ok(None);
        }
        // The leaf whose first pair is the last up to this one: if the term has an address up to `at`, it is there.
        let number = run.leaf_for((self.hash, at))?;
        let leaf = self.load(run, number)?;
        Ok(last_up_to(&leaf.addresses, at))
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

fn first_from(addresses: &[Address], at: Address) -> Option<Address> {
    addresses.get(addresses.partition_point(|address| *address < at)).copied()
}

fn last_up_to(addresses: &[Address], at: Address) -> Option<Address> {
    addresses[..addresses.partition_point(|address| *address <= at)].last().copied()
}
