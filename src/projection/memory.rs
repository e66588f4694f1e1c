//! Views in memory.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard};

use super::checkpoint::Checkpoint;
use super::keep::{Change, Keep, Standing};
use crate::error::Error;
use crate::position::Position;

/// Keeps a value in memory: the projection begins at the start of the log in each process.
///
/// Where a handler has failed, the value begins again from its default and is folded anew up to the event before, since nobody knows how
/// far the handler got; so what is read is at every moment exactly what the events up to some position make.
#[derive(Default)]
pub struct Memory<V> {
    /// What is read.
    shown: Arc<RwLock<V>>,
    /// The new value while one is being made.
    new: Option<V>,
    /// How far each of the two is; of the new one while there is one.
    shown_at: Position,
    checkpoint: Option<Checkpoint>,
}

impl<V: Default + Send + Sync + 'static> Memory<V> {
    /// A value that begins with its default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn standing(&self) -> Standing {
        let (shown, is_rebuilding) = (self.shown_at, self.new.is_some());
        Standing { checkpoint: self.checkpoint.clone(), shown, is_rebuilding }
    }
}

impl<V: Default + Send + Sync + 'static> Keep for Memory<V> {
    type View = V;
    type Reader = MemoryReader<V>;

    fn reader(&self) -> MemoryReader<V> {
        MemoryReader { shown: Arc::clone(&self.shown) }
    }

    fn recover(&mut self, _: &str) -> Result<Standing, Error> {
        Ok(self.standing())
    }

    fn keep(&mut self, checkpoint: &Checkpoint, change: Change<'_, V>) -> Result<(), Error> {
        let is_shown = self.new.is_none();
        let mut shown = self.shown.write();
        let view = self.new.as_mut().unwrap_or(&mut shown);
        let changed = change(view);
        if changed.is_err() {
            *view = V::default();
        }
        let kept = match (&changed, &self.checkpoint) {
            (Ok(()), _) => Some(checkpoint.clone()),
            // What was put aside stays there.
            (Err(_), Some(last)) => Some(last.at_start()),
            (Err(_), None) => None,
        };
        if is_shown {
            self.shown_at = kept.as_ref().map_or(Position::START, |kept| kept.position);
        }
        self.checkpoint = kept;
        changed
    }

    fn start_over(&mut self) -> Result<Standing, Error> {
        (self.new, self.checkpoint) = (Some(V::default()), None);
        Ok(self.standing())
    }

    fn finish(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        if let Some(new) = self.new.take() {
            *self.shown.write() = new;
        }
        self.shown_at = checkpoint.position;
        self.checkpoint = Some(checkpoint.clone());
        Ok(())
    }
}

impl<V> fmt::Debug for Memory<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("shown_at", &self.shown_at).finish_non_exhaustive()
    }
}

/// Reads a view that is kept in [`Memory`].
pub struct MemoryReader<V> {
    shown: Arc<RwLock<V>>,
}

impl<V> MemoryReader<V> {
    /// The view as it is. Until this is dropped the projection waits, so do not keep it for long.
    #[must_use]
    pub fn view(&self) -> impl Deref<Target = V> + use<'_, V> {
        let guard: RwLockReadGuard<'_, V> = self.shown.read();
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
