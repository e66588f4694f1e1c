//! Events read together.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::metadata::EncodedMetadata;
use super::recorded::{CommitPlace, RecordedEvent};
use crate::id::EventId;
use crate::position::{Position, SchemaVersion, Version};

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

/// A chunk that has grown to this size is followed by another, so that no buffer is ever large.
const CHUNK_BYTES: usize = 256 << 10;

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

/// Events behind one another in two buffers, one for text and one for bytes.
#[derive(Debug, Clone, Default)]
struct Chunk {
    /// Streams, types and tags; every slot's pieces begin and end on character borders.
    text: String,
    /// Metadata and payloads.
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

/// An event's fixed fields, and where its pieces end; each piece begins where the one before it ends.
#[derive(Debug, Clone)]
struct Slot {
    position: Position,
    version: Version,
    recorded_at: DateTime<Utc>,
    id: EventId,
    commit: CommitPlace,
    schema: SchemaVersion,
    stream: usize,
    event_type: usize,
    tags: usize,
    metadata: usize,
    payload: usize,
}

impl Chunk {
    /// Adds an event and returns its slot.
    fn push(&mut self, event: &RecordedEvent<'_>) -> usize {
        let text = |text: &mut String, piece: &str| {
            text.push_str(piece);
            text.len()
        };
        let bytes = |bytes: &mut Vec<u8>, piece: &[u8]| {
            bytes.extend_from_slice(piece);
            bytes.len()
        };
        self.slots.push(Slot {
            position: event.position,
            version: event.version,
            recorded_at: event.recorded_at,
            id: event.id,
            commit: event.commit,
            schema: event.schema,
            stream: text(&mut self.text, &event.stream),
            event_type: text(&mut self.text, &event.event_type),
            tags: text(&mut self.text, &event.tags),
            metadata: bytes(&mut self.bytes, event.metadata.as_bytes()),
            payload: bytes(&mut self.bytes, &event.payload),
        });
        self.slots.len() - 1
    }

    fn byte_len(&self) -> usize {
        self.text.len() + self.bytes.len()
    }

    /// Where the text and the bytes of a slot begin.
    #[inline]
    fn start_of(&self, slot: usize) -> (usize, usize) {
        match slot.checked_sub(1) {
            Some(before) => (self.slots[before].tags, self.slots[before].payload),
            None => (0, 0),
        }
    }

    #[inline]
    fn byte_len_of(&self, slot: usize) -> usize {
        let (text, bytes) = self.start_of(slot);
        let slot = &self.slots[slot];
        size_of::<Slot>() + (slot.tags - text) + (slot.payload - bytes)
    }

    #[inline]
    fn get(&self, slot: usize) -> RecordedEvent<'_> {
        let (text, bytes) = self.start_of(slot);
        let slot = &self.slots[slot];
        RecordedEvent {
            position: slot.position,
            version: slot.version,
            recorded_at: slot.recorded_at,
            id: slot.id,
            commit: slot.commit,
            schema: slot.schema,
            stream: Cow::Borrowed(&self.text[text..slot.stream]),
            event_type: Cow::Borrowed(&self.text[slot.stream..slot.event_type]),
            tags: Cow::Borrowed(&self.text[slot.event_type..slot.tags]),
            metadata: EncodedMetadata::from_encoded(&self.bytes[bytes..slot.metadata]),
            payload: Cow::Borrowed(&self.bytes[slot.metadata..slot.payload]),
        }
    }
}
