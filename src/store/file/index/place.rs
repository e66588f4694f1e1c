//! Landmarks: which position and time lie at which address.

use crate::position::Position;
use crate::store::file::address::Address;

/// A record, its position and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) position: Position,
    /// In microseconds.
    pub(crate) time: i64,
    pub(crate) address: Address,
}

/// How far apart places are in a run.
const DISTANCE_BYTES: u32 = 64 << 10;

impl Place {
    /// Whether a record at this address is far enough from this place to be one itself.
    pub(crate) fn is_far_from(&self, address: Address) -> bool {
        address.segment() != self.address.segment()
            || address.offset() - self.address.offset() >= DISTANCE_BYTES
    }
}
