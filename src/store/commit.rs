//! What is to be written, and what becomes of it.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::filter::Filter;
use crate::clock::to_micros;
use crate::error::{Error, ErrorKind};
use crate::event::NewEvent;
use crate::id::{EventId, EventType, StreamId};
use crate::position::{Position, Version};
use crate::trace;

/// What a writer believes about a stream before it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Nothing: the write is accepted whatever the stream holds.
    Any,
    /// The stream has no events.
    Empty,
    /// The stream has events.
    Exists,
    /// The stream's last event has this version; [`Version::ZERO`] is the same as `Empty`.
    Exactly(Version),
}

impl Expected {
    /// Whether a stream at this version is as expected.
    #[must_use]
    pub fn allows(self, actual: Version) -> bool {
        match self {
            Self::Any => true,
            Self::Empty => actual == Version::ZERO,
            Self::Exists => actual > Version::ZERO,
            Self::Exactly(version) => actual == version,
        }
    }

    /// The conflict of a stream that is not as expected.
    pub(crate) fn check(self, stream: &StreamId, actual: Version) -> Result<(), Conflict> {
        if self.allows(actual) {
            return Ok(());
        }
        Err(Conflict::Stream { stream: stream.clone(), expected: self, actual })
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("any version"),
            Self::Empty => f.write_str("no events"),
            Self::Exists => f.write_str("at least one event"),
            Self::Exactly(version) => write!(f, "version {version}"),
        }
    }
}

/// Events that a commit adds to one stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamWrite {
    /// The stream they are added to.
    pub stream: StreamId,
    /// What has to hold of the stream before.
    pub expected: Expected,
    /// The events, in order; at least one.
    pub events: Vec<NewEvent>,
}

/// What a commit requires of a stream, be it written or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// The stream that is looked at.
    pub stream: StreamId,
    /// What has to hold of it before the commit.
    pub expected: Expected,
}

/// What a commit requires of the whole store: that no event matches a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Which events are not to be there.
    pub none_of: Filter,
    /// Only events after this position count: those that the writer has not yet taken into account.
    pub after: Position,
}

/// Events for one or more streams, and what has to hold for them to be written. All of it happens or nothing.
///
/// ```
/// use annals::{NewEvent, Position, StreamId, id::{Category, EventType, Tag}};
/// use annals::store::{Clause, Commit, Expected};
///
/// let ann: StreamId = "user/ann".parse()?;
/// let registered = NewEvent::new(EventType::new("Registered")?, &"ann@example.org")?;
/// let same_address = Clause::new().tag(Tag::new("email:ann@example.org")?);
/// let commit = Commit::new()
///     .write(ann, Expected::Empty, [registered])
///     .require_none(same_address, Position::START);
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[must_use = "a commit writes nothing before it is appended"]
pub struct Commit {
    writes: Vec<StreamWrite>,
    guards: Vec<Guard>,
    conditions: Vec<Condition>,
    own_time: Option<DateTime<Utc>>,
}

impl Commit {
    /// A commit that writes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds events to a stream. A commit names each stream it writes once.
    pub fn write(
        mut self,
        stream: StreamId,
        expected: Expected,
        events: impl IntoIterator<Item = NewEvent>,
    ) -> Self {
        let events = events.into_iter().collect();
        self.writes.push(StreamWrite { stream, expected, events });
        self
    }

    /// Requires something of a stream, as it is before the commit.
    pub fn guard(mut self, stream: StreamId, expected: Expected) -> Self {
        self.guards.push(Guard { stream, expected });
        self
    }

    /// Requires that no event after this position matches the filter.
    pub fn require_none(mut self, filter: impl Into<Filter>, after: Position) -> Self {
        self.conditions.push(Condition { none_of: filter.into(), after });
        self
    }

    /// Brings the time at which the commit was recorded, for history that is moved from another store. It is cut to
    /// microseconds, and a store refuses it if it lies before the time of the last commit. Later commits are never recorded
    /// before it, so a time ahead of the clock stays theirs until the clock has caught up.
    pub fn recorded_at(mut self, time: DateTime<Utc>) -> Self {
        self.own_time = Some(to_micros(time));
        self
    }

    /// What is written, stream by stream.
    #[must_use]
    pub fn writes(&self) -> &[StreamWrite] {
        &self.writes
    }

    /// What is required of single streams, beside what the writes themselves expect.
    #[must_use]
    pub fn guards(&self) -> &[Guard] {
        &self.guards
    }

    /// What is required of the whole store.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// The time of recording that it brings, if it brings one.
    #[must_use]
    pub fn own_time(&self) -> Option<DateTime<Utc>> {
        self.own_time
    }

    /// When it is to be recorded, if the clock says `now` (in microseconds) and the commit before it was recorded at `last`.
    /// Every store asks this when nothing else speaks against the commit.
    pub fn time_of_recording(
        &self,
        now: DateTime<Utc>,
        last: Option<DateTime<Utc>>,
    ) -> Result<DateTime<Utc>, Error> {
        match (self.own_time, last) {
            (Some(own), Some(last)) if own < last => {
                let detail = format!("this one brings {own}");
                Err(Error::new(ErrorKind::TimeBeforeLast { last }).detail(detail))
            }
            (Some(own), _) => Ok(own),
            (None, last) => Ok(last.map_or(now, |last| now.max(last))),
        }
    }

    /// Enters the span of writing it.
    pub(super) fn span(&self) -> trace::Span {
        trace::span!(
            "append",
            stream = self.writes.first().map(|write| tracing::field::display(&write.stream)),
            correlation = self
                .events()
                .next()
                .and_then(|(_, event)| event.metadata().correlation())
                .map(tracing::field::display),
            events = self.events().count(),
            position = tracing::field::Empty,
        )
    }

    /// All events with their streams, in the order in which they are recorded.
    pub fn events(&self) -> impl Iterator<Item = (&StreamId, &NewEvent)> {
        self.writes
            .iter()
            .flat_map(|write| write.events.iter().map(move |event| (&write.stream, event)))
    }

    /// Whether the commit is well-formed and within the limits. Every store checks this before anything else.
    pub fn check(&self, limits: &Limits) -> Result<(), Error> {
        let malformed = |detail: &str| Error::new(ErrorKind::InvalidCommit).detail(detail);
        if self.writes.is_empty() {
            return Err(malformed("it writes no events"));
        }
        let (mut streams, mut ids) = (HashSet::new(), HashSet::new());
        for write in &self.writes {
            if write.events.is_empty() {
                return Err(malformed("a write without events").in_stream(write.stream.clone()));
            }
            if self.writes.len() > 1 && !streams.insert(&write.stream) {
                return Err(malformed("it writes the stream twice").in_stream(write.stream.clone()));
            }
        }
        let (mut events, mut bytes) = (0, 0);
        for (stream, event) in self.events() {
            if event.id().is_some_and(|id| !ids.insert(id)) {
                return Err(malformed("two events have the same id").in_stream(stream.clone()));
            }
            bytes += limits.check_event(event).map_err(|error| error.in_stream(stream.clone()))?;
            events += 1;
        }
        limits.check_commit(events, bytes)
    }
}

/// How large things may be. Checked before anything is written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest payload of an event in bytes; 1 MiB unless said otherwise.
    pub payload_bytes_max: usize,
    /// The largest metadata of an event (actor and headers) in bytes; 64 KiB unless said otherwise.
    pub metadata_bytes_max: usize,
    /// The most tags of an event; 64 unless said otherwise.
    pub tags_max: usize,
    /// The most events of a commit; 65,536 unless said otherwise.
    pub commit_events_max: usize,
    /// The largest commit in bytes: payloads, metadata, types and tags taken together; 64 MiB unless said otherwise.
    pub commit_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes_max: 1 << 20,
            metadata_bytes_max: 64 << 10,
            tags_max: 64,
            commit_events_max: 65_536,
            commit_bytes_max: 64 << 20,
        }
    }
}

impl Limits {
    /// Whether a commit of so many events and bytes is within the limits.
    pub(crate) fn check_commit(&self, events: usize, bytes: usize) -> Result<(), Error> {
        limit("events in the commit", events, self.commit_events_max)?;
        limit("bytes in the commit", bytes, self.commit_bytes_max)
    }

    /// The bytes of an event within the limits.
    pub(crate) fn check_event(&self, event: &NewEvent) -> Result<usize, Error> {
        let payload = event.payload().len();
        let headers = event.metadata().headers().map(|(name, value)| name.len() + value.len());
        let metadata = event.metadata().actor().map_or(0, str::len) + headers.sum::<usize>();
        // The one mark of a command that is carried out once is not the user's.
        let marks = event.tags().iter().filter(|tag| tag.starts_with("$once:")).count().min(1);
        let tags = event.tags().iter().count() - marks;
        let names =
            event.event_type().as_str().len() + event.tags().iter().map(str::len).sum::<usize>();
        let checked = limit("bytes of payload", payload, self.payload_bytes_max)
            .and_then(|()| limit("bytes of metadata", metadata, self.metadata_bytes_max))
            .and_then(|()| limit("tags", tags, self.tags_max));
        match checked {
            Ok(()) => Ok(payload + metadata + names),
            Err(error) => Err(error.of_event(event.event_type().clone(), event.schema())),
        }
    }
}

fn limit(what: &str, actual: usize, limit: usize) -> Result<(), Error> {
    if actual > limit {
        return Err(Error::new(ErrorKind::TooLarge { limit, actual }).detail(what));
    }
    Ok(())
}

/// What became of a commit that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The position of its first event.
    pub first: Position,
    /// The position of its last event.
    pub last: Position,
    /// Each stream it wrote, and the version of the last event written there, in the order of the commit.
    pub versions: Vec<(StreamId, Version)>,
    /// The ids of its events, in the order of the commit.
    pub ids: Vec<EventId>,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// Whether it stood in the store already: the commit repeats an earlier one, and nothing was written now.
    pub already_there: bool,
}

/// Why a commit was not accepted although nothing is wrong with it: something that it rests on does not hold.
///
/// Nothing was written. Read again and decide again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// A stream is not at the version that a write or a guard expected.
    #[error("stream {stream} is at version {actual}, expected {expected}")]
    Stream {
        /// The stream.
        stream: StreamId,
        /// What was expected of it.
        expected: Expected,
        /// The version of its last event.
        actual: Version,
    },
    /// An event is there that a condition rules out.
    #[error(
        "event {event_type} of stream {stream} at position {position} is ruled out by a condition"
    )]
    Event {
        /// The stream of the first such event.
        stream: StreamId,
        /// Its stored type.
        event_type: EventType,
        /// Its position.
        position: Position,
    },
}

impl Conflict {
    /// The stream that is not as expected, or that the ruled-out event belongs to.
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        match self {
            Self::Stream { stream, .. } | Self::Event { stream, .. } => stream,
        }
    }
}

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Something that the commit rests on does not hold: an answer, not a failure.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] Error),
}
