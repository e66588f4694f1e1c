//! The simulated disk as a store uses it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use annals::storage::{FileName, Storage, StorageFile, StorageLock};
use parking_lot::Mutex;

use super::fault::{Failure, Fault, Op, error};
use super::inode::Inode;
use super::state::State;
use crate::random::Random;

/// A disk that lies in memory. Clones are the same disk.
#[derive(Clone)]
pub(crate) struct SimDisk(Arc<Mutex<Core>>);

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

struct Core {
    state: State,
    random: Random,
    fault: Option<Fault>,
    was_at_fault: bool,
    /// How many bytes the files may take.
    capacity: usize,
    /// Whether the process is gone: nothing that it still does has any effect.
    frozen: bool,
    locked: bool,
    ops: u64,
    ops_of_kind: [u64; Op::COUNT],
    moments: Option<Vec<Moment>>,
    trace: Option<Vec<Traced>>,
    before_sync: Option<Hook>,
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

    fn file(&self, core: &Core, inode: usize, name: FileName) -> Arc<dyn StorageFile> {
        let reported = AtomicU64::new(core.state.inodes[inode].failed_syncs);
        Arc::new(SimFile { disk: self.clone(), inode, name, reported })
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

impl Core {
    /// Counts the operation; says how it is to fail, unless it fails altogether.
    fn begin(
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
            Some(Failure::PartThenError(kind)) if op != Op::Write => Err(error(kind)),
            failure => Ok(failure),
        }
    }

    fn begin_with_names(&mut self, op: Op, name: FileName) -> io::Result<()> {
        self.begin(op, Some(name), 0, &[]).map(drop)
    }

    /// How many of these bytes there is room for.
    fn room_for(&self, inode: usize, offset: usize, len: usize) -> usize {
        let grown = (offset + len).saturating_sub(self.state.inodes[inode].live().len());
        if grown == 0 || self.capacity == usize::MAX {
            return len;
        }
        let missing = (self.state.byte_len() + grown).saturating_sub(self.capacity);
        len - missing.min(grown).min(len)
    }

    /// Whether the file cannot be made this long.
    fn is_beyond_room(&self, inode: usize, length: usize) -> bool {
        let grown = length.saturating_sub(self.state.inodes[inode].live().len());
        grown > 0 && self.state.byte_len() + grown > self.capacity
    }
}

impl Storage for SimDisk {
    fn open(&self, name: FileName) -> io::Result<Arc<dyn StorageFile>> {
        let mut core = self.0.lock();
        core.begin_with_names(Op::Open, name)?;
        let inode = core.state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(&core, inode, name))
    }

    fn create(&self, name: FileName) -> io::Result<Arc<dyn StorageFile>> {
        let mut core = self.0.lock();
        core.begin_with_names(Op::Create, name)?;
        if let Some(inode) = core.state.names.get(name) {
            core.state.inodes[inode].set_len(0);
            return Ok(self.file(&core, inode, name));
        }
        core.state.inodes.push(Inode::default());
        let inode = core.state.inodes.len() - 1;
        core.state.names.link(name, inode);
        Ok(self.file(&core, inode, name))
    }

    fn list(&self) -> io::Result<Vec<FileName>> {
        let mut core = self.0.lock();
        core.begin(Op::List, None, 0, &[])?;
        Ok(core.state.files())
    }

    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
        let mut core = self.0.lock();
        core.begin_with_names(Op::Rename, from)?;
        core.state.names.rename(from, to).then_some(()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn remove(&self, name: FileName) -> io::Result<()> {
        let mut core = self.0.lock();
        core.begin_with_names(Op::Remove, name)?;
        core.state.names.remove(name).then_some(()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut core = self.0.lock();
        core.begin(Op::SyncNames, None, 0, &[])?;
        core.state.names.sync();
        Ok(())
    }

    fn random(&self) -> u128 {
        self.0.lock().random.next_u128()
    }

    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        let mut core = self.0.lock();
        core.begin(Op::Lock, None, 0, &[])?;
        if core.locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        core.locked = true;
        Ok(Box::new(SimLock(self.clone())))
    }
}

#[derive(Debug)]
struct SimLock(SimDisk);

impl StorageLock for SimLock {
    fn is_ours(&self) -> bool {
        true
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.0.lock().locked = false;
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: usize,
    /// What it was called when it was opened.
    name: FileName,
    /// How many failed syncs of the file this handle has reported, or was opened after.
    reported: AtomicU64,
}

impl StorageFile for SimFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut core = self.disk.0.lock();
        let failure = core.begin(Op::Read, Some(self.name), offset, &[])?;
        let bytes = core.state.inodes[self.inode].live();
        let rest = usize::try_from(offset).ok().and_then(|start| bytes.get(start..));
        let rest = rest.unwrap_or_default();
        let len = match failure {
            None | Some(Failure::Nothing) => rest.len().min(into.len()),
            Some(_) => rest.len().min(into.len()).div_ceil(2),
        };
        into[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut core = self.disk.0.lock();
        let failure = core.begin(Op::Write, Some(self.name), offset, bytes)?;
        let offset = usize::try_from(offset).expect("no test writes that far");
        let len = match failure {
            None => bytes.len(),
            Some(Failure::Nothing) => 0,
            Some(_) => bytes.len().div_ceil(2),
        };
        let room = core.room_for(self.inode, offset, len);
        if room == 0 && len > 0 {
            return Err(error(io::ErrorKind::StorageFull));
        }
        if room > 0 {
            core.state.inodes[self.inode].write(offset, &bytes[..room]);
        }
        match failure {
            Some(Failure::PartThenError(kind)) => Err(error(kind)),
            _ => Ok(room),
        }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut core = self.disk.0.lock();
        core.begin(Op::SetLen, Some(self.name), length, &[])?;
        let length = usize::try_from(length).expect("no test writes that far");
        if core.is_beyond_room(self.inode, length) {
            return Err(error(io::ErrorKind::StorageFull));
        }
        core.state.inodes[self.inode].set_len(length);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let mut core = self.disk.0.lock();
        core.begin(Op::Len, Some(self.name), 0, &[])?;
        Ok(core.state.inodes[self.inode].live().len() as u64)
    }

    fn sync(&self) -> io::Result<()> {
        let hook = self.disk.0.lock().before_sync.clone();
        hook.into_iter().for_each(|hook| hook());
        let mut core = self.disk.0.lock();
        let failure = core.begin(Op::Sync, Some(self.name), 0, &[])?;
        let inode = &mut core.state.inodes[self.inode];
        if let Some(Failure::Error(kind)) = failure {
            // An interrupted sync has done nothing; any other failure has given up what was to be written.
            if kind != io::ErrorKind::Interrupted {
                inode.fail_sync();
                self.reported.store(inode.failed_syncs, Ordering::Relaxed);
            }
            return Err(error(kind));
        }
        let failed = inode.failed_syncs;
        if self.reported.swap(failed, Ordering::Relaxed) < failed {
            return Err(error(io::ErrorKind::Other));
        }
        inode.sync();
        Ok(())
    }
}
