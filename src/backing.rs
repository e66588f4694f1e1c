//! What everything that an application holds stands on.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
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
/// It only saves work that would be in vain: what is written is decided by the store. A command or unit whose first try
/// lost a race takes the turn of every stream it has lost for its next tries, and those that begin meanwhile queue up. Where nobody
/// ever loses a race, nobody ever waits.
pub(crate) struct Turns {
    /// A stream's turn is the one that its name's hash picks; streams that share one only wait for longer.
    turns: [FairMutex<()>; 1024],
    /// How many races were lost, and how many of those that lost one were decided again.
    pub(crate) conflicts: AtomicU64,
    pub(crate) retries: AtomicU64,
}

/// It is this thread's turn, for one stream or several, until this is dropped.
pub(crate) struct Turn<'t> {
    _guards: Vec<FairMutexGuard<'t, ()>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        HAS_TURN.set(false);
    }
}

thread_local! {
    /// Whether this thread holds a turn. Then it waits for no other, so that no two threads wait for one another.
    static HAS_TURN: Cell<bool> = const { Cell::new(false) };
}

/// A wait for a turn is over after this time, turn or not: who holds it may be long about it.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

impl Turns {
    pub(crate) fn new() -> Self {
        let turns = std::array::from_fn(|_| FairMutex::new(()));
        Self { turns, conflicts: AtomicU64::new(0), retries: AtomicU64::new(0) }
    }

    /// Waits for the stream's turn and takes it, if somebody has it now.
    pub(crate) fn queue(&self, stream: &StreamId) -> Option<Turn<'_>> {
        let is_taken = self.turns[self.place(stream)].is_locked();
        if is_taken { self.take(std::slice::from_ref(stream)) } else { None }
    }

    /// Waits for the turns of all these streams and takes them: always in the same order, so that no two threads wait
    /// for one another.
    pub(crate) fn take(&self, streams: &[StreamId]) -> Option<Turn<'_>> {
        if HAS_TURN.get() {
            return None;
        }
        let places: BTreeSet<usize> = streams.iter().map(|stream| self.place(stream)).collect();
        let guards =
            places.into_iter().filter_map(|place| self.turns[place].try_lock_for(LONGEST_WAIT));
        let guards: Vec<_> = guards.collect();
        HAS_TURN.set(!guards.is_empty());
        (!guards.is_empty()).then_some(Turn { _guards: guards })
    }

    fn place(&self, stream: &StreamId) -> usize {
        let mut hasher = DefaultHasher::new();
        stream.hash(&mut hasher);
        let [low, high, ..] = hasher.finish().to_le_bytes();
        usize::from(u16::from_le_bytes([low, high])) % self.turns.len()
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").finish_non_exhaustive()
    }
}
