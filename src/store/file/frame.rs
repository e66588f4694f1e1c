//! A frame: one commit.
//!
//! ```text
//!  0     8        12      16               24        28       32      36         40
//!  ┌─────┬────────┬───────┬────────────────┬─────────┬────────┬───────┬──────────┬──────────────────┐
//!  │ tag │ length │ count │ position of    │ synced  │ chain  │ body  │ checksum │ records …        │
//!  │ u64 │ u32    │ u32   │ first record   │ u32     │ u32    │ u32   │ u32      │                  │
//!  └─────┴────────┴───────┴────────────────┴─────────┴────────┴───────┴──────────┴──────────────────┘
//! ```

use super::bytes::{Fields, checksum};
use super::fault::Fault;
use super::record::{RECORD_BYTES_MIN, Record};
use super::segment::seed;
use crate::event::CommitPlace;
use crate::position::Position;
use crate::storage::PAGE_BYTES;

pub(super) const FRAME_HEADER_BYTES: u32 = 40;

/// What a frame says of itself. Made from bytes only after they were verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// The length of the whole frame.
    pub(super) length: u32,
    pub(super) count: u32,
    pub(super) first: Position,
    /// When the frame was built, everything below this offset of its segment was synced.
    pub(super) synced: u32,
    /// The checksum of the header before it.
    pub(super) chain: u32,
    /// The checksum of the records' checksums.
    pub(super) body: u32,
}

impl FrameHeader {
    /// The header's bytes, and its checksum, which the next header names.
    pub(super) fn encode(&self, tag: u64) -> ([u8; FRAME_HEADER_BYTES as usize], u32) {
        let mut bytes = [0; FRAME_HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(&tag.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.count.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.get().to_le_bytes());
        bytes[24..28].copy_from_slice(&self.synced.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.chain.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.body.to_le_bytes());
        let sum = checksum(seed(tag), &bytes[..36]);
        bytes[36..].copy_from_slice(&sum.to_le_bytes());
        (bytes, sum)
    }

    /// Verifies the header that these bytes begin with; with its checksum.
    pub(super) fn decode(bytes: &[u8], tag: u64) -> Result<(Self, u32), Fault> {
        let mut fields = Fields(bytes.get(..FRAME_HEADER_BYTES as usize).ok_or(Fault::Short)?);
        if fields.u64() != Some(tag) {
            return Err(Fault::Wrong("no frame begins here"));
        }
        let mut header = || {
            Some(Self {
                length: fields.u32()?,
                count: fields.u32()?,
                first: Position::new(fields.u64()?),
                synced: fields.u32()?,
                chain: fields.u32()?,
                body: fields.u32()?,
            })
        };
        let header = header().ok_or(Fault::Short)?;
        let sum = fields.u32().ok_or(Fault::Short)?;
        if checksum(seed(tag), &bytes[..36]) != sum {
            return Err(Fault::Checksum);
        }
        let body = header.length.checked_sub(FRAME_HEADER_BYTES);
        let least = u64::from(header.count) * u64::from(RECORD_BYTES_MIN);
        let last = header.first.checked_add(header.count.into());
        if header.count == 0
            || header.first == Position::START
            || last.is_none()
            || body.is_none_or(|body| u64::from(body) < least)
        {
            return Err(Fault::Wrong("the fields of a frame do not fit"));
        }
        Ok((header, sum))
    }

    pub(super) fn last(&self) -> Position {
        Position::new(self.first.get() - 1 + u64::from(self.count))
    }
}

/// Verifies all records of a frame, each of which is handed on with its offset in the frame. A fault comes with the
/// offset where it lies.
pub(super) fn verify_records<'a>(
    frame: &'a [u8],
    tag: u64,
    header: &FrameHeader,
    mut each: impl FnMut(u32, &Record<'a>),
) -> Result<(), (u32, Fault)> {
    let mut sums = Vec::with_capacity(header.count as usize * 4);
    let (mut offset, mut ordinal) = (FRAME_HEADER_BYTES, 0);
    while ordinal < header.count {
        let at = |fault| (offset, fault);
        let record = Record::decode(&frame[offset as usize..], seed(tag)).map_err(at)?;
        let position = header.first.get() + u64::from(ordinal);
        let place = CommitPlace { ordinal, count: header.count };
        if (record.event.commit(), record.event.position().get()) != (place, position) {
            return Err(at(Fault::Wrong("a record is not in its place")));
        }
        each(offset, &record);
        sums.extend_from_slice(&record.checksum.to_le_bytes());
        offset += record.length;
        ordinal += 1;
    }
    if offset != header.length || checksum(seed(tag), &sums) != header.body {
        return Err((0, Fault::Wrong("the records of a frame are not those it was made of")));
    }
    Ok(())
}

/// Frames that are being built, one behind the other, to be written together.
#[derive(Debug, Default)]
pub(super) struct FrameBuilder {
    pub(super) bytes: Vec<u8>,
    /// Where the frame that is being built begins.
    start: usize,
    sums: Vec<u8>,
}

/// How much memory is kept for the next frames.
const KEPT_BYTES: usize = 1 << 20;

impl FrameBuilder {
    /// Forgets all frames.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.sums.clear();
        self.sums.shrink_to(KEPT_BYTES);
    }

    /// Ends with zeros up to the end of a page, where the frames are written from this offset on, if all that lies in prepared
    /// space. Nobody then has to read the page first, to change a part of it. Returns where the bytes end.
    pub(super) fn fill_page(&mut self, start: u64, prepared: u64) -> u64 {
        let end = start + self.bytes.len() as u64;
        let zeros = end.next_multiple_of(PAGE_BYTES as u64).min(prepared).saturating_sub(end);
        self.bytes.resize(self.bytes.len() + usize::try_from(zeros).unwrap_or(0), 0);
        end + zeros
    }

    pub(super) fn begin(&mut self) {
        self.start = self.bytes.len();
        self.sums.clear();
        self.bytes.extend_from_slice(&[0; FRAME_HEADER_BYTES as usize]);
    }

    /// Takes note of the checksum of a record that was added.
    pub(super) fn add(&mut self, checksum: u32) {
        self.sums.extend_from_slice(&checksum.to_le_bytes());
    }

    /// Completes the frame, and returns the checksum of its header.
    pub(super) fn finish(&mut self, tag: u64, first: Position, synced: u32, chain: u32) -> u32 {
        let fits = "limits keep a frame below 4 GiB";
        let header = FrameHeader {
            length: u32::try_from(self.bytes.len() - self.start).expect(fits),
            count: u32::try_from(self.sums.len() / 4).expect(fits),
            first,
            synced,
            chain,
            body: checksum(seed(tag), &self.sums),
        };
        let (bytes, sum) = header.encode(tag);
        self.bytes[self.start..self.start + bytes.len()].copy_from_slice(&bytes);
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::file::bytes::hex;

    #[test]
    fn a_frame_header_is_laid_out_as_documented() {
        let header = FrameHeader {
            length: 0x0102,
            count: 2,
            first: Position::new(9),
            synced: 96,
            chain: 0xAABB_CCDD,
            body: 0x0506_0708,
        };
        let (bytes, sum) = header.encode(0x1122_3344_5566_7788);
        let golden = "8877665544332211 02010000 02000000 0900000000000000 60000000 ddccbbaa 08070605 \
             346293b6";
        assert_eq!(hex(&bytes), golden.replace(' ', ""));
        assert_eq!(FrameHeader::decode(&bytes, 0x1122_3344_5566_7788), Ok((header, sum)));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(FrameHeader::decode(&bytes, 0x1122_3344_5566_7788).is_err(), "bit {bit}");
        }
    }
}
