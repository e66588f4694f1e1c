//! How far the log goes, and whether it may go on: what writers publish, and readers and waiters look at.

use std::time::{Duration, Instant};

use super::address::Address;
use super::sync::{Condvar, Mutex};
use crate::error::{Error, ErrorKind};
use crate::position::Position;
use crate::store::event_store::Head;
use crate::store::interrupt::Interrupt;

/// What everybody knows of the log.
pub(super) struct Heads {
    known: Mutex<Known>,
    /// Signalled when the durable head moves, when somebody is interrupted and when the store is closed.
    moved: Condvar,
}

struct Known {
    /// Where the last acknowledged frame ends.
    end: Address,
    head: Head,
    /// Why no more may be written, if that is so.
    poison: Option<String>,
    is_closed: bool,
}

impl Known {
    fn open(&self) -> Result<(), Error> {
        if self.is_closed { Err(Error::new(ErrorKind::Closed)) } else { Ok(()) }
    }
}

impl Heads {
    pub(super) fn new(end: Address, head: Position) -> Self {
        let head = Head { acknowledged: head, durable: head };
        let known = Known { end, head, poison: None, is_closed: false };
        Self { known: Mutex::new(known), moved: Condvar::new() }
    }

    /// The log as far as it is acknowledged.
    pub(super) fn see(&self) -> Result<(Address, Head), Error> {
        let known = self.known.lock();
        known.open()?;
        Ok((known.end, known.head))
    }

    /// Whether the store may be written to.
    pub(super) fn check(&self) -> Result<(), Error> {
        let known = self.known.lock();
        known.open()?;
        known.poison.as_ref().map_or(Ok(()), |reason| Err(poisoned(reason)))
    }

    /// Whether a failure forbids to write; whether the store is closed does not matter.
    pub(super) fn poison(&self) -> Option<Error> {
        self.known.lock().poison.as_deref().map(poisoned)
    }

    /// Shows everybody the log up to here.
    pub(super) fn publish(&self, end: Address, head: Head) {
        fault!(NotifiesBeforeItPublishes, self.moved.notify_all());
        let mut known = self.known.lock();
        let has_moved = head.durable > known.head.durable;
        (known.end, known.head) = (end, head);
        drop(known);
        fault!(PublishesInSilence, return);
        fault!(NotifiesBeforeItPublishes, return);
        if has_moved {
            self.moved.notify_all();
        }
    }

    /// Forbids to write from now on, for the first reason that is given; and the error that says so.
    pub(super) fn forbid(&self, reason: impl Into<String>) -> Error {
        fault!(ForgetsTheFirstReason, self.known.lock().poison = None);
        let mut known = self.known.lock();
        poisoned(known.poison.get_or_insert(reason.into()))
    }

    /// Closes the store; false if it was closed before.
    pub(super) fn close(&self) -> bool {
        let was_closed = std::mem::replace(&mut self.known.lock().is_closed, true);
        fault!(ClosesInSilence, return !was_closed);
        self.moved.notify_all();
        !was_closed
    }

    /// Raises an interrupt, and wakes those who wait with it.
    pub(super) fn interrupt(&self, interrupt: &Interrupt) {
        fault!(NotifiesBeforeItInterrupts, self.moved.notify_all());
        let known = self.known.lock();
        interrupt.raise();
        drop(known);
        fault!(NotifiesBeforeItInterrupts, return);
        fault!(InterruptsInSilence, return);
        self.moved.notify_all();
    }

    /// Waits until the durable head is after this position, the time is over, the interrupt is raised, or the store is closed.
    pub(super) fn wait(
        &self,
        after: Position,
        timeout: Duration,
        interrupt: &Interrupt,
    ) -> Result<Position, Error> {
        let deadline = Instant::now().checked_add(timeout);
        let mut known = self.known.lock();
        loop {
            fault!(WakesForTheAcknowledged, known.head.durable = known.head.acknowledged);
            known.open()?;
            if known.head.durable > after || interrupt.is_raised() {
                return Ok(known.head.durable);
            }
            fault!(LooksAwayBeforeItSleeps, known = super::sync::reopened(known));
            let timed_out;
            (known, timed_out) = match deadline {
                Some(deadline) => self.moved.wait_until(known, deadline),
                None => (self.moved.wait(known), false),
            };
            if timed_out {
                known.open()?;
                return Ok(known.head.durable);
            }
        }
    }
}

fn poisoned(reason: &str) -> Error {
    Error::new(ErrorKind::Poisoned).detail(reason)
}
