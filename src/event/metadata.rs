//! What is known about an event beside what happened.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::bytes::{self, is_ascii, put_varint};
use crate::clock::{is_time, to_micros};
use crate::id::{CorrelationId, EventId};

/// What is known about an event beside what happened: where it belongs, what caused it, who did it and when.
///
/// Metadata is passed explicitly; nothing is taken from the surroundings. A command that is executed without a
/// correlation id starts a new one.
///
/// ```
/// use annals::Metadata;
///
/// let metadata = Metadata::new().with_actor("ann").with_header("ip", "192.0.2.7");
/// assert_eq!(metadata.actor(), Some("ann"));
/// assert_eq!(metadata.header("ip"), Some("192.0.2.7"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[must_use = "metadata is of no use before it is added to something"]
pub struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<CorrelationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causation: Option<EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "cut_to_micros")]
    occurred_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
}

impl Metadata {
    /// Nothing known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what this belongs to.
    pub fn with_correlation(mut self, correlation: CorrelationId) -> Self {
        self.correlation = Some(correlation);
        self
    }

    /// Says which event caused this.
    pub fn with_causation(mut self, cause: EventId) -> Self {
        self.causation = Some(cause);
        self
    }

    /// Says who did it.
    pub fn with_actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// Says when it happened, where that is not when it was recorded. The time is cut to microseconds.
    pub fn with_occurred_at(mut self, time: DateTime<Utc>) -> Self {
        self.occurred_at = Some(to_micros(time));
        self
    }

    /// Adds a header; a header of the same name is replaced.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// What this belongs to.
    #[must_use]
    pub fn correlation(&self) -> Option<CorrelationId> {
        self.correlation
    }

    /// Which event caused this.
    #[must_use]
    pub fn causation(&self) -> Option<EventId> {
        self.causation
    }

    /// Who did it.
    #[must_use]
    pub fn actor(&self) -> Option<&str> {
        self.actor.as_deref()
    }

    /// When it happened, if that was said.
    #[must_use]
    pub fn occurred_at(&self) -> Option<DateTime<Utc>> {
        self.occurred_at
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// All headers, by name.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The same metadata with a correlation: its own, or a new one.
    pub(crate) fn correlated(mut self) -> Self {
        self.correlation = Some(self.correlation.unwrap_or_else(CorrelationId::random));
        self
    }
}

fn cut_to_micros<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    Ok(Option::<DateTime<Utc>>::deserialize(deserializer)?.map(to_micros))
}

/// Metadata as a recorded event carries it: bytes that are decoded when asked for.
///
/// ```text
/// flags u8 │ correlation 16 │ causation 16 │ occurred-at i64 µs │ actor text │ headers: (text, text)*
///           if bit 0         if bit 1       if bit 2             if bit 3     to the end
/// text = length as a varint, UTF-8
/// ```
///
/// Made by [`encode`](Self::encode), or checked by [`is_one`](Self::is_one), so decoding cannot fail.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct EncodedMetadata<'a>(Cow<'a, [u8]>);

const CORRELATION: u8 = 1;
const CAUSATION: u8 = 2;
const OCCURRED_AT: u8 = 4;
const ACTOR: u8 = 8;

impl<'a> EncodedMetadata<'a> {
    pub(super) fn encode(metadata: &Metadata) -> EncodedMetadata<'static> {
        let mut bytes = Vec::new();
        Self::encode_to(metadata, &mut bytes);
        EncodedMetadata(Cow::Owned(bytes))
    }

    fn encode_to(metadata: &Metadata, bytes: &mut Vec<u8>) {
        bytes.clear();
        // Mostly enough.
        bytes.reserve(128);
        bytes.push(0);
        if let Some(correlation) = metadata.correlation {
            bytes[0] |= CORRELATION;
            bytes.extend_from_slice(correlation.as_uuid().as_bytes());
        }
        if let Some(causation) = metadata.causation {
            bytes[0] |= CAUSATION;
            bytes.extend_from_slice(causation.as_uuid().as_bytes());
        }
        if let Some(time) = metadata.occurred_at {
            bytes[0] |= OCCURRED_AT;
            bytes.extend_from_slice(&time.timestamp_micros().to_le_bytes());
        }
        if let Some(actor) = &metadata.actor {
            bytes[0] |= ACTOR;
            put_text(bytes, actor);
        }
        for (name, value) in &metadata.headers {
            put_text(bytes, name);
            put_text(bytes, value);
        }
        // Of nothing, nothing is left.
        if bytes == &[0] {
            bytes.clear();
        }
    }

    /// Bytes that [`as_bytes`](Self::as_bytes) gave.
    #[inline]
    pub(super) fn from_encoded(bytes: &'a [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }

    /// Whether these bytes, from anywhere, are metadata.
    #[inline]
    pub(super) fn is_one(bytes: &[u8]) -> bool {
        let Some((&flags, rest)) = bytes.split_first() else { return true };
        let mut rest = bytes::Fields(rest);
        let has = |flag| usize::from(flags & flag != 0);
        let ids = rest.bytes((has(CORRELATION) + has(CAUSATION)) * 16);
        let is_time = has(OCCURRED_AT) == 0 || rest.i64().is_some_and(is_time);
        let is_known = flags & !(CORRELATION | CAUSATION | OCCURRED_AT | ACTOR) == 0;
        // Texts are short, so that their lengths are mostly ASCII, too.
        let (are_ascii, mut texts) = (is_ascii(rest.0), 0);
        while !rest.0.is_empty() {
            let text = rest.length().and_then(|length| rest.bytes(length));
            if text.is_none_or(|text| !are_ascii && std::str::from_utf8(text).is_err()) {
                return false;
            }
            texts += 1;
        }
        ids.is_some() && is_time && is_known && texts % 2 == has(ACTOR) && texts >= has(ACTOR)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn into_owned(self) -> EncodedMetadata<'static> {
        EncodedMetadata(Cow::Owned(self.0.into_owned()))
    }

    pub(super) fn fields(&self) -> Fields<'_> {
        Fields::parse(&self.0).expect("it was encoded here, or checked")
    }
}

/// Encodes the metadata of events, of which those behind one another often share theirs.
#[derive(Debug, Default)]
pub(crate) struct MetadataEncoder<'m> {
    last: Option<&'m Metadata>,
    bytes: Vec<u8>,
}

impl<'m> MetadataEncoder<'m> {
    pub(crate) fn encode(&mut self, metadata: &'m Metadata) -> EncodedMetadata<'_> {
        if !self.last.is_some_and(|last| std::ptr::eq(last, metadata)) {
            self.last = Some(metadata);
            EncodedMetadata::encode_to(metadata, &mut self.bytes);
        }
        EncodedMetadata::from_encoded(&self.bytes)
    }
}

/// Encoded metadata, taken apart without allocating.
pub(super) struct Fields<'a> {
    pub(super) correlation: Option<CorrelationId>,
    pub(super) causation: Option<EventId>,
    pub(super) occurred_at: Option<DateTime<Utc>>,
    pub(super) actor: Option<&'a str>,
    headers: bytes::Fields<'a>,
}

impl<'a> Fields<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (flags, rest) = bytes.split_first().unwrap_or((&0, bytes));
        let (has, mut rest) = (|flag| flags & flag != 0, bytes::Fields(rest));
        let known = flags & !(CORRELATION | CAUSATION | OCCURRED_AT | ACTOR) == 0;
        let mut fields = Self {
            correlation: None,
            causation: None,
            occurred_at: None,
            actor: None,
            headers: bytes::Fields(&[]),
        };
        if has(CORRELATION) {
            fields.correlation = Some(CorrelationId::new(Uuid::from_bytes(rest.array()?)));
        }
        if has(CAUSATION) {
            fields.causation = Some(EventId::new(Uuid::from_bytes(rest.array()?)));
        }
        if has(OCCURRED_AT) {
            fields.occurred_at = Some(DateTime::from_timestamp_micros(rest.i64()?)?);
        }
        if has(ACTOR) {
            fields.actor = Some(text(&mut rest)?);
        }
        fields.headers = rest;
        known.then_some(fields)
    }

    pub(super) fn into_metadata(mut self) -> Metadata {
        let mut headers = BTreeMap::new();
        while let Some((name, value)) = text(&mut self.headers).zip(text(&mut self.headers)) {
            headers.insert(name.to_owned(), value.to_owned());
        }
        Metadata {
            correlation: self.correlation,
            causation: self.causation,
            actor: self.actor.map(str::to_owned),
            occurred_at: self.occurred_at,
            headers,
        }
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_varint(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

fn text<'a>(from: &mut bytes::Fields<'a>) -> Option<&'a str> {
    let length = from.length()?;
    std::str::from_utf8(from.bytes(length)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_survives_encoding() {
        let time = DateTime::from_timestamp_micros(-1_234_567).unwrap();
        let full = Metadata::new()
            .with_correlation(CorrelationId::random())
            .with_causation(EventId::random())
            .with_actor("ann")
            .with_occurred_at(time)
            .with_header("", "empty name")
            .with_header("ip", "192.0.2.7");
        let json = r#"{"occurred_at":"2016-12-31T23:59:60.1234567Z"}"#;
        let leap: Metadata = serde_json::from_str(json).unwrap();
        for metadata in [full, leap, Metadata::new(), Metadata::new().with_actor("")] {
            let encoded = EncodedMetadata::encode(&metadata);
            assert_eq!(encoded.fields().into_metadata(), metadata);
            let json = serde_json::to_string(&metadata).unwrap();
            assert_eq!(serde_json::from_str::<Metadata>(&json).unwrap(), metadata);
        }
    }
}
