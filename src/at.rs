//! A point in history.

use chrono::{DateTime, Utc};

use crate::position::{Position, Version};

/// A point in history, for time travel: how things were at a version, at a position, or at a time.
///
/// All three are inclusive. The same position shows several aggregates at one consistent instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// After this many events of the stream.
    Version(Version),
    /// After everything up to this position of the store.
    Position(Position),
    /// After everything that was recorded up to this time.
    Time(DateTime<Utc>),
}

impl At {
    /// Whether an event in this place had been recorded by then.
    pub(crate) fn includes(
        self,
        version: Version,
        position: Position,
        recorded_at: DateTime<Utc>,
    ) -> bool {
        match self {
            Self::Version(last) => version <= last,
            Self::Position(last) => position <= last,
            Self::Time(last) => recorded_at <= last,
        }
    }
}

impl From<Version> for At {
    fn from(version: Version) -> Self {
        Self::Version(version)
    }
}

impl From<Position> for At {
    fn from(position: Position) -> Self {
        Self::Position(position)
    }
}

impl From<DateTime<Utc>> for At {
    fn from(time: DateTime<Utc>) -> Self {
        Self::Time(time)
    }
}
