//! The aggregates that were worked with last, as they were then.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::loaded::Loaded;
use crate::id::StreamId;

/// Keeps the states of some aggregates. Each is what the events up to its version make it, so it is never wrong; but there may be
/// more events by now.
pub(super) struct Cache<A> {
    generations: Mutex<[HashMap<StreamId, Loaded<A>>; 2]>,
    /// How many states a generation holds: when the new one is full, the old one is forgotten.
    generation_size: usize,
    copy: fn(&Loaded<A>) -> Loaded<A>,
}

impl<A> Cache<A> {
    pub(super) fn new(size: usize) -> Self
    where
        A: Clone,
    {
        let (generations, generation_size) = (Mutex::default(), size.div_ceil(2));
        Self { generations, generation_size, copy: Loaded::clone }
    }

    /// Takes a state out. Whoever does so puts it back, in the same form or a newer one, unless nobody knows what it is worth.
    pub(super) fn take(&self, stream: &StreamId) -> Option<Loaded<A>> {
        let [new, old] = &mut *self.generations.lock();
        new.remove(stream).or_else(|| old.remove(stream))
    }

    /// A copy of a state.
    pub(super) fn peek(&self, stream: &StreamId) -> Option<Loaded<A>> {
        let [new, old] = &*self.generations.lock();
        new.get(stream).or_else(|| old.get(stream)).map(self.copy)
    }

    /// Keeps a copy of a state, unless there is a newer one.
    pub(super) fn keep(&self, stream: &StreamId, loaded: &Loaded<A>) {
        let loaded = (self.copy)(loaded);
        let [new, old] = &mut *self.generations.lock();
        let known = new.get(stream).or_else(|| old.get(stream));
        if known.is_some_and(|known| known.version() > loaded.version()) {
            return;
        }
        if new.len() >= self.generation_size && !new.contains_key(stream) {
            *old = std::mem::take(new);
        }
        old.remove(stream);
        new.insert(stream.clone(), loaded);
    }
}
