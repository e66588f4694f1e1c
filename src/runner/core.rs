//! What a worker's thread and those who hold the worker share.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::board::{Board, Heard, Notes};
use super::state::State;
use super::step::{Step, Work};
use crate::backing::Backing;
use crate::error::ErrorKind;
use crate::position::Position;

/// Behind this no event comes.
const NEVER: Position = Position::new(u64::MAX);

pub(super) struct Core<W> {
    pub(super) backing: Arc<Backing>,
    pub(super) board: Arc<Board>,
    /// Held by whoever does the work. Taken before the board's lock.
    pub(super) worker: Mutex<W>,
}

/// Says that the thread has ended, also if something panics that is not ours.
struct Ending<'b>(&'b Board);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.note(|notes| notes.state = State::Ended);
    }
}

impl<W: Work> Core<W> {
    /// Does what there is to do, as far as that can be read at once. Nothing, if the worker has been told more than it has heard.
    pub(super) fn step(&self, heard: &Heard) -> Step {
        let mut worker = self.worker.lock();
        let step = worker.step(heard.calls);
        // While nobody else can tell the worker anything.
        let state = match step {
            Step::Wait(at) => State::Retrying { at },
            Step::Failed => State::Failed,
            Step::Over => State::Ended,
            Step::Done | Step::CaughtUp(..) => return step,
        };
        self.board.note(|notes| notes.state = state);
        step
    }

    /// Waits until there is more to do, until the worker is told something, or for this time.
    pub(super) fn rest(&self, step: &Step, heard: &Heard, most: Duration) {
        // Where only time or a call can help, for an event that never comes: so the closing of the store is noticed.
        let until = |due| self.backing.clock.until(due).min(most);
        let (after, most) = match *step {
            Step::Done | Step::Over => return,
            Step::CaughtUp(position, due) => (position, due.map_or(most, until)),
            Step::Wait(due) => (NEVER, until(due)),
            Step::Failed => (NEVER, most),
        };
        match self.backing.store.wait(after, most, &heard.interrupt) {
            Err(error) if *error.kind() == ErrorKind::Closed => {
                self.board.note(|notes| notes.state = State::Ended);
            }
            Err(error) => self.worker.lock().fail(error),
            Ok(_) => {}
        }
    }

    /// Follows the log until that is over.
    pub(super) fn follow(&self) {
        let _ending = Ending(&self.board);
        loop {
            let heard = self.board.listen();
            if heard.is_over || self.board.notes().state == State::Ended {
                return;
            }
            let step = if heard.is_paused { Step::Failed } else { self.step(&heard) };
            self.rest(&step, &heard, Duration::MAX);
        }
    }

    /// Takes the place of whoever works, at the end of what is being done.
    pub(super) fn take_over(&self) -> MutexGuard<'_, W> {
        self.call_worker(|_| {});
        self.worker.lock()
    }

    /// Tells the worker something.
    pub(super) fn call_worker(&self, say: impl FnOnce(&mut Notes)) {
        self.board.call(&*self.backing.store, say);
    }
}
