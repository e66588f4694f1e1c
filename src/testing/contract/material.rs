//! What commits and queries are made of.

use uuid::Uuid;

use crate::event::{NewEvent, Tags};
use crate::id::{Category, CorrelationId, EventId, EventType, StreamId, Tag};

pub(super) fn stream(name: &str) -> StreamId {
    name.parse().expect("the name is valid")
}

pub(super) fn category(name: &str) -> Category {
    Category::new(name).expect("the name is valid")
}

pub(super) fn event_type(name: &str) -> EventType {
    EventType::new(name).expect("the name is valid")
}

pub(super) fn tag(name: &str) -> Tag {
    Tag::new(name).expect("the name is valid")
}

pub(super) fn tags(names: &[&str]) -> Tags {
    names.iter().map(|name| tag(name)).collect()
}

pub(super) fn id(number: u64) -> EventId {
    EventId::new(Uuid::from_u64_pair(0xE0, number))
}

pub(super) fn correlation(number: u64) -> CorrelationId {
    CorrelationId::new(Uuid::from_u64_pair(0xC0, number))
}

/// An event of this type with nothing to it.
pub(super) fn event(name: &str) -> NewEvent {
    with_payload(name, "null")
}

/// An event of this type with this JSON.
pub(super) fn with_payload(name: &str, payload: &str) -> NewEvent {
    NewEvent::from_json(event_type(name), payload).expect("the payload is JSON")
}
