//! Holding runs against the log.

use super::blocks::CONTENT_BYTES;
use super::filter;
use super::place::Place;
use super::run::Run;
use super::tally::{TYPES_MAX, Tally};
use super::terms::{Hash, Pair, Terms, fold, part_of};
use crate::error::Error;
use crate::event::RecordedEvent;
use crate::position::Version;
use crate::store::file::address::Address;
use crate::store::file::cache::BLOCK_BYTES;
use crate::store::file::fault::Fault;

/// What a set of pairs comes to, in whatever order they are added. Two sets that come to the same are the same, but for an
/// accident that nobody lives to see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pairs: u64,
    sum: u64,
}

impl Sum {
    fn add(&mut self, (hash, address): Pair) {
        let mixed = fold(hash ^ 0x9E37_79B9_7F4A_7C15, address.number() ^ 0xD6E8_FEB8_6659_FD93);
        self.pairs += 1;
        self.sum = self.sum.wrapping_add(fold(mixed ^ hash, 0xF39C_C060_5CED_C835));
    }
}

/// Collects what the index has to hold of events.
pub(crate) struct Ought {
    terms: Terms,
    sum: Sum,
    tally: Tally,
    last_type: Hash,
    hashes: Vec<Hash>,
}

impl Ought {
    pub(crate) fn new(terms: Terms) -> Self {
        let (sum, tally) = (Sum::default(), Tally::default());
        Self { terms, sum, tally, last_type: 0, hashes: Vec::new() }
    }

    /// Adds an event, and returns the hash of its stream.
    pub(crate) fn add(&mut self, event: &RecordedEvent<'_>, at: Address) -> Hash {
        let hashes = &mut self.hashes;
        hashes.clear();
        self.terms.of_event(event, |hash| {
            if !hashes.contains(&hash) {
                hashes.push(hash);
            }
        });
        for hash in &*hashes {
            self.sum.add((*hash, at));
        }
        self.tally.commits += u64::from(event.commit().is_first());
        self.tally.streams += u64::from(event.version() == Version::new(1));
        let event_type = self.terms.event_type(event.event_type());
        if self.last_type != event_type {
            self.tally.types.insert(event_type);
            self.last_type = event_type;
        }
        // The stream is the first of an event's terms.
        hashes[0]
    }

    /// Whether this is what a run holds, whose pairs come to this sum.
    pub(crate) fn is_in(&self, run: &Run, sum: Sum) -> bool {
        let (ought, is) = (&self.tally, &run.tally);
        self.sum == sum
            && (ought.commits, ought.streams) == (is.commits, is.streams)
            && ought.types.iter().take(TYPES_MAX).eq(&is.types)
    }
}

impl Run {
    /// Reads all of the run but its places, and says what its pairs come to; an error of the kind `Damaged` if anything in it does
    /// not fit.
    pub(crate) fn check(&self) -> Result<Sum, Error> {
        let (mut sum, mut last, mut terms) = (Sum::default(), None, 0);
        let mut filter = self.filter_block(0)?;
        for leaf in 0..self.extent.leaves {
            let pairs = self.leaf(leaf)?;
            let wrong = |what| Err(self.damage(leaf, Fault::Wrong(what)));
            if pairs.first() != Some(&self.fence(leaf)?) || pairs.first() <= last.as_ref() {
                return wrong("a leaf is not what its fence says, or out of order");
            }
            for pair in pairs {
                terms += u64::from(last.is_none_or(|(hash, _)| hash != pair.0));
                while filter.0 < part_of(pair.0, self.extent.filter) {
                    filter = self.filter_block(filter.0 + 1)?;
                }
                if !filter::may_have(&filter.1[..CONTENT_BYTES], pair.0) {
                    return wrong("the filter lacks a term");
                }
                sum.add(pair);
                last = Some(pair);
            }
        }
        for rest in filter.0 + 1..self.extent.filter {
            self.filter_block(rest)?;
        }
        if terms != self.extent.terms {
            return Err(self.damage(0, Fault::Wrong("it has not as many terms as it says")));
        }
        Ok(sum)
    }

    fn filter_block(&self, number: u32) -> Result<(u32, Vec<u8>), Error> {
        let mut block = vec![0; BLOCK_BYTES];
        self.read_block(1 + number, &mut block)?;
        Ok((number, block))
    }

    /// Shows every pair.
    pub(crate) fn each_pair(&self, mut each: impl FnMut(Hash, Address)) -> Result<(), Error> {
        for leaf in 0..self.extent.leaves {
            self.leaf(leaf)?.into_iter().for_each(|(hash, address)| each(hash, address));
        }
        Ok(())
    }

    /// The place of this number, if there are as many.
    pub(crate) fn place_at(&self, number: u32) -> Result<Option<Place>, Error> {
        (number < self.extent.places).then(|| self.place(number)).transpose()
    }
}
