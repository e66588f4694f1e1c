//! The way of a projection along the log.

use std::time::Duration;

use super::desk::{Desk, Halt};
use super::keep::Keep;
use crate::error::Error;
use crate::event::Batch;
use crate::position::Position;
use crate::runner::{Step, Work};
use crate::subscription::Subscription;
use crate::view::{Ahead, Page, ReadAhead};

/// Reads the log, and lets the view be changed, one step at a time.
pub(super) struct Worker<K: Keep> {
    pub(super) subscription: Subscription,
    pub(super) desk: Desk<K>,
    /// What is read ahead, while the view is far behind.
    pub(super) ahead: Option<ReadAhead>,
}

impl<K: Keep> Work for Worker<K> {
    fn step(&mut self, calls: u64) -> Step {
        if self.desk.board.notes().calls != calls {
            self.ahead = None;
            return Step::Done;
        }
        if let Some(step) = self.desk.hold(None) {
            return step;
        }
        if let Err(error) = self.settle() {
            return self.desk.fail(error, None);
        }
        match self.handle_next(calls) {
            Ok(None) if self.subscription.has_ended() => Step::Over,
            Ok(done) => self.desk.pass(self.subscription.checkpoint(), done.is_some()),
            Err(Halt::Held(step)) => {
                self.ahead = None;
                step
            }
            Err(Halt::Failed(error, position)) => {
                self.desk.is_unsettled = true;
                let step = self.desk.fail(error, position);
                // If that fails, the next step tries it again, and says so.
                let _ = self.settle();
                step
            }
        }
    }

    fn fail(&mut self, error: Error) {
        self.desk.fail(error, None);
    }
}

impl<K: Keep> Worker<K> {
    /// Handles the next events, if there are any.
    fn handle_next(&mut self, calls: u64) -> Result<Option<()>, Halt> {
        if self.ahead.is_none() {
            self.ahead = self.desk.read_ahead(self.subscription.checkpoint());
        }
        if let Some(page) = self.ahead.as_mut().and_then(ReadAhead::next) {
            let Page { batch, ahead, end, .. } = &mut page?;
            self.desk.handle(batch, ahead, calls)?;
            self.subscription.go_to(*end);
            return Ok(Some(()));
        }
        self.ahead = None;
        let handle = |batch: &Batch| self.desk.handle(batch, &mut Ahead::new(), calls);
        self.subscription.next_batch(Duration::ZERO, handle)
    }

    /// Finds out where the view stands, if something has failed.
    fn settle(&mut self) -> Result<(), Error> {
        if self.desk.is_unsettled {
            self.ahead = None;
            self.desk.settle()?;
            self.subscription.go_to(self.desk.checkpoint.position);
        }
        Ok(())
    }

    /// Handles the parked events once more, in the order of the log, and tells how many are parked no longer.
    pub(super) fn replay_parked(&mut self) -> Result<usize, Error> {
        let (mut place, mut replayed) = (0, 0);
        self.settle()?;
        while let Some(parked) = self.desk.checkpoint.parked.get(place) {
            let position = parked.position;
            match self.desk.replay(place, position) {
                Ok(()) => replayed += 1,
                Err(error) => {
                    self.desk.is_unsettled = true;
                    self.settle()?;
                    self.desk.park_again(place, &error)?;
                    place += 1;
                }
            }
        }
        Ok(replayed)
    }

    /// Begins a new view.
    pub(super) fn start_over(&mut self) -> Result<(), Error> {
        self.ahead = None;
        self.desk.start_over()?;
        self.subscription.go_to(Position::START);
        Ok(())
    }
}
