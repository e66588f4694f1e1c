//! The header of a segment.
//!
//! ```text
//!  0          40       44    52              60            64            68             76      92         96
//!  ┌──────────┬────────┬─────┬───────────────┬─────────────┬─────────────┬──────────────┬───────┬──────────┐
//!  │ beginning│ number │ tag │ position of   │ length of   │ chain of    │ last time in │ zeros │ checksum │ frames …
//!  │ 40 B     │ u32    │ u64 │ first record  │ predecessor │ predecessor │ predecessor  │ 16 B  │ u32      │
//!  └──────────┴────────┴─────┴───────────────┴─────────────┴─────────────┴──────────────┴───────┴──────────┘
//! ```

use super::beginning::{self, Kind, StoreId};
use super::bytes::{Fields, checksum, lower_half};
use super::fault::Fault;
use crate::position::Position;

pub(super) const SEGMENT_HEADER_BYTES: u32 = 96;

/// How long the first segments become, if segments may be so long, and how many there are of each size.
const ROOM_MIN: u32 = 1 << 20;
const OF_ONE_SIZE: u32 = 4;

/// What a segment says of itself and of its predecessor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) number: u32,
    /// Begins every frame of this segment, and seeds the checksums in it.
    pub(super) tag: u64,
    pub(super) first: Position,
    /// How long the predecessor is; 0 without one, as with the two fields that follow.
    pub(super) predecessor_length: u32,
    /// The checksum of the predecessor's last header.
    pub(super) predecessor_chain: u32,
    /// The last time of recording before this segment, in microseconds.
    pub(super) last_time: i64,
}

/// What the checksums in a segment begin with.
pub(super) fn seed(tag: u64) -> u32 {
    lower_half(tag)
}

/// What the chain begins with: all that a header says but for the store that it belongs to.
fn chain(content: &[u8]) -> u32 {
    checksum(0, &content[beginning::BEGINNING_BYTES..])
}

/// The lengths at which segments end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rooms {
    /// Of the first ones, and of all others at most.
    first: u32,
    most: u32,
}

impl Rooms {
    /// Four segments are of one size, and the next four of twice that, up to what the option says. So a large store has few files, and
    /// a new segment is a third of the log or less, once there are eight.
    pub(super) fn that_grow(segment_bytes: u32) -> Self {
        Self { first: ROOM_MIN.min(segment_bytes), most: segment_bytes }
    }

    /// All segments are as long as the option says: where no space is prepared, a file is as long as what is in it.
    pub(super) fn all_of(segment_bytes: u32) -> Self {
        Self { first: segment_bytes, most: segment_bytes }
    }

    /// The length at which a segment ends, and that at which the next one will.
    pub(super) fn of(self, header: &SegmentHeader) -> (u32, u32) {
        (self.at(header.number), self.at(header.number.saturating_add(1)))
    }

    fn at(self, number: u32) -> u32 {
        let doublings = number.saturating_sub(1) / OF_ONE_SIZE;
        let times = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.first.saturating_mul(times).min(self.most)
    }
}

impl SegmentHeader {
    /// The header's bytes, and what the chain of frame headers begins with.
    pub(super) fn encode(&self, store: StoreId) -> (Vec<u8>, u32) {
        let mut bytes = beginning::encode(Kind::Segment, store);
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.tag.to_le_bytes());
        bytes.extend_from_slice(&self.first.get().to_le_bytes());
        bytes.extend_from_slice(&self.predecessor_length.to_le_bytes());
        bytes.extend_from_slice(&self.predecessor_chain.to_le_bytes());
        bytes.extend_from_slice(&self.last_time.to_le_bytes());
        bytes.extend_from_slice(&[0; 16]);
        let chain = chain(&bytes);
        let sum = checksum(0, &bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        (bytes, chain)
    }

    /// The header in these bytes, and what the chain of frame headers begins with.
    pub(super) fn decode(bytes: &[u8], store: StoreId) -> Result<(Self, u32), Fault> {
        let header = bytes.get(..SEGMENT_HEADER_BYTES as usize).ok_or(Fault::Short)?;
        let (content, sum) = header.split_last_chunk().ok_or(Fault::Short)?;
        if checksum(0, content) != u32::from_le_bytes(*sum) {
            return Err(Fault::Checksum);
        }
        if beginning::decode(Kind::Segment, content)? != store {
            return Err(Fault::Wrong("it belongs to another store"));
        }
        let mut fields = Fields(&content[beginning::BEGINNING_BYTES..]);
        let mut header = || {
            Some(Self {
                number: fields.u32()?,
                tag: fields.u64()?,
                first: Position::new(fields.u64()?),
                predecessor_length: fields.u32()?,
                predecessor_chain: fields.u32()?,
                last_time: fields.i64()?,
            })
        };
        Ok((header().ok_or(Fault::Short)?, chain(content)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::file::bytes::hex;

    #[test]
    fn a_segment_header_is_laid_out_as_documented() {
        let header = SegmentHeader {
            number: 2,
            tag: 0x1122_3344_5566_7788,
            first: Position::new(9),
            predecessor_length: 0x1000,
            predecessor_chain: 0xAABB_CCDD,
            last_time: -2,
        };
        let (bytes, chain) = header.encode([7; 16]);
        let golden = "02000000 8877665544332211 0900000000000000 00100000 ddccbbaa feffffffffffffff \
             00000000000000000000000000000000";
        assert_eq!(hex(&bytes[40..92]), golden.replace(' ', ""));
        assert_eq!(hex(&bytes[92..]), "a6a1db2a");
        assert_eq!(bytes.len(), SEGMENT_HEADER_BYTES as usize);
        assert_eq!(SegmentHeader::decode(&bytes, [7; 16]), Ok((header, chain)));
        let (_, elsewhere) = header.encode([8; 16]);
        assert_eq!(chain, elsewhere, "the chain holds nothing of the store");
        assert!(SegmentHeader::decode(&bytes, [8; 16]).is_err());
    }
}
