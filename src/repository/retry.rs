//! How often a decision is taken again when others write in between.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::backing::{Turn, Turns};
use crate::id::StreamId;
use crate::store::Conflict;
use crate::trace;

/// The tries of one command or unit.
pub(crate) struct Retries<'b> {
    turns: &'b Turns,
    /// Held from the first lost race to the end.
    turn: Option<Turn<'b>>,
    /// The streams that a race was lost for.
    lost: Vec<StreamId>,
    left: u32,
    done: u32,
    last: Option<Conflict>,
}

impl<'b> Retries<'b> {
    /// Far more than threads that take turns need; for writers of other processes, which do not.
    pub(crate) const DEFAULT: u32 = 100;

    pub(crate) fn new(turns: &'b Turns, retries: u32) -> Self {
        Self { turns, turn: None, lost: Vec::new(), left: retries, done: 0, last: None }
    }

    /// Before the first try: waits behind those who race for the stream already, if a lost race would be repeated.
    pub(crate) fn queue_for(&mut self, stream: &StreamId) {
        if self.left > 0 && self.turn.is_none() {
            self.turn = self.turns.queue(stream);
        }
    }

    /// Before the first try: takes the stream's turn, whether or not somebody races for it.
    pub(crate) fn take_turn(&mut self, stream: &StreamId) {
        self.turn = self.turns.take(std::slice::from_ref(stream));
    }

    /// Waits for the next try, or gives the conflict back: when no try is left, or when the same conflict came twice
    /// in a row. Nobody wrote in between then, so that trying again cannot change the answer.
    pub(crate) fn again_after(&mut self, conflict: Conflict) -> Result<(), Conflict> {
        self.turns.conflicts.fetch_add(1, Ordering::Relaxed);
        trace::event!(DEBUG, stream = %conflict.stream(), "conflict: {conflict}");
        if self.left == 0 || self.last.as_ref() == Some(&conflict) {
            return Err(conflict);
        }
        self.turns.retries.fetch_add(1, Ordering::Relaxed);
        self.left -= 1;
        self.done += 1;
        let is_new = !self.lost.contains(conflict.stream());
        if is_new {
            self.lost.push(conflict.stream().clone());
        }
        if is_new || self.turn.is_none() {
            self.turn = None;
            self.turn = self.turns.take(&self.lost);
        }
        self.last = Some(conflict);
        self.pause();
        Ok(())
    }

    /// From the fourth time on, gives way for a random while of up to two milliseconds to whoever does not take turns.
    fn pause(&self) {
        if self.done > 3 {
            let longest = (10_u64 << self.done.min(8)).min(2_000);
            let random = RandomState::new().hash_one(self.done);
            std::thread::sleep(Duration::from_micros(random % longest));
        }
    }
}
