//! What everything that an application holds stands on.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{FairMutex, FairMutexGuard};

use crate::clock::Clock;
use crate::id::StreamId;
use crate::snapshot::SnapshotStore;
use crate::store::EventStore;

/// The store, the clock and the place for snapshots that a handle and all that is made from it share.
#[derive(Debug)]
pub(crate) struct Backing {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
    pub(crate) turns: Turns,
}

/// Lets the threads of this process that write to one stream take turns once they have got into each other's way.
///
/// It only saves work that would be in vain: what is written is decided by the store. A command whose first try lost a
/// race takes the stream's turn for its next tries, and commands that begin meanwhile queue up for it. Where nobody
/// ever loses a race, nobody ever waits.
pub(crate) struct Turns {
    /// A stream's turn is the one that its name's hash picks; streams that share one only wait for longer.
    turns: [FairMutex<()>; 64],
}

/// It is its holder's turn until this is dropped.
pub(crate) type Turn<'t> = FairMutexGuard<'t, ()>;

/// A wait for a turn is over after this time, turn or not: the holder may be a thread that waits for this one.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

impl Turns {
    pub(crate) fn new() -> Self {
        Self { turns: std::array::from_fn(|_| FairMutex::new(())) }
    }

    /// Waits for the stream's turn if somebody has it now.
    pub(crate) fn queue(&self, stream: &StreamId) -> Option<Turn<'_>> {
        let turn = self.of(stream);
        if turn.is_locked() { turn.try_lock_for(LONGEST_WAIT) } else { None }
    }

    /// Waits for the stream's turn and takes it.
    pub(crate) fn take(&self, stream: &StreamId) -> Option<Turn<'_>> {
        self.of(stream).try_lock_for(LONGEST_WAIT)
    }

    fn of(&self, stream: &StreamId) -> &FairMutex<()> {
        let mut hasher = DefaultHasher::new();
        stream.hash(&mut hasher);
        &self.turns[(hasher.finish() % 64) as usize]
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").finish_non_exhaustive()
    }
}
