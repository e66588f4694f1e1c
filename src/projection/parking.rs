//! Events that are put aside.

use super::checkpoint::{Checkpoint, Parked};
use super::desk::{Desk, Halt, call};
use super::keep::Keep;
use crate::error::{Error, with_sources};
use crate::event::{Batch, RecordedEvent};
use crate::position::Position;
use crate::store::event_at;
use crate::view::Ahead;

/// How many events are parked at most: where more cannot be handled, it is not the fault of one of them.
const PARKED_MAX: usize = 100;

/// How much is kept of what went wrong with one.
const ERROR_BYTES: usize = 500;

impl<K: Keep> Desk<K> {
    /// Whether an event that cannot be handled is put aside.
    pub(super) fn may_park(&self) -> bool {
        self.settings.policy.parks && self.checkpoint.parked.len() < PARKED_MAX
    }

    /// Puts an event aside.
    pub(super) fn park(&mut self, event: &RecordedEvent<'_>) -> Result<(), Halt> {
        let parked = Parked {
            position: event.position(),
            stream: event.stream().to_stream_id(),
            event_type: event.to_event_type(),
            error: self.trouble.as_ref().map(|trouble| cut(&trouble.error)).unwrap_or_default(),
            at: self.backing.clock.now(),
        };
        let (position, id) = (event.position(), Some(event.event_id()));
        let mut next = Checkpoint { position, event: id, ..self.checkpoint.clone() };
        // A view that began anew may have parked events that it has not come to yet.
        let place = next.parked.partition_point(|other| other.position < position);
        next.parked.insert(place, parked);
        self.keeper.keep(&next, &mut |_| Ok(())).map_err(|error| Halt::Failed(error, None))?;
        self.kept(next);
        Ok(())
    }

    /// Handles the parked event at this place of the list, and takes it off the list.
    pub(super) fn replay(&mut self, place: usize, position: Position) -> Result<(), Error> {
        let mut next = self.checkpoint.clone();
        next.parked.remove(place);
        // An event that the view has not come to, as after it began anew, will come by itself.
        let batch = if position <= self.checkpoint.position {
            event_at(&self.backing.store, position)?
        } else {
            Batch::new()
        };
        let handlers = &self.handlers;
        self.keeper.keep(&next, &mut |view| {
            batch.iter().try_for_each(|event| call(handlers, view, event, (&mut Ahead::new(), 0)))
        })?;
        self.kept(next);
        Ok(())
    }

    /// Leaves the event at this place of the list parked, because of this.
    pub(super) fn park_again(&mut self, place: usize, error: &Error) -> Result<(), Error> {
        let mut next = self.checkpoint.clone();
        let at = self.backing.clock.now();
        if let Some(parked) = next.parked.get_mut(place) {
            (parked.error, parked.at) = (cut(&with_sources(error)), at);
        }
        self.keeper.keep(&next, &mut |_| Ok(()))?;
        self.kept(next);
        Ok(())
    }
}

/// The beginning of a text.
fn cut(text: &str) -> String {
    let mut end = text.len().min(ERROR_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
