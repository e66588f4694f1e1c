//! How far the log was synced, when last heard of.
//!
//! ```text
//!  0          16    24         32        36       40         48     52         56
//!  ┌──────────┬─────┬──────────┬─────────┬────────┬──────────┬──────┬──────────┐
//!  │ store id │ tag │ sequence │ segment │ offset │ position │ shut │ checksum │
//!  │ 16 B     │ u64 │ u64      │ u32     │ u32    │ u64      │ u32  │ u32      │
//!  └──────────┴─────┴──────────┴─────────┴────────┴──────────┴──────┴──────────┘
//!  at the offsets 0 and 4096 of the file, written in turn
//! ```

use std::io;
use std::sync::Arc;

use super::address::Address;
use super::beginning::StoreId;
use super::bytes::{Fields, checksum};
use crate::position::Position;
use crate::storage::StorageFile;

const SLOT_BYTES: usize = 56;
const SLOT_DISTANCE: u64 = 4096;
const SEQUENCE_MAX: u64 = 1 << 62;

/// Everything up to `end` is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// The tag of the segment that `end` lies in.
    pub(super) tag: u64,
    pub(super) end: Address,
    /// The last position before `end`.
    pub(super) position: Position,
    /// Whether the store was closed there.
    pub(super) is_shut: bool,
}

/// The file with its two slots.
#[derive(Debug)]
pub(super) struct Watermark {
    file: Arc<dyn StorageFile>,
    store: StoreId,
    /// The sequence of the newest slot.
    sequence: u64,
}

impl Watermark {
    /// The newest mark in the file, if one is whole.
    pub(super) fn read(
        file: Arc<dyn StorageFile>,
        store: StoreId,
    ) -> io::Result<(Self, Option<Mark>)> {
        let mut newest = None;
        for slot in 0..2 {
            let mut bytes = [0; SLOT_BYTES];
            file.read_up_to(slot * SLOT_DISTANCE, &mut bytes)?;
            newest =
                newest.into_iter().chain(decode(&bytes, store)).max_by_key(|(number, _)| *number);
        }
        let sequence = newest.map_or(0, |(sequence, _)| sequence);
        Ok((Self { file, store, sequence }, newest.map(|(_, mark)| mark)))
    }

    /// Writes the next slot. It is not synced.
    pub(super) fn write(&mut self, mark: Mark) -> io::Result<()> {
        self.sequence += 1;
        let bytes = encode(self.sequence, &mark, self.store);
        self.file.write_all_at(self.sequence % 2 * SLOT_DISTANCE, &bytes)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

fn encode(sequence: u64, mark: &Mark, store: StoreId) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SLOT_BYTES);
    bytes.extend_from_slice(&store);
    bytes.extend_from_slice(&mark.tag.to_le_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.extend_from_slice(&mark.end.segment().to_le_bytes());
    bytes.extend_from_slice(&mark.end.offset().to_le_bytes());
    bytes.extend_from_slice(&mark.position.get().to_le_bytes());
    bytes.extend_from_slice(&u32::from(mark.is_shut).to_le_bytes());
    let sum = checksum(0, &bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; SLOT_BYTES], store: StoreId) -> Option<(u64, Mark)> {
    let (content, sum) = bytes.split_last_chunk()?;
    let mut fields = Fields(content);
    if checksum(0, content) != u32::from_le_bytes(*sum) || fields.array() != Some(store) {
        return None;
    }
    let (tag, sequence) = (fields.u64()?, fields.u64()?);
    let end = Address::new(fields.u32()?, fields.u32()?);
    let position = Position::new(fields.u64()?);
    // No store writes that often: such a slot is a lie, and nothing could follow it.
    if sequence > SEQUENCE_MAX {
        return None;
    }
    Some((sequence, Mark { tag, end, position, is_shut: fields.u32()? != 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::file::bytes::hex;

    #[test]
    fn a_slot_is_laid_out_as_documented() {
        let mark = Mark {
            tag: 0x1122_3344_5566_7788,
            end: Address::new(2, 0x1000),
            position: Position::new(9),
            is_shut: true,
        };
        let bytes = encode(3, &mark, [7; 16]);
        let golden = "07070707070707070707070707070707 8877665544332211 0300000000000000 02000000 \
             00100000 0900000000000000 01000000 bf664ed2";
        assert_eq!(hex(&bytes), golden.replace(' ', ""));
        let bytes: [u8; SLOT_BYTES] = bytes.try_into().unwrap();
        assert_eq!(decode(&bytes, [7; 16]), Some((3, mark)));
        assert_eq!(decode(&bytes, [8; 16]), None, "of another store");
    }
}
