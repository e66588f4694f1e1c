//! The simulated disk as a store uses it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use annals::storage::{FileName, Storage, StorageFile, StorageLock};

use super::fault::{Failure, Op, error};
use super::inode::Inode;
use super::sim::{Core, SimDisk};

impl SimDisk {
    fn file(&self, core: &Core, inode: usize, name: FileName) -> Arc<dyn StorageFile> {
        let reported = AtomicU64::new(core.state.inodes[inode].failed_syncs);
        Arc::new(SimFile { disk: self.clone(), inode, name, reported })
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
            None | Some(Failure::AllThenError(_)) => bytes.len(),
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
            Some(Failure::PartThenError(kind) | Failure::AllThenError(kind)) => Err(error(kind)),
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
