//! How a projection is doing.

use std::sync::Arc;

use crate::error::Error;
use crate::position::Position;
use crate::progress::Progress;
use crate::runner::{Lag, State};

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
