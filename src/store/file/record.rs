//! A record: one event, readable and verifiable alone.
//!
//! ```text
//!  0          4
//!  ┌──────────┬────────┬───────┬───────────────┬──────────────┬──────────┬──────────────────────────┐
//!  │ checksum │ length │ shape │ recorded-at   │ event id     │ varints  │ texts and bytes          │
//!  │ u32      │ varint │ u8    │ i64           │ 16 or 10 B   │          │                          │
//!  └──────────┴────────┴───────┴───────────────┴──────────────┴──────────┴──────────────────────────┘
//!  varints: position, version, ordinal, count, schema version, length of stream, of type, of tags, of metadata
//!  texts:   stream, type, tags (sorted, a line feed between them) │ bytes: metadata, payload (to the end)
//! ```
//!
//! The shape says which of these are there, and how the payload is encoded.

use uuid::Uuid;

use super::bytes::{Fields, VARINT_BYTES_MAX, checksum, put_varint, varint};
use super::fault::Fault;
use crate::clock::is_time;
use crate::event::{CommitPlace, Outline, RecordedEvent};
use crate::id::EventId;
use crate::payload::Encoding;
use crate::position::{Position, SchemaVersion, Version};

/// No record is shorter.
pub(super) const RECORD_BYTES_MIN: u32 = 4 + 1 + 1 + 8 + 10 + 4;

/// So many bytes of a record are enough to tell its length.
pub(super) const LENGTH_END_MAX: u32 = 4 + 5;

/// No record has more before its texts.
pub(super) const BEFORE_TEXTS_MAX: usize = LENGTH_END_MAX as usize + Head::BYTES_MAX;

/// Which fields a record has; the rest are as in most records.
mod shape {
    /// Set in each; no byte of an ASCII text is like that.
    pub(super) const EVENT: u8 = 1 << 7;
    /// The payload is binary, not JSON.
    pub(super) const BINARY: u8 = 1;
    /// The id begins with the millisecond of recording, and only what comes behind that is there.
    pub(super) const TIMED_ID: u8 = 1 << 1;
    /// It is one of several in its commit, and tells which.
    pub(super) const ONE_OF_SEVERAL: u8 = 1 << 2;
    /// It tells its schema version, which is not the first.
    pub(super) const SCHEMA: u8 = 1 << 3;
    pub(super) const TAGS: u8 = 1 << 4;
    pub(super) const METADATA: u8 = 1 << 5;
    /// Not set in any.
    pub(super) const UNKNOWN: u8 = 1 << 6;
}

/// What lies between the length and the texts.
struct Head {
    bytes: [u8; Self::BYTES_MAX],
    end: usize,
}

impl Head {
    const BYTES_MAX: usize = 1 + 8 + 16 + 9 * VARINT_BYTES_MAX;

    fn of(outline: &Outline) -> Self {
        let mut head = Self { bytes: [0; Self::BYTES_MAX], end: 1 };
        let (mut shape, commit) = (shape::EVENT, outline.commit);
        if outline.encoding == Encoding::Binary {
            shape |= shape::BINARY;
        }
        head.put(outline.recorded_at.to_le_bytes());
        match outline.id.behind_millisecond(outline.recorded_at) {
            Some(rest) => {
                shape |= shape::TIMED_ID;
                head.put(rest);
            }
            None => head.put(outline.id.as_uuid().into_bytes()),
        }
        head.put_varint(outline.position.get());
        head.put_varint(outline.version.get());
        if commit.count > 1 {
            shape |= shape::ONE_OF_SEVERAL;
            head.put_varint(commit.ordinal.into());
            head.put_varint(commit.count.into());
        }
        if outline.schema != SchemaVersion::FIRST {
            shape |= shape::SCHEMA;
            head.put_varint(outline.schema.get().into());
        }
        head.put_varint(outline.stream as u64);
        head.put_varint(outline.event_type as u64);
        for (length, is_there) in [(outline.tags, shape::TAGS), (outline.metadata, shape::METADATA)]
        {
            if length > 0 {
                shape |= is_there;
                head.put_varint(length as u64);
            }
        }
        head.bytes[0] = shape;
        head
    }

    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes[self.end..self.end + N].copy_from_slice(&bytes);
        self.end += N;
    }

    fn put_varint(&mut self, number: u64) {
        // Most are small.
        if number < 0x80 {
            self.bytes[self.end] = (number & 0x7F) as u8;
            self.end += 1;
            return;
        }
        let (bytes, length) = varint(number);
        self.put(bytes);
        self.end -= VARINT_BYTES_MAX - length;
    }
}

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
    let head = Head::of(&outline);
    into.extend_from_slice(&[0; 4]);
    put_varint(into, (head.end + outline.text() + outline.bytes()) as u64);
    into.extend_from_slice(&head.bytes[..head.end]);
    event.pieces().iter().for_each(|piece| into.extend_from_slice(piece));
    let sum = checksum(seed, &into[start + 4..]);
    into[start..start + 4].copy_from_slice(&sum.to_le_bytes());
    sum
}

/// What a record claims of its length: not verified yet, but possible.
#[derive(Clone, Copy)]
pub(super) struct Claim {
    pub(super) length: u32,
    /// Where the shape is, behind the field that tells the length.
    shape: usize,
}

impl Claim {
    /// The claim of the record that these bytes begin with.
    #[inline]
    pub(super) fn of(bytes: &[u8]) -> Result<Self, Fault> {
        let mut fields = Fields(bytes.get(4..).ok_or(Fault::Short)?);
        let behind = fields.varint().ok_or(Fault::Short)?;
        let shape = bytes.len() - fields.0.len();
        let length = behind.checked_add(shape as u64);
        let length = length.and_then(|length| u32::try_from(length).ok());
        match length.filter(|length| *length >= RECORD_BYTES_MIN) {
            Some(length) => Ok(Self { length, shape }),
            None => Err(Fault::Wrong("the length of a record is not possible")),
        }
    }

    /// How much lies behind the field that tells the length.
    #[inline]
    fn behind(&self) -> usize {
        self.length as usize - self.shape
    }
}

/// The length of the record that may begin with these bytes, if its fields and its stream's name are as in one. They are all of it,
/// or what can lie before its texts.
pub(super) fn may_begin(bytes: &[u8]) -> Option<u32> {
    let claim = Claim::of(bytes).ok()?;
    let (outline, texts) = outline(Fields(&bytes[claim.shape..]), claim.behind()).ok()?;
    let (stream, is_whole) = match texts.get(..outline.stream) {
        Some(stream) => (stream, true),
        None => (texts, false),
    };
    let is_name = match std::str::from_utf8(stream) {
        Ok(name) => !is_whole || name.contains('/'),
        Err(error) => !is_whole && error.error_len().is_none(),
    };
    is_name.then_some(claim.length)
}

/// A record that was verified, apart from its texts and bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) outline: Outline,
    pub(super) length: u32,
    pub(super) checksum: u32,
}

impl Header {
    /// Verifies the record that these bytes begin with, which claims this.
    #[inline]
    pub(super) fn decode(bytes: &[u8], claim: Claim, seed: u32) -> Result<Self, Fault> {
        let length = claim.length;
        let bytes = bytes.get(..length as usize).ok_or(Fault::Short)?;
        let (sum, content) = bytes.split_first_chunk().ok_or(Fault::Short)?;
        let sum = u32::from_le_bytes(*sum);
        if checksum(seed, content) != sum {
            return Err(Fault::Checksum);
        }
        let (outline, _) = outline(Fields(&bytes[claim.shape..]), claim.behind())?;
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

/// The outline that begins with a shape, and what follows it, where so many bytes are claimed to lie in all.
#[inline]
fn outline(fields: Fields<'_>, claimed: usize) -> Result<(Outline, &[u8]), Fault> {
    let (shape, rest) = fields.0.split_first().ok_or(Fault::Short)?;
    if shape & (shape::EVENT | shape::UNKNOWN) != shape::EVENT {
        return Err(Fault::Unknown { what: "record shape", number: (*shape).into() });
    }
    let outline = fitting(*shape, Fields(rest), claimed - 1);
    outline.ok_or(Fault::Wrong("the fields of a record do not fit"))
}

#[inline]
fn fitting(shape: u8, mut fields: Fields<'_>, claimed: usize) -> Option<(Outline, &[u8])> {
    let begin = fields.0.len();
    let has = |field| shape & field != 0;
    let recorded_at = fields.i64()?;
    let id = if has(shape::TIMED_ID) {
        EventId::in_millisecond(recorded_at, fields.array()?)?
    } else {
        EventId::new(Uuid::from_bytes(fields.array()?))
    };
    let (position, version) = (fields.varint()?, fields.varint()?);
    let (mut ordinal, mut count, mut schema) = (0, 1, SchemaVersion::FIRST);
    if has(shape::ONE_OF_SEVERAL) {
        ordinal = u32::try_from(fields.varint()?).ok()?;
        count = u32::try_from(fields.varint()?).ok()?;
    }
    if has(shape::SCHEMA) {
        schema = SchemaVersion::new(u32::try_from(fields.varint()?).ok()?)?;
    }
    let (stream, event_type) = (fields.length()?, fields.length()?);
    let tags = if has(shape::TAGS) { fields.length()? } else { 0 };
    let metadata = if has(shape::METADATA) { fields.length()? } else { 0 };
    let before = stream.checked_add(event_type)?.checked_add(tags)?.checked_add(metadata)?;
    let payload = claimed.checked_sub(begin - fields.0.len())?.checked_sub(before)?;
    let is_placed =
        ordinal < count && u64::from(ordinal) < position && version > 0 && is_time(recorded_at);
    let outline = Outline {
        position: Position::new(position),
        version: Version::new(version),
        recorded_at,
        id,
        commit: CommitPlace { ordinal, count },
        schema,
        encoding: if has(shape::BINARY) { Encoding::Binary } else { Encoding::Json },
        stream,
        event_type,
        tags,
        metadata,
        payload,
    };
    is_placed.then_some((outline, fields.0))
}

impl<'a> Record<'a> {
    /// Verifies the record that these bytes begin with.
    pub(super) fn decode(bytes: &'a [u8], seed: u32) -> Result<Self, Fault> {
        let header = Header::decode(bytes, Claim::of(bytes)?, seed)?;
        let Header { length, checksum, .. } = header;
        Ok(Self { event: header.event(bytes), length, checksum })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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
        let golden = "b25246d8 2e b4 40420f0000000000 0102030405060708090a0b0c0d0e0f10 \
             ac02 03 01 02 03 01 03 04 612f31 58 730a74 08026d65 37";
        assert_eq!(hex(&bytes), golden.replace(' ', ""));
        let record = Record::decode(&bytes, SEED).ok().unwrap();
        assert!(record.event == event);
    }

    /// Events that have each combination of what a record need not have.
    fn events() -> impl Iterator<Item = RecordedEvent<'static>> {
        (0..1 << 6).map(|shape| {
            let has = |bit: u8| shape & 1 << bit != 0;
            let timed = (1_000_000 / 1000) << 80 | 7 << 76 | 0b10 << 62 | 5;
            let placement = Placement {
                stream: if has(0) { "a/1" } else { "ä/1" }.parse().unwrap(),
                version: Version::new(1 << (shape % 60)),
                position: Position::new(1 + (1 << (shape % 62))),
                recorded_at: DateTime::from_timestamp_micros(1_000_999).unwrap(),
                id: EventId::new(Uuid::from_u128(if has(1) { timed } else { timed + (1 << 80) })),
                commit: CommitPlace { ordinal: has(2).into(), count: 1 + u32::from(has(2)) },
            };
            let schema = SchemaVersion::new(1 + u32::from(has(3)) * 300).unwrap();
            let event =
                NewEvent::new(EventType::new("X").unwrap(), &7).unwrap().with_schema(schema);
            let tags: &[&str] = if has(4) { &["s", "t"] } else { &[] };
            let event = event.with_tags(Tags::of(tags.iter().copied()).unwrap());
            let metadata = if has(5) { Metadata::new().with_actor("me") } else { Metadata::new() };
            RecordedEvent::new(&placement, &event.with_metadata(metadata)).into_owned()
        })
    }

    #[test]
    fn what_a_record_need_not_have_takes_no_room() {
        let mut lengths = BTreeMap::new();
        for event in events() {
            let mut bytes = vec![0xEE; 3];
            let sum = encode(&mut bytes, SEED, &event);
            let record = Record::decode(&bytes[3..], SEED).ok().unwrap();
            assert!(record.event == event);
            assert_eq!((record.length as usize, record.checksum), (bytes.len() - 3, sum));
            let shape = bytes[8] & !shape::BINARY;
            let many = [event.position().get(), event.version().get()];
            let varints: usize = many.iter().map(|number| varint(*number).1).sum();
            lengths.insert(shape, bytes.len() - 3 - varints - event.stream().as_str().len());
        }
        let least = lengths[&(shape::EVENT | shape::TIMED_ID)];
        let more = |shape| lengths[&(shape::EVENT | shape::TIMED_ID | shape)] - least;
        assert_eq!(lengths[&shape::EVENT] - least, 6);
        assert_eq!((more(shape::ONE_OF_SEVERAL), more(shape::SCHEMA)), (2, 2));
        assert_eq!((more(shape::TAGS), more(shape::METADATA)), (1 + 3, 1 + 4));
        // A type and a payload of one byte take as much as two numbers.
        assert_eq!(least, RECORD_BYTES_MIN as usize);
    }

    #[test]
    fn where_a_record_may_begin_is_told_by_what_lies_before_its_texts() {
        let mut bytes = Vec::new();
        let starts: Vec<usize> = events()
            .map(|event| {
                let start = bytes.len();
                bytes.extend_from_slice(br#"{"a":"some text"}"#);
                encode(&mut bytes, SEED, &event);
                start + 17
            })
            .collect();
        let window = |bytes: &[u8], start: usize| {
            may_begin(&bytes[start..bytes.len().min(start + BEFORE_TEXTS_MAX)]).is_some()
        };
        assert!(starts.iter().all(|start| window(&bytes, *start)));
        let text = br#"{"a":"some/text","n":[1,22,333]}"#.repeat(100);
        assert!(!(0..text.len()).any(|start| window(&text, start)));
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(200_000)
        .collect();
        let few = (0..noise.len()).filter(|start| window(&noise, *start)).count();
        assert!(few < noise.len() / 1000, "{few} places in noise look as if a record began there");
    }

    #[test]
    fn an_unknown_shape_is_named() {
        for unknown in [shape::UNKNOWN, shape::EVENT] {
            let (mut bytes, _) = encoded();
            bytes[5] ^= unknown;
            let sum = checksum(SEED, &bytes[4..]);
            bytes[..4].copy_from_slice(&sum.to_le_bytes());
            let fault = Record::decode(&bytes, SEED).err();
            let number = u64::from(bytes[5]);
            assert_eq!(fault, Some(Fault::Unknown { what: "record shape", number }));
        }
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
