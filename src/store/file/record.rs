//! A record: one event, readable and verifiable alone.
//!
//! ```text
//!  0          4        8      9       10      11              19         35
//!  ┌──────────┬────────┬──────┬───────┬───────┬───────────────┬──────────┬──────────┬──────────────────────────┐
//!  │ checksum │ length │ kind │ codec │ flags │ recorded-at   │ event id │ varints  │ texts and bytes          │
//!  │ u32      │ u32    │ u8   │ u8    │ u8    │ i64           │ 16 B     │          │                          │
//!  └──────────┴────────┴──────┴───────┴───────┴───────────────┴──────────┴──────────┴──────────────────────────┘
//!  varints: position, version, ordinal, count, schema version, length of stream, of type, of tags, of metadata
//!  texts:   stream, type, tags (sorted, a line feed between them) │ bytes: metadata, payload (to the end)
//! ```

use chrono::DateTime;
use uuid::Uuid;

use super::bytes::{Fields, checksum, put_varint};
use super::fault::Fault;
use crate::event::{CommitPlace, Parts, RecordedEvent};
use crate::id::EventId;
use crate::position::{Position, SchemaVersion, Version};

const EVENT: u8 = 1;
const JSON: u8 = 1;

/// No record is shorter.
pub(super) const RECORD_BYTES_MIN: u32 = 35 + 9;

/// An event whose record was verified. Made by [`decode`](Self::decode) alone.
pub(super) struct Record<'a> {
    pub(super) event: RecordedEvent<'a>,
    /// How many bytes the record takes.
    pub(super) length: u32,
    pub(super) checksum: u32,
}

/// Adds the record of an event, and returns its checksum.
pub(super) fn encode(into: &mut Vec<u8>, seed: u32, event: &RecordedEvent<'_>) -> u32 {
    let parts = event.parts();
    let start = into.len();
    into.extend_from_slice(&[0; 8]);
    into.extend_from_slice(&[EVENT, JSON, 0]);
    into.extend_from_slice(&parts.recorded_at.timestamp_micros().to_le_bytes());
    into.extend_from_slice(parts.id.as_uuid().as_bytes());
    for number in [
        parts.position.get(),
        parts.version.get(),
        parts.commit.ordinal.into(),
        parts.commit.count.into(),
        parts.schema.get().into(),
        parts.stream.len() as u64,
        parts.event_type.len() as u64,
        parts.tags.len() as u64,
        parts.metadata.len() as u64,
    ] {
        put_varint(into, number);
    }
    for text in [parts.stream, parts.event_type, parts.tags] {
        into.extend_from_slice(text.as_bytes());
    }
    into.extend_from_slice(parts.metadata);
    into.extend_from_slice(parts.payload);
    let length = u32::try_from(into.len() - start).expect("limits keep a frame below 4 GiB");
    into[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(seed, &into[start + 4..]);
    into[start..start + 4].copy_from_slice(&sum.to_le_bytes());
    sum
}

/// The length that a record claims to have, not verified yet but possible.
pub(super) fn claimed_length(bytes: &[u8]) -> Result<u32, Fault> {
    let length = bytes.get(4..8).and_then(|bytes| Fields(bytes).u32()).ok_or(Fault::Short)?;
    if length < RECORD_BYTES_MIN {
        return Err(Fault::Wrong("a record is shorter than any can be"));
    }
    Ok(length)
}

/// The length of the record that may begin with these bytes, if all fixed fields are as in one.
pub(super) fn may_begin(bytes: &[u8]) -> Option<u32> {
    let is_event = bytes.get(8..11) == Some(&[EVENT, JSON, 0]);
    claimed_length(bytes).ok().filter(|_| is_event)
}

impl<'a> Record<'a> {
    /// Verifies the record that these bytes begin with.
    pub(super) fn decode(bytes: &'a [u8], seed: u32) -> Result<Self, Fault> {
        let length = claimed_length(bytes)?;
        let bytes = bytes.get(..length as usize).ok_or(Fault::Short)?;
        let mut fields = Fields(bytes);
        let sum = fields.u32().ok_or(Fault::Short)?;
        if checksum(seed, fields.0) != sum {
            return Err(Fault::Checksum);
        }
        fields.u32();
        for (what, known) in [("record kind", EVENT), ("codec", JSON), ("flags", 0)] {
            let number = fields.u8().ok_or(Fault::Short)?;
            if number != known {
                return Err(Fault::Unknown { what, number: number.into() });
            }
        }
        let parts = Self::parts(fields).ok_or(Fault::Wrong("the fields of a record do not fit"))?;
        let event = RecordedEvent::from_parts(&parts)
            .ok_or(Fault::Wrong("the stream or the metadata of a record are malformed"))?;
        Ok(Self { event, length, checksum: sum })
    }

    fn parts(mut fields: Fields<'a>) -> Option<Parts<'a>> {
        let recorded_at = DateTime::from_timestamp_micros(fields.i64()?)?;
        let id = EventId::new(Uuid::from_bytes(fields.array()?));
        let (position, version) = (fields.varint()?, fields.varint()?);
        let ordinal = u32::try_from(fields.varint()?).ok()?;
        let count = u32::try_from(fields.varint()?).ok()?;
        let schema = SchemaVersion::new(u32::try_from(fields.varint()?).ok()?)?;
        let lengths = [fields.length()?, fields.length()?, fields.length()?, fields.length()?];
        let [stream, event_type, tags, metadata] = lengths;
        let texts = stream.checked_add(event_type)?.checked_add(tags)?;
        let texts = std::str::from_utf8(fields.bytes(texts)?).ok()?;
        let (stream, texts) = texts.split_at_checked(stream)?;
        let (event_type, tags) = texts.split_at_checked(event_type)?;
        let metadata = fields.bytes(metadata)?;
        let is_placed = ordinal < count && u64::from(ordinal) < position && version > 0;
        is_placed.then_some(Parts {
            position: Position::new(position),
            version: Version::new(version),
            recorded_at,
            id,
            commit: CommitPlace { ordinal, count },
            schema,
            stream,
            event_type,
            tags,
            metadata,
            payload: fields.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Metadata, NewEvent, Placement, Tags};
    use crate::id::EventType;
    use crate::store::file::bytes::hex;

    const SEED: u32 = 0x5566_7788;

    fn encoded() -> (Vec<u8>, RecordedEvent<'static>) {
        let placement = Placement {
            stream: "a/1".parse().unwrap(),
            version: Version::new(3),
            position: Position::new(300),
            recorded_at: DateTime::from_timestamp_micros(1_000_000).unwrap(),
            id: EventId::new(Uuid::from_u128(0x0102_0304_0506_0708_090A_0B0C_0D0E_0F10)),
            commit: CommitPlace { ordinal: 1, count: 2 },
        };
        let event = NewEvent::new(EventType::new("X").unwrap(), &7).unwrap();
        let event = event.with_tags(Tags::of(["s", "t"]).unwrap());
        let event = event.with_metadata(Metadata::new().with_actor("me"));
        let event = RecordedEvent::new(&placement, &event).into_owned();
        let mut bytes = Vec::new();
        encode(&mut bytes, SEED, &event);
        (bytes, event)
    }

    #[test]
    fn a_record_is_laid_out_as_documented() {
        let (bytes, event) = encoded();
        let golden = "7bac74dc 3c000000 01 01 00 40420f0000000000 0102030405060708090a0b0c0d0e0f10 \
             ac02 03 01 02 01 03 01 03 07 612f31 58 730a74 08020000006d65 37";
        assert_eq!(hex(&bytes), golden.replace(' ', ""));
        let record = Record::decode(&bytes, SEED).ok().unwrap();
        assert!(record.event == event);
    }

    #[test]
    fn every_flipped_bit_and_every_missing_byte_is_noticed() {
        let (bytes, _) = encoded();
        for length in 0..bytes.len() {
            assert!(Record::decode(&bytes[..length], SEED).is_err());
        }
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::decode(&bytes, SEED).is_err(), "bit {bit}");
        }
        assert!(Record::decode(&bytes, SEED + 1).is_err(), "it belongs to one segment");
    }
}
