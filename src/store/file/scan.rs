//! Reading a segment from front to back, and verifying all of it.

use std::sync::Arc;

use super::address::Address;
use super::fault::{Fault, failed};
use super::frame::{FRAME_HEADER_BYTES, FrameHeader, verify_records};
use super::index::Coverage;
use super::record::{BEFORE_TEXTS_MAX, Record};
use crate::error::Error;
use crate::position::Position;
use crate::storage::{FileName, StorageFile};

/// Where a scan stands, and what the next frame has to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tip {
    /// Where the last frame ends.
    pub(super) end: Address,
    /// The last position.
    pub(super) head: Position,
    /// What the next frame names as the header before it.
    pub(super) chain: u32,
    /// The last time of recording.
    pub(super) time: i64,
    /// Where the last frame begins.
    pub(super) last_frame: Address,
    /// Where it ends: before `end` only while a segment has no frame yet.
    pub(super) last_end: Address,
    /// The checksum of its header: another than `chain` only then, too.
    pub(super) last_chain: u32,
}

/// Goes through the frames of one segment.
pub(super) struct Scan {
    file: Arc<dyn StorageFile>,
    tag: u64,
    /// Where the segment, or its file, ends.
    limit: u64,
    pub(super) tip: Tip,
    buffer: Vec<u8>,
    buffer_at: u64,
}

/// What a scan found.
pub(super) enum Step<'s> {
    Frame {
        header: FrameHeader,
        bytes: &'s [u8],
        /// Where the scan stands behind it.
        tip: Tip,
    },
    /// The segment ends where a frame ends.
    End,
    /// What lies behind the last frame is not one that follows it; and where exactly that shows.
    Bad { offset: u64, fault: Fault },
}

const CHUNK_BYTES: u64 = 1 << 20;

impl Scan {
    pub(super) fn new(file: Arc<dyn StorageFile>, tag: u64, limit: u64, tip: Tip) -> Self {
        Self { file, tag, limit, tip, buffer: Vec::new(), buffer_at: 0 }
    }

    /// The next frame, wholly verified; `each` sees its records with their addresses.
    pub(super) fn next(
        &mut self,
        mut each: impl FnMut(Address, &Record<'_>),
    ) -> Result<Step<'_>, Error> {
        let start = self.tip.end;
        let offset = u64::from(start.offset());
        let bad = |offset, fault| Ok(Step::Bad { offset, fault });
        if offset == self.limit {
            return Ok(Step::End);
        }
        let tag = self.tag;
        let Some(bytes) = self.fill(offset, FRAME_HEADER_BYTES)? else {
            return bad(offset, Fault::Short);
        };
        let (header, sum) = match FrameHeader::decode(bytes, tag) {
            Ok(decoded) => decoded,
            Err(fault) => return bad(offset, fault),
        };
        if !self.tip.is_followed_by(&header) {
            return bad(offset, Fault::Wrong("the frame does not follow the one before it"));
        }
        if self.fill(offset, header.length)?.is_none() {
            return bad(offset, Fault::Short);
        }
        let at = usize::try_from(offset - self.buffer_at).expect("it lies in the buffer");
        let bytes = &self.buffer[at..at + header.length as usize];
        let mut time = self.tip.time;
        let verified = verify_records(bytes, tag, &header, |within, record| {
            time = record.event.recorded_micros();
            each(start.plus(within), record);
        });
        if let Err((within, fault)) = verified {
            return bad(offset + u64::from(within), fault);
        }
        self.tip = self.tip.behind(&header, sum, time);
        Ok(Step::Frame { header, bytes, tip: self.tip })
    }

    /// So many bytes from an offset on; `None` if the file ends before.
    fn fill(&mut self, offset: u64, bytes: u32) -> Result<Option<&[u8]>, Error> {
        let end = offset + u64::from(bytes);
        if end > self.limit || end > u32::MAX.into() {
            return Ok(None);
        }
        if offset < self.buffer_at || end > self.buffer_at + self.buffer.len() as u64 {
            let wanted = (self.limit - offset).min(CHUNK_BYTES.max(bytes.into()));
            self.buffer.resize(usize::try_from(wanted).unwrap_or(usize::MAX), 0);
            self.buffer_at = offset;
            let name = FileName::Segment(self.tip.end.segment());
            let read = self.file.read_up_to(offset, &mut self.buffer);
            let read = read.map_err(failed("reading", name))?;
            self.buffer.truncate(read);
        }
        let start = usize::try_from(offset - self.buffer_at).unwrap_or(usize::MAX);
        Ok(self.buffer.get(start..start + bytes as usize))
    }
}

/// Up to where the headers that begin between two offsets say that their segment was synced before they were built. Whether
/// what lies before each of them is whole does not matter.
pub(super) fn promised(
    file: &dyn StorageFile,
    name: FileName,
    tag: u64,
    part: (u64, u64),
) -> Result<u32, Error> {
    let mut promised = 0;
    windows(file, name, part, |_, bytes| {
        if let Ok((header, _)) = FrameHeader::decode(bytes, tag) {
            promised = promised.max(header.synced);
        }
        Ok(None::<()>)
    })?;
    Ok(promised)
}

/// Shows what begins at each offset between two, as much of it as tells what it is, until something is found.
pub(super) fn windows<T>(
    file: &dyn StorageFile,
    name: FileName,
    (mut at, to): (u64, u64),
    mut look: impl FnMut(u32, &[u8]) -> Result<Option<T>, Error>,
) -> Result<Option<T>, Error> {
    let window = BEFORE_TEXTS_MAX.max(FRAME_HEADER_BYTES as usize);
    let starts_max = usize::try_from(CHUNK_BYTES).expect("a megabyte");
    let mut chunk = vec![0; starts_max + window];
    while at < to {
        let read = file.read_up_to(at, &mut chunk).map_err(failed("reading", name))?;
        let starts = usize::try_from(to - at).unwrap_or(usize::MAX).min(read).min(starts_max);
        for start in 0..starts {
            let Ok(offset) = u32::try_from(at + start as u64) else { return Ok(None) };
            if let Some(found) = look(offset, &chunk[start..read.min(start + window)])? {
                return Ok(Some(found));
            }
        }
        if read < chunk.len() {
            break;
        }
        at += CHUNK_BYTES;
    }
    Ok(None)
}

impl Tip {
    /// Where a frame begins, or will, behind this position, header and time.
    pub(super) fn at(end: Address, head: Position, chain: u32, time: i64) -> Self {
        Self { end, head, chain, time, last_frame: end, last_end: end, last_chain: chain }
    }

    /// Whether this is the header of a frame that follows.
    pub(super) fn is_followed_by(&self, header: &FrameHeader) -> bool {
        header.chain == self.chain && Some(header.first) == self.head.checked_add(1)
    }

    /// The tip behind the frame that follows: with this header, of this checksum, and with this time of recording.
    pub(super) fn behind(&self, header: &FrameHeader, sum: u32, time: i64) -> Self {
        let tip = Self::at(self.end.plus(header.length), header.last(), sum, time);
        Self { last_frame: self.end, ..tip }
    }

    /// What a run covers that ends here.
    pub(super) fn coverage(&self, from: Address, first: Position) -> Coverage {
        Coverage {
            from,
            to: self.last_end,
            first,
            last: self.head,
            last_frame: self.last_frame,
            last_time: self.time,
            last_chain: self.last_chain,
        }
    }
}
