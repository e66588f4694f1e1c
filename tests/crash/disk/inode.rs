//! The bytes of one file: what a process sees, what is durable, and what is on its way from the one to the other.

use std::ops::Range;
use std::sync::Arc;

use crate::random::Random;

/// The bytes of a file. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    /// What a process sees.
    live: Arc<Vec<u8>>,
    /// What survives a power cut, whatever happens.
    durable: Arc<Vec<u8>>,
    /// What was done since the last sync, in its order.
    pending: Vec<Change>,
    /// Whether a failed sync has made `live` show what will never be durable.
    diverged: bool,
    /// How many syncs have failed. Each is reported once to every handle.
    pub(super) failed_syncs: u64,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Arc<[u8]> },
    Length(usize),
}

/// How a power cut treats what is pending.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tearing {
    /// The size of the pieces that are kept or lost each by itself.
    pub(super) piece_bytes: usize,
    /// In how many of a hundred cases a piece is kept.
    pub(super) kept_percent: u64,
}

/// No write is torn into more pieces than this, whatever the size of its pieces.
const PIECES_MAX: usize = 2048;
/// In how many of a hundred cases a piece that is kept is torn inside.
const TORN_PERCENT: u64 = 3;

impl Inode {
    /// A file with these bytes, all of them durable.
    pub(super) fn settled(bytes: Vec<u8>) -> Self {
        let live = Arc::new(bytes);
        Self { durable: Arc::clone(&live), live, ..Self::default() }
    }

    pub(super) fn live(&self) -> &Arc<Vec<u8>> {
        &self.live
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        put(Arc::make_mut(&mut self.live), offset, bytes);
        self.pending.push(Change::Write { offset, bytes: bytes.into() });
    }

    pub(super) fn set_len(&mut self, length: usize) {
        Arc::make_mut(&mut self.live).resize(length, 0);
        self.pending.push(Change::Length(length));
    }

    /// Makes everything durable that is pending, and the length.
    pub(super) fn sync(&mut self) {
        if !self.diverged {
            self.durable = Arc::clone(&self.live);
            self.pending.clear();
            return;
        }
        let durable = Arc::make_mut(&mut self.durable);
        for change in self.pending.drain(..) {
            match change {
                Change::Write { offset, bytes } => put(durable, offset, &bytes),
                Change::Length(length) => durable.resize(length, 0),
            }
        }
        durable.resize(self.live.len(), 0);
    }

    /// A sync that fails: what was pending stays visible, will never be durable, and counts as clean.
    pub(super) fn fail_sync(&mut self) {
        self.failed_syncs += 1;
        self.diverged |= !self.pending.is_empty();
        self.pending.clear();
    }

    /// What a power cut leaves: of every pending write some pieces, and some length that the file had meanwhile.
    pub(super) fn cut(&self, tearing: Tearing, random: &mut Random) -> Self {
        if self.pending.is_empty() {
            let durable = Arc::clone(&self.durable);
            return Self { live: Arc::clone(&durable), durable, ..Self::default() };
        }
        let mut bytes = Vec::clone(&self.durable);
        let mut lengths = vec![bytes.len()];
        for change in &self.pending {
            let length = lengths[lengths.len() - 1];
            match change {
                Change::Write { offset, bytes: written } => {
                    for piece in pieces(*offset, written.len(), tearing.piece_bytes) {
                        keep_piece(&mut bytes, *offset, written, piece, tearing, random);
                    }
                    lengths.push(length.max(offset + written.len()));
                }
                Change::Length(length) => {
                    if random.chance(tearing.kept_percent) {
                        bytes.truncate(*length);
                    }
                    lengths.push(*length);
                }
            }
        }
        let length = match random.below(4) {
            0 => lengths[0],
            1 => *random.pick(&lengths),
            _ => lengths[lengths.len() - 1],
        };
        bytes.resize(length, 0);
        Self::settled(bytes)
    }
}

/// Writes over what is there; a gap before the offset is filled with zeros.
fn put(into: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if into.len() < end {
        into.resize(end, 0);
    }
    into[offset..end].copy_from_slice(bytes);
}

/// The places in a write of so many bytes at this offset at which the borders of pieces lie, as ranges in the file.
fn pieces(offset: usize, len: usize, piece_bytes: usize) -> impl Iterator<Item = Range<usize>> {
    let size = piece_bytes.max(len / PIECES_MAX);
    let end = offset + len;
    let mut start = offset;
    std::iter::from_fn(move || {
        let piece = start..((start / size + 1) * size).min(end);
        start = piece.end;
        (!piece.is_empty()).then_some(piece)
    })
}

fn keep_piece(
    into: &mut Vec<u8>,
    offset: usize,
    written: &[u8],
    piece: Range<usize>,
    tearing: Tearing,
    random: &mut Random,
) {
    let kept = match tearing.kept_percent {
        0 => false,
        100 => true,
        percent => random.chance(percent),
    };
    if !kept {
        return;
    }
    let torn = tearing.kept_percent < 100 && piece.len() > 1 && random.chance(TORN_PERCENT);
    let end = if torn { piece.start + random.index(piece.len()) } else { piece.end };
    put(into, piece.start, &written[piece.start - offset..end - offset]);
}
