//! The aggregates that were worked with last, as they were then.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::loaded::Loaded;
use crate::id::StreamId;

/// Keeps the states of some aggregates. Each is what the events up to its version make it, so it is never wrong; but there may be
/// more events by now.
pub(super) struct Cache<A> {
    /// The new and the old ones: when there is no room for a further new one, the old ones are forgotten.
    generations: Mutex<[Generation<A>; 2]>,
    generation_size: usize,
    copy: fn(&Loaded<A>) -> Loaded<A>,
}

type Generation<A> = HashMap<StreamId, Arc<Loaded<A>>>;

impl<A> Cache<A> {
    pub(super) fn new(size: usize) -> Self
    where
        A: Clone,
    {
        let (generations, generation_size) = (Mutex::default(), size.div_ceil(2));
        Self { generations, generation_size, copy: Loaded::clone }
    }

    /// A copy of a state.
    pub(super) fn get(&self, stream: &StreamId) -> Option<Loaded<A>> {
        let [new, old] = &*self.generations.lock();
        let found = new.get(stream).or_else(|| old.get(stream)).map(Arc::clone);
        // Copied without the lock, for that is the user's code.
        found.map(|found| (self.copy)(&found))
    }

    /// Keeps a copy of a state, unless there is one that is as new.
    pub(super) fn keep(&self, stream: &StreamId, loaded: &Loaded<A>) {
        let is_known = |[new, old]: &[Generation<A>; 2]| {
            let known = new.get(stream).or_else(|| old.get(stream));
            known.is_some_and(|known| known.version() >= loaded.version())
        };
        if is_known(&self.generations.lock()) {
            return;
        }
        let loaded = Arc::new((self.copy)(loaded));
        let mut generations = self.generations.lock();
        if is_known(&generations) {
            return;
        }
        let [new, old] = &mut *generations;
        let mut forgotten = Generation::new();
        if new.len() >= self.generation_size && !new.contains_key(stream) {
            forgotten = std::mem::replace(old, std::mem::take(new));
        }
        let replaced = (old.remove(stream), new.insert(stream.clone(), loaded));
        // Dropped without the lock, for that may be the user's code, too.
        drop(generations);
        drop((forgotten, replaced));
    }
}
