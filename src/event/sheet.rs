//! Batches of events that stay where they were read.

use std::sync::Arc;

use super::batch::Batch;
use super::chunk::{Buffers, CHUNK_BYTES, Chunk, Slot};
use super::recorded::Outline;

/// A batch that is being filled. What a store reads from its files is read into a sheet; events that are found there are
/// taken, and stay where they lie.
pub(crate) struct Sheet {
    buffers: Arc<Buffers>,
    batch: Batch,
    /// What is filled now.
    chunk: Chunk,
    text: Vec<u8>,
    /// How much of the chunk's bytes is filled.
    filled: usize,
    /// How many bytes the events take that were taken of it.
    taken: usize,
}

/// Of how many bytes that a batch keeps alive one has to be an event's; otherwise what is an event's is copied.
const WASTE: usize = 4;

impl Sheet {
    pub(crate) fn new(buffers: &Arc<Buffers>) -> Self {
        let (buffers, batch, chunk) = (Arc::clone(buffers), Batch::new(), Chunk::default());
        Self { buffers, batch, chunk, text: Vec::new(), filled: 0, taken: 0 }
    }

    /// How many events were taken, and how many bytes they take.
    #[inline]
    pub(crate) fn taken(&self) -> (usize, usize) {
        (self.batch.len() + self.chunk.len(), self.batch.byte_len() + self.taken)
    }

    /// Everything that was read since the last [`turn`](Self::turn).
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.chunk.bytes[..self.filled]
    }

    /// Whether so many more bytes are too many for one chunk.
    pub(crate) fn is_full_with(&self, more: usize) -> bool {
        self.filled > 0 && self.filled + more > CHUNK_BYTES
    }

    /// Begins with buffers that were used before, if nothing was read yet.
    pub(crate) fn expect_much(&mut self) {
        if self.filled == 0 && self.chunk.home.is_none() {
            self.chunk = self.buffers.take();
            self.text = std::mem::take(&mut self.chunk.text).into_bytes();
        }
    }

    /// Room for so many bytes behind those that were read.
    pub(crate) fn room(&mut self, bytes: usize) -> &mut [u8] {
        let end = self.filled + bytes;
        if end >= CHUNK_BYTES && self.filled == 0 {
            self.expect_much();
        }
        if self.chunk.bytes.len() < end {
            self.chunk.bytes.resize(end, 0);
        }
        let start = std::mem::replace(&mut self.filled, end);
        &mut self.chunk.bytes[start..end]
    }

    /// Gives back so much of the room that was had last.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        self.filled -= bytes;
    }

    /// Takes the event of this outline, whose texts begin here, with its bytes behind them. They [fit](Outline::fits).
    #[inline]
    pub(crate) fn take(&mut self, outline: &Outline, at: usize) {
        let bytes = at + outline.text();
        let slot = Slot { outline: *outline, text: self.text.len(), bytes };
        self.text.extend_from_slice(&self.chunk.bytes[at..bytes]);
        self.taken += slot.byte_len();
        self.chunk.slots.push(slot);
    }

    /// Ends with what was read so far, apart from what was taken of it.
    pub(crate) fn turn(&mut self) {
        self.filled = 0;
        let taken = std::mem::take(&mut self.taken);
        if self.chunk.slots.is_empty() {
            return;
        }
        let mut chunk = match taken < self.chunk.bytes.len() / WASTE {
            true => self.chunk.part(),
            false => std::mem::take(&mut self.chunk),
        };
        let text = String::from_utf8(std::mem::take(&mut self.text));
        chunk.text = text.expect("the texts of all events fit");
        self.batch.add(chunk, taken);
    }

    /// The events that were taken.
    pub(crate) fn into_batch(mut self) -> Batch {
        self.turn();
        self.batch
    }
}
