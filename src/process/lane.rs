//! What goes one after the other.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::position::Position;

/// One of the two ways in which an instance of a process takes part in things. What goes the same way goes in order: where one thing
/// cannot be done, the next ones wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Lane {
    /// What the instance is told: events elsewhere, and its deadlines.
    Inbox,
    /// What it asks others for.
    Outbox,
}

/// Something that is to be done for an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Task {
    /// The command that the event at this position brings about, as the so many'th of its commands, from 0.
    Command { position: Position, number: u32 },
    /// To see to the instance's deadline.
    Deadline,
}

/// What waits in a lane of an instance; the first of it because it could not be done.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Queue {
    pub(super) tasks: VecDeque<Task>,
    /// Why the first is not tried any more, and since when.
    pub(super) stuck: Option<(String, DateTime<Utc>)>,
}
