//! Events read together.

use std::sync::Arc;

use super::chunk::{CHUNK_BYTES, Chunk};
use super::recorded::RecordedEvent;
use crate::position::Position;

/// Some recorded events, in the order of the read that they answer.
///
/// The events share a few buffers, so a batch of a thousand events costs a handful of allocations, looking through it
/// costs none, and a batch may show events of another without copying them.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    chunks: Vec<Arc<Chunk>>,
    /// Where each event stands: in which chunk, and at which slot of it.
    events: Vec<(usize, usize)>,
    byte_len: usize,
}

impl Batch {
    /// A batch without events.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a copy of an event behind those that are there.
    pub fn push(&mut self, event: &RecordedEvent<'_>) {
        let open = self.chunks.last_mut().and_then(Arc::get_mut);
        let slot = match open.filter(|chunk| chunk.byte_len() < CHUNK_BYTES) {
            Some(chunk) => chunk.push(event),
            None => {
                let mut chunk = Chunk::default();
                let slot = chunk.push(event);
                self.chunks.push(Arc::new(chunk));
                slot
            }
        };
        self.note(slot);
    }

    /// Adds all events of a chunk, which take so many bytes, behind those that are there.
    pub(super) fn add(&mut self, chunk: Chunk, byte_len: usize) {
        self.byte_len += byte_len;
        self.events.extend((0..chunk.len()).map(|slot| (self.chunks.len(), slot)));
        self.chunks.push(Arc::new(chunk));
    }

    /// Adds an event of another batch behind those that are there; both share its buffers. Nothing is added if the other
    /// batch has no event at this place.
    pub fn share(&mut self, other: &Self, index: usize) {
        let Some((chunk, slot)) = other.events.get(index) else { return };
        let chunk = &other.chunks[*chunk];
        if !self.chunks.last().is_some_and(|last| Arc::ptr_eq(last, chunk)) {
            self.chunks.push(Arc::clone(chunk));
        }
        self.note(*slot);
    }

    /// Takes note of an event at this slot of the last chunk.
    #[inline]
    fn note(&mut self, slot: usize) {
        let chunk = self.chunks.len() - 1;
        self.events.push((chunk, slot));
        self.byte_len += self.chunks[chunk].byte_len_of(slot);
    }

    /// How many events it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many bytes its events take.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.byte_len
    }

    /// The event at a place in the batch, from 0.
    #[must_use]
    #[inline]
    pub fn get(&self, index: usize) -> Option<RecordedEvent<'_>> {
        let (chunk, slot) = self.events.get(index)?;
        Some(self.chunks[*chunk].get(*slot))
    }

    /// How many of its events, which stand in the order of the log, have positions up to this one.
    pub(crate) fn count_up_to(&self, position: Position) -> usize {
        let is_up_to =
            |(chunk, slot): &(usize, usize)| self.chunks[*chunk].get(*slot).position() <= position;
        self.events.partition_point(is_up_to)
    }

    /// The events, in order.
    #[must_use]
    #[inline]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = RecordedEvent<'_>> + ExactSizeIterator {
        self.events.iter().map(|(chunk, slot)| self.chunks[*chunk].get(*slot))
    }
}

impl<'a> FromIterator<RecordedEvent<'a>> for Batch {
    fn from_iter<I: IntoIterator<Item = RecordedEvent<'a>>>(events: I) -> Self {
        let mut batch = Self::new();
        events.into_iter().for_each(|event| batch.push(&event));
        batch
    }
}
