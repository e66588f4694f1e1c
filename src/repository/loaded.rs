//! What loading and executing give.

use chrono::{DateTime, Utc};

use crate::aggregate::Aggregate;
use crate::error::Error;
use crate::event::RecordedEvent;
use crate::id::{CorrelationId, EventId};
use crate::position::{Position, Version};

/// An aggregate as it was at some point.
#[derive(Debug, Clone)]
pub struct Loaded<A> {
    pub(super) state: A,
    /// The last event that is folded in, if there is one.
    pub(super) tip: Option<Tip>,
    /// The version of the newest snapshot of this history that is known of; zero without one.
    pub(super) snapshot: Version,
}

/// An event that a state ends with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tip {
    pub(super) version: Version,
    pub(super) position: Position,
    pub(super) event_id: EventId,
    pub(super) recorded_at: DateTime<Utc>,
}

impl From<&RecordedEvent<'_>> for Tip {
    fn from(event: &RecordedEvent<'_>) -> Self {
        Self {
            version: event.version(),
            position: event.position(),
            event_id: event.event_id(),
            recorded_at: event.recorded_at(),
        }
    }
}

impl<A: Default> Loaded<A> {
    /// Before the first event.
    pub(super) fn initial() -> Self {
        Self { state: A::default(), tip: None, snapshot: Version::ZERO }
    }
}

impl<A> Loaded<A> {
    /// The state.
    #[must_use]
    pub fn state(&self) -> &A {
        &self.state
    }

    /// The state, to keep.
    #[must_use]
    pub fn into_state(self) -> A {
        self.state
    }

    /// The version of the last event that is folded in; zero if there was none.
    #[must_use]
    pub fn version(&self) -> Version {
        self.tip.map_or(Version::ZERO, |tip| tip.version)
    }

    /// The position of the last event that is folded in; [`Position::START`] if there was none.
    #[must_use]
    pub fn position(&self) -> Position {
        self.tip.map_or(Position::START, |tip| tip.position)
    }

    /// When the last event that is folded in was recorded, if there was one.
    #[must_use]
    pub fn recorded_at(&self) -> Option<DateTime<Utc>> {
        self.tip.map(|tip| tip.recorded_at)
    }

    /// Whether anything had happened to the aggregate.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.tip.is_some()
    }
}

/// What a command brought about, and the aggregate after it.
#[derive(Debug)]
pub struct Outcome<A: Aggregate> {
    pub(super) loaded: Loaded<A>,
    pub(super) events: Vec<A::Event>,
    pub(super) ids: Vec<EventId>,
    pub(super) correlation: Option<CorrelationId>,
    pub(super) repeated: bool,
    pub(super) not_awaited: Option<Error>,
}

impl<A: Aggregate> Outcome<A> {
    /// The state after the command: exactly what loading the aggregate at this version gives.
    #[must_use]
    pub fn state(&self) -> &A {
        &self.loaded.state
    }

    /// The state after the command, to keep.
    #[must_use]
    pub fn into_state(self) -> A {
        self.loaded.state
    }

    /// The version of the aggregate after the command.
    #[must_use]
    pub fn version(&self) -> Version {
        self.loaded.version()
    }

    /// The position of the aggregate's last event after the command. A reader that has come this far sees the
    /// command's effect.
    #[must_use]
    pub fn position(&self) -> Position {
        self.loaded.position()
    }

    /// The events that the command brought about; none if there was nothing to do.
    #[must_use]
    pub fn events(&self) -> &[A::Event] {
        &self.events
    }

    /// The ids under which its events were recorded, for what is done because of them.
    #[must_use]
    pub fn event_ids(&self) -> &[EventId] {
        &self.ids
    }

    /// What the command belonged to, be it given or new.
    #[must_use]
    pub fn correlation(&self) -> Option<CorrelationId> {
        self.correlation
    }

    /// Whether this call wrote events.
    #[must_use]
    pub fn written(&self) -> bool {
        !self.repeated && !self.events.is_empty()
    }

    /// Whether the command had been carried out before, under the same key for [`once`](super::Execution::once). The
    /// outcome is that of the first time.
    #[must_use]
    pub fn repeated(&self) -> bool {
        self.repeated
    }

    /// Whether the read model that was to be [waited for](super::Execution::wait_for) has seen the events, and if not, why. It is the
    /// reading that has to do without them, not the command that has to be repeated.
    pub fn awaited(&self) -> Result<(), Error> {
        self.not_awaited.as_ref().map_or(Ok(()), |error| Err(error.replica()))
    }
}
