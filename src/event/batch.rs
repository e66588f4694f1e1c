//! Events read together.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use super::metadata::EncodedMetadata;
use super::recorded::RecordedEvent;
use crate::id::EventId;
use crate::position::{Position, SchemaVersion, Version};

/// Some recorded events, in the order of the read that they answer.
///
/// The events share two buffers, one for text and one for bytes, so a batch of a thousand events costs a handful of
/// allocations and looking through it costs none.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Streams, types and tags, one after the other; every slot's pieces begin and end on character borders.
    text: String,
    /// Metadata and payloads, one after the other.
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
    schema: SchemaVersion,
    stream: usize,
    event_type: usize,
    tags: usize,
    metadata: usize,
    payload: usize,
}

impl Batch {
    /// A batch without events.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event behind those that are there.
    pub fn push(&mut self, event: &RecordedEvent<'_>) {
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
            schema: event.schema,
            stream: text(&mut self.text, &event.stream),
            event_type: text(&mut self.text, &event.event_type),
            tags: text(&mut self.text, &event.tags),
            metadata: bytes(&mut self.bytes, event.metadata.as_bytes()),
            payload: bytes(&mut self.bytes, &event.payload),
        });
    }

    /// How many events it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many bytes its events take.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.text.len() + self.bytes.len() + self.slots.len() * size_of::<Slot>()
    }

    /// The event at a place in the batch, from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<RecordedEvent<'_>> {
        let slot = self.slots.get(index)?;
        let (text, bytes) = match index.checked_sub(1) {
            Some(before) => (self.slots[before].tags, self.slots[before].payload),
            None => (0, 0),
        };
        Some(RecordedEvent {
            position: slot.position,
            version: slot.version,
            recorded_at: slot.recorded_at,
            id: slot.id,
            schema: slot.schema,
            stream: Cow::Borrowed(&self.text[text..slot.stream]),
            event_type: Cow::Borrowed(&self.text[slot.stream..slot.event_type]),
            tags: Cow::Borrowed(&self.text[slot.event_type..slot.tags]),
            metadata: EncodedMetadata::from_encoded(&self.bytes[bytes..slot.metadata]),
            payload: Cow::Borrowed(&self.bytes[slot.metadata..slot.payload]),
        })
    }

    /// The events, in order.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = RecordedEvent<'_>> + ExactSizeIterator {
        (0..self.len()).map(|index| self.get(index).expect("the index is below the length"))
    }
}
