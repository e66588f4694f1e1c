//! Instances that need a hand.

use chrono::{DateTime, Utc};

use super::lane::Lane;
use crate::position::Position;

/// An instance of a process that does not get on: something could not be done for it, and is not tried any more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stuck {
    /// The id of the instance, as text.
    pub instance: String,
    /// Whether it cannot be told something, or cannot have what it asks for.
    pub lane: Lane,
    /// Where the event stands whose command could not be carried out; `None` if it was that of a deadline.
    pub position: Option<Position>,
    /// What went wrong the last time.
    pub reason: String,
    /// Since when it is not tried any more.
    pub since: DateTime<Utc>,
    /// How many further things wait for this one.
    pub waiting: usize,
}
