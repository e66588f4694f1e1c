//! Snapshots in memory.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::snapshot_store::{Snapshot, SnapshotStore, kept};
use crate::at::At;
use crate::error::Error;
use crate::id::StreamId;
use crate::position::Version;

/// Keeps snapshots in memory, a few for each stream.
#[derive(Debug, Default)]
pub struct MemorySnapshots {
    /// Each stream's snapshots by ascending version.
    streams: Mutex<HashMap<StreamId, Vec<Snapshot>>>,
}

impl MemorySnapshots {
    /// No snapshots yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl SnapshotStore for MemorySnapshots {
    fn newest(&self, stream: &StreamId, within: Option<At>) -> Result<Option<Snapshot>, Error> {
        let streams = self.streams.lock();
        let snapshots = streams.get(stream).map_or(&[][..], Vec::as_slice);
        let fits = |snapshot: &&Snapshot| within.is_none_or(|at| snapshot.is_within(at));
        Ok(snapshots.iter().rev().find(fits).cloned())
    }

    fn save(&self, snapshot: Snapshot) -> Result<(), Error> {
        let mut streams = self.streams.lock();
        let snapshots = streams.entry(snapshot.stream.clone()).or_default();
        // What is at this version or after it was made from another program or another log.
        let older = snapshots.partition_point(|older| older.version < snapshot.version);
        snapshots.truncate(older);
        snapshots.push(snapshot);
        let versions: Vec<Version> = snapshots.iter().map(|snapshot| snapshot.version).collect();
        let keep = kept(&versions);
        let mut keep = keep.iter();
        snapshots.retain(|_| keep.next().copied().unwrap_or(false));
        Ok(())
    }
}
