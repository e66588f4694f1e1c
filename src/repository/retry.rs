//! How often a decision is taken again when others write in between.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::store::Conflict;

/// The tries that are left.
#[derive(Debug)]
pub(crate) struct Retries {
    left: u32,
    done: u32,
    last: Option<Conflict>,
}

impl Retries {
    /// Enough for dozens of threads that write to one stream at once: the waits grow, so that the race thins out.
    pub(crate) const DEFAULT: u32 = 100;

    pub(crate) fn new(retries: u32) -> Self {
        Self {
            left: retries,
            done: 0,
            last: None,
        }
    }

    /// Waits for the next try, or gives the conflict back: when no try is left, or when the same conflict came
    /// twice in a row. Nobody wrote in between then, so that trying again cannot change the answer.
    pub(crate) fn again_after(&mut self, conflict: Conflict) -> Result<(), Conflict> {
        if self.left == 0 || self.last.as_ref() == Some(&conflict) {
            return Err(conflict);
        }
        self.last = Some(conflict);
        self.left -= 1;
        self.done += 1;
        self.pause();
        Ok(())
    }

    /// Gives way to whoever won; from the fourth time on for a random while, of up to two milliseconds.
    fn pause(&self) {
        if self.done <= 3 {
            std::thread::yield_now();
            return;
        }
        let longest = (10_u64 << self.done.min(8)).min(2_000);
        let random = RandomState::new().hash_one(self.done);
        std::thread::sleep(Duration::from_micros(random % longest));
    }
}
