//! What a store has to tell of itself while it is at work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How large a store is, and what it has done since it was opened. Asking reads no file and waits for nobody's disk, so it can
/// be done every second.
///
/// `commits / syncs` is how many commits share a sync; `cache_hits / (cache_hits + cache_misses)`, how often the cache helps.
/// Numbers that change while they are collected may be of slightly different moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// How many events can be read.
    pub events: u64,
    /// How many of them a crash of the system could still take: none but under
    /// [`Buffered`](crate::store::Durability::Buffered).
    pub unsynced_events: u64,
    /// How many bytes of log they take; not the space that is prepared behind it.
    pub log_bytes: u64,
    /// How many segments the log has.
    pub segments: u64,
    /// How many index runs there are.
    pub runs: u64,
    /// How many bytes the index runs take.
    pub run_bytes: u64,
    /// How often a block of a file was found in the cache since the store was opened.
    pub cache_hits: u64,
    /// How often it was not.
    pub cache_misses: u64,
    /// How many commits were written since the store was opened, repeated ones not counted. None by a follower.
    pub commits: u64,
    /// How many syncs made commits durable since the store was opened. None by a follower.
    pub syncs: u64,
    /// How long the last of them took.
    pub last_sync: Duration,
}

/// What a writer counts.
#[derive(Debug, Default)]
pub(super) struct Counters {
    commits: AtomicU64,
    syncs: AtomicU64,
    last_sync_nanos: AtomicU64,
}

impl Counters {
    pub(super) fn add_commits(&self, count: usize) {
        self.commits.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn add_sync(&self, took: Duration) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.last_sync_nanos.store(nanos, Ordering::Relaxed);
    }

    /// The same statistics with what was counted here.
    pub(super) fn with(&self, statistics: Statistics) -> Statistics {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let last_sync = Duration::from_nanos(load(&self.last_sync_nanos));
        let (commits, syncs) = (load(&self.commits), load(&self.syncs));
        Statistics { commits, syncs, last_sync, ..statistics }
    }
}
