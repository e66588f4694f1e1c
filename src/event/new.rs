//! Events on their way in.

use std::sync::Arc;

use serde::Serialize;
use serde::de::IgnoredAny;

use super::metadata::Metadata;
use super::tags::Tags;
use crate::error::{Error, ErrorKind};
use crate::id::{EventId, EventType};
use crate::payload::{Encoding, encode};
use crate::position::SchemaVersion;

/// An event that is to be recorded: a type, a payload, and what is known about it.
///
/// ```
/// use annals::{NewEvent, id::EventType};
///
/// let event = NewEvent::new(EventType::new("Deposited")?, &serde_json::json!({ "cents": 5 }))?;
/// assert_eq!(event.payload(), br#"{"cents":5}"#);
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an event is not written before it is appended"]
pub struct NewEvent {
    id: Option<EventId>,
    event_type: EventType,
    schema: SchemaVersion,
    encoding: Encoding,
    /// One value, complete and valid.
    payload: Vec<u8>,
    metadata: Arc<Metadata>,
    tags: Tags,
}

impl NewEvent {
    /// An event whose payload is `value` as JSON.
    pub fn new<T: Serialize + ?Sized>(event_type: EventType, value: &T) -> Result<Self, Error> {
        Self::encoded(Encoding::Json, event_type, value)
    }

    /// An event whose payload is `value` in this encoding. What serializes in binary is not always read back
    /// ([`Encoding::Binary`]); for the events of aggregates a repository makes sure of it, here the caller does.
    pub fn encoded<T: Serialize + ?Sized>(
        encoding: Encoding,
        event_type: EventType,
        value: &T,
    ) -> Result<Self, Error> {
        match encode(encoding, value) {
            Ok(payload) => Ok(Self::of_valid(event_type, SchemaVersion::FIRST, encoding, payload)),
            Err(source) => Err(no_payload(event_type, source.into_source())),
        }
    }

    /// An event whose payload is JSON already. It is checked to be one complete JSON value; white space around it
    /// is cut off.
    pub fn from_json(event_type: EventType, payload: impl AsRef<[u8]>) -> Result<Self, Error> {
        let text = match std::str::from_utf8(payload.as_ref()) {
            Ok(text) => text.trim_matches([' ', '\t', '\r', '\n']),
            Err(source) => return Err(no_payload(event_type, source)),
        };
        match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => {
                let (first, payload) = (SchemaVersion::FIRST, text.into());
                Ok(Self::of_valid(event_type, first, Encoding::Json, payload))
            }
            Err(source) => Err(no_payload(event_type, source)),
        }
    }

    /// An event whose payload is known to be a value in this encoding.
    pub(crate) fn of_valid(
        event_type: EventType,
        schema: SchemaVersion,
        encoding: Encoding,
        payload: Vec<u8>,
    ) -> Self {
        let (metadata, tags) = (Arc::default(), Tags::none());
        Self { id: None, event_type, schema, encoding, payload, metadata, tags }
    }

    /// Gives the event an id of the caller's own, which makes its append repeatable: a commit that is sent again
    /// unchanged is recognised and not written twice. Without one, the store makes an id that is new each time.
    pub fn with_id(mut self, id: EventId) -> Self {
        self.id = Some(id);
        self
    }

    /// Says which version of its type's shape the payload has; [`SchemaVersion::FIRST`] unless said otherwise.
    pub fn with_schema(mut self, schema: SchemaVersion) -> Self {
        self.schema = schema;
        self
    }

    /// Adds what is known about the event. The events of a commit can share it.
    pub fn with_metadata(mut self, metadata: impl Into<Arc<Metadata>>) -> Self {
        self.metadata = metadata.into();
        self
    }

    /// Adds the tags under which the event is to be found.
    pub fn with_tags(mut self, tags: Tags) -> Self {
        self.tags = tags;
        self
    }

    /// The id that the caller gave it.
    #[must_use]
    pub fn id(&self) -> Option<EventId> {
        self.id
    }

    /// What happened.
    #[must_use]
    pub fn event_type(&self) -> &EventType {
        &self.event_type
    }

    /// Which version of its type's shape the payload has.
    #[must_use]
    pub fn schema(&self) -> SchemaVersion {
        self.schema
    }

    /// How the payload is encoded.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The payload: one value, in its [encoding](Self::encoding).
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// What is known about it.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The tags under which it is to be found.
    #[must_use]
    pub fn tags(&self) -> &Tags {
        &self.tags
    }
}

fn no_payload(
    event_type: EventType,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::new(ErrorKind::Encode).of_event(event_type, SchemaVersion::FIRST).caused_by(source)
}
