//! What something that follows the log is doing, and how far it is behind.

use chrono::{DateTime, TimeDelta, Utc};

/// What a projection or a process manager is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It follows the log; one without a thread does so when it is driven.
    Following,
    /// A projection makes a new view. What is read is the old one, where that is kept.
    Rebuilding,
    /// Something failed, and is tried again at this time.
    Retrying {
        /// When.
        at: DateTime<Utc>,
    },
    /// It was told to pause.
    Paused,
    /// Something failed, and it stands still until it is resumed.
    Failed,
    /// Its thread has ended, because the store was closed.
    Ended,
}

/// How far something is behind the durable head of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Lag {
    /// In positions, also those that do not concern it.
    pub events: u64,
    /// How long ago the first event was recorded that it has not handled; zero if there is none.
    pub time: TimeDelta,
}
