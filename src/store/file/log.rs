//! The segments of the log, for reading.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::address::Address;
use super::cache::{BLOCK_BYTES, Cache, CachedFile};
use super::fault::{Fault, failed};
use super::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::error::Error;
use crate::storage::{FileName, Storage};

/// How many segments are held open for reading.
const OPEN_MAX: usize = 64;

/// What is known of a segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) header: SegmentHeader,
    /// What the chain of its frames begins with.
    pub(super) chain: u32,
    /// Its length, once it has a successor.
    pub(super) length: Option<u32>,
}

/// All segments.
pub(super) struct Log {
    storage: Arc<dyn Storage>,
    cache: Arc<Cache>,
    /// Ascending by number, without a gap.
    segments: RwLock<Vec<Segment>>,
    /// Segments that are open, the most recently used last.
    open: Mutex<Vec<(u32, CachedFile)>>,
}

impl Log {
    pub(super) fn new(storage: Arc<dyn Storage>, cache: Arc<Cache>) -> Self {
        Self { storage, cache, segments: RwLock::default(), open: Mutex::default() }
    }

    /// Adds a segment behind the last, whose length is settled now.
    pub(super) fn add(&self, segment: Segment) {
        let mut segments = self.segments.write();
        if let Some(last) = segments.last_mut() {
            last.length = Some(segment.header.predecessor_length);
        }
        segments.push(segment);
    }

    pub(super) fn segment(&self, number: u32) -> Option<Segment> {
        let segments = self.segments.read();
        let first = segments.first()?.header.number;
        segments.get(number.checked_sub(first)? as usize).copied()
    }

    pub(super) fn first(&self) -> Option<Segment> {
        self.segments.read().first().copied()
    }

    pub(super) fn last(&self) -> Option<Segment> {
        self.segments.read().last().copied()
    }

    /// Where the first frame of the log begins, or will.
    pub(super) fn start(&self) -> Address {
        let number = self.first().map_or(1, |first| first.header.number);
        Address::new(number, SEGMENT_HEADER_BYTES)
    }

    /// Where a segment ends, for those who see the log up to `end`.
    pub(super) fn limit(&self, number: u32, end: Address) -> u32 {
        if number == end.segment() {
            return end.offset();
        }
        self.segment(number).and_then(|segment| segment.length).unwrap_or(0)
    }

    /// How many bytes lie before an address, all segments together.
    pub(super) fn bytes_up_to(&self, end: Address) -> u64 {
        let segments = self.segments.read();
        let before = segments.iter().take_while(|segment| segment.header.number < end.segment());
        let lengths = before.filter_map(|segment| segment.length).map(u64::from);
        lengths.sum::<u64>() + u64::from(end.offset())
    }

    pub(super) fn file(&self, number: u32) -> Result<CachedFile, Error> {
        let mut open = self.open.lock();
        if let Some(place) = open.iter().position(|(found, _)| *found == number) {
            let entry = open.remove(place);
            open.push(entry.clone());
            return Ok(entry.1);
        }
        let name = FileName::Segment(number);
        let file = self.cache.adopt(self.storage.open(name).map_err(failed("opening", name))?);
        if open.len() == OPEN_MAX {
            open.remove(0);
        }
        open.push((number, file.clone()));
        Ok(file)
    }

    /// Reads so many bytes from an address on, past the cache. All of them are there: the caller knows the limit.
    pub(super) fn read(&self, at: Address, into: &mut [u8]) -> Result<(), Error> {
        self.file(at.segment())?.read(at, into)
    }

    /// Like [`read`](Self::read), through the cache. Blocks that are not wholly below the limit are not kept: what lies
    /// behind it may change.
    pub(super) fn read_cached(
        &self,
        at: Address,
        limit: u32,
        into: &mut [u8],
    ) -> Result<(), Error> {
        let file = self.file(at.segment())?;
        let size = u32::try_from(BLOCK_BYTES).expect("4096");
        let (mut offset, mut done) = (at.offset(), 0);
        while done < into.len() {
            let (number, within) = (offset / size, (offset % size) as usize);
            let wanted = (BLOCK_BYTES - within).min(into.len() - done);
            if (number + 1) as u64 * BLOCK_BYTES as u64 > limit.into() {
                return self.read(Address::new(at.segment(), offset), &mut into[done..]);
            }
            let at = Address::new(at.segment(), number * size);
            let block = self.cache.block(&file, number, |block| self.read(at, block))?;
            into[done..done + wanted].copy_from_slice(&block[within..within + wanted]);
            done += wanted;
            offset += u32::try_from(wanted).expect("part of a block");
        }
        Ok(())
    }
}

impl CachedFile {
    /// Reads so many bytes of the segment from an address on, all of which are there.
    pub(super) fn read(&self, at: Address, into: &mut [u8]) -> Result<(), Error> {
        let name = FileName::Segment(at.segment());
        match self.file.read_up_to(at.offset().into(), into).map_err(failed("reading", name))? {
            read if read == into.len() => Ok(()),
            read => Err(Fault::Short.at(name, u64::from(at.offset()) + read as u64)),
        }
    }
}
