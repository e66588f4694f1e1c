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
    /// Each stream's snapshots: by fingerprint, and by ascending version.
    streams: Mutex<HashMap<StreamId, HashMap<u64, Vec<Snapshot>>>>,
}

impl MemorySnapshots {
    /// No snapshots yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl SnapshotStore for MemorySnapshots {
    fn newest(
        &self,
        stream: &StreamId,
        fingerprint: u64,
        within: Option<At>,
    ) -> Result<Option<Snapshot>, Error> {
        let streams = self.streams.lock();
        let snapshots = streams.get(stream).and_then(|stream| stream.get(&fingerprint));
        let fits = |snapshot: &&Snapshot| within.is_none_or(|at| snapshot.is_within(at));
        Ok(snapshots.and_then(|snapshots| snapshots.iter().rev().find(fits)).cloned())
    }

    fn save(&self, snapshot: Snapshot) -> Result<(), Error> {
        let mut streams = self.streams.lock();
        let stream = streams.entry(snapshot.stream.clone()).or_default();
        let snapshots = stream.entry(snapshot.fingerprint).or_default();
        match snapshots.binary_search_by_key(&snapshot.version, |kept| kept.version) {
            Ok(place) => snapshots[place] = snapshot,
            Err(place) => snapshots.insert(place, snapshot),
        }
        let versions: Vec<Version> = snapshots.iter().map(|snapshot| snapshot.version).collect();
        let mut keep = kept(&versions).into_iter();
        snapshots.retain(|_| keep.next().unwrap_or(false));
        Ok(())
    }

    fn forget(&self, stream: &StreamId) -> Result<(), Error> {
        self.streams.lock().remove(stream);
        Ok(())
    }
}
