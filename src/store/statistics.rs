//! What a store has to tell of itself while it is at work.

use std::time::Duration;

/// How large a store is, and what it has done since it was opened. Asking reads no file and waits for nobody's disk, so it can
/// be done every second.
///
/// `appended / syncs` is how many commits share a sync; `cache_hits / (cache_hits + cache_misses)`, how often the cache helps.
/// A store that does not count something leaves it at zero. Numbers that change while they are collected may be of slightly different moments.
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
    /// How many tries of commands and units lost a race since the [`Annals`](crate::Annals) was made that is asked. A store by itself
    /// counts none.
    pub conflicts: u64,
    /// How many of them were decided again.
    pub retries: u64,
}

impl Statistics {
    /// All of it that is a number, under names that do not change, for whatever collects such numbers. `appended`, `syncs`,
    /// `cache_hits`, `cache_misses`, `conflicts` and `retries` only grow while a store is open, the others go up and down.
    ///
    /// ```
    /// # use annals::Annals;
    /// # let annals = Annals::in_memory();
    /// for (name, value) in annals.statistics()?.numbers() {
    ///     println!("annals_{name} {value}");
    /// }
    /// # Ok::<(), annals::Error>(())
    /// ```
    pub fn numbers(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        [
            ("events", self.events),
            ("unsynced_events", self.unsynced_events),
            ("commits", self.commits),
            ("streams", self.streams),
            ("types", self.types),
            ("log_bytes", self.log_bytes),
            ("segments", self.segments),
            ("runs", self.runs),
            ("run_bytes", self.run_bytes),
            ("cache_hits", self.cache_hits),
            ("cache_misses", self.cache_misses),
            ("appended", self.appended),
            ("syncs", self.syncs),
            ("conflicts", self.conflicts),
            ("retries", self.retries),
        ]
        .into_iter()
    }
}
