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

/// What a decoder has made of a batch.
pub(super) struct Batched<E> {
    /// What became of the event at each place; `None` if it is not decoded, or was taken.
    results: Vec<Option<Result<Decoded<E>, Error>>>,
    /// Events that were handled: whoever has decoded them drops them, too. To free on one thread what another has allocated takes
    /// much longer.
    pub(super) handled: Vec<E>,
}

impl<E: Serialize + DeserializeOwned + Send + Sync + 'static> Decode for Decoder<E> {
    fn decode(&self, batch: &Batch) -> Box<dyn Any + Send> {
        let decode = |stored: RecordedEvent<'_>| {
            let is_meant = stored.stream().is_in(&self.category) && !stored.is_gap();
            is_meant.then(|| self.codec.decode(&stored))
        };
        let results = batch.iter().map(decode).collect();
        Box::new(Batched { results, handled: Vec::new() })
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
        let ready = ahead.and_then(|(all, place)| all.results.get_mut(place)?.take());
        ready.unwrap_or_else(|| self.codec.decode(stored))
    }
}
