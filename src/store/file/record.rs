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

use uuid::Uuid;

use super::beginning::{codec, encoding_of};
use super::bytes::{Fields, VARINT_BYTES_MAX, checksum, varint};
use super::fault::Fault;
use crate::clock::is_time;
use crate::event::{CommitPlace, Outline, RecordedEvent};
use crate::id::EventId;
use crate::payload::Encoding;
use crate::position::{Position, SchemaVersion, Version};

const EVENT: u8 = 1;

/// No record is shorter.
pub(super) const RECORD_BYTES_MIN: u32 = 35 + 9;

/// What lies before the varints.
const HEAD_BYTES: usize = 35;
const VARINTS: usize = 9;

/// An event whose record was verified. Made by [`decode`](Self::decode) alone.
pub(super) struct Record<'a> {
    pub(super) event: RecordedEvent<'a>,
    /// How many bytes the record takes.
    pub(super) length: u32,
    pub(super) checksum: u32,
}

/// Adds the record of an event, and returns its checksum.
pub(super) fn encode(into: &mut Vec<u8>, seed: u32, event: &RecordedEvent<'_>) -> u32 {
    let (outline, start) = (event.outline(), into.len());
    let mut head = [0; HEAD_BYTES + VARINTS * VARINT_BYTES_MAX];
    head[8..11].copy_from_slice(&[EVENT, codec(outline.encoding), 0]);
    head[11..19].copy_from_slice(&outline.recorded_at.to_le_bytes());
    head[19..HEAD_BYTES].copy_from_slice(outline.id.as_uuid().as_bytes());
    let numbers: [u64; VARINTS] = [
        outline.position.get(),
        outline.version.get(),
        outline.commit.ordinal.into(),
        outline.commit.count.into(),
        outline.schema.get().into(),
        outline.stream as u64,
        outline.event_type as u64,
        outline.tags as u64,
        outline.metadata as u64,
    ];
    let mut end = HEAD_BYTES;
    for number in numbers {
        // Most are small.
        if number < 0x80 {
            head[end] = (number & 0x7F) as u8;
            end += 1;
            continue;
        }
        let (bytes, length) = varint(number);
        head[end..end + VARINT_BYTES_MAX].copy_from_slice(&bytes);
        end += length;
    }
    into.extend_from_slice(&head[..end]);
    event.pieces().iter().for_each(|piece| into.extend_from_slice(piece));
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
    let kinds = bytes.get(8..).and_then(|kinds| kinds.first_chunk());
    let is_event = kinds.is_some_and(|kinds| encoding(*kinds).is_some());
    claimed_length(bytes).ok().filter(|_| is_event)
}

/// A record that was verified, apart from its texts and bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) outline: Outline,
    pub(super) length: u32,
    pub(super) checksum: u32,
}

impl Header {
    /// Verifies the record that these bytes begin with.
    #[inline]
    pub(super) fn decode(bytes: &[u8], seed: u32) -> Result<Self, Fault> {
        let length = claimed_length(bytes)?;
        let bytes = bytes.get(..length as usize).ok_or(Fault::Short)?;
        let (head, fields) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(Fault::Short)?;
        let sum = u32::from_le_bytes(part(head, 0));
        if checksum(seed, &bytes[4..]) != sum {
            return Err(Fault::Checksum);
        }
        let kinds = part(head, 8);
        let encoding = encoding(kinds).ok_or_else(|| unknown(kinds))?;
        let Some(outline) = outline(head, encoding, Fields(fields)) else {
            return Err(Fault::Wrong("the fields of a record do not fit"));
        };
        let header = Self { outline, length, checksum: sum };
        let (text, bytes) = bytes[header.before_texts()..].split_at(header.outline.text());
        if !header.outline.fits(text, bytes) {
            return Err(Fault::Wrong("the texts or the metadata of a record are malformed"));
        }
        Ok(header)
    }

    /// How many bytes of the record lie before its texts.
    #[inline]
    pub(super) fn before_texts(&self) -> usize {
        self.length as usize - self.outline.bytes() - self.outline.text()
    }

    /// The event of the record that these bytes begin with.
    pub(super) fn event<'a>(&self, record: &'a [u8]) -> RecordedEvent<'a> {
        let pieces = &record[self.before_texts()..self.length as usize];
        let (text, bytes) = pieces.split_at(self.outline.text());
        let text = std::str::from_utf8(text).expect("it was checked");
        RecordedEvent::of(&self.outline, text, bytes)
    }
}

/// How the payload of an event of this kind, codec and flags is encoded, if they are known.
#[inline]
fn encoding(kinds: [u8; 3]) -> Option<Encoding> {
    let [EVENT, codec, 0] = kinds else { return None };
    encoding_of(codec)
}

#[cold]
fn unknown([kind, codec, flags]: [u8; 3]) -> Fault {
    let (what, number) = match () {
        () if kind != EVENT => ("record kind", kind),
        () if encoding_of(codec).is_none() => ("codec", codec),
        () => ("flags", flags),
    };
    Fault::Unknown { what, number: number.into() }
}

/// So many bytes at a place that is known to lie in the head.
#[inline]
fn part<const N: usize>(head: &[u8; HEAD_BYTES], at: usize) -> [u8; N] {
    *head[at..].first_chunk().expect("it lies in the head")
}

#[inline]
fn outline(head: &[u8; HEAD_BYTES], encoding: Encoding, mut fields: Fields<'_>) -> Option<Outline> {
    let recorded_at = i64::from_le_bytes(part(head, 11));
    let id = EventId::new(Uuid::from_bytes(part(head, 19)));
    let (position, version) = (fields.varint()?, fields.varint()?);
    let ordinal = u32::try_from(fields.varint()?).ok()?;
    let count = u32::try_from(fields.varint()?).ok()?;
    let schema = SchemaVersion::new(u32::try_from(fields.varint()?).ok()?)?;
    let (stream, event_type) = (fields.length()?, fields.length()?);
    let (tags, metadata) = (fields.length()?, fields.length()?);
    let before = stream.checked_add(event_type)?.checked_add(tags)?.checked_add(metadata)?;
    let payload = fields.0.len().checked_sub(before)?;
    let is_placed =
        ordinal < count && u64::from(ordinal) < position && version > 0 && is_time(recorded_at);
    is_placed.then_some(Outline {
        position: Position::new(position),
        version: Version::new(version),
        recorded_at,
        id,
        commit: CommitPlace { ordinal, count },
        schema,
        encoding,
        stream,
        event_type,
        tags,
        metadata,
        payload,
    })
}

impl<'a> Record<'a> {
    /// Verifies the record that these bytes begin with.
    pub(super) fn decode(bytes: &'a [u8], seed: u32) -> Result<Self, Fault> {
        let header = Header::decode(bytes, seed)?;
        let Header { length, checksum, .. } = header;
        Ok(Self { event: header.event(bytes), length, checksum })
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

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
        let golden = "7d545a96 39000000 01 01 00 40420f0000000000 0102030405060708090a0b0c0d0e0f10 \
             ac02 03 01 02 01 03 01 03 04 612f31 58 730a74 08026d65 37";
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
