//! How a store on disk is opened.

use std::sync::Arc;

use super::segment::Rooms;
use crate::clock::{Clock, SystemClock};
use crate::payload::Encoding;
use crate::store::commit::Limits;

/// When an append is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When its events are on disk, as far as the system can tell.
    #[default]
    Synced,
    /// When its events are handed to the operating system. They outlive the process at once, and a crash of the system
    /// only after the next [`FileStore::sync`](crate::store::FileStore::sync), or when the store has synced by itself to write its index or to close.
    Buffered,
}

/// Who prepares space and keeps the index in shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Upkeep {
    /// A thread of the store's own.
    #[default]
    Thread,
    /// Whoever appends, after the answer is certain. Without a thread, what a store does depends only on what it is asked.
    Inline,
}

/// Offsets in a segment have 32 bits, also those behind a large frame that begins just before the end.
const SEGMENT_BYTES_MAX: u32 = 1 << 31;

/// How many times as much log as a run covers may wait to be covered.
const WAITING_MAX: u64 = 8;

/// How a store on disk is opened. None of it decides how what is stored is read: a store can be opened each time in another way.
#[derive(Debug, Clone)]
#[must_use = "nothing is opened before `open`"]
pub struct FileOptions {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: Limits,
    pub(super) encoding: Encoding,
    pub(super) durability: Durability,
    pub(super) segment_bytes: u32,
    pub(super) recent_bytes: u32,
    pub(super) cache_bytes: usize,
    pub(super) upkeep: Upkeep,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
            encoding: Encoding::default(),
            durability: Durability::default(),
            segment_bytes: 128 << 20,
            recent_bytes: 2 << 20,
            cache_bytes: 16 << 20,
            upkeep: Upkeep::default(),
        }
    }
}

impl FileOptions {
    /// Where the times of recording come from; the system's clock unless said otherwise.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How large things may be. What is stored already may be larger.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How the payloads of aggregates' events are encoded in a store that is made; [`Encoding::Json`] unless said otherwise. A store
    /// that is there keeps its encoding ([`Identity::encoding`](crate::store::Identity::encoding)).
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// When an append is answered; [`Durability::Synced`] unless said otherwise.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The size at which a new segment of the log is begun at the latest; 128 MiB unless said otherwise, and 2 GiB at most. The
    /// first segments of a store that syncs each commit are smaller: four of 1 MiB, then four of twice that, and so on; for such a
    /// store space for the next segment is prepared on disk while it is open. A commit that is larger has a segment of its own.
    pub fn segment_bytes(mut self, bytes: u32) -> Self {
        self.segment_bytes = bytes.min(SEGMENT_BYTES_MAX);
        self
    }

    /// After how much log the index of recent events, which is held in memory, is written to disk; 2 MiB unless said
    /// otherwise. It takes about as much memory as the log it covers, and at most eight times that while it cannot be written.
    /// Opening a store that was not closed reads as much log again.
    pub fn recent_bytes(mut self, bytes: u32) -> Self {
        self.recent_bytes = bytes.max(1);
        self
    }

    /// How much log may wait to be covered by a run before appends have to wait with it.
    pub(super) fn waiting_bytes_max(&self) -> u64 {
        WAITING_MAX * u64::from(self.recent_bytes)
    }

    /// The lengths at which segments end.
    pub(super) fn rooms(&self) -> Rooms {
        match self.durability {
            Durability::Synced => Rooms::that_grow(self.segment_bytes),
            Durability::Buffered => Rooms::all_of(self.segment_bytes),
        }
    }

    /// How much memory cached parts of the files may take; 16 MiB unless said otherwise.
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Who prepares space and keeps the index in shape; [`Upkeep::Thread`] unless said otherwise.
    pub fn upkeep(mut self, upkeep: Upkeep) -> Self {
        self.upkeep = upkeep;
        self
    }
}
