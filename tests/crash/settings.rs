//! How the stores of these tests are opened: small in every respect, so that everything happens within a few commits.

use annals::Error;
use annals::chrono::DateTime;
use annals::store::{Durability, FileOptions, FileStore, Upkeep};
use annals::testing::ManualClock;

use crate::disk::SimDisk;
use crate::random::Random;

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) segment_bytes: u32,
    pub(crate) recent_bytes: u32,
    pub(crate) cache_bytes: usize,
    pub(crate) durability: Durability,
}

impl Settings {
    /// Settings in which a store makes segments, runs and merges within some forty commits.
    pub(crate) fn some(random: &mut Random) -> Self {
        Self {
            segment_bytes: *random.pick(&[1024, 2048, 4096]),
            recent_bytes: *random.pick(&[1024, 2048, 8192]),
            cache_bytes: *random.pick(&[0, 1 << 14, 1 << 20]),
            durability: if random.chance(30) { Durability::Buffered } else { Durability::Synced },
        }
    }

    pub(crate) fn options(self, clock: &ManualClock) -> FileOptions {
        FileStore::options()
            .clock(clock.clone())
            .segment_bytes(self.segment_bytes)
            .recent_bytes(self.recent_bytes)
            .cache_bytes(self.cache_bytes)
            .durability(self.durability)
            .upkeep(Upkeep::Inline)
    }

    pub(crate) fn open(self, disk: &SimDisk, clock: &ManualClock) -> Result<FileStore, Error> {
        self.options(clock).open_on(disk.clone())
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_bytes: 2048,
            recent_bytes: 2048,
            cache_bytes: 1 << 16,
            durability: Durability::Synced,
        }
    }
}

/// A clock that stands at some noon.
pub(crate) fn noon() -> ManualClock {
    ManualClock::at(DateTime::from_timestamp(1_700_000_000, 0).unwrap())
}
