//! A directory that asks before it is changed.

use std::io;
use std::path::Path;
use std::sync::Arc;

use annals::storage::{Directory, FileName, Storage, StorageFile, StorageLock};
use parking_lot::Mutex;

/// What is about to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Which files there are, or who has the lock.
    Names,
    /// What is in this file, or what of it is durable.
    Bytes(FileName),
}

type Allow = fn(Change) -> io::Result<()>;

#[derive(Debug)]
pub(crate) struct Guarded {
    inner: Directory,
    allow: Allow,
    /// What is answered, from the end, before the directory is listed.
    listings: Mutex<Vec<Vec<FileName>>>,
}

#[derive(Debug)]
struct GuardedFile {
    inner: Arc<dyn StorageFile>,
    name: FileName,
    allow: Allow,
}

impl Guarded {
    pub(crate) fn new(path: &Path, allow: Allow) -> Self {
        Self { inner: Directory::new(path).unwrap(), allow, listings: Mutex::default() }
    }

    /// Lists these names at first, so many times.
    pub(crate) fn listing(self, names: &[FileName], times: usize) -> Self {
        *self.listings.lock() = vec![names.to_vec(); times];
        self
    }

    fn names(&self) -> io::Result<()> {
        (self.allow)(Change::Names)
    }

    fn guard(&self, name: FileName, inner: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(GuardedFile { inner, name, allow: self.allow })
    }
}

impl Storage for Guarded {
    fn open(&self, name: FileName) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.guard(name, self.inner.open(name)?))
    }

    fn create(&self, name: FileName) -> io::Result<Arc<dyn StorageFile>> {
        self.names()?;
        Ok(self.guard(name, self.inner.create(name)?))
    }

    fn list(&self) -> io::Result<Vec<FileName>> {
        self.listings.lock().pop().map_or_else(|| self.inner.list(), Ok)
    }

    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
        self.names()?;
        self.inner.rename(from, to)
    }

    fn remove(&self, name: FileName) -> io::Result<()> {
        self.names()?;
        self.inner.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.names()?;
        self.inner.sync_names()
    }

    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        self.names()?;
        self.inner.lock()
    }
}

impl GuardedFile {
    fn bytes(&self) -> io::Result<()> {
        (self.allow)(Change::Bytes(self.name))
    }
}

impl StorageFile for GuardedFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.inner.read_at(offset, into)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.bytes()?;
        self.inner.write_at(offset, bytes)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.bytes()?;
        self.inner.set_len(length)
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn sync(&self) -> io::Result<()> {
        self.bytes()?;
        self.inner.sync()
    }
}
