//! Puts the checksums of a file right, so that what was changed in it passes for what was written.

use annals::storage::FileName;

use crate::disk::State;
use crate::records::{FRAME_HEADER, record_at, u32_at};

const SEGMENT_HEADER: usize = 96;
const STORE_BYTES: usize = 128;
const SLOTS: [usize; 2] = [0, 4096];
const SLOT_BYTES: usize = 56;
const BLOCK: usize = 4096;

fn put_u32(bytes: &mut [u8], offset: usize, number: u32) {
    bytes[offset..offset + 4].copy_from_slice(&number.to_le_bytes());
}

fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

/// Puts a checksum at the end of what it covers.
fn seal(seed: u32, bytes: &mut [u8]) -> u32 {
    let end = bytes.len() - 4;
    let sum = checksum(seed, &bytes[..end]);
    put_u32(bytes, end, sum);
    sum
}

/// Puts the checksums of a file right, as far as it still has the form of what it is.
pub(crate) fn repair(file: FileName, bytes: &mut [u8]) {
    match file {
        FileName::Store if bytes.len() >= STORE_BYTES => {
            seal(0, &mut bytes[..STORE_BYTES]);
        }
        FileName::Watermark => {
            for slot in SLOTS.map(|start| start..start + SLOT_BYTES) {
                if let Some(slot) = bytes.get_mut(slot) {
                    seal(0, slot);
                }
            }
        }
        FileName::Run(..) => {
            let tag = bytes.get(40..44).map_or(0, |_| u32_at(bytes, 40));
            for (number, block) in (0..).zip(bytes.chunks_exact_mut(BLOCK)) {
                seal(tag ^ number, block);
            }
        }
        FileName::Segment(_) if bytes.len() >= SEGMENT_HEADER => {
            repair_segment(bytes);
        }
        _ => {}
    }
}

/// The chain of the last frame, or the segment's own where there is none.
fn repair_segment(bytes: &mut [u8]) -> u32 {
    let tag: [u8; 8] = bytes[44..52].try_into().unwrap();
    let seed = u32::from_le_bytes(tag[..4].try_into().unwrap());
    seal(0, &mut bytes[..SEGMENT_HEADER]);
    // What the header says of the segment and its predecessor, and nothing of the store.
    let mut chain = checksum(0, &bytes[40..SEGMENT_HEADER - 4]);
    let mut start = SEGMENT_HEADER;
    while start + FRAME_HEADER <= bytes.len() && bytes[start..start + 8] == tag {
        let length = u32_at(bytes, start + 8) as usize;
        let Some(frame) = bytes.get_mut(start..start.saturating_add(length)) else { break };
        if length < FRAME_HEADER {
            break;
        }
        let body = repair_records(&mut frame[FRAME_HEADER..], seed);
        put_u32(frame, 28, chain);
        put_u32(frame, 32, body);
        chain = seal(seed, &mut frame[..FRAME_HEADER]);
        start += length;
    }
    chain
}

/// The checksum of the checksums.
fn repair_records(bytes: &mut [u8], seed: u32) -> u32 {
    let (mut sums, mut start) = (Vec::new(), 0);
    while let Some((record, _)) = record_at(bytes, start) {
        let sum = checksum(seed, &bytes[start + 4..record.end]);
        put_u32(bytes, start, sum);
        sums.extend_from_slice(&sum.to_le_bytes());
        start = record.end;
    }
    checksum(seed, &sums)
}

/// Puts right what each segment says of the one before it.
pub(crate) fn relink(state: &mut State) {
    let files = state.files();
    let segments = files.into_iter().filter(|file| matches!(file, FileName::Segment(_)));
    let mut before: Option<(usize, u32)> = None;
    for file in segments {
        let mut bytes = state.bytes(file).unwrap().to_vec();
        if bytes.len() < SEGMENT_HEADER {
            before = None;
            continue;
        }
        if let Some((length, chain)) = before {
            put_u32(&mut bytes, 60, u32::try_from(length).unwrap());
            put_u32(&mut bytes, 64, chain);
        }
        before = Some((bytes.len(), repair_segment(&mut bytes)));
        state.put(file, bytes);
    }
}
