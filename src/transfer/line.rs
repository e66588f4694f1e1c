//! One event as a line of JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::clock::to_micros;
use crate::error::{Error, ErrorKind};
use crate::event::{CommitPlace, Metadata, NewEvent, RecordedEvent, Tags};
use crate::id::{CorrelationId, EventId, EventType, StreamId, Tag};
use crate::payload::{Encoding, check_binary};
use crate::position::{Position, SchemaVersion, Version};

/// The fields of a line, in their order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line<'a> {
    pub(super) position: Position,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    pub(super) version: Version,
    pub(super) commit: CommitPlace,
    id: EventId,
    #[serde(borrow, rename = "type")]
    event_type: Cow<'a, str>,
    schema: SchemaVersion,
    pub(super) recorded_at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    occurred_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    correlation: Option<CorrelationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    causation: Option<EventId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actor: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Cow<'a, str>>,
    /// The payload as it is, or else as text that is JSON.
    #[serde(
        borrow,
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    payload: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_text: Option<Cow<'a, str>>,
    /// A payload in binary, each byte as two hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_binary: Option<Cow<'a, str>>,
}

/// Also a payload that is `null` is there.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// A time in microseconds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Time(pub(super) DateTime<Utc>);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DateTime::deserialize(deserializer).map(|time| Self(to_micros(time)))
    }
}

/// Adds the line of an event, and its end.
pub(super) fn write(event: &RecordedEvent<'_>, into: &mut Vec<u8>) -> Result<(), Error> {
    let no_json = |source: Box<dyn std::error::Error + Send + Sync>| {
        Error::store(source)
            .detail("it holds a payload that is no JSON")
            .at_position(event.position())
    };
    let (mut payload, mut payload_text, mut payload_binary) = (None, None, None);
    if event.encoding() == Encoding::Json {
        let text = std::str::from_utf8(event.payload()).map_err(|source| no_json(source.into()))?;
        if text.contains(['\n', '\r']) {
            payload_text = Some(text.into());
        } else {
            payload = Some(serde_json::from_str(text).map_err(|source| no_json(source.into()))?);
        }
    } else {
        payload_binary = Some(to_hex(event.payload()).into());
    }
    let metadata = event.metadata();
    let line = Line {
        position: event.position(),
        stream: event.stream().as_str().into(),
        version: event.version(),
        commit: event.commit(),
        id: event.event_id(),
        event_type: event.event_type().into(),
        schema: event.schema(),
        recorded_at: Time(event.recorded_at()),
        occurred_at: metadata.occurred_at().map(Time),
        correlation: metadata.correlation(),
        causation: metadata.causation(),
        actor: metadata.actor().map(Cow::from),
        headers: metadata.headers().map(|(name, value)| (name.into(), value.into())).collect(),
        tags: event.tags().map(Cow::from).collect(),
        payload,
        payload_text,
        payload_binary,
    };
    serde_json::to_writer(&mut *into, &line).map_err(|source| no_json(source.into()))?;
    into.push(b'\n');
    Ok(())
}

fn to_hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).expect("half of a byte");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xF)]).collect()
}

fn from_hex(digits: &str) -> Result<Vec<u8>, Error> {
    let refuse =
        || Error::new(ErrorKind::Encode).detail("the digits of a payload are not hexadecimal");
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return Err(refuse()) };
    let byte = |pair: &[u8; 2]| {
        let is_lower = pair.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let digits = std::str::from_utf8(pair).ok().filter(|_| is_lower)?;
        u8::from_str_radix(digits, 16).ok()
    };
    pairs.iter().map(|pair| byte(pair).ok_or_else(refuse)).collect()
}

impl Line<'_> {
    /// The event that the line tells of, and its stream.
    pub(super) fn event(&self) -> Result<(StreamId, NewEvent), Error> {
        let event_type = EventType::stored(&self.event_type)?;
        let (encoding, payload) = match (self.payload, &self.payload_text, &self.payload_binary) {
            (Some(json), None, None) => (Encoding::Json, json.get().into()),
            (None, None, Some(digits)) => {
                let payload = from_hex(digits)?;
                check_binary(&payload).map_err(|fault| {
                    Error::new(ErrorKind::Encode).caused_by(fault.into_source())
                })?;
                (Encoding::Binary, payload)
            }
            (None, Some(text), None) => {
                let event = NewEvent::from_json(event_type.clone(), &**text)?;
                (Encoding::Json, event.payload().to_vec())
            }
            _ => return Err(Error::new(ErrorKind::Encode).detail("there is no one payload")),
        };
        let event = NewEvent::of_valid(event_type, self.schema, encoding, payload);
        let tags = self.tags.iter().map(Tag::stored).collect::<Result<Tags, _>>()?;
        let event = event.with_id(self.id).with_tags(tags);
        Ok((StreamId::stored(&self.stream)?, event.with_metadata(self.metadata())))
    }

    fn metadata(&self) -> Metadata {
        let headers = self.headers.iter();
        let mut metadata = headers.fold(Metadata::new(), |metadata, (name, value)| {
            metadata.with_header(name.as_ref(), value.as_ref())
        });
        if let Some(correlation) = self.correlation {
            metadata = metadata.with_correlation(correlation);
        }
        if let Some(cause) = self.causation {
            metadata = metadata.with_causation(cause);
        }
        if let Some(actor) = &self.actor {
            metadata = metadata.with_actor(actor.as_ref());
        }
        match self.occurred_at {
            Some(Time(time)) => metadata.with_occurred_at(time),
            None => metadata,
        }
    }
}
