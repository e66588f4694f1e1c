//! The way of a projection along the log.

use std::time::Duration;

use super::desk::{Desk, Halt};
use super::keep::Keep;
use crate::error::Error;
use crate::position::Position;
use crate::runner::{Step, Work};
use crate::subscription::Subscription;

/// Reads the log, and lets the view be changed, one step at a time.
pub(super) struct Worker<K: Keep> {
    pub(super) subscription: Subscription,
    pub(super) desk: Desk<K>,
}

impl<K: Keep> Work for Worker<K> {
    fn step(&mut self, calls: u64) -> Step {
        if self.desk.board.notes().calls != calls {
            return Step::Done;
        }
        if let Some(step) = self.desk.hold(None) {
            return step;
        }
        if let Err(error) = self.settle() {
            return self.desk.fail(error, None);
        }
        match self.subscription.next_batch(Duration::ZERO, |batch| self.desk.handle(batch, calls)) {
            Ok(None) if self.subscription.has_ended() => Step::Over,
            Ok(done) => self.desk.pass(self.subscription.checkpoint(), done.is_some()),
            Err(Halt::Held(step)) => step,
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
    /// Finds out where the view stands, if something has failed.
    fn settle(&mut self) -> Result<(), Error> {
        if self.desk.is_unsettled {
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
        self.desk.start_over()?;
        self.subscription.go_to(Position::START);
        Ok(())
    }
}
