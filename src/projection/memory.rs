//! Views in memory.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard};

use super::checkpoint::Checkpoint;
use super::keep::{Change, Keep, Standing};
use crate::error::Error;

/// Keeps a value in memory: the projection begins at the start of the log in each process.
///
/// Where a handler has failed, the value begins again from its default and is folded anew up to the event before, since nobody knows how
/// far the handler got; so what is read is at every moment exactly what the events up to some position make. An event that is parked
/// costs the same.
#[derive(Default)]
pub struct Memory<V> {
    /// What is read.
    shown: Arc<RwLock<V>>,
    checkpoint: Option<Checkpoint>,
    /// The new value while one is being made, and the checkpoint of what is read meanwhile.
    new: Option<(V, Checkpoint)>,
}

impl<V: Default + Send + Sync + 'static> Memory<V> {
    /// A value that begins with its default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// Changes a value. After a failure it is the default again, since nobody knows how far the change got.
fn change<V: Default>(value: &mut V, change: Change<'_, V>) -> Result<(), Error> {
    change(value).inspect_err(|_| *value = V::default())
}

impl<V: Default + Send + Sync + 'static> Keep for Memory<V> {
    type View = V;
    type Reader = MemoryReader<V>;

    fn reader(&self) -> MemoryReader<V> {
        MemoryReader { shown: Arc::clone(&self.shown) }
    }

    fn recover(&mut self, start: &Checkpoint) -> Result<Standing, Error> {
        let checkpoint = self.checkpoint.get_or_insert_with(|| start.clone()).clone();
        Ok(Standing { checkpoint, old: self.new.as_ref().map(|(_, old)| old.clone()) })
    }

    fn keep(&mut self, checkpoint: &Checkpoint, by: Change<'_, V>) -> Result<(), Error> {
        let changed = match &mut self.new {
            Some((new, _)) => change(new, by),
            None => change::<V>(&mut self.shown.write(), by),
        };
        self.checkpoint = match &changed {
            Ok(()) => Some(checkpoint.clone()),
            // What was put aside stays there.
            Err(_) => self.checkpoint.take().map(|last| last.at_start()),
        };
        changed
    }

    fn start_over(&mut self, start: &Checkpoint) -> Result<Standing, Error> {
        let old = match self.new.take() {
            Some((_, old)) => old,
            None => self.checkpoint.take().unwrap_or_else(|| start.clone()),
        };
        (self.new, self.checkpoint) = (Some((V::default(), old)), None);
        self.recover(start)
    }

    fn finish(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        if let Some((new, _)) = self.new.take() {
            *self.shown.write() = new;
        }
        self.checkpoint = Some(checkpoint.clone());
        Ok(())
    }
}

impl<V> fmt::Debug for Memory<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("checkpoint", &self.checkpoint).finish_non_exhaustive()
    }
}

/// Reads a view that is kept in [`Memory`].
pub struct MemoryReader<V> {
    shown: Arc<RwLock<V>>,
}

impl<V> MemoryReader<V> {
    /// The view as it is. Until this is dropped the projection waits, so do not keep it for long. Not to be called by a handler of the
    /// view, which has it already.
    #[must_use]
    pub fn view(&self) -> impl Deref<Target = V> + use<'_, V> {
        // Also for who looks twice in one expression, while the projection waits to write.
        let guard: RwLockReadGuard<'_, V> = self.shown.read_recursive();
        guard
    }
}

impl<V> Clone for MemoryReader<V> {
    fn clone(&self) -> Self {
        Self { shown: Arc::clone(&self.shown) }
    }
}

impl<V> fmt::Debug for MemoryReader<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryReader").finish_non_exhaustive()
    }
}
