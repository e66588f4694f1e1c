//! Snapshots on disk.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use super::contents::{Contents, FILE};
use super::record;
use super::snapshot_store::{Snapshot, SnapshotStore};
use crate::at::At;
use crate::error::Error;
use crate::id::StreamId;
use crate::storage::{Directory, Storage};
use crate::store::failed;

/// A smaller file is not worth being written anew.
const WORTHWHILE_BYTES: u64 = 1 << 20;

/// After the file could not be written anew, so many snapshots are let go before it is tried again.
const PAUSE: u32 = 256;

/// Keeps snapshots in one file of a directory, which may be that of a [`FileStore`](crate::store::FileStore). It touches no other
/// file there but its own draft.
///
/// It is a cache. What is damaged, or was written by another version, is not there; what cannot be written is not kept.
/// Saving appends without a sync, and a crash may cost the last snapshots. A file of which more than half is
/// no longer of use is written anew. [`forget`](SnapshotStore::forget) writes the file anew each time, and when it returns the
/// snapshots of the stream have left the file for good.
///
/// One handle at a time, shared between threads, works on a directory: open it by the side of the store, whose lock
/// keeps others away.
///
/// ```
/// use annals::Annals;
/// use annals::snapshot::FileSnapshots;
/// use annals::store::FileStore;
///
/// # let directory = std::env::temp_dir().join(format!("annals-doc-snapshots-{}", std::process::id()));
/// let store = FileStore::open(&directory)?;
/// let annals = Annals::builder().snapshots(FileSnapshots::open(&directory)?).with_store(store);
/// # drop(annals);
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Cost
///
/// Opening reads nothing; the first use reads the file through. After that a look-up costs one read, and saving one write. The
/// snapshots take at most [64 MiB](Self::with_bytes_max), their file twice as much and one snapshot, and while it is written
/// anew, another 64 MiB. In memory each takes about 100 bytes.
pub struct FileSnapshots {
    storage: Arc<dyn Storage>,
    bytes_max: u64,
    /// What the file holds; `None` before the first use. Held while the file is written, not while it is read from.
    contents: Mutex<Option<Contents>>,
}

impl FileSnapshots {
    /// The snapshots in this directory; it is made if there is none.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let directory = Directory::new(path).map_err(failed("making the directory of", FILE))?;
        Ok(Self::open_on(directory))
    }

    /// The snapshots on this storage.
    #[must_use]
    pub fn open_on(storage: impl Storage) -> Self {
        let storage = Arc::new(storage);
        Self { storage, bytes_max: 64 << 20, contents: Mutex::new(None) }
    }

    /// How much the snapshots may take on disk; 64 MiB unless said otherwise. Where they would take more, those of the streams
    /// that nothing was saved of for longest are let go. One that is larger by itself is not kept.
    #[must_use]
    pub fn with_bytes_max(self, bytes_max: u64) -> Self {
        Self { bytes_max, ..self }
    }

    fn contents(&self) -> Result<MappedMutexGuard<'_, Contents>, Error> {
        let mut contents = self.contents.lock();
        if contents.is_none() {
            *contents = Some(Contents::read(&*self.storage)?);
        }
        Ok(MutexGuard::map(contents, |contents| contents.as_mut().expect("it was just read")))
    }
}

impl SnapshotStore for FileSnapshots {
    fn newest(
        &self,
        stream: &StreamId,
        fingerprint: u64,
        within: Option<At>,
    ) -> Result<Option<Snapshot>, Error> {
        let (file, places) = {
            let contents = self.contents()?;
            (contents.file.clone(), contents.table.find(stream, fingerprint, within))
        };
        let Some(file) = file else {
            return Ok(None);
        };
        for place in places {
            let mut bytes = vec![0; place.length];
            let read =
                file.read_up_to(place.offset, &mut bytes).map_err(failed("reading", FILE))?;
            let is_meant = |found: &Snapshot| {
                (&found.stream, found.fingerprint) == (stream, fingerprint)
                    && within.is_none_or(|at| found.is_within(at))
            };
            if let Some(found) = record::decode(&bytes[..read]).filter(is_meant) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn save(&self, snapshot: Snapshot) -> Result<(), Error> {
        let record = record::encode(&snapshot);
        let Some(record) = record.filter(|record| record.len() as u64 <= self.bytes_max) else {
            return Ok(());
        };
        let mut contents = self.contents()?;
        if contents.is_mostly_dead(self.bytes_max.min(WORTHWHILE_BYTES)) {
            if contents.pause > 0 {
                contents.pause -= 1;
                return Ok(());
            }
            contents.write_anew(&*self.storage).inspect_err(|_| contents.pause = PAUSE)?;
        }
        let offset = contents.append(&*self.storage, &record)?;
        contents.table.insert(&snapshot, offset, record.len());
        contents.table.shrink(self.bytes_max);
        Ok(())
    }

    fn forget(&self, stream: &StreamId) -> Result<(), Error> {
        let mut contents = self.contents()?;
        contents.table.forget(stream);
        // Also if the table has none of them: they may still lie between others, or in a draft that was left behind.
        contents.write_anew(&*self.storage)
    }
}

impl fmt::Debug for FileSnapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSnapshots")
            .field("storage", &self.storage)
            .field("bytes_max", &self.bytes_max)
            .finish_non_exhaustive()
    }
}
