//! What a store has to tell of itself while it is at work.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How large a store is, and what it has done since it was opened. Asking reads no file and waits for nobody's disk, so it can
/// be done every second.
///
/// `appended / syncs` is how many commits share a sync; `cache_hits / (cache_hits + cache_misses)`, how often the cache helps.
/// Numbers that change while they are collected may be of slightly different moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// How many events can be read.
    pub events: u64,
    /// How many of them a crash of the system could still take: none but under
    /// [`Buffered`](crate::store::Durability::Buffered).
    pub unsynced_events: u64,
    /// How many commits they are.
    pub commits: u64,
    /// How many streams they are of. One of which the first event is lost does not count.
    pub streams: u64,
    /// How many event types there are; of a store with more than 480, so many at least.
    pub types: u64,
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
    pub appended: u64,
    /// How many syncs made commits durable since the store was opened. None by a follower.
    pub syncs: u64,
    /// How long the last of them took, and how long ago it was; nothing if there was none.
    pub last_sync: Option<(Duration, Duration)>,
}

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
