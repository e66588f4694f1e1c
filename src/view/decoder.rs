//! Decoding the events of a batch before they are asked for.

use std::any::Any;
use std::mem;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{Decoded, EventCodec};
use crate::error::Error;
use crate::event::{Batch, RecordedEvent};
use crate::id::Category;

/// What each of several decoders has made of the events of a batch; empty if they have not been asked.
pub(crate) type Ahead = Vec<Box<dyn Any + Send>>;

/// A decoder of whatever type of event.
pub(crate) type AnyDecoder = dyn Decode + Send + Sync;

pub(crate) trait Decode {
    /// Decodes the events of a batch that are of the decoder's category, in place of what was made of another that is done.
    fn decode(&self, batch: &Batch, done: Option<Box<dyn Any + Send>>) -> Box<dyn Any + Send>;
}

/// Decodes the events of a category.
pub(super) struct Decoder<E> {
    pub(super) category: Category,
    pub(super) codec: EventCodec<E>,
}

/// What a decoder has made of the event at each place of a batch.
pub(super) struct Batched<E>(Vec<Slot<E>>);

enum Slot<E> {
    /// It is not decoded, or was taken.
    Empty,
    Decoded(Result<Decoded<E>, Error>),
    /// It was handled, and is to be dropped by whoever has decoded it: to free on one thread what another has allocated takes
    /// much longer.
    Handled(E),
}

impl<E> Batched<E> {
    fn take(&mut self, place: usize) -> Option<Result<Decoded<E>, Error>> {
        let slot = self.0.get_mut(place)?;
        match mem::replace(slot, Slot::Empty) {
            Slot::Decoded(result) => Some(result),
            other => {
                *slot = other;
                None
            }
        }
    }

    /// Keeps an event that was taken from this place and handled.
    pub(super) fn keep(&mut self, place: usize, handled: E) {
        if let Some(slot) = self.0.get_mut(place) {
            *slot = Slot::Handled(handled);
        }
    }
}

impl<E: Serialize + DeserializeOwned + Send + Sync + 'static> Decode for Decoder<E> {
    fn decode(&self, batch: &Batch, done: Option<Box<dyn Any + Send>>) -> Box<dyn Any + Send> {
        let done = done.and_then(|done| done.downcast::<Batched<E>>().ok());
        let mut batched = done.unwrap_or_else(|| Box::new(Batched(Vec::new())));
        batched.0.clear();
        batched.0.extend(batch.iter().map(|stored| {
            let is_meant = stored.stream().is_in(&self.category) && !stored.is_gap();
            if is_meant { Slot::Decoded(self.codec.decode(&stored)) } else { Slot::Empty }
        }));
        batched
    }
}

impl<E: Serialize + DeserializeOwned + Send + Sync + 'static> Decoder<E> {
    pub(super) fn new(category: Category, codec: EventCodec<E>) -> Arc<Self> {
        Arc::new(Self { category, codec })
    }

    /// What an event means, from what was decoded ahead if it is there.
    pub(super) fn take(
        &self,
        stored: &RecordedEvent<'_>,
        ahead: Option<(&mut Batched<E>, usize)>,
    ) -> Result<Decoded<E>, Error> {
        let ready = ahead.and_then(|(all, place)| all.take(place));
        ready.unwrap_or_else(|| self.codec.decode(stored))
    }
}
