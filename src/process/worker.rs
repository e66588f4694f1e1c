//! The way of a process manager along the log.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::desk::Desk;
use crate::aggregate::Aggregate;
use crate::error::{Error, ErrorKind};
use crate::event::Batch;
use crate::position::Position;
use crate::runner::{Step, Work};
use crate::subscription::Subscription;
use crate::trace;

/// After how many events that concern the manager it writes at the latest how far it is, and after how many positions that do not.
const EVENTS_UNWRITTEN_MAX: u64 = 256;
const POSITIONS_UNWRITTEN_MAX: u64 = 10_000;

/// Reads the log, and does what its events ask for.
pub(super) struct Worker<P: Aggregate> {
    pub(super) subscription: Subscription,
    pub(super) desk: Desk<P>,
    /// Where it stands in the log that deadlines are over, and at which time they are: they are seen to once everything before it is
    /// handled.
    pub(super) mark: Option<(Position, DateTime<Utc>)>,
    /// What has failed, other than a command, since the manager last got on.
    pub(super) failure: Option<Failure>,
}

/// What keeps a manager from getting on.
pub(super) struct Failure {
    tries: u32,
    due: DateTime<Utc>,
    /// How far everything was, as it was written; `None` until the manager has gone back to that.
    since: Option<Position>,
}

/// Why a batch is not done.
enum Halt {
    /// The worker was told something.
    Called,
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl<P: Aggregate> Work for Worker<P> {
    fn step(&mut self, calls: u64) -> Step {
        if self.desk.board.notes().calls != calls {
            return Step::Done;
        }
        if let Some(failure) = &self.failure {
            if !self.desk.plan.backoff.goes_on_after(failure.tries) {
                return Step::Failed;
            }
            if failure.due > self.desk.backing.clock.now() {
                return Step::Wait(failure.due);
            }
        }
        match self.go_on(calls) {
            Ok(step) => {
                let written = self.desk.notebook.ledger().position;
                let gets_on = matches!(step, Step::CaughtUp(..));
                self.failure.take_if(|failure| gets_on || Some(written) > failure.since);
                step
            }
            Err(Halt::Called) => Step::Done,
            Err(Halt::Failed(error)) if *error.kind() == ErrorKind::Closed => Step::Over,
            Err(Halt::Failed(error)) => {
                self.fail(error);
                Step::Done
            }
        }
    }

    fn fail(&mut self, error: Error) {
        trace::event!(
            WARN,
            process = self.desk.plan.name,
            "{}",
            crate::error::with_sources(&error)
        );
        let tries = self.failure.as_ref().map_or(1, |failure| failure.tries.saturating_add(1));
        // Another manager of the name is not got rid of by trying again.
        let tries = if *error.kind() == ErrorKind::InUse { u32::MAX } else { tries };
        let due = self.desk.plan.backoff.due(tries, self.desk.backing.clock.now());
        self.failure = Some(Failure { tries, due, since: None });
        self.desk.board.note(|notes| {
            notes.errors += 1;
            notes.last_error = Some(Arc::new(error));
        });
    }
}

impl<P: Aggregate> Worker<P> {
    fn go_on(&mut self, calls: u64) -> Result<Step, Halt> {
        if let Some(failure @ Failure { since: None, .. }) = &mut self.failure {
            self.desk.settle()?;
            self.subscription.go_to(self.desk.position);
            (failure.since, self.mark) = (Some(self.desk.position), None);
        }
        self.desk.try_again()?;
        let handle = |batch: &Batch| handle(&mut self.desk, batch, calls);
        if self.subscription.next_batch(Duration::ZERO, handle)?.is_some() {
            return Ok(Step::Done);
        }
        if self.subscription.has_ended() {
            return Ok(Step::Over);
        }
        self.desk.position = self.subscription.checkpoint();
        if self.see_to_deadlines()? {
            return Ok(Step::Done);
        }
        let written = self.desk.notebook.ledger().position.get();
        let passed = self.desk.position.get().saturating_sub(written);
        if self.desk.unwritten > 0
            || self.desk.notebook.unwritten() > 0
            || passed > POSITIONS_UNWRITTEN_MAX
        {
            self.desk.write()?;
        }
        self.desk.show();
        let due = if self.mark.is_some() { self.desk.next_try() } else { self.desk.next_due() };
        Ok(Step::CaughtUp(self.desk.position, due))
    }

    /// Sees to the deadlines that are over by now, where everything is handled that can be read. Tells whether there is more to do.
    ///
    /// What was recorded before a deadline may be on its way still, or wait to be synced. A note that is taken when the deadline is over
    /// stands behind all of that: once it can be read, nothing is missing.
    fn see_to_deadlines(&mut self) -> Result<bool, Error> {
        let now = self.desk.backing.clock.now();
        match self.mark {
            Some((position, _)) if position > self.desk.position => Ok(false),
            Some((_, time)) => {
                self.mark = None;
                self.desk.see_to_deadlines(time)?;
                Ok(true)
            }
            None if self.desk.is_overdue(now) => {
                self.mark = Some((self.desk.write_mark()?, now));
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Goes on at once after a failure, from what is written.
    pub(super) fn begin_again(&mut self) {
        if let Some(failure) = &mut self.failure {
            (failure.tries, failure.due, failure.since) = (0, DateTime::<Utc>::MIN_UTC, None);
        }
    }
}

/// Handles what is not handled of a batch, until the worker is told more than this.
fn handle<P: Aggregate>(desk: &mut Desk<P>, batch: &Batch, calls: u64) -> Result<(), Halt> {
    let from = batch.count_up_to(desk.position);
    for place in from..batch.len() {
        let Some(event) = batch.get(place) else { continue };
        if desk.board.notes().calls != calls {
            return Err(Halt::Called);
        }
        // What was due before the event was recorded comes before it, whenever the manager gets there.
        if let Some(before) = event.recorded_at().checked_sub_signed(TimeDelta::microseconds(1)) {
            desk.see_to_deadlines(before)?;
        }
        desk.handle(&event)?;
        if event.stream().is_in(&desk.plan.instances.binding().category) {
            desk.look_at_deadline(event.stream().id(), event.version())?;
        }
        (desk.position, desk.last) = (event.position(), Some((event.position(), event.event_id())));
        desk.unwritten += 1;
        if desk.unwritten >= EVENTS_UNWRITTEN_MAX {
            desk.write()?;
        }
    }
    desk.show();
    Ok(())
}
