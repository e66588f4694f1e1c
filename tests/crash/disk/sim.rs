//! The simulated disk as a test holds it: what it is told to do, and what it tells of what was done.

use std::fmt;
use std::io;
use std::sync::Arc;

use annals::storage::FileName;
use parking_lot::Mutex;

use super::fault::{Failure, Fault, Op, error};
use super::state::State;
use crate::random::Random;

/// A disk that lies in memory. Clones are the same disk.
#[derive(Clone)]
pub(crate) struct SimDisk(pub(super) Arc<Mutex<Core>>);

/// What is called before every sync of a file, while no lock of the disk is held.
type Hook = Arc<dyn Fn() + Send + Sync>;

/// The disk as it was just before an operation that changes it.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    /// How many operations came before.
    pub(crate) op: u64,
    pub(crate) state: State,
}

/// An operation as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Traced {
    op: Op,
    file: Option<FileName>,
    offset: u64,
    len: usize,
    checksum: u32,
}

pub(super) struct Core {
    pub(super) state: State,
    pub(super) random: Random,
    fault: Option<Fault>,
    was_at_fault: bool,
    /// How many bytes the files may take.
    capacity: usize,
    /// Whether the process is gone: nothing that it still does has any effect.
    frozen: bool,
    pub(super) locked: bool,
    ops: u64,
    ops_of_kind: [u64; Op::COUNT],
    moments: Option<Vec<Moment>>,
    trace: Option<Vec<Traced>>,
    pub(super) before_sync: Option<Hook>,
}

impl SimDisk {
    /// An empty disk.
    pub(crate) fn new(seed: u64) -> Self {
        Self::holding(State::default(), seed)
    }

    /// A disk that holds this, as the next process finds it.
    pub(crate) fn holding(state: State, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Core {
            state,
            random: Random::new(seed),
            fault: None,
            was_at_fault: false,
            capacity: usize::MAX,
            frozen: false,
            locked: false,
            ops: 0,
            ops_of_kind: [0; Op::COUNT],
            moments: None,
            trace: None,
            before_sync: None,
        })))
    }

    pub(crate) fn state(&self) -> State {
        self.0.lock().state.clone()
    }

    /// How many bytes its files take.
    pub(crate) fn byte_len(&self) -> usize {
        self.0.lock().state.byte_len()
    }

    /// How many operations it was asked for.
    pub(crate) fn ops(&self) -> u64 {
        self.0.lock().ops
    }

    /// How many operations of a kind it was asked for.
    pub(crate) fn ops_of(&self, op: Op) -> u64 {
        self.0.lock().ops_of_kind[op as usize]
    }

    /// Tells it what to do wrong from now on, or that all is well again. Operations count from its beginning.
    pub(crate) fn set_fault(&self, fault: Option<Fault>) {
        let mut core = self.0.lock();
        core.was_at_fault |= fault.is_some();
        core.fault = fault;
    }

    /// Whether it was ever told to do anything wrong.
    pub(crate) fn was_at_fault(&self) -> bool {
        self.0.lock().was_at_fault
    }

    pub(crate) fn set_capacity(&self, bytes: usize) {
        let mut core = self.0.lock();
        core.was_at_fault |= bytes != usize::MAX;
        core.capacity = bytes;
    }

    /// Ends the process that uses it: nothing that it still does has any effect.
    pub(crate) fn freeze(&self) {
        self.0.lock().frozen = true;
    }

    /// Keeps the disk as it is before every operation that changes it, from now on.
    pub(crate) fn keep_moments(&self) {
        self.0.lock().moments = Some(Vec::new());
    }

    /// The moments that were kept, and the present one.
    pub(crate) fn moments(&self) -> Vec<Moment> {
        let mut core = self.0.lock();
        let now = Moment { op: core.ops, state: core.state.clone() };
        let mut moments = core.moments.take().unwrap_or_default();
        moments.push(now);
        moments
    }

    /// Has this called before every sync of a file from now on, or nothing any more.
    pub(crate) fn set_before_sync(&self, hook: Option<Hook>) {
        self.0.lock().before_sync = hook;
    }

    /// Takes down every operation, from now on.
    pub(crate) fn keep_trace(&self) {
        self.0.lock().trace = Some(Vec::new());
    }

    pub(crate) fn trace(&self) -> Vec<Traced> {
        self.0.lock().trace.take().unwrap_or_default()
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

impl Core {
    /// Counts the operation; says how it is to fail, unless it fails altogether.
    pub(super) fn begin(
        &mut self,
        op: Op,
        file: Option<FileName>,
        offset: u64,
        bytes: &[u8],
    ) -> io::Result<Option<Failure>> {
        if self.frozen {
            return Err(error(io::ErrorKind::Other));
        }
        if let (true, Some(moments)) = (op.changes(), &mut self.moments) {
            moments.push(Moment { op: self.ops, state: self.state.clone() });
        }
        if let Some(trace) = &mut self.trace {
            let checksum = crc32fast::hash(bytes);
            trace.push(Traced { op, file, offset, len: bytes.len(), checksum });
        }
        let (of_kind, all) = (self.ops_of_kind[op as usize], self.ops);
        self.ops_of_kind[op as usize] += 1;
        self.ops += 1;
        match self.fault.and_then(|fault| fault.strikes(op, of_kind, all)) {
            Some(Failure::Error(kind)) if op != Op::Sync => Err(error(kind)),
            Some(Failure::PartThenError(kind) | Failure::AllThenError(kind)) if op != Op::Write => {
                Err(error(kind))
            }
            failure => Ok(failure),
        }
    }

    pub(super) fn begin_with_names(&mut self, op: Op, name: FileName) -> io::Result<()> {
        self.begin(op, Some(name), 0, &[]).map(drop)
    }

    /// How many of these bytes there is room for.
    pub(super) fn room_for(&self, inode: usize, offset: usize, len: usize) -> usize {
        let grown = (offset + len).saturating_sub(self.state.inodes[inode].live().len());
        if grown == 0 || self.capacity == usize::MAX {
            return len;
        }
        let missing = (self.state.byte_len() + grown).saturating_sub(self.capacity);
        len - missing.min(grown).min(len)
    }

    /// Whether the file cannot be made this long.
    pub(super) fn is_beyond_room(&self, inode: usize, length: usize) -> bool {
        let grown = length.saturating_sub(self.state.inodes[inode].live().len());
        grown > 0 && self.state.byte_len() + grown > self.capacity
    }
}
