//! What everything that an application holds stands on.

use std::sync::Arc;

use crate::clock::Clock;
use crate::snapshot::SnapshotStore;
use crate::store::EventStore;

/// The store, the clock and the place for snapshots that a handle and all that is made from it share.
#[derive(Debug)]
pub(crate) struct Backing {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
}
