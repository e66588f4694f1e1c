//! Frames and records in the bytes of a segment, taken apart without the library.

use std::ops::Range;

use crate::log::Fact;

const SEGMENT_HEADER: usize = 96;
pub(crate) const FRAME_HEADER: usize = 40;

/// Bits of a record's shape.
const TIMED_ID: u8 = 1 << 1;
const ONE_OF_SEVERAL: u8 = 1 << 2;

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap())
}

/// The number at an offset, and where it ends.
fn varint(bytes: &[u8], mut at: usize) -> Option<(u64, usize)> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = *bytes.get(at)?;
        number |= u64::from(byte & 0x7F).checked_shl(shift)?;
        (at, shift) = (at + 1, shift + 7);
        if byte & 0x80 == 0 {
            return Some((number, at));
        }
    }
}

fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7F).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
}

/// Where a record lies that begins at an offset, and where its shape does, which follows its length.
pub(crate) fn record_at(bytes: &[u8], start: usize) -> Option<(Range<usize>, usize)> {
    let (behind, shape) = varint(bytes, start + 4)?;
    let end = shape.checked_add(usize::try_from(behind).ok()?)?;
    (behind > 0 && end <= bytes.len()).then_some((start..end, shape))
}

/// A record, where it lies in its segment.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) bytes: Range<usize>,
    /// Where its frame begins, and whether it is the first there.
    pub(crate) frame: usize,
    pub(crate) is_first: bool,
    pub(crate) shape: usize,
    pub(crate) id: Range<usize>,
}

impl Record {
    /// Where the position stands; then version, and, of one of several, ordinal and count.
    pub(crate) fn numbers(&self) -> usize {
        self.id.end
    }
}

/// The records of a whole segment.
fn records(bytes: &[u8]) -> Vec<Record> {
    let (tag, mut frame, mut all) = (&bytes[44..52], SEGMENT_HEADER, Vec::new());
    while bytes.get(frame..frame + 8) == Some(tag) {
        let end = frame + u32_at(bytes, frame + 8) as usize;
        let mut at = frame + FRAME_HEADER;
        while at < end {
            let (record, shape) = record_at(bytes, at).unwrap();
            let id = shape + 1 + 8;
            let id = id..id + if bytes[shape] & TIMED_ID == 0 { 16 } else { 10 };
            let is_first = at == frame + FRAME_HEADER;
            all.push(Record { bytes: record.clone(), frame, is_first, shape, id });
            at = record.end;
        }
        frame = end;
    }
    all
}

/// The record of an event, if it is in this segment.
pub(crate) fn record_of(bytes: &[u8], event: &Fact) -> Option<Record> {
    let id = *event.event_id().as_uuid().as_bytes();
    records(bytes).into_iter().find(|record| id.ends_with(&bytes[record.id.clone()]))
}

/// The bytes of a segment in which the record of an event says that it has another version, and another place in its commit.
pub(crate) fn with_place(
    mut bytes: Vec<u8>,
    event: &Fact,
    version: u64,
    commit: [u64; 2],
) -> Vec<u8> {
    let record = record_of(&bytes, event).unwrap();
    let (_, from) = varint(&bytes, record.numbers()).unwrap();
    let mut to = varint(&bytes, from).unwrap().1;
    if bytes[record.shape] & ONE_OF_SEVERAL != 0 {
        to = varint(&bytes, to).unwrap().1;
        to = varint(&bytes, to).unwrap().1;
    }
    let mut content = bytes[record.shape..from].to_vec();
    content[0] |= ONE_OF_SEVERAL;
    [version, commit[0], commit[1]].iter().for_each(|number| put_varint(&mut content, *number));
    content.extend_from_slice(&bytes[to..record.bytes.end]);
    let mut whole = vec![0; 4];
    put_varint(&mut whole, content.len() as u64);
    whole.extend_from_slice(&content);
    let frame = u32_at(&bytes, record.frame + 8) as usize + whole.len() - record.bytes.len();
    let frame = u32::try_from(frame).unwrap().to_le_bytes();
    bytes[record.frame + 8..record.frame + 12].copy_from_slice(&frame);
    bytes.splice(record.bytes, whole);
    bytes
}
