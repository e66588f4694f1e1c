//! A snapshot in bytes.
//!
//! ```text
//!  0          4        8             16        24         32            40         56        58
//!  ┌──────────┬────────┬─────────────┬─────────┬──────────┬─────────────┬──────────┬─────────┬────────┬───────┐
//!  │ checksum │ length │ fingerprint │ version │ position │ recorded-at │ event id │ length  │ stream │ state │
//!  │ u32      │ u32    │ u64         │ u64     │ u64      │ i64, µs     │ 16 B     │ of name │        │       │
//!  │          │        │             │         │          │             │          │ u16     │        │       │
//!  └──────────┴────────┴─────────────┴─────────┴──────────┴─────────────┴──────────┴─────────┴────────┴───────┘
//! ```
//!
//! All numbers are little-endian. The checksum is CRC-32 and covers everything behind it; the first length is that of the
//! whole record. Records follow one another behind a beginning of 40 bytes: a magic, the format's number, zeros.

use chrono::DateTime;
use uuid::Uuid;

use super::snapshot_store::Snapshot;
use crate::bytes::Fields;
use crate::id::EventId;
use crate::position::{Position, Version};

pub(super) const BEGINNING_BYTES: usize = 40;

/// What precedes the stream's name.
pub(super) const FIXED_BYTES: usize = 58;

/// What the file begins with. One that begins otherwise is of no use to this version.
pub(super) fn beginning() -> [u8; BEGINNING_BYTES] {
    let mut bytes = [0; BEGINNING_BYTES];
    bytes[..8].copy_from_slice(b"annalsSN");
    bytes[8..10].copy_from_slice(&1_u16.to_le_bytes());
    bytes
}

/// The record of a snapshot; `None` if it is longer than a record can be.
pub(super) fn encode(snapshot: &Snapshot) -> Option<Vec<u8>> {
    let stream = snapshot.stream.as_str().as_bytes();
    let length = FIXED_BYTES.checked_add(stream.len())?.checked_add(snapshot.state.len())?;
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
    bytes.extend_from_slice(&snapshot.fingerprint.to_le_bytes());
    bytes.extend_from_slice(&snapshot.version.get().to_le_bytes());
    bytes.extend_from_slice(&snapshot.position.get().to_le_bytes());
    bytes.extend_from_slice(&snapshot.recorded_at.timestamp_micros().to_le_bytes());
    bytes.extend_from_slice(snapshot.event_id.as_uuid().as_bytes());
    bytes.extend_from_slice(&u16::try_from(stream.len()).ok()?.to_le_bytes());
    bytes.extend_from_slice(stream);
    bytes.extend_from_slice(&snapshot.state);
    let sum = crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&sum.to_le_bytes());
    Some(bytes)
}

/// How long the record is of which these are the first bytes; not verified yet.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let mut fields = Fields(bytes);
    let (_sum, length) = (fields.u32()?, fields.u32()?);
    usize::try_from(length).ok()
}

/// Whether this is a record as it was written.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let sum = bytes.split_first_chunk().map(|(sum, content)| (*sum, crc32fast::hash(content)));
    let fits = bytes.len() >= FIXED_BYTES && length(bytes) == Some(bytes.len());
    fits && sum.is_some_and(|(stored, actual)| u32::from_le_bytes(stored) == actual)
}

/// The snapshot of a record; `None` if it is not as it was written.
pub(super) fn decode(bytes: &[u8]) -> Option<Snapshot> {
    if !is_whole(bytes) {
        return None;
    }
    let mut fields = Fields(&bytes[8..]);
    let (fingerprint, version) = (fields.u64()?, fields.u64()?);
    let (position, micros) = (fields.u64()?, fields.i64()?);
    let event_id = fields.array()?;
    let length = fields.u16()?;
    let stream = fields.bytes(length.into())?;
    Some(Snapshot {
        stream: std::str::from_utf8(stream).ok()?.parse().ok()?,
        version: Version::new(version),
        position: Position::new(position),
        recorded_at: DateTime::from_timestamp_micros(micros)?,
        event_id: EventId::new(Uuid::from_bytes(event_id)),
        fingerprint,
        state: fields.0.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_these_bytes_and_reads_back() {
        let snapshot = Snapshot {
            stream: "a/b".parse().unwrap(),
            version: Version::new(2),
            position: Position::new(3),
            recorded_at: DateTime::from_timestamp_micros(-1).unwrap(),
            event_id: EventId::new(Uuid::from_u128(4)),
            fingerprint: 0x0807_0605_0403_0201,
            state: b"{}".to_vec(),
        };
        let bytes = encode(&snapshot).unwrap();
        let mut expected = vec![63, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        expected.extend([2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([0xFF; 8]);
        expected.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4]);
        expected.extend(b"\x03\x00a/b{}");
        assert_eq!(bytes[4..], expected);
        assert_eq!(bytes[..4], crc32fast::hash(&expected).to_le_bytes());
        assert_eq!(length(&bytes[..FIXED_BYTES]), Some(bytes.len()));
        assert_eq!(decode(&bytes), Some(snapshot));
    }
}
