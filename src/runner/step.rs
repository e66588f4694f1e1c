//! What a worker does at a time.

use chrono::{DateTime, Utc};

use crate::error::Error;
use crate::position::Position;

/// Who does the work, one step at a time.
pub(crate) trait Work: Send + 'static {
    /// Handles what can be read at once, until the worker is told more than this.
    fn step(&mut self, calls: u64) -> Step;

    /// Takes note of a failure outside of the work itself.
    fn fail(&mut self, error: Error);
}

/// What a step has come to.
#[derive(Debug)]
pub(crate) enum Step {
    /// There may be more to do.
    Done,
    /// There is nothing to do up to here, before this time if there is one.
    CaughtUp(Position, Option<DateTime<Utc>>),
    /// There is nothing to do before this time.
    Wait(DateTime<Utc>),
    /// Nothing is done any more.
    Failed,
    /// The store is closed.
    Over,
}
