//! A view in memory.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::ahead::Page;
use super::decoder::Ahead;
use super::handlers::Handlers;
use crate::backing::Backing;
use crate::error::{Error, ErrorKind};
use crate::event::{Batch, RecordedEvent};
use crate::position::Position;
use crate::store::{Batches, Query};

/// A view in memory: a value, and the position up to which it has seen the log. Derefs to the value.
pub struct View<V> {
    backing: Arc<Backing>,
    value: V,
    handlers: Handlers<V>,
    /// Everything up to here is folded in.
    position: Position,
    /// A handler failed, and may have done a part of its work.
    stopped: bool,
}

impl<V: Default> View<V> {
    pub(super) fn new(backing: Arc<Backing>, handlers: Handlers<V>) -> Self {
        let (value, position) = (V::default(), Position::START);
        Self { backing, value, handlers, position, stopped: false }
    }
}

impl<V> View<V> {
    /// Folds in what was recorded since, and returns the position up to which the view has now seen the log.
    ///
    /// An error names the event at which it arose; the view then shows everything before it, and calling again tries it
    /// again. A view of which a handler has failed, or has seen an event that another could not read, stays where it is:
    /// the event is half handled, and nobody knows how far.
    pub fn refresh(&mut self) -> Result<Position, Error> {
        if self.stopped {
            return Err(Error::new(ErrorKind::View).detail("it was stopped by an earlier failure"));
        }
        let head = self.backing.store.head()?.durable;
        let backing = Arc::clone(&self.backing);
        if let Some(mut ahead) = self.handlers.read_ahead(&backing.store, self.position, head) {
            while let Some(page) = ahead.next() {
                let Page { batch, ahead, end, .. } = &mut page?;
                self.handle_batch(batch, ahead)?;
                self.position = *end;
            }
        }
        let query = Query::new(self.handlers.filter()).after(self.position).up_to(head);
        for batch in Batches::new(&backing.store, query) {
            self.handle_batch(&batch?, &mut Ahead::new())?;
        }
        self.position = self.position.max(head);
        Ok(self.position)
    }

    fn handle_batch(&mut self, batch: &Batch, ahead: &mut Ahead) -> Result<(), Error> {
        for (place, stored) in batch.iter().enumerate() {
            let position = stored.position();
            self.handle(stored, (ahead, place))?;
            self.position = position;
        }
        Ok(())
    }

    fn handle(
        &mut self,
        stored: RecordedEvent<'_>,
        ahead: (&mut Ahead, usize),
    ) -> Result<(), Error> {
        // Also for a handler that panics.
        self.stopped = true;
        let handled = self.handlers.handle(&mut self.value, stored, ahead);
        self.stopped = handled.as_ref().is_err_and(|unhandled| unhandled.has_begun);
        handled.map_err(|unhandled| unhandled.error)
    }

    /// The position up to which the view has seen the log.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The value, to keep.
    #[must_use]
    pub fn into_inner(self) -> V {
        self.value
    }
}

impl<V> Deref for View<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

impl<V: fmt::Debug> fmt::Debug for View<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("value", &self.value)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
