//! Where a worker says how far it is, and is told what to do.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::state::State;
use crate::error::{Error, ErrorKind};
use crate::position::Position;
use crate::store::{EventStore, Interrupt};

/// What a worker and those who hold the projection tell one another.
#[derive(Debug)]
pub(crate) struct Board {
    notes: Mutex<Notes>,
    /// Signalled after every change of the notes that somebody may wait for, with `notes` as its lock.
    changed: Condvar,
}

#[derive(Debug)]
pub(crate) struct Notes {
    /// How far what is read is.
    pub(crate) shown: Position,
    /// How far the view that is being made is, if that is another.
    pub(crate) rebuilt: Option<Position>,
    /// What the worker is doing, if it is not paused; that a new view is being made, `rebuilt` tells.
    pub(crate) state: State,
    pub(crate) errors: u64,
    pub(crate) last_error: Option<Arc<Error>>,
    /// How many things were put aside.
    pub(crate) parked: usize,
    /// How many things are tried again later.
    pub(crate) waiting: usize,
    pub(crate) deadlines: usize,
    pub(crate) is_paused: bool,
    pub(crate) is_over: bool,
    /// How often the worker was told something.
    pub(crate) calls: u64,
    /// What ends the worker's wait for the store.
    interrupt: Arc<Interrupt>,
}

/// What a worker had been told when it began a round: a wait ends as soon as it is told more.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) calls: u64,
    pub(crate) interrupt: Arc<Interrupt>,
    pub(crate) is_paused: bool,
    pub(crate) is_over: bool,
}

/// What is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// What is read is as far as this.
    Shown(Position),
    /// The same, and no new view is being made any more.
    Settled(Position),
}

impl Board {
    pub(crate) fn new() -> Self {
        let notes = Notes {
            shown: Position::START,
            rebuilt: None,
            state: State::Following,
            errors: 0,
            last_error: None,
            parked: 0,
            waiting: 0,
            deadlines: 0,
            is_paused: false,
            is_over: false,
            calls: 0,
            interrupt: Arc::new(Interrupt::new()),
        };
        Self { notes: Mutex::new(notes), changed: Condvar::new() }
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock()
    }

    /// Changes the notes, and wakes those who wait for that.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Notes)) {
        change(&mut self.notes.lock());
        self.changed.notify_all();
    }

    /// Tells the worker something: it begins its next round at once.
    pub(crate) fn call(&self, store: &dyn EventStore, say: impl FnOnce(&mut Notes)) {
        let mut notes = self.notes.lock();
        say(&mut notes);
        notes.calls += 1;
        let interrupt = Arc::clone(&notes.interrupt);
        drop(notes);
        self.changed.notify_all();
        store.interrupt(&interrupt);
    }

    /// What the worker has been told by now.
    pub(crate) fn listen(&self) -> Heard {
        let mut notes = self.notes.lock();
        if notes.interrupt.is_raised() {
            notes.interrupt = Arc::new(Interrupt::new());
        }
        let (calls, interrupt) = (notes.calls, Arc::clone(&notes.interrupt));
        Heard { calls, interrupt, is_paused: notes.is_paused, is_over: notes.is_over }
    }

    /// Waits until the goal is reached.
    pub(crate) fn wait_for(&self, goal: Goal, deadline: Option<Instant>) -> Result<(), Error> {
        let mut notes = self.notes.lock();
        loop {
            if notes.has_reached(goal) {
                return Ok(());
            }
            notes.check()?;
            if let (Goal::Settled(_), true) = (goal, notes.is_paused) {
                return Err(notes.behind());
            }
            if self.wait(&mut notes, deadline) && !notes.has_reached(goal) {
                return Err(notes.behind());
            }
        }
    }

    /// Waits for a change. True if there was none in time.
    fn wait(&self, notes: &mut MutexGuard<'_, Notes>, deadline: Option<Instant>) -> bool {
        let Some(deadline) = deadline else {
            self.changed.wait(notes);
            return false;
        };
        self.changed.wait_until(notes, deadline).timed_out()
    }
}

impl Notes {
    pub(crate) fn has_reached(&self, goal: Goal) -> bool {
        match goal {
            Goal::Shown(position) => self.shown >= position,
            Goal::Settled(position) => self.shown >= position && self.rebuilt.is_none(),
        }
    }

    /// What the projection is doing.
    pub(crate) fn state(&self) -> State {
        match self.state {
            State::Ended => State::Ended,
            _ if self.is_paused => State::Paused,
            State::Following if self.rebuilt.is_some() => State::Rebuilding,
            state => state,
        }
    }

    /// An error if it does not go on by itself.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if matches!(self.state, State::Failed | State::Ended) {
            self.last_failure()
        } else {
            Ok(())
        }
    }

    /// Why it does not go on.
    pub(crate) fn last_failure(&self) -> Result<(), Error> {
        match (self.state, &self.last_error) {
            (State::Failed | State::Retrying { .. }, Some(error)) => Err(error.replica()),
            (State::Ended, _) => Err(Error::new(ErrorKind::Closed).detail("it has ended")),
            _ => Ok(()),
        }
    }

    pub(crate) fn behind(&self) -> Error {
        let error = Error::new(ErrorKind::Behind { position: self.shown });
        if self.is_paused { error.detail("it is paused") } else { error }
    }
}
