//! The handle to a process manager.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::lane::{Lane, Task};
use super::ledger::Note;
use super::stuck::Stuck;
use super::worker::Worker;
use crate::aggregate::{Aggregate, AggregateId};
use crate::error::Error;
use crate::event::Metadata;
use crate::id::StreamId;
use crate::position::Position;
use crate::runner::{Goal, Lag, Runner, State, Work};
use crate::store::{Filter, event_at};
use crate::subscription::ReadModel;

/// Lets things happen because others have happened; made by [`Repository::process`](crate::Repository::process).
///
/// One that was [spawned](super::ProcessBuilder::spawn) follows the log on a thread of its own, which ends when this is dropped, at the
/// end of the command that it is at. One that was only [opened](super::ProcessBuilder::open) moves when it is
/// [driven](Self::run_until_settled) or [waited for](Self::wait_for).
///
/// Shared between threads as it is, by reference or in an `Arc`.
pub struct ProcessManager<P: Aggregate> {
    runner: Runner<Worker<P>>,
    /// The events that concern it.
    filter: Filter,
    /// Where it takes its notes.
    notes: StreamId,
}

impl<P: Aggregate> ProcessManager<P> {
    pub(super) fn new(runner: Runner<Worker<P>>, filter: Filter, notes: StreamId) -> Self {
        Self { runner, filter, notes }
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

    /// The stream in which it takes its notes: how far it is, what waits, who gave it a hand.
    #[must_use]
    pub fn notes(&self) -> &StreamId {
        &self.notes
    }

    /// Does everything that there is to do now, and what comes of that, and tells up to where. What is to be done at a later time, as
    /// after a deadline or a command's failure, is not waited for.
    ///
    /// An error if the manager stands still because something has failed, or is paused. That an instance is stuck is no error:
    /// [`stuck`](Self::stuck) tells.
    pub fn run_until_settled(&self) -> Result<Position, Error> {
        self.runner.work_off()
    }

    /// Waits until everything up to this position is done, waits for another try, or is stuck; a manager without a thread is driven
    /// there. Not waited for is what comes of it in turn: that stands behind this position.
    ///
    /// If that is not so in time, the error is of the kind [`Behind`](crate::ErrorKind::Behind). If the manager stands still because
    /// something has failed, the error is that.
    pub fn wait_for(&self, position: Position, timeout: Duration) -> Result<(), Error> {
        self.runner.reach(Goal::Shown(position), timeout)
    }

    /// Lets nothing further be done until the manager is [resumed](Self::resume). When this returns, nothing is being done.
    pub fn pause(&self) {
        self.runner.pause();
    }

    /// Goes on after a pause or a failure. What had failed is tried again, as if for the first time. Instances that are stuck stay so.
    pub fn resume(&self) {
        self.runner.resume(Worker::begin_again);
    }

    /// How it is doing. It reads at most the next event of the log, and waits for nobody.
    #[must_use]
    pub fn status(&self) -> ProcessStatus {
        let notes = self.runner.notes();
        let mut status = ProcessStatus {
            state: notes.state(),
            position: notes.shown,
            lag: Lag::default(),
            stuck: notes.parked,
            waiting: notes.waiting,
            deadlines: notes.deadlines,
            errors: notes.errors,
            last_error: notes.last_error.clone(),
        };
        drop(notes);
        status.lag = self.runner.lag(&self.filter, status.position);
        status
    }

    /// When the next deadline is over or a command is tried again, as far as the manager knows by now.
    #[must_use]
    pub fn next_due(&self) -> Option<DateTime<Utc>> {
        self.runner.take_over().desk.next_due()
    }

    /// The instances that do not get on by themselves, with the reason.
    ///
    /// Each needs a hand: [`retry`](Self::retry) once the reason is gone, [`skip`](Self::skip) if it is to do without, or
    /// [`end`](Self::end). What a hand does is noted in the log, with the metadata that it brings.
    #[must_use]
    pub fn stuck(&self) -> Vec<Stuck> {
        let worker = self.runner.take_over();
        let ledger = worker.desk.notebook.ledger();
        let mut found = Vec::new();
        for lane in [Lane::Inbox, Lane::Outbox] {
            for (instance, queue) in ledger.queues(lane) {
                let Some((reason, since)) = queue.stuck.clone() else { continue };
                let position = match queue.tasks.front() {
                    Some(Task::Command { position, .. }) => Some(*position),
                    _ => None,
                };
                let waiting = queue.tasks.len().saturating_sub(1);
                let instance = instance.clone();
                found.push(Stuck { instance, lane, position, reason, since, waiting });
            }
        }
        found
    }

    /// Tries what an instance is stuck at again, as if for the first time, and then what waits behind it. Tells whether it was stuck.
    pub fn retry(&self, id: &P::Id, by: Metadata) -> Result<bool, Error> {
        self.give_a_hand(id, by, |lane, instance| Note::Retried { lane, instance })
    }

    /// Leaves undone what an instance is stuck at, and goes on with what waits behind it. Tells whether it was stuck.
    pub fn skip(&self, id: &P::Id, by: Metadata) -> Result<bool, Error> {
        self.give_a_hand(id, by, |lane, instance| Note::Skipped { lane, instance })
    }

    /// Does nothing for this instance any more: it is told nothing further, what it asks for is not sent, and its deadlines are
    /// dropped. It stays in the log, and is not changed.
    pub fn end(&self, id: &P::Id, by: Metadata) -> Result<(), Error> {
        let mut worker = self.runner.take_over();
        let instance = id.to_key().into_owned();
        for lane in [Lane::Inbox, Lane::Outbox] {
            worker.desk.troubles.remove(&(lane, instance.clone()));
        }
        worker.desk.notebook.take(Note::Ended { instance }, by)?;
        self.done(&mut worker)
    }

    fn give_a_hand(
        &self,
        id: &P::Id,
        by: Metadata,
        note: impl Fn(Lane, String) -> Note,
    ) -> Result<bool, Error> {
        let mut worker = self.runner.take_over();
        let instance = id.to_key().into_owned();
        let mut was_stuck = false;
        for lane in [Lane::Inbox, Lane::Outbox] {
            let ledger = worker.desk.notebook.ledger();
            let queue = ledger.queues(lane).get(&instance);
            let Some(queue) = queue.filter(|queue| queue.stuck.is_some()) else { continue };
            was_stuck = true;
            let by = match queue.tasks.front() {
                Some(Task::Command { position, .. }) if by.correlation().is_none() => {
                    let batch = event_at(&worker.desk.backing.store, *position)?;
                    batch.get(0).map_or_else(|| by.clone(), |event| by.clone().because_of(&event))
                }
                _ => by.clone(),
            };
            worker.desk.notebook.take(note(lane, instance.clone()), by)?;
            if worker.desk.notebook.ledger().waits(lane, &instance) {
                let now = worker.desk.backing.clock.now();
                worker.desk.troubles.insert((lane, instance.clone()), (0, now));
            }
        }
        self.done(&mut worker)?;
        Ok(was_stuck)
    }

    /// Lets what a hand has done be so, now and after a crash.
    fn done(&self, worker: &mut Worker<P>) -> Result<(), Error> {
        let written = worker.desk.write();
        if let Err(error) = &written {
            // Nobody knows whether it is.
            worker.fail(error.replica());
        }
        worker.desk.show();
        self.runner.call(|_| {});
        written
    }
}

/// How a process manager is doing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProcessStatus {
    /// What it is doing.
    pub state: State,
    /// Everything up to here is done, waits for another try, or is stuck.
    pub position: Position,
    /// How far it is behind the log.
    pub lag: Lag,
    /// In how many lanes instances are [stuck](ProcessManager::stuck).
    pub stuck: usize,
    /// In how many lanes something failed that is tried again.
    pub waiting: usize,
    /// How many instances have a deadline.
    pub deadlines: usize,
    /// How many times something has failed since the manager was opened.
    pub errors: u64,
    /// What went wrong last; it names the instance where it is about one.
    pub last_error: Option<Arc<Error>>,
}

impl<P: Aggregate> ReadModel for ProcessManager<P> {
    fn wait_for(&self, position: Position, timeout: Duration) -> Result<(), Error> {
        self.wait_for(position, timeout)
    }
}

impl<P: Aggregate> fmt::Debug for ProcessManager<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessManager").field("name", &self.runner.name).finish_non_exhaustive()
    }
}
