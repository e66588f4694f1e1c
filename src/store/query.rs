//! Which events are to be read, and how.

use std::num::NonZeroU64;

use chrono::{DateTime, Utc};

use super::filter::Filter;
use crate::event::{Outline, RecordedEvent};
use crate::position::{Position, Version};

/// What to read: a filter, ranges, a direction and a limit.
///
/// Every range is exclusive at its lower end and inclusive at its upper end, in both directions: going on from where
/// a read ended needs no arithmetic.
///
/// ```
/// use annals::{Position, StreamId, Version};
/// use annals::store::Query;
///
/// let alice: StreamId = "account/alice".parse()?;
/// let tail = Query::new(alice).after_version(Version::new(100));
/// let newest = Query::default().backwards().limit(std::num::NonZeroU64::MIN);
/// # Ok::<(), annals::id::InvalidName>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "a query asks for nothing before it is read"]
pub struct Query {
    filter: Filter,
    after: Position,
    up_to: Option<Position>,
    after_version: Version,
    up_to_version: Option<Version>,
    after_time: Option<DateTime<Utc>>,
    up_to_time: Option<DateTime<Utc>>,
    direction: Direction,
    limit: Option<NonZeroU64>,
}

/// In which order events are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// By ascending position.
    #[default]
    Forwards,
    /// By descending position.
    Backwards,
}

impl Query {
    /// All events that the filter matches, forwards.
    pub fn new(filter: impl Into<Filter>) -> Self {
        Self { filter: filter.into(), ..Self::default() }
    }

    /// The events that this filter matches, in place of those that were meant before; ranges stay.
    pub fn filtered(mut self, filter: impl Into<Filter>) -> Self {
        self.filter = filter.into();
        self
    }

    /// Only events after this position.
    pub fn after(mut self, position: Position) -> Self {
        self.after = position;
        self
    }

    /// Only events up to this position, and the one there.
    pub fn up_to(mut self, position: Position) -> Self {
        self.up_to = Some(position);
        self
    }

    /// Only events after this version of their stream.
    pub fn after_version(mut self, version: Version) -> Self {
        self.after_version = version;
        self
    }

    /// Only events up to this version of their stream, and the one there.
    pub fn up_to_version(mut self, version: Version) -> Self {
        self.up_to_version = Some(version);
        self
    }

    /// Only events recorded after this time.
    pub fn after_time(mut self, time: DateTime<Utc>) -> Self {
        self.after_time = Some(time);
        self
    }

    /// Only events recorded up to this time, and those at it.
    pub fn up_to_time(mut self, time: DateTime<Utc>) -> Self {
        self.up_to_time = Some(time);
        self
    }

    /// The newest first.
    pub fn backwards(mut self) -> Self {
        self.direction = Direction::Backwards;
        self
    }

    /// No more than this many events.
    pub fn limit(mut self, limit: NonZeroU64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Which events are meant, ranges apart.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The positions that are meant: after the first, up to the second.
    #[must_use]
    pub fn positions(&self) -> (Position, Option<Position>) {
        (self.after, self.up_to)
    }

    /// The versions that are meant: after the first, up to the second.
    #[must_use]
    pub fn versions(&self) -> (Version, Option<Version>) {
        (self.after_version, self.up_to_version)
    }

    /// The times of recording that are meant: after the first, up to the second.
    #[must_use]
    pub fn times(&self) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        (self.after_time, self.up_to_time)
    }

    /// The order in which to read.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// How many events are wanted at most.
    #[must_use]
    pub fn limited_to(&self) -> Option<NonZeroU64> {
        self.limit
    }

    /// Whether the event is meant: by the filter and by every range. Direction and limit aside.
    #[must_use]
    pub fn matches(&self, event: &RecordedEvent<'_>) -> bool {
        self.has_in_range(&event.outline()) && self.filter.matches(event)
    }

    /// Whether the event with this outline is meant by every range.
    #[inline]
    pub(crate) fn has_in_range(&self, event: &Outline) -> bool {
        let time = || DateTime::from_timestamp_micros(event.recorded_at);
        event.position > self.after
            && self.up_to.is_none_or(|last| event.position <= last)
            && event.version > self.after_version
            && self.up_to_version.is_none_or(|last| event.version <= last)
            && self.after_time.is_none_or(|after| time() > Some(after))
            && self.up_to_time.is_none_or(|up_to| time() <= Some(up_to))
    }

    /// The query for what is left once everything up to `last` (in the direction of the read, and inclusive) was
    /// looked at and `handed_out` events were handed out; `None` when the limit is used up or nothing can follow.
    /// What is recorded after `head` stays out.
    #[must_use]
    pub fn rest(&self, last: Position, handed_out: usize, head: Position) -> Option<Self> {
        let limit = match self.limit {
            None => None,
            Some(limit) => Some(NonZeroU64::new(limit.get().saturating_sub(handed_out as u64))?),
        };
        let up_to = self.up_to.map_or(head, |up_to| up_to.min(head));
        let (after, up_to) = match self.direction {
            Direction::Forwards => (last.max(self.after), up_to),
            Direction::Backwards => {
                (self.after, up_to.min(Position::new(last.get().saturating_sub(1))))
            }
        };
        let rest = Self { after, up_to: Some(up_to), limit, ..self.clone() };
        (after < up_to).then_some(rest)
    }
}
