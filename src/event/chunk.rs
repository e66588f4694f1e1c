//! Events that lie in the same buffers.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::recorded::{Outline, RecordedEvent};

/// Events in two buffers, one for text and one for bytes.
#[derive(Default)]
pub(super) struct Chunk {
    /// Streams, types and tags, behind one another.
    pub(super) text: String,
    /// Metadata and payloads, perhaps among others.
    pub(super) bytes: Vec<u8>,
    pub(super) slots: Vec<Slot>,
    /// Where the buffers go when the chunk is gone.
    pub(super) home: Option<Arc<Buffers>>,
}

/// An event, and where its pieces are: its texts, and its metadata with its payload behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) outline: Outline,
    pub(super) text: usize,
    pub(super) bytes: usize,
}

impl Slot {
    #[inline]
    pub(super) fn byte_len(&self) -> usize {
        size_of::<Self>() + self.outline.text() + self.outline.bytes()
    }
}

impl Chunk {
    /// Adds a copy of an event and returns its slot.
    pub(super) fn push(&mut self, event: &RecordedEvent<'_>) -> usize {
        let (text, bytes) = (self.text.len(), self.bytes.len());
        let texts = [&event.stream, &event.event_type, &event.tags];
        texts.iter().for_each(|piece| self.text.push_str(piece));
        self.bytes.extend_from_slice(event.metadata.as_bytes());
        self.bytes.extend_from_slice(&event.payload);
        self.slots.push(Slot { outline: event.outline(), text, bytes });
        self.slots.len() - 1
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many bytes its texts and bytes take.
    pub(super) fn byte_len(&self) -> usize {
        self.text.len() + self.bytes.len()
    }

    #[inline]
    pub(super) fn byte_len_of(&self, slot: usize) -> usize {
        self.slots[slot].byte_len()
    }

    /// A chunk with the slots of this one, and with no other bytes than are theirs. The text stays.
    pub(super) fn part(&mut self) -> Self {
        let mut part = Self::default();
        part.slots = std::mem::take(&mut self.slots);
        part.bytes.reserve_exact(part.slots.iter().map(|slot| slot.outline.bytes()).sum());
        for slot in &mut part.slots {
            let bytes = slot.bytes..slot.bytes + slot.outline.bytes();
            slot.bytes = part.bytes.len();
            part.bytes.extend_from_slice(&self.bytes[bytes]);
        }
        part
    }

    #[inline]
    pub(super) fn get(&self, slot: usize) -> RecordedEvent<'_> {
        let Slot { outline, text, bytes } = &self.slots[slot];
        let (text, bytes) = (&self.text[*text..], &self.bytes[*bytes..]);
        RecordedEvent::of(outline, &text[..outline.text()], &bytes[..outline.bytes()])
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.take_back(std::mem::take(self));
        }
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("slots", &self.slots).finish_non_exhaustive()
    }
}

/// The buffers of large chunks that are gone, for those that come: memory that is new costs more than what is done with it.
#[derive(Debug, Default)]
pub(crate) struct Buffers(Mutex<Vec<Chunk>>);

/// How many are kept at most, and how large they are: what an event of many megabytes has taken is given back.
const KEPT_MAX: usize = 8;
const KEPT_BYTES_MAX: usize = 2 * CHUNK_BYTES;

/// A chunk that has grown to this size is followed by another, so that no buffer is large without need.
pub(super) const CHUNK_BYTES: usize = 256 << 10;

impl Buffers {
    fn take_back(&self, mut chunk: Chunk) {
        chunk.text.clear();
        chunk.slots.clear();
        let mut kept = self.0.lock();
        if kept.len() < KEPT_MAX && chunk.bytes.capacity() <= KEPT_BYTES_MAX {
            kept.push(chunk);
        }
    }

    /// A chunk without events, whose buffers are to come back. What its bytes are does not matter.
    pub(super) fn take(self: &Arc<Self>) -> Chunk {
        let mut chunk = self.0.lock().pop().unwrap_or_default();
        chunk.home = Some(Arc::clone(self));
        chunk
    }
}

#[cfg(test)]
mod tests {
    use super::super::sheet::Sheet;
    use super::*;

    fn kept_after(bytes: usize) -> usize {
        let buffers = Arc::<Buffers>::default();
        let mut sheet = Sheet::new(&buffers);
        sheet.room(bytes);
        drop(sheet);
        buffers.0.lock().len()
    }

    #[test]
    fn buffers_are_used_again_unless_they_are_very_large() {
        assert_eq!(kept_after(CHUNK_BYTES / 2), 0);
        assert_eq!(kept_after(CHUNK_BYTES), 1);
        assert_eq!(kept_after(20 * CHUNK_BYTES), 0);
    }

    #[test]
    fn no_more_buffers_are_kept_than_are_of_use() {
        let buffers = Arc::<Buffers>::default();
        let chunks: Vec<Chunk> = (0..3 * KEPT_MAX).map(|_| buffers.take()).collect();
        drop(chunks);
        assert_eq!(buffers.0.lock().len(), KEPT_MAX);
    }
}
