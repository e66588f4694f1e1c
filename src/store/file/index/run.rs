//! A run: an immutable part of the index, in a file.
//!
//! ```text
//! header: 0        40    48     56     64         72     80      88     96      104    112     116      120      124
//!         ┌────────┬─────┬──────┬──────┬──────────┬──────┬───────┬──────┬───────┬──────┬───────┬────────┬────────┐
//!         │ begin- │ tag │ from │ to   │ first    │ last │ last  │ last │ last  │ terms│ filter│ leaves │ places │
//!         │ ning   │ u64 │ addr.│ addr.│ position │ pos. │ frame │ time │ chain │ u64  │ blocks│ u32    │ u32    │
//!         └────────┴─────┴──────┴──────┴──────────┴──────┴───────┴──────┴───────┴──────┴───────┴────────┴────────┘
//! then: commits u64 │ streams u64 │ count of types u64 │ hashes of types, u64 each …
//! blocks: header │ filter … │ leaves … │ fences … │ places …
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::blocks::{CONTENT_BYTES, verified};
use super::filter;
use super::leaf::Leaf;
use super::place::Place;
use super::tally::Tally;
use super::terms::{Hash, Pair, part_of};
use crate::error::Error;
use crate::position::Position;
use crate::storage::FileName;
use crate::store::file::address::Address;
use crate::store::file::beginning::{self, BEGINNING_BYTES, Kind, StoreId};
use crate::store::file::bytes::Fields;
use crate::store::file::cache::{BLOCK_BYTES, Cache, CachedFile};
use crate::store::file::fault::{Fault, failed};
use crate::store::file::frame::FrameHeader;

/// Which part of the log a run covers, and how to go on behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Coverage {
    /// Where the first frame begins.
    pub(crate) from: Address,
    /// Where the last frame ends.
    pub(crate) to: Address,
    pub(crate) first: Position,
    pub(crate) last: Position,
    /// Where the last frame begins.
    pub(crate) last_frame: Address,
    pub(crate) last_time: i64,
    /// The checksum of the last frame's header.
    pub(crate) last_chain: u32,
}

impl Coverage {
    /// Whether the last frame is the one with this header, whose checksum this is.
    pub(crate) fn ends_with(&self, header: &FrameHeader, sum: u32) -> bool {
        let end = self.last_frame.number().checked_add(header.length.into());
        sum == self.last_chain && end == Some(self.to.number()) && header.last() == self.last
    }
}

/// How many blocks of each kind there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) terms: u64,
    pub(super) filter: u32,
    pub(super) leaves: u32,
    /// How many places, not blocks.
    pub(super) places: u32,
}

pub(super) const FENCE_BYTES: usize = 16;
pub(super) const PLACE_BYTES: usize = 24;
const FENCES_PER_BLOCK: u32 = 255;
const PLACES_PER_BLOCK: u32 = 170;
/// A pair takes two bytes at least.
const PAIRS_PER_LEAF_MAX: u64 = CONTENT_BYTES as u64 / 2;
const _: () = assert!(CONTENT_BYTES / FENCE_BYTES == 255 && CONTENT_BYTES / PLACE_BYTES == 170);

impl Extent {
    fn leaf(&self, leaf: u32) -> u32 {
        1 + self.filter + leaf
    }

    fn fence(&self, fence: u32) -> (u32, usize) {
        let block = 1 + self.filter + self.leaves + fence / FENCES_PER_BLOCK;
        (block, (fence % FENCES_PER_BLOCK) as usize * FENCE_BYTES)
    }

    fn place(&self, place: u32) -> (u32, usize) {
        let fences = self.leaves.div_ceil(FENCES_PER_BLOCK);
        let block = 1 + self.filter + self.leaves + fences + place / PLACES_PER_BLOCK;
        (block, (place % PLACES_PER_BLOCK) as usize * PLACE_BYTES)
    }

    pub(super) fn blocks(&self) -> u64 {
        let sections = [
            1,
            self.filter,
            self.leaves,
            self.leaves.div_ceil(FENCES_PER_BLOCK),
            self.places.div_ceil(PLACES_PER_BLOCK),
        ];
        sections.iter().map(|blocks| u64::from(*blocks)).sum()
    }
}

pub(super) fn encode_header(
    store: StoreId,
    tag: u64,
    coverage: &Coverage,
    (extent, tally): (&Extent, &Tally),
) -> Vec<u8> {
    let mut bytes = beginning::encode(Kind::Run, store);
    let time = coverage.last_time.to_le_bytes();
    for number in [
        tag,
        coverage.from.number(),
        coverage.to.number(),
        coverage.first.get(),
        coverage.last.get(),
        coverage.last_frame.number(),
        u64::from_le_bytes(time),
        coverage.last_chain.into(),
        extent.terms,
    ] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    for blocks in [extent.filter, extent.leaves, extent.places] {
        bytes.extend_from_slice(&blocks.to_le_bytes());
    }
    tally.encode(&mut bytes);
    bytes
}

fn decode_header(bytes: &[u8]) -> Result<(StoreId, u64, Coverage, (Extent, Tally)), Fault> {
    let tag = bytes.get(BEGINNING_BYTES..).and_then(|bytes| Fields(bytes).u64());
    let tag = tag.ok_or(Fault::Short)?;
    let content = verified(bytes, tag, 0).ok_or(Fault::Checksum)?;
    let store = beginning::decode(Kind::Run, content)?;
    let mut fields = Fields(&content[BEGINNING_BYTES + 8..]);
    let mut rest = || {
        let coverage = Coverage {
            from: Address::from_number(fields.u64()?),
            to: Address::from_number(fields.u64()?),
            first: Position::new(fields.u64()?),
            last: Position::new(fields.u64()?),
            last_frame: Address::from_number(fields.u64()?),
            last_time: fields.i64()?,
            last_chain: u32::try_from(fields.u64()?).ok()?,
        };
        let terms = fields.u64()?;
        let (filter, leaves, places) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let extent = Extent { terms, filter, leaves, places };
        Some((coverage, (extent, Tally::decode(&mut fields)?)))
    };
    let (coverage, counts) = rest().ok_or(Fault::Wrong("the fields of a run do not fit"))?;
    Ok((store, tag, coverage, counts))
}

/// An open run.
pub(crate) struct Run {
    pub(crate) name: FileName,
    pub(crate) coverage: Coverage,
    pub(super) extent: Extent,
    pub(crate) tally: Tally,
    pub(super) tag: u64,
    pub(super) file: CachedFile,
    cache: Arc<Cache>,
    /// How often a term was looked up here.
    asked: AtomicU64,
}

impl Run {
    /// Opens a run. `Ok(Err(_))` says why it is of no use.
    pub(crate) fn open(
        name: FileName,
        file: CachedFile,
        store: StoreId,
        cache: Arc<Cache>,
    ) -> Result<Result<Self, Fault>, Error> {
        let mut bytes = vec![0; BLOCK_BYTES];
        let read = file.file.read_up_to(0, &mut bytes).map_err(failed("reading", name))?;
        let length = file.file.len().map_err(failed("reading", name))?;
        let (owner, tag, coverage, (extent, tally)) = match decode_header(&bytes[..read]) {
            Ok(header) => header,
            Err(fault) => return Ok(Err(fault)),
        };
        let named = FileName::Run(coverage.first.get(), coverage.last.get());
        let fits = extent.blocks() * BLOCK_BYTES as u64 == length
            && extent.filter > 0
            && extent.leaves > 0
            && extent.terms <= u64::from(extent.leaves) * PAIRS_PER_LEAF_MAX
            && extent.places > 0
            && tally.commits > 0
            && coverage.from <= coverage.last_frame
            && coverage.last_frame < coverage.to
            && named == name;
        Ok(if owner != store {
            Err(Fault::Wrong("it belongs to another store"))
        } else if !fits {
            Err(Fault::Wrong("it has not the length or the name that it should have"))
        } else {
            let asked = AtomicU64::new(0);
            Ok(Self { name, coverage, extent, tally, tag, file, cache, asked })
        })
    }

    /// A verified block, from the cache or the file.
    fn block(&self, block: u32) -> Result<Arc<[u8]>, Error> {
        self.cache.block(&self.file, block, |into| self.read_block(block, into))
    }

    /// Reads a block and verifies it. A file that ends too early is damaged, too.
    pub(super) fn read_block(&self, block: u32, into: &mut [u8]) -> Result<(), Error> {
        let offset = u64::from(block) * BLOCK_BYTES as u64;
        let read = self.file.file.read_up_to(offset, into).map_err(failed("reading", self.name))?;
        if read < into.len() {
            return Err(Fault::Short.at(self.name, offset));
        }
        let content = verified(into, self.tag, block);
        content.map(|_| ()).ok_or_else(|| Fault::Checksum.at(self.name, offset))
    }

    /// Whether the run may have events of this term.
    pub(crate) fn may_have(&self, hash: Hash) -> Result<bool, Error> {
        self.asked.fetch_add(1, Relaxed);
        let block = part_of(hash, self.extent.filter);
        Ok(filter::may_have(&self.block(1 + block)?, hash))
    }

    pub(super) fn fence(&self, leaf: u32) -> Result<Pair, Error> {
        let (block, offset) = self.extent.fence(leaf);
        let bytes = self.block(block)?;
        let mut fields = Fields(&bytes[offset..]);
        let (hash, address) = (fields.u64().unwrap_or(0), fields.u64().unwrap_or(0));
        Ok((hash, Address::from_number(address)))
    }

    /// The leaf in which this pair would stand.
    pub(super) fn leaf_for(&self, pair: Pair) -> Result<u32, Error> {
        let after = partition_point(self.extent.leaves, |leaf| Ok(self.fence(leaf)? <= pair))?;
        Ok(after.saturating_sub(1))
    }

    /// The addresses of a term in a leaf, and whether more of them may stand in the next.
    pub(super) fn addresses(&self, leaf: u32, hash: Hash) -> Result<(Vec<Address>, bool), Error> {
        let block = self.block(self.extent.leaf(leaf))?;
        let found = Leaf::of(&block[..CONTENT_BYTES], self.coverage.from)
            .and_then(|content| content.addresses(hash));
        let (addresses, goes_on) = found.map_err(|fault| self.damage(leaf, fault))?;
        Ok((addresses, goes_on && leaf + 1 < self.extent.leaves))
    }

    /// The last place of which `is_before` is true, and the first of which it is not.
    pub(crate) fn places_around(
        &self,
        is_before: impl Fn(&Place) -> bool,
    ) -> Result<(Option<Place>, Option<Place>), Error> {
        let count = self.extent.places;
        let after = partition_point(count, |place| Ok(is_before(&self.place(place)?)))?;
        let before = after.checked_sub(1).map(|place| self.place(place)).transpose()?;
        let after = (after < count).then(|| self.place(after)).transpose()?;
        Ok((before, after))
    }

    pub(super) fn place(&self, place: u32) -> Result<Place, Error> {
        let (block, offset) = self.extent.place(place);
        let bytes = self.block(block)?;
        let mut fields = Fields(&bytes[offset..]);
        Ok(Place {
            position: Position::new(fields.u64().unwrap_or(0)),
            time: fields.i64().unwrap_or(0),
            address: Address::from_number(fields.u64().unwrap_or(0)),
        })
    }

    /// The pairs of a leaf, read past the cache: for those who read all leaves once.
    pub(super) fn leaf(&self, leaf: u32) -> Result<Vec<Pair>, Error> {
        let block = self.extent.leaf(leaf);
        let mut bytes = vec![0; BLOCK_BYTES];
        self.read_block(block, &mut bytes)?;
        let content = Leaf::of(&bytes[..CONTENT_BYTES], self.coverage.from);
        let pairs = content.and_then(|content| content.pairs());
        pairs.map_err(|fault| self.damage(leaf, fault))
    }

    pub(super) fn damage(&self, leaf: u32, fault: Fault) -> Error {
        fault.at(self.name, u64::from(self.extent.leaf(leaf)) * BLOCK_BYTES as u64)
    }

    /// How large the file is.
    pub(crate) fn bytes(&self) -> u64 {
        self.extent.blocks() * BLOCK_BYTES as u64
    }

    /// How often a term was looked up here since the store was opened or the run made.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }
}

/// The first of `0..count` of which `is_before` is not true.
fn partition_point(
    count: u32,
    is_before: impl Fn(u32) -> Result<bool, Error>,
) -> Result<u32, Error> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
