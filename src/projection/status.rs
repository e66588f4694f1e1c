//! How a projection is doing.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::error::Error;
use crate::position::Position;
use crate::progress::Progress;

/// How a projection is doing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// How far what is read is: up to here, every event is in the view, does not concern it, or is parked.
    pub position: Position,
    /// How far it is behind the log.
    pub lag: Lag,
    /// While it is rebuilding: how far the new view is, in positions.
    pub rebuild: Option<Progress>,
    /// How many times handling an event, or keeping the view, has failed since the projection was opened.
    pub errors: u64,
    /// What went wrong last; it names the event where it is about one.
    pub last_error: Option<Arc<Error>>,
    /// How many events are parked.
    pub parked: usize,
}

/// What a projection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It follows the log; one without a thread does so when it is driven.
    Following,
    /// It makes a new view. What is read is the old one, where that is kept.
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

/// How far a projection is behind the durable head of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lag {
    /// In positions, also those that do not concern it.
    pub events: u64,
    /// How long ago the first event was recorded that is not in the view; zero if there is none.
    pub time: TimeDelta,
}
