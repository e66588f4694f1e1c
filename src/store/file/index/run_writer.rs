//! Making runs: of recent events, and of other runs.

use std::sync::Arc;

use parking_lot::RwLock;

use super::blocks::{BlockSink, CONTENT_BYTES};
use super::filter;
use super::leaf::LeafBuilder;
use super::place::Place;
use super::recent::Recent;
use super::run::{Coverage, Extent, FENCE_BYTES, PLACE_BYTES, Run, encode_header};
use super::tally::Tally;
use super::terms::{Pair, part_of};
use crate::error::Error;
use crate::storage::{FileName, Storage};
use crate::store::file::beginning::StoreId;
use crate::store::file::bytes::lower_half_of_large;
use crate::store::file::cache::Cache;
use crate::store::file::fault::{Fault, failed};

/// Where the files of a store lie, and which store that is: where runs are made.
pub(crate) struct Workshop {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) store: StoreId,
    pub(crate) cache: Arc<Cache>,
}

type PlacesOf<'a> = &'a mut dyn Iterator<Item = Result<Place, Error>>;

impl Workshop {
    /// Makes a run of recent events.
    pub(crate) fn run_of(&self, recent: &RwLock<Recent>, coverage: Coverage) -> Result<Run, Error> {
        let recent = recent.read();
        let (all, tally, mut places) = (recent.all(), recent.tally(), Vec::new());
        for place in recent.places() {
            if places.last().is_none_or(|last: &Place| last.is_far_from(place.address)) {
                places.push(*place);
            }
        }
        // Who looks something up is not to wait for what follows.
        drop(recent);
        let pairs = all.into_pairs();
        let counts = (pairs.term_count(), tally);
        let mut places = places.into_iter().map(Ok);
        self.make(FileName::RunDraft, coverage, counts, (pairs.iter().map(Ok), &mut places))
    }

    /// Makes one run of several, which lie behind one another. `between` is called every now and then meanwhile; its error ends the merge.
    pub(crate) fn merged(
        &self,
        runs: &[Arc<Run>],
        between: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<Run, Error> {
        let (first, last) = (&runs[0].coverage, &runs[runs.len() - 1].coverage);
        let coverage = Coverage { from: first.from, first: first.first, ..*last };
        let terms = runs.iter().map(|run| run.extent.terms).sum();
        let mut tally = Tally::default();
        runs.iter().for_each(|run| tally.add(&run.tally));
        let pairs = Merge::new(runs, between);
        let mut places =
            runs.iter().flat_map(|run| (0..run.extent.places).map(move |place| run.place(place)));
        self.make(FileName::MergeDraft, coverage, (terms, tally), (pairs, &mut places))
    }

    /// Merges runs for as long as some are due. Files that are of no use any more are removed.
    pub(crate) fn merge_all(&self, runs: &mut Vec<Arc<Run>>) -> Result<(), Error> {
        while let Some(due) = to_be_merged(runs) {
            let merged = self.merged(due, &mut || Ok(()))?;
            let rest = runs.len() - due.len();
            for old in runs.drain(rest..) {
                let _ = self.storage.remove(old.name);
            }
            runs.push(Arc::new(merged));
        }
        Ok(())
    }

    fn make(
        &self,
        draft: FileName,
        coverage: Coverage,
        counts: (u64, Tally),
        content: (impl Iterator<Item = Result<Pair, Error>>, PlacesOf<'_>),
    ) -> Result<Run, Error> {
        let made = self.draft(draft, coverage, counts, content);
        if made.is_err() {
            // Nobody goes on with it; whoever opens the store next would remove it.
            let _ = self.storage.remove(draft);
        }
        made
    }

    fn draft(
        &self,
        draft: FileName,
        coverage: Coverage,
        (terms, tally): (u64, Tally),
        (pairs, places): (impl Iterator<Item = Result<Pair, Error>>, PlacesOf<'_>),
    ) -> Result<Run, Error> {
        let file = self.storage.create(draft).map_err(failed("making", draft))?;
        let (tag, filter) = (lower_half_of_large(self.storage.random()), filter::blocks_for(terms));
        let sink = |first| BlockSink::new(&file, draft, tag, first);
        let filter = FilterWriter::new(sink(1), filter);
        let extent = write(sink(1 + filter.blocks), filter, &coverage, (pairs, places))?;
        let mut header = sink(0);
        header.push(&encode_header(self.store, tag, &coverage, (&extent, &tally)))?;
        header.write()?;
        file.sync().map_err(failed("syncing", draft))?;
        let name = FileName::Run(coverage.first.get(), coverage.last.get());
        self.storage.rename(draft, name).map_err(failed("renaming", draft))?;
        self.storage.sync_names().map_err(failed("syncing the name of", name))?;
        let run = Run::open(name, self.cache.adopt(file), self.store, Arc::clone(&self.cache))?;
        run.map_err(|fault| fault.at(name, 0))
    }
}

/// How many runs are merged into one at least.
const MERGED_MIN: usize = 6;
/// How many runs there may be of which nobody has asked much.
const UNASKED_MAX: usize = 12;

/// The runs at the end that are to become one: at least six, of which none is larger than all behind it together. So
/// sizes grow geometrically, runs stay few, and each pair is written anew a logarithmic number of times.
///
/// They become one when that pays: when terms were looked up in them as often as they have blocks to be written anew; or when
/// there are many runs, for whoever asks after all.
pub(crate) fn to_be_merged(runs: &[Arc<Run>]) -> Option<&[Arc<Run>]> {
    let (mut count, mut blocks, mut asked) = (0, 0, 0);
    for run in runs.iter().rev() {
        if count > 0 && run.extent.blocks() > blocks {
            break;
        }
        (count, blocks, asked) = (count + 1, blocks + run.extent.blocks(), asked + run.asked());
    }
    let pays = asked >= blocks || runs.len() > UNASKED_MAX;
    (count >= MERGED_MIN && pays).then(|| &runs[runs.len() - count..])
}

/// Writes everything but the header.
fn write(
    mut sink: BlockSink,
    mut filter: FilterWriter,
    coverage: &Coverage,
    (pairs, places): (impl Iterator<Item = Result<Pair, Error>>, PlacesOf<'_>),
) -> Result<Extent, Error> {
    let first = sink.next();
    let mut leaf = LeafBuilder::new(coverage.from);
    let (mut fences, mut places_of) = (Vec::new(), Vec::new());
    let mut close = |leaf: &mut LeafBuilder, sink: &mut BlockSink| {
        let (content, (hash, address)) = leaf.finish();
        fences.extend_from_slice(&hash.to_le_bytes());
        fences.extend_from_slice(&address.number().to_le_bytes());
        sink.push(&content)
    };
    for pair in pairs {
        let pair = pair?;
        filter.insert(pair.0)?;
        leaf.push(pair);
        if leaf.is_full() {
            close(&mut leaf, &mut sink)?;
        }
    }
    if !leaf.is_empty() {
        close(&mut leaf, &mut sink)?;
    }
    let leaves = sink.next() - first;
    for place in places {
        let place = place?;
        places_of.extend_from_slice(&place.position.get().to_le_bytes());
        places_of.extend_from_slice(&place.time.to_le_bytes());
        places_of.extend_from_slice(&place.address.number().to_le_bytes());
    }
    for (items, bytes) in [(&fences, FENCE_BYTES), (&places_of, PLACE_BYTES)] {
        let mut blocks = items.chunks(CONTENT_BYTES / bytes * bytes);
        blocks.try_for_each(|block| sink.push(block))?;
    }
    sink.write()?;
    let places = u32::try_from(places_of.len() / PLACE_BYTES).expect("as many as blocks at most");
    let blocks = filter.blocks;
    Ok(Extent { terms: filter.finish()?, filter: blocks, leaves, places })
}

/// Writes the filter's blocks while terms come in ascending order.
struct FilterWriter {
    sink: BlockSink,
    /// How many blocks the filter has.
    blocks: u32,
    block: Vec<u8>,
    terms: u64,
    last: Option<u64>,
}

impl FilterWriter {
    fn new(sink: BlockSink, blocks: u32) -> Self {
        Self { sink, blocks, block: vec![0; CONTENT_BYTES], terms: 0, last: None }
    }

    fn insert(&mut self, hash: u64) -> Result<(), Error> {
        if self.last == Some(hash) {
            return Ok(());
        }
        (self.terms, self.last) = (self.terms + 1, Some(hash));
        self.advance(part_of(hash, self.blocks))?;
        filter::insert(&mut self.block, hash);
        Ok(())
    }

    /// Completes the blocks before this one.
    fn advance(&mut self, block: u32) -> Result<(), Error> {
        while self.sink.next() - 1 < block {
            self.sink.push(&self.block)?;
            self.block.fill(0);
        }
        Ok(())
    }

    /// Completes the last blocks, and says how many terms there were.
    fn finish(mut self) -> Result<u64, Error> {
        self.advance(self.blocks)?;
        self.sink.write()?;
        Ok(self.terms)
    }
}

/// The pairs of several runs, in one order.
struct Merge<'r> {
    inputs: Vec<Input<'r>>,
    /// The next pairs of all runs, in order, and how many of them were handed out.
    next: Vec<Pair>,
    done: usize,
    between: &'r mut dyn FnMut() -> Result<(), Error>,
}

struct Input<'r> {
    run: &'r Run,
    next_leaf: u32,
    /// The pairs of the last leaf, and which of them is the next.
    pairs: Vec<Pair>,
    taken: usize,
}

impl Input<'_> {
    fn rest(&self) -> &[Pair] {
        &self.pairs[self.taken..]
    }
}

impl<'r> Merge<'r> {
    fn new(runs: &'r [Arc<Run>], between: &'r mut dyn FnMut() -> Result<(), Error>) -> Self {
        let input = |run: &'r Arc<Run>| Input { run, next_leaf: 0, pairs: Vec::new(), taken: 0 };
        Self { inputs: runs.iter().map(input).collect(), next: Vec::new(), done: 0, between }
    }

    /// Reads a leaf of each run of which no pairs are left.
    fn read(&mut self) -> Result<(), Error> {
        for input in &mut self.inputs {
            if input.rest().is_empty() && input.next_leaf < input.run.extent.leaves {
                let pairs = input.run.leaf(input.next_leaf)?;
                // Were leaves out of order, so would be what is made of them.
                if input.pairs.last().is_some_and(|last| pairs.first() <= Some(last)) {
                    let fault = Fault::Wrong("the leaves are out of order");
                    return Err(input.run.damage(input.next_leaf, fault));
                }
                (input.pairs, input.taken) = (pairs, 0);
                input.next_leaf += 1;
                (self.between)()?;
            }
        }
        Ok(())
    }

    /// Takes from each run the pairs that come before everything that is not read yet.
    fn take(&mut self) {
        self.next.clear();
        self.done = 0;
        let Some(last) = self.inputs.iter().filter_map(|input| input.rest().last()).min().copied()
        else {
            return;
        };
        for input in &mut self.inputs {
            let count = input.rest().partition_point(|pair| *pair <= last);
            self.next.extend_from_slice(&input.rest()[..count]);
            input.taken += count;
        }
        // A sort that makes use of what is in order already.
        self.next.sort();
    }
}

impl Iterator for Merge<'_> {
    type Item = Result<Pair, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done == self.next.len() {
            if let Err(error) = self.read() {
                return Some(Err(error));
            }
            self.take();
        }
        let next = self.next.get(self.done)?;
        self.done += 1;
        Some(Ok(*next))
    }
}
