//! The handle to a projection.

use std::fmt;
use std::time::Duration;

use super::checkpoint::Parked;
use super::keep::Keep;
use super::status::Status;
use super::worker::Worker;
use crate::error::Error;
use crate::position::Position;
use crate::progress::Progress;
use crate::runner::{Goal, Runner};
use crate::store::Filter;
use crate::subscription::ReadModel;

/// A view that is kept up to date; made by [`ViewBuilder::kept_in`](crate::view::ViewBuilder::kept_in).
///
/// One that was [spawned](super::ProjectionBuilder::spawn) follows the log on a thread of its own, which ends when this is dropped, at the
/// end of the [batch](super::ProjectionBuilder::batch) that it is at. One that was only [opened](super::ProjectionBuilder::open) moves
/// when it is [driven](Self::run_until_caught_up) or [waited for](Self::wait_for).
///
/// Shared between threads as it is, by reference or in an `Arc`.
pub struct Projection<K: Keep> {
    runner: Runner<Worker<K>>,
    /// The events that concern it.
    filter: Filter,
    reader: K::Reader,
}

impl<K: Keep> Projection<K> {
    pub(super) fn new(runner: Runner<Worker<K>>, filter: Filter, reader: K::Reader) -> Self {
        Self { runner, filter, reader }
    }

    /// Lets it follow the log on a thread of its own, if it does not already.
    pub fn spawn(mut self) -> Result<Self, Error> {
        self.runner.spawn()?;
        Ok(self)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.runner.name
    }

    /// What the view is read through, on any thread.
    #[must_use]
    pub fn reader(&self) -> K::Reader {
        self.reader.clone()
    }

    /// Handles everything that is in the log now, and tells how far that is. If a new view is being made, it is finished.
    ///
    /// An error if the projection stands still because something has failed, or is paused.
    pub fn run_until_caught_up(&self) -> Result<Position, Error> {
        let head = self.runner.backing().store.head()?.durable;
        self.runner.reach(Goal::Settled(head), Duration::MAX)?;
        Ok(head)
    }

    /// Waits until what is read contains everything up to this position; a projection without a thread is driven there.
    ///
    /// If that is not so in time, the error is of the kind [`Behind`](crate::ErrorKind::Behind). If the projection stands still because
    /// something has failed, the error is that.
    pub fn wait_for(&self, position: Position, timeout: Duration) -> Result<(), Error> {
        self.runner.reach(Goal::Shown(position), timeout)
    }

    /// Lets nothing further be handled until the projection is [resumed](Self::resume). When this returns, nothing is being handled.
    pub fn pause(&self) {
        self.runner.pause();
    }

    /// Goes on after a pause or a failure. What had failed is tried again, as if for the first time.
    pub fn resume(&self) {
        self.runner.resume(|worker| worker.desk.trouble = None);
    }

    /// Makes the view anew, from the beginning of the log; [`status`](Self::status) tells how far that is. What is read meanwhile is for
    /// its [keeper](Keep) to say.
    pub fn rebuild(&self) -> Result<(), Error> {
        self.runner.take_over().start_over()?;
        self.runner.call(|_| {});
        Ok(())
    }

    /// The events that were put aside, in the order of the log.
    #[must_use]
    pub fn parked(&self) -> Vec<Parked> {
        self.runner.take_over().desk.checkpoint.parked.clone()
    }

    /// Handles the events that were put aside once more: in the order of the log, but after all that was handled since. Tells how many
    /// are parked no longer, since they are handled or will be; the others stay, with what is wrong with them now.
    pub fn replay_parked(&self) -> Result<usize, Error> {
        let replayed = self.runner.take_over().replay_parked();
        self.runner.call(|_| {});
        replayed
    }

    /// How it is doing. It reads at most the next event of the log, and waits for nobody.
    #[must_use]
    pub fn status(&self) -> Status {
        let notes = self.runner.notes();
        let (position, rebuilt) = (notes.shown, notes.rebuilt);
        let (state, errors, parked) = (notes.state(), notes.errors, notes.parked);
        let last_error = notes.last_error.clone();
        drop(notes);
        let lag = self.runner.lag(&self.filter, position);
        let head = position.get() + lag.events;
        let rebuild = rebuilt.map(|rebuilt| Progress::new(rebuilt.get(), head));
        Status { state, position, lag, rebuild, errors, last_error, parked }
    }
}

impl<K: Keep> ReadModel for Projection<K> {
    fn wait_for(&self, position: Position, timeout: Duration) -> Result<(), Error> {
        self.wait_for(position, timeout)
    }
}

impl<K: Keep> fmt::Debug for Projection<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Projection").field("name", &self.runner.name).finish_non_exhaustive()
    }
}
