//! What a writer counts.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::store::statistics::Statistics;

/// What a writer counts.
#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    appended: u64,
    syncs: u64,
    /// How long the last sync took, and when it ended.
    last_sync: Option<(Duration, Instant)>,
}

impl Counters {
    pub(super) fn add_commits(&self, count: usize) {
        self.0.lock().appended += count as u64;
    }

    pub(super) fn add_sync(&self, took: Duration) {
        let mut counted = self.0.lock();
        counted.syncs += 1;
        counted.last_sync = Some((took, Instant::now()));
    }

    /// The same statistics with what was counted here.
    pub(super) fn with(&self, statistics: Statistics) -> Statistics {
        let counted = self.0.lock();
        let last_sync = counted.last_sync.map(|(took, ended)| (took, ended.elapsed()));
        Statistics { appended: counted.appended, syncs: counted.syncs, last_sync, ..statistics }
    }
}
