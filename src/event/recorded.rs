//! Events as they stand in a store.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::metadata::{EncodedMetadata, Metadata};
use super::new::NewEvent;
use super::tags;
use crate::bytes::{has_byte, is_ascii};
use crate::error::{Error, ErrorKind};
use crate::id::{CorrelationId, EventId, EventType, StreamId, StreamRef, Tag};
use crate::payload::{self, Encoding};
use crate::position::{Position, SchemaVersion, Version};

/// Where and when a store records an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The stream it belongs to.
    pub stream: StreamId,
    /// Its place in the stream.
    pub version: Version,
    /// Its place in the store.
    pub position: Position,
    /// When it was recorded: one time for all events of a commit, in microseconds, never before an earlier commit's.
    pub recorded_at: DateTime<Utc>,
    /// Its identity, given by the caller or made by the store.
    pub id: EventId,
    /// Its place in the commit that it was recorded with.
    pub commit: CommitPlace,
}

/// An event's place in its commit, which tells where the commit begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitPlace {
    /// The number of events before it, in the order of the commit.
    pub ordinal: u32,
    /// The number of events of the commit.
    pub count: u32,
}

impl CommitPlace {
    /// Whether the commit begins with the event.
    #[must_use]
    pub fn is_first(self) -> bool {
        self.ordinal == 0
    }

    /// Whether the commit ends with the event.
    #[must_use]
    pub fn is_last(self) -> bool {
        self.ordinal.checked_add(1) == Some(self.count)
    }
}

/// An event as it stands in a store, exactly as it was written.
///
/// It borrows from the [`Batch`](super::Batch) it was read into, and nothing is decoded before it is asked for:
/// looking at an event allocates nothing. [`into_owned`](Self::into_owned) makes one that can be kept.
#[derive(Clone, PartialEq)]
pub struct RecordedEvent<'a> {
    pub(super) position: Position,
    pub(super) version: Version,
    /// In microseconds.
    pub(super) recorded_at: i64,
    pub(super) id: EventId,
    pub(super) commit: CommitPlace,
    pub(super) schema: SchemaVersion,
    pub(super) encoding: Encoding,
    /// The text of a [`StreamId`].
    pub(super) stream: Cow<'a, str>,
    /// The text of an [`EventType`].
    pub(super) event_type: Cow<'a, str>,
    /// The joined text of [`Tags`].
    pub(super) tags: Cow<'a, str>,
    pub(super) metadata: EncodedMetadata<'a>,
    pub(super) payload: Cow<'a, [u8]>,
}

/// The type of every gap, and the category of those whose stream is not known.
pub(crate) const GAP: &str = "$gap";

/// All of an event but its texts and bytes: its numbers, and how long those are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outline {
    pub(crate) position: Position,
    pub(crate) version: Version,
    /// In microseconds, and a time that there is.
    pub(crate) recorded_at: i64,
    pub(crate) id: EventId,
    pub(crate) commit: CommitPlace,
    pub(crate) schema: SchemaVersion,
    pub(crate) encoding: Encoding,
    pub(crate) stream: usize,
    pub(crate) event_type: usize,
    pub(crate) tags: usize,
    pub(crate) metadata: usize,
    pub(crate) payload: usize,
}

impl Outline {
    /// How long its texts are: stream, type and tags.
    #[inline]
    pub(crate) fn text(&self) -> usize {
        self.stream + self.event_type + self.tags
    }

    /// How long its bytes are: metadata and payload.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.metadata + self.payload
    }

    /// Whether these are the texts and the bytes of an event, of the right lengths.
    #[inline]
    pub(crate) fn fits(&self, text: &[u8], bytes: &[u8]) -> bool {
        let (stream, rest) = text.split_at(self.stream);
        let (event_type, tags) = rest.split_at(self.event_type);
        let is_text = is_ascii(text)
            || [stream, event_type, tags].iter().all(|text| std::str::from_utf8(text).is_ok());
        is_text && has_byte(stream, b'/') && EncodedMetadata::is_one(&bytes[..self.metadata])
    }
}

impl<'a> RecordedEvent<'a> {
    /// The event that a store makes of a new one by giving it a place.
    #[must_use]
    pub fn new(placement: &'a Placement, event: &'a NewEvent) -> Self {
        Self::placed(placement, event, EncodedMetadata::encode(event.metadata()))
    }

    /// As [`new`](Self::new), where the metadata is encoded already.
    pub(crate) fn placed(
        placement: &'a Placement,
        event: &'a NewEvent,
        metadata: EncodedMetadata<'a>,
    ) -> Self {
        Self {
            position: placement.position,
            version: placement.version,
            recorded_at: placement.recorded_at.timestamp_micros(),
            id: placement.id,
            commit: placement.commit,
            schema: event.schema(),
            encoding: event.encoding(),
            stream: placement.stream.as_str().into(),
            event_type: event.event_type().as_str().into(),
            tags: event.tags().joined().into(),
            metadata,
            payload: event.payload().into(),
        }
    }

    /// The event with this outline, these texts behind one another, and these bytes. They [fit](Outline::fits).
    #[inline]
    pub(crate) fn of(outline: &Outline, text: &'a str, bytes: &'a [u8]) -> Self {
        let (stream, rest) = text.split_at(outline.stream);
        let (event_type, tags) = rest.split_at(outline.event_type);
        let (metadata, payload) = bytes.split_at(outline.metadata);
        Self {
            position: outline.position,
            version: outline.version,
            recorded_at: outline.recorded_at,
            id: outline.id,
            commit: outline.commit,
            schema: outline.schema,
            encoding: outline.encoding,
            stream: Cow::Borrowed(stream),
            event_type: Cow::Borrowed(event_type),
            tags: Cow::Borrowed(tags),
            metadata: EncodedMetadata::from_encoded(metadata),
            payload: Cow::Borrowed(payload),
        }
    }

    /// A gap in this stream.
    pub(crate) fn gap(
        stream: String,
        version: Version,
        position: Position,
        recorded_at: DateTime<Utc>,
        id: EventId,
    ) -> RecordedEvent<'static> {
        RecordedEvent {
            commit: CommitPlace { ordinal: 0, count: 1 },
            position,
            version,
            recorded_at: recorded_at.timestamp_micros(),
            id,
            schema: SchemaVersion::FIRST,
            encoding: Encoding::Json,
            stream: stream.into(),
            event_type: GAP.into(),
            tags: "".into(),
            metadata: EncodedMetadata::encode(&Metadata::new()).into_owned(),
            payload: b"null".into(),
        }
    }

    /// The second part of the stream's name, borrowed for as long as the event itself borrows.
    #[inline]
    pub(crate) fn key(&self) -> Cow<'a, str> {
        match &self.stream {
            Cow::Borrowed(stream) => Cow::Borrowed(StreamRef::already_checked(stream).id()),
            Cow::Owned(stream) => Cow::Owned(StreamRef::already_checked(stream).id().to_owned()),
        }
    }
}

impl RecordedEvent<'_> {
    /// The event without its [`pieces`](Self::pieces).
    pub(crate) fn outline(&self) -> Outline {
        let [stream, event_type, tags, metadata, payload] = self.pieces().map(<[u8]>::len);
        Outline {
            position: self.position,
            version: self.version,
            recorded_at: self.recorded_at,
            id: self.id,
            commit: self.commit,
            schema: self.schema,
            encoding: self.encoding,
            stream,
            event_type,
            tags,
            metadata,
            payload,
        }
    }

    /// Stream, type, tags, metadata and payload.
    pub(crate) fn pieces(&self) -> [&[u8]; 5] {
        let [stream, event_type, tags] = [&self.stream, &self.event_type, &self.tags];
        let texts = [stream.as_bytes(), event_type.as_bytes(), tags.as_bytes()];
        [texts[0], texts[1], texts[2], self.metadata.as_bytes(), &self.payload]
    }

    /// The event's identity.
    #[must_use]
    #[inline]
    pub fn event_id(&self) -> EventId {
        self.id
    }

    /// Whether this is a gap: it stands where an event was lost to damage, when a store was
    /// [salvaged](crate::store::care::salvage). It stands in the stream of that event, at its version; where nobody knows those, in
    /// a stream of the category `$gap`.
    #[must_use]
    #[inline]
    pub fn is_gap(&self) -> bool {
        self.event_type == GAP
    }

    /// What happened, under the name that was stored.
    #[must_use]
    #[inline]
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// Which version of its type's shape was stored.
    #[must_use]
    #[inline]
    pub fn schema(&self) -> SchemaVersion {
        self.schema
    }

    /// How the payload is encoded.
    #[must_use]
    #[inline]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The payload as a value of some type, whatever its encoding; as it was stored, without upcasting.
    ///
    /// ```
    /// # use annals::{NewEvent, id::EventType, store::{Commit, EventStore as _, Expected, MemoryStore, Query}};
    /// # let store = MemoryStore::new();
    /// # let event = NewEvent::new(EventType::new("Deposited")?, &serde_json::json!({ "cents": 5 }))?;
    /// # store.append(Commit::new().write("account/1".parse()?, Expected::Empty, [event]))?;
    /// let (batch, _) = store.read(&Query::default())?;
    /// let payload: serde_json::Value = batch.iter().next().expect("one event").decode()?;
    /// assert_eq!(payload["cents"], 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        payload::decode(self.encoding, &self.payload).map_err(|source| {
            Error::new(ErrorKind::Decode)
                .in_stream(self.stream().to_stream_id())
                .at_position(self.position)
                .of_event(self.to_event_type(), self.schema)
                .caused_by(source.into_source())
        })
    }

    /// The stored payload: one value, in its [encoding](Self::encoding).
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The stream the event belongs to.
    #[must_use]
    #[inline]
    pub fn stream(&self) -> StreamRef<'_> {
        StreamRef::already_checked(&self.stream)
    }

    /// The event's place in its stream.
    #[must_use]
    #[inline]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The event's place in the store.
    #[must_use]
    #[inline]
    pub fn position(&self) -> Position {
        self.position
    }

    /// When the event was recorded.
    #[must_use]
    #[inline]
    pub fn recorded_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.recorded_at)
            .expect("it was made of a time, or checked")
    }

    /// When the event was recorded, in microseconds.
    #[inline]
    pub(crate) fn recorded_micros(&self) -> i64 {
        self.recorded_at
    }

    /// The event's place in its commit.
    #[must_use]
    #[inline]
    pub fn commit(&self) -> CommitPlace {
        self.commit
    }

    /// When it happened, if that was said.
    #[must_use]
    pub fn occurred_at(&self) -> Option<DateTime<Utc>> {
        self.metadata.fields().occurred_at
    }

    /// What it belongs to.
    #[must_use]
    pub fn correlation(&self) -> Option<CorrelationId> {
        self.metadata.fields().correlation
    }

    /// Which event caused it.
    #[must_use]
    pub fn causation(&self) -> Option<EventId> {
        self.metadata.fields().causation
    }

    /// Who did it.
    #[must_use]
    pub fn actor(&self) -> Option<&str> {
        self.metadata.fields().actor
    }

    /// What it belongs to, and which event caused it.
    pub(crate) fn related(&self) -> (Option<CorrelationId>, Option<EventId>) {
        let fields = self.metadata.fields();
        (fields.correlation, fields.causation)
    }

    /// The encoded metadata.
    pub(crate) fn metadata_bytes(&self) -> &[u8] {
        self.metadata.as_bytes()
    }

    /// All that is known about it, decoded.
    pub fn metadata(&self) -> Metadata {
        self.metadata.fields().into_metadata()
    }

    /// The names of its tags, sorted.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        tags::iter(&self.tags)
    }

    /// Whether it carries this tag.
    #[must_use]
    pub fn has_tag(&self, tag: &Tag) -> bool {
        tags::contains(&self.tags, tag)
    }

    /// The first and the last position of the commit that it was recorded with.
    pub(crate) fn commit_positions(&self) -> (Position, Position) {
        let before = self.position.get().saturating_sub(u64::from(self.commit.ordinal) + 1);
        let last = before.saturating_add(self.commit.count.into());
        (Position::new(before + 1), Position::new(last))
    }

    /// The same event at this place of its commit.
    pub(crate) fn placed_in_commit(self, commit: CommitPlace) -> Self {
        Self { commit, ..self }
    }

    /// An event that borrows from nothing.
    #[must_use]
    pub fn into_owned(self) -> RecordedEvent<'static> {
        RecordedEvent {
            position: self.position,
            version: self.version,
            recorded_at: self.recorded_at,
            id: self.id,
            commit: self.commit,
            schema: self.schema,
            encoding: self.encoding,
            stream: self.stream.into_owned().into(),
            event_type: self.event_type.into_owned().into(),
            tags: self.tags.into_owned().into(),
            metadata: self.metadata.into_owned(),
            payload: self.payload.into_owned().into(),
        }
    }

    /// Whether this is what recording `event` makes, wherever it was placed.
    #[must_use]
    pub fn has_content_of(&self, event: &NewEvent) -> bool {
        self.event_type == event.event_type().as_str()
            && self.schema == event.schema()
            && self.encoding == event.encoding()
            && *self.payload == *event.payload()
            && self.tags == event.tags().joined()
            && self.metadata == EncodedMetadata::encode(event.metadata())
    }

    /// The stored type as a name of its own.
    pub(crate) fn to_event_type(&self) -> EventType {
        EventType::already_checked(&self.event_type)
    }
}

impl fmt::Debug for RecordedEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedEvent")
            .field("position", &self.position.get())
            .field("stream", &self.stream())
            .field("version", &self.version.get())
            .field("event_type", &self.event_type)
            .field("schema", &self.schema.get())
            .field("encoding", &self.encoding)
            .field("payload", &String::from_utf8_lossy(&self.payload))
            .field("id", &self.id)
            .field("recorded_at", &self.recorded_at())
            .field("commit", &self.commit)
            .field("metadata", &self.metadata())
            .field("tags", &self.tags().collect::<Vec<_>>())
            .finish()
    }
}

impl Metadata {
    /// Metadata for what happens because of `event`: its correlation is carried on, and it is named as the cause.
    pub fn caused_by(event: &RecordedEvent<'_>) -> Self {
        Self::new().because_of(event)
    }

    pub(crate) fn because_of(self, event: &RecordedEvent<'_>) -> Self {
        let metadata = self.with_causation(event.event_id());
        match event.correlation() {
            Some(correlation) => metadata.with_correlation(correlation),
            None => metadata,
        }
    }
}
