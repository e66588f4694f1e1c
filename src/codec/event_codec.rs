//! An aggregate's whole translation between events and what is stored.

use std::collections::HashMap;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::chains::{Chains, Current};
use super::shape::{Name, Shape};
use super::upcasters::Upcasters;
use crate::error::{Error, ErrorKind};
use crate::event::{NewEvent, RecordedEvent};
use crate::id::EventType;
use crate::payload::{Encoding, Fault, decode_variant, encode_variant};
use crate::position::SchemaVersion;

/// Turns events of type `E` into stored ones and back, whatever they were called and however they were shaped.
pub(crate) struct EventCodec<E> {
    shape: Shape,
    chains: Chains,
    /// What each name that is read is stamped with when it is written.
    stamps: HashMap<&'static str, (EventType, SchemaVersion)>,
    events: PhantomData<fn() -> E>,
}

/// What a stored event means today.
pub(crate) enum Decoded<E> {
    /// One event, under the name and in the shape in which it was stored.
    Current(E),
    /// As many events as upcasting made of it, each with its name of today.
    Upcast(Vec<(String, E)>),
}

impl<E> Decoded<E> {
    /// The events, without their names.
    #[inline]
    pub(crate) fn for_each(self, mut each: impl FnMut(E)) {
        match self {
            Self::Current(event) => each(event),
            Self::Upcast(events) => events.into_iter().for_each(|(_, event)| each(event)),
        }
    }
}

impl<E: Serialize + DeserializeOwned> EventCodec<E> {
    /// Checks the event type and its history.
    pub(crate) fn new(upcasters: Upcasters) -> Result<Self, Error> {
        let shape = Shape::of::<E>()?;
        let chains = Chains::new(upcasters, &shape)?;
        let mut stamps = HashMap::new();
        for Name { name, .. } in shape.names() {
            stamps.insert(*name, (EventType::new(name)?, chains.end(name)));
        }
        Ok(Self { shape, chains, stamps, events: PhantomData })
    }

    /// What is to be stored for an event, and the event as it will be read back.
    ///
    /// Whatever does not read back is refused here, before it is written: a variant whose name is not among those that
    /// are read, a value whose payload is not one of its type.
    pub(crate) fn encode(&self, encoding: Encoding, event: &E) -> Result<(NewEvent, E), Error> {
        let refuse = || Error::new(ErrorKind::Encode);
        let (name, payload) = encode_variant(encoding, event)
            .map_err(|source| refuse().caused_by(source.into_source()))?;
        let Some((event_type, schema)) = self.stamps.get(&*name) else {
            return Err(
                refuse().detail(format!("the variant is written as {name:?}, which is not read"))
            );
        };
        let read_back = decode_variant(encoding, &name, &payload).map_err(|source| {
            refuse()
                .of_event(event_type.clone(), *schema)
                .detail("it does not read back")
                .caused_by(source.into_source())
        })?;
        Ok((NewEvent::of_valid(event_type.clone(), *schema, encoding, payload), read_back))
    }

    /// What a stored event means today.
    #[inline]
    pub(crate) fn decode(&self, stored: &RecordedEvent<'_>) -> Result<Decoded<E>, Error> {
        let name = stored.event_type();
        let is_current = if self.chains.is_empty() {
            stored.schema() == SchemaVersion::FIRST
        } else {
            stored.schema() == self.chains.end(name)
        };
        if !is_current {
            return self.decode_old(stored).map(Decoded::Upcast);
        }
        match decode_variant(stored.encoding(), name, stored.payload()) {
            Ok(event) => Ok(Decoded::Current(event)),
            Err(source) => Err(self.undecodable(stored, source)),
        }
    }

    #[cold]
    fn decode_old(&self, stored: &RecordedEvent<'_>) -> Result<Vec<(String, E)>, Error> {
        let name = stored.event_type();
        if !self.knows(name) {
            return Err(of_stored(Error::new(ErrorKind::UnknownEvent), stored));
        }
        let old = Current {
            event_type: name.to_owned(),
            encoding: stored.encoding(),
            payload: stored.payload().to_vec(),
        };
        let upcasted = self.chains.upcast(old, stored.schema());
        let current = upcasted.map_err(|error| of_stored(error, stored))?;
        let event = |Current { event_type, encoding, payload }| match decode_variant(
            encoding,
            &event_type,
            &payload,
        ) {
            Ok(event) => Ok((event_type, event)),
            Err(source) => Err(of_stored(Error::new(ErrorKind::Decode), stored)
                .detail(format!("after it was upcast to {event_type}"))
                .caused_by(source.into_source())),
        };
        current.into_iter().map(event).collect()
    }

    #[cold]
    fn undecodable(&self, stored: &RecordedEvent<'_>, source: Fault) -> Error {
        let known = self.shape.reads(stored.event_type());
        let kind = if known { ErrorKind::Decode } else { ErrorKind::UnknownEvent };
        of_stored(Error::new(kind), stored).caused_by(source.into_source())
    }

    /// Whether events that were stored under this name are read, or were at some time.
    pub(crate) fn knows(&self, stored_name: &str) -> bool {
        self.shape.reads(stored_name) || self.chains.knows(stored_name)
    }

    /// Whether every stored event is one event of today.
    pub(crate) fn has_no_history(&self) -> bool {
        self.chains.is_empty()
    }

    /// The variants that are meant by these names of today; a name that no variant reads is refused.
    pub(crate) fn variants(&self, names: &[String]) -> Result<Vec<u64>, Error> {
        let variant = |name: &String| {
            self.shape.variant(name).ok_or_else(|| {
                let known: Vec<&str> = self.shape.names().iter().map(|known| known.name).collect();
                let detail = format!("{name:?} is none of {}", known.join(", "));
                Error::new(ErrorKind::UnknownEvent).detail(detail)
            })
        };
        names.iter().map(variant).collect()
    }

    /// Whether the name of today stands for one of these variants.
    pub(crate) fn is_one_of(&self, name: &str, variants: &[u64]) -> bool {
        self.shape.variant(name).is_some_and(|variant| variants.contains(&variant))
    }

    /// Every name under which events that mean one of these variants may have been stored.
    pub(crate) fn stored_names(&self, variants: &[u64]) -> Vec<EventType> {
        let read = self.shape.names().iter().map(|known| known.name);
        let read = read.filter(|name| self.is_one_of(name, variants));
        let upcast = self.chains.sources(|name| self.is_one_of(name, variants));
        read.chain(upcast).map(EventType::already_checked).collect()
    }

    /// The names that are read, each with the schema version that is written under it.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&Name, SchemaVersion)> {
        self.shape.names().iter().map(|name| (name, self.chains.end(name.name)))
    }

    /// The stored types that have a history, and where each rule of it leads.
    pub(crate) fn histories(&self) -> impl Iterator<Item = (&str, Vec<String>)> {
        self.chains.histories()
    }
}

/// An error about a stored event, with all that tells which one.
fn of_stored(error: Error, stored: &RecordedEvent<'_>) -> Error {
    error
        .in_stream(stored.stream().to_stream_id())
        .at_position(stored.position())
        .of_event(stored.to_event_type(), stored.schema())
}
