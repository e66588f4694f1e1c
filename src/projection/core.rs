//! What a projection's thread and those who hold the projection share.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::board::{Board, Heard, Notes};
use super::desk::Step;
use super::keep::Keep;
use super::status::State;
use super::worker::Worker;
use crate::backing::Backing;
use crate::error::ErrorKind;

pub(super) struct Core<K: Keep> {
    pub(super) backing: Arc<Backing>,
    pub(super) board: Arc<Board>,
    /// Held by whoever does the work. Taken before the board's lock.
    worker: Mutex<Worker<K>>,
}

/// Says that the thread has ended, also if a keeper panics.
struct Ending<'b>(&'b Board);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.note(|notes| notes.state = State::Ended);
    }
}

impl<K: Keep> Core<K> {
    pub(super) fn new(worker: Worker<K>) -> Self {
        let (backing, board) = (Arc::clone(&worker.desk.backing), Arc::clone(&worker.desk.board));
        Self { backing, board, worker: Mutex::new(worker) }
    }

    /// Does what there is to do, as far as that can be read at once.
    pub(super) fn step(&self) -> Step {
        let step = self.worker.lock().step();
        match step {
            Step::Wait(at) => self.board.note(|notes| notes.state = State::Retrying { at }),
            Step::Failed => self.board.note(|notes| notes.state = State::Failed),
            Step::Over => self.board.note(|notes| notes.state = State::Ended),
            Step::Done | Step::CaughtUp(_) => {}
        }
        step
    }

    /// Waits until there is more to do, for this time at most.
    pub(super) fn rest(&self, step: Step, heard: &Heard, most: Duration) {
        match step {
            Step::Done | Step::Over => {}
            Step::CaughtUp(position) => {
                if let Err(error) = self.backing.store.wait(position, most, &heard.interrupt)
                    && *error.kind() != ErrorKind::Closed
                {
                    self.worker.lock().desk.fail(error, None);
                }
            }
            Step::Wait(due) => self.board.sleep(heard, self.backing.clock.until(due).min(most)),
            Step::Failed => self.board.sleep(heard, most),
        }
    }

    /// Follows the log until that is over.
    pub(super) fn follow(&self) {
        let _ending = Ending(&self.board);
        loop {
            let heard = self.board.listen();
            if heard.is_over {
                return;
            }
            if heard.is_paused {
                self.board.sleep(&heard, Duration::MAX);
                continue;
            }
            match self.step() {
                Step::Over => return,
                step => self.rest(step, &heard, Duration::MAX),
            }
        }
    }

    /// Takes the place of whoever works, at the end of the batch that is being handled.
    pub(super) fn take_over(&self) -> MutexGuard<'_, Worker<K>> {
        self.call_worker(|_| {});
        self.worker.lock()
    }

    /// Tells the worker something.
    pub(super) fn call_worker(&self, say: impl FnOnce(&mut Notes)) {
        self.board.call(&*self.backing.store, say);
    }
}
