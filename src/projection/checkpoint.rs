//! How far a projection is.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, ErrorKind};
use crate::id::{EventId, EventType, StreamId};
use crate::position::Position;
use crate::store::{EventStore, event_at};

/// How far a projection is, and in which log: what is kept together with its view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Checkpoint {
    /// The name of the projection.
    pub projection: String,
    /// The [id](crate::store::Identity::id) of the store.
    pub store: Uuid,
    /// The revision of the projection.
    pub revision: u64,
    /// The position of the last event that was handled.
    pub position: Position,
    /// The id of that event; `None` before the first.
    pub event: Option<EventId>,
    /// Whether this is a new view that is being made while there is, or was, an older one.
    pub is_rebuilding: bool,
    /// The events that were put aside, in the order of the log.
    pub parked: Vec<Parked>,
}

/// An event that could not be handled and was put aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Parked {
    /// Where it stands in the log.
    pub position: Position,
    /// Its stream.
    pub stream: StreamId,
    /// Its type, as it was stored.
    pub event_type: EventType,
    /// What went wrong the last time.
    pub error: String,
    /// When that was.
    pub at: DateTime<Utc>,
}

impl Checkpoint {
    /// Before the first event.
    pub(super) fn start(projection: &str, store: Uuid, revision: u64) -> Self {
        let (position, parked) = (Position::START, Vec::new());
        let projection = projection.to_owned();
        Self { projection, store, revision, position, event: None, is_rebuilding: false, parked }
    }

    /// The same before the first event.
    pub(super) fn at_start(&self) -> Self {
        Self { position: Position::START, event: None, ..self.clone() }
    }

    pub(super) fn has_parked(&self, position: Position) -> bool {
        self.parked.binary_search_by_key(&position, |parked| parked.position).is_ok()
    }

    /// As text, for those who keep it in that form.
    pub(super) fn to_json(&self) -> Result<String, Error> {
        serde_json::to_string(self)
            .map_err(|source| Error::new(ErrorKind::ReadModel).caused_by(source))
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    pub(super) fn from_json(json: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(json).map_err(|source| {
            let detail = "its checkpoint is not one that annals has written";
            Error::new(ErrorKind::ReadModel).detail(detail).caused_by(source)
        })
    }

    /// Refuses to go on in another log than that in which the events before were handled.
    pub(super) fn check(&self, name: &str, store: &dyn EventStore) -> Result<(), Error> {
        let foreign = |detail: String| {
            Err(Error::new(ErrorKind::Checkpoint).detail(detail).at_position(self.position))
        };
        let identity = store.identity();
        if self.projection != name {
            return foreign(format!("it is of the projection {:?}", self.projection));
        }
        if self.store != identity.id {
            let (own, here) = (self.store, identity.id);
            let from = identity.parent.map(|(parent, shared)| {
                format!(", which was made from {parent} as it was at position {shared}")
            });
            let from = from.unwrap_or_default();
            return foreign(format!("it is of the store {own}, and this is {here}{from}"));
        }
        let head = store.head()?.durable;
        if self.position > head {
            return foreign(format!("the log ends at position {head}, before it"));
        }
        let Some(handled) = self.event else { return Ok(()) };
        match event_at(store, self.position)?.get(0).map(|event| event.event_id()) {
            Some(event) if event == handled => Ok(()),
            _ => foreign(format!("the event that it names, {handled}, does not stand there")),
        }
    }
}
