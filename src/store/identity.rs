//! Who a store is.

use uuid::Uuid;

use crate::payload::Encoding;
use crate::position::Position;

/// Who a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// Its own id, which no other store has. A backup is the same store.
    pub id: Uuid,
    /// The store that this one was restored or salvaged from, and the last position that they share.
    pub parent: Option<(Uuid, Position)>,
    /// How the payloads of its aggregates' new events are encoded.
    pub encoding: Encoding,
}

impl Identity {
    /// The identity of a store that is not made from another, with payloads in JSON. For those who implement a store.
    #[must_use]
    pub fn new(id: Uuid) -> Self {
        Self { id, parent: None, encoding: Encoding::Json }
    }
}
