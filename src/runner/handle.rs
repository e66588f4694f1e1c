//! The handle to a worker.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use parking_lot::{Mutex, MutexGuard};

use super::board::{Board, Goal, Notes};
use super::core::Core;
use super::state::{Lag, State};
use super::step::{Step, Work};
use crate::backing::Backing;
use crate::error::Error;
use crate::position::Position;
use crate::store::{Batches, Filter, Query};

/// A worker, and the thread that it works on, if it has one: that ends when this is dropped.
pub(crate) struct Runner<W: Work> {
    pub(crate) name: String,
    core: Arc<Core<W>>,
    thread: Option<JoinHandle<()>>,
}

impl<W: Work> Runner<W> {
    pub(crate) fn new(name: &str, backing: &Arc<Backing>, board: &Arc<Board>, worker: W) -> Self {
        let (backing, board) = (Arc::clone(backing), Arc::clone(board));
        let core = Core { backing, board, worker: Mutex::new(worker) };
        Self { name: name.to_owned(), core: Arc::new(core), thread: None }
    }

    /// Lets it follow the log on a thread of its own, if it does not already.
    pub(crate) fn spawn(&mut self) -> Result<(), Error> {
        if self.thread.is_some() {
            return Ok(());
        }
        let core = Arc::clone(&self.core);
        // The system takes no name with a zero in it.
        let name = format!("annals-{}", self.name).replace('\0', "");
        let thread = thread::Builder::new().name(name).spawn(move || core.follow());
        self.thread = Some(thread.map_err(Error::store)?);
        Ok(())
    }

    pub(crate) fn backing(&self) -> &Backing {
        &self.core.backing
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.core.board.notes()
    }

    /// Waits until the goal is reached; without a thread, the worker is driven there.
    pub(crate) fn reach(&self, goal: Goal, timeout: Duration) -> Result<(), Error> {
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
            core.rest(&step, &heard, left);
        }
        Ok(())
    }

    /// Does everything that there is to do by now, and tells up to where.
    pub(crate) fn work_off(&self) -> Result<Position, Error> {
        let core = &*self.core;
        loop {
            let heard = core.board.listen();
            if heard.is_paused {
                return Err(core.board.notes().behind());
            }
            match core.step(&heard) {
                Step::CaughtUp(position, due) => {
                    if due.is_none_or(|due| due > core.backing.clock.now()) {
                        return Ok(position);
                    }
                }
                Step::Done => {}
                Step::Wait(_) | Step::Failed | Step::Over => core.board.notes().last_failure()?,
            }
        }
    }

    /// Lets nothing further be done until it is [resumed](Self::resume). When this returns, nothing is being done.
    pub(crate) fn pause(&self) {
        self.call(|notes| notes.is_paused = true);
        drop(self.take_over());
    }

    /// Goes on after a pause or a failure, of which the worker is to know nothing any more.
    pub(crate) fn resume(&self, forget: impl FnOnce(&mut W)) {
        forget(&mut *self.take_over());
        self.call(|notes| {
            notes.is_paused = false;
            if notes.state == State::Failed {
                notes.state = State::Following;
            }
        });
    }

    /// Takes the place of whoever works, at the end of what is being done.
    pub(crate) fn take_over(&self) -> MutexGuard<'_, W> {
        self.core.take_over()
    }

    /// Tells the worker something.
    pub(crate) fn call(&self, say: impl FnOnce(&mut Notes)) {
        self.core.call_worker(say);
    }

    /// How far it is behind the log, if it is as far as this.
    pub(crate) fn lag(&self, filter: &Filter, shown: Position) -> Lag {
        let head = self.core.backing.store.head().map_or(shown, |head| head.durable);
        let events = head.get().saturating_sub(shown.get());
        Lag { events, time: self.age_of_next(filter, shown, head).unwrap_or_default() }
    }

    /// How long ago the first event between these positions was recorded that concerns it.
    fn age_of_next(&self, filter: &Filter, after: Position, up_to: Position) -> Option<TimeDelta> {
        let next = Query::new(filter.clone()).after(after).up_to(up_to).limit(NonZeroU64::MIN);
        for batch in Batches::new(&self.core.backing.store, next) {
            if let Some(event) = batch.ok()?.get(0) {
                let age = self.core.backing.clock.now() - event.recorded_at();
                return Some(age.max(TimeDelta::zero()));
            }
        }
        None
    }
}

impl<W: Work> Drop for Runner<W> {
    /// Waits for the thread, unless it is this one: who works may hold the last handle.
    fn drop(&mut self) {
        self.call(|notes| notes.is_over = true);
        if let Some(thread) =
            self.thread.take().filter(|it| it.thread().id() != thread::current().id())
        {
            // A thread that has panicked has said so.
            let _ = thread.join();
        }
    }
}
