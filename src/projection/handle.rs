//! The handle to a projection.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use chrono::TimeDelta;

use super::board::Goal;
use super::checkpoint::Parked;
use super::core::Core;
use super::desk::Step;
use super::keep::Keep;
use super::status::{Lag, State, Status};
use crate::error::Error;
use crate::position::Position;
use crate::progress::Progress;
use crate::store::{Batches, Filter, Query};
use crate::subscription::ReadModel;

/// A view that is kept up to date; made by [`ViewBuilder::kept_in`](crate::view::ViewBuilder::kept_in).
///
/// One that was [spawned](super::ProjectionBuilder::spawn) follows the log on a thread of its own, which ends when this is dropped, at the
/// end of the [batch](super::ProjectionBuilder::batch) that it is at. One that was only [opened](super::ProjectionBuilder::open) moves
/// when it is [driven](Self::run_until_caught_up) or [waited for](Self::wait_for).
///
/// Shared between threads as it is, by reference or in an `Arc`.
pub struct Projection<K: Keep> {
    name: String,
    core: Arc<Core<K>>,
    /// The events that concern it.
    filter: Filter,
    reader: K::Reader,
    thread: Option<JoinHandle<()>>,
}

impl<K: Keep> Projection<K> {
    pub(super) fn new(name: String, core: Core<K>, filter: Filter, reader: K::Reader) -> Self {
        Self { name, core: Arc::new(core), filter, reader, thread: None }
    }

    /// Lets it follow the log on a thread of its own, if it does not already.
    pub fn spawn(mut self) -> Result<Self, Error> {
        if self.thread.is_some() {
            return Ok(self);
        }
        let core = Arc::clone(&self.core);
        // The system takes no name with a zero in it.
        let name = format!("annals-{}", self.name).replace('\0', "");
        let thread = thread::Builder::new().name(name).spawn(move || core.follow());
        self.thread = Some(thread.map_err(Error::store)?);
        Ok(self)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
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
        let head = self.core.backing.store.head()?.durable;
        self.reach(Goal::Settled(head), Duration::MAX)?;
        Ok(head)
    }

    /// Waits until what is read contains everything up to this position; a projection without a thread is driven there.
    ///
    /// If that is not so in time, the error is of the kind [`Behind`](crate::ErrorKind::Behind). If the projection stands still because
    /// something has failed, the error is that.
    pub fn wait_for(&self, position: Position, timeout: Duration) -> Result<(), Error> {
        self.reach(Goal::Shown(position), timeout)
    }

    fn reach(&self, goal: Goal, timeout: Duration) -> Result<(), Error> {
        let (core, deadline) = (&*self.core, Instant::now().checked_add(timeout));
        if self.thread.is_some() {
            return core.board.wait_for(goal, deadline);
        }
        while !core.board.notes().has_reached(goal) {
            let heard = core.board.listen();
            let step = if heard.is_paused { Step::Done } else { core.step(&heard) };
            let left = deadline.map_or(Duration::MAX, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            let notes = core.board.notes();
            if notes.has_reached(goal) {
                break;
            }
            notes.check()?;
            if left.is_zero() || heard.is_paused {
                return Err(notes.behind());
            }
            drop(notes);
            core.rest(step, &heard, left);
        }
        Ok(())
    }

    /// Lets nothing further be handled until the projection is [resumed](Self::resume). When this returns, nothing is being handled.
    pub fn pause(&self) {
        self.core.call_worker(|notes| notes.is_paused = true);
        drop(self.core.take_over());
    }

    /// Goes on after a pause or a failure. What had failed is tried again, as if for the first time.
    pub fn resume(&self) {
        self.core.take_over().desk.trouble = None;
        self.core.call_worker(|notes| {
            notes.is_paused = false;
            if notes.state == State::Failed {
                notes.state = State::Following;
            }
        });
    }

    /// Makes the view anew, from the beginning of the log; [`status`](Self::status) tells how far that is. What is read meanwhile is for
    /// its [keeper](Keep) to say.
    pub fn rebuild(&self) -> Result<(), Error> {
        self.core.take_over().start_over()?;
        self.core.call_worker(|_| {});
        Ok(())
    }

    /// The events that were put aside, in the order of the log.
    #[must_use]
    pub fn parked(&self) -> Vec<Parked> {
        self.core.take_over().desk.checkpoint.parked.clone()
    }

    /// Handles the events that were put aside once more: in the order of the log, but after all that was handled since. Tells how many
    /// are parked no longer, since they are handled or will be; the others stay, with what is wrong with them now.
    pub fn replay_parked(&self) -> Result<usize, Error> {
        let replayed = self.core.take_over().replay_parked();
        self.core.call_worker(|_| {});
        replayed
    }

    /// How it is doing. It reads at most the next event of the log, and waits for nobody.
    #[must_use]
    pub fn status(&self) -> Status {
        let head = self.core.backing.store.head();
        let notes = self.core.board.notes();
        let shown = notes.shown;
        let head = head.map_or(shown, |head| head.durable);
        let mut status = Status {
            state: notes.state(),
            position: shown,
            lag: Lag { events: head.get().saturating_sub(shown.get()), time: TimeDelta::zero() },
            rebuild: notes.rebuilt.map(|rebuilt| Progress::new(rebuilt.get(), head.get())),
            errors: notes.errors,
            last_error: notes.last_error.clone(),
            parked: notes.parked,
        };
        drop(notes);
        status.lag.time = self.age_of_next(shown, head).unwrap_or_default();
        status
    }

    /// How long ago the first event between these positions was recorded that concerns the projection.
    fn age_of_next(&self, after: Position, up_to: Position) -> Option<TimeDelta> {
        let next = Query::new(self.filter.clone()).after(after).up_to(up_to).limit(NonZeroU64::MIN);
        for batch in Batches::new(&self.core.backing.store, next) {
            if let Some(event) = batch.ok()?.get(0) {
                let age = self.core.backing.clock.now() - event.recorded_at();
                return Some(age.max(TimeDelta::zero()));
            }
        }
        None
    }
}

impl<K: Keep> ReadModel for Projection<K> {
    fn wait_for(&self, position: Position, timeout: Duration) -> Result<(), Error> {
        self.wait_for(position, timeout)
    }
}

impl<K: Keep> Drop for Projection<K> {
    /// Waits for the thread, unless it is this one: a handler may hold the last handle.
    fn drop(&mut self) {
        self.core.call_worker(|notes| notes.is_over = true);
        if let Some(thread) =
            self.thread.take().filter(|it| it.thread().id() != thread::current().id())
        {
            // A thread that has panicked has said so.
            let _ = thread.join();
        }
    }
}

impl<K: Keep> fmt::Debug for Projection<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Projection").field("name", &self.name).finish_non_exhaustive()
    }
}
