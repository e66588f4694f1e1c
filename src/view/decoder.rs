//! Decoding the events of a batch before they are asked for.

use std::any::Any;
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
    /// Decodes the events of a batch that are of the decoder's category.
    fn decode(&self, batch: &Batch) -> Box<dyn Any + Send>;
}

/// Decodes the events of a category.
pub(super) struct Decoder<E> {
    pub(super) category: Category,
    pub(super) codec: EventCodec<E>,
}

/// What became of an event of a batch; `None` if it is not decoded, or was taken.
pub(super) type Slot<E> = Option<Result<Decoded<E>, Error>>;

impl<E: Serialize + DeserializeOwned + Send + Sync + 'static> Decode for Decoder<E> {
    fn decode(&self, batch: &Batch) -> Box<dyn Any + Send> {
        let decode = |stored: RecordedEvent<'_>| {
            let is_meant = stored.stream().is_in(&self.category) && !stored.is_gap();
            is_meant.then(|| self.codec.decode(&stored))
        };
        let slots: Vec<Slot<E>> = batch.iter().map(decode).collect();
        Box::new(slots)
    }
}

impl<E: Serialize + DeserializeOwned + Send + Sync + 'static> Decoder<E> {
    pub(super) fn new(category: Category, codec: EventCodec<E>) -> Arc<Self> {
        Arc::new(Self { category, codec })
    }

    /// What an event means, from the slot where it was decoded ahead if it is there.
    pub(super) fn take(
        &self,
        stored: &RecordedEvent<'_>,
        slot: Option<&mut Slot<E>>,
    ) -> Result<Decoded<E>, Error> {
        slot.and_then(Option::take).unwrap_or_else(|| self.codec.decode(stored))
    }

    /// The slot at a place of what this decoder has made of a batch.
    pub(super) fn slot<'a>(
        &self,
        (all, place): (&'a mut (dyn Any + Send), usize),
    ) -> Option<&'a mut Slot<E>> {
        all.downcast_mut::<Vec<Slot<E>>>()?.get_mut(place)
    }
}
