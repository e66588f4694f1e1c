//! The files of the operating system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;

use super::file_name::FileName;
use super::seam::{Storage, StorageFile, StorageLock};
use super::zeros;

/// A directory of the file system.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    is_to_read: bool,
}

impl Directory {
    /// The directory at this path; it is made if there is none.
    pub fn new(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.is_dir();
        let missing = path.ancestors().take_while(is_missing).count();
        fs::create_dir_all(path)?;
        for made in path.canonicalize()?.ancestors().take(missing) {
            made.parent().map_or(Ok(()), sync_names_of)?;
        }
        Ok(Self { path: path.to_owned(), is_to_read: false })
    }

    /// The directory at this path, which is there already, to read only: everything that would change it, also its lock, is
    /// answered with an error, and what is opened cannot be written to. It may lie on a medium that cannot be written to.
    pub fn to_read(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        fs::read_dir(path)?;
        Ok(Self { path: path.to_owned(), is_to_read: true })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn path_of(&self, name: FileName) -> PathBuf {
        self.path.join(name.to_string())
    }

    fn check_changeable(&self) -> io::Result<()> {
        if self.is_to_read { Err(io::ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) }
    }

    fn open_or_create(&self, name: FileName) -> io::Result<File> {
        self.check_changeable()?;
        match self.check_plain(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        open_unnoticed(&options, &self.path_of(name))
    }

    /// A pipe would block, a link would lead elsewhere: only plain files are opened.
    fn check_plain(&self, name: FileName) -> io::Result<()> {
        match fs::symlink_metadata(self.path_of(name)) {
            Ok(metadata) if !metadata.is_file() => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{name} is not a plain file"),
            )),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Storage for Directory {
    fn open(&self, name: FileName) -> io::Result<Arc<dyn StorageFile>> {
        self.check_plain(name)?;
        let mut options = OpenOptions::new();
        options.read(true).write(!self.is_to_read);
        Ok(Arc::new(PlainFile(open_unnoticed(&options, &self.path_of(name))?)))
    }

    fn create(&self, name: FileName) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.open_or_create(name)?;
        file.set_len(0)?;
        Ok(Arc::new(PlainFile(file)))
    }

    fn fill(&self, name: FileName, zeros: Range<u64>) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.open(name)?;
        match open_past_cache(&self.path_of(name)) {
            Some(direct) => zeros::write_past_cache(&*file, &PlainFile(direct), zeros)?,
            None => file.write_zeros(zeros)?,
        }
        Ok(file)
    }

    fn list(&self) -> io::Result<Vec<FileName>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().to_str().and_then(FileName::parse));
        }
        Ok(names)
    }

    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
        self.check_changeable()?;
        fs::rename(self.path_of(from), self.path_of(to))
    }

    fn remove(&self, name: FileName) -> io::Result<()> {
        self.check_changeable()?;
        fs::remove_file(self.path_of(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.check_changeable()?;
        sync_names_of(&self.path)
    }

    fn place(&self) -> Option<PathBuf> {
        self.path.canonicalize().ok()
    }

    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        let file = self.open_or_create(FileName::Lock)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {
                let path = self.path_of(FileName::Lock);
                let holder = fs::read_to_string(path).unwrap_or_default();
                return Err(io::Error::new(io::ErrorKind::WouldBlock, holder.trim().to_owned()));
            }
        }
        let holder = process::id();
        // The name of the holder is a courtesy: it may be missing, as on a full disk.
        let _ = file.set_len(0);
        let _ = (&file).write_all(format!("process {holder}\n").as_bytes());
        Ok(Box::new(HeldLock { file, holder }))
    }
}

#[cfg(unix)]
pub(super) fn sync_names_of(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
pub(super) fn sync_names_of(_: &Path) -> io::Result<()> {
    Ok(())
}

/// A handle whose reads leave no trace of when the file was read last: nobody asks for that, and looking whether to note it is a
/// part of each read. Only who owns the file may do so.
#[cfg(target_os = "linux")]
fn open_unnoticed(options: &OpenOptions, path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    match options.clone().custom_flags(libc::O_NOATIME).open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => options.open(path),
        opened => opened,
    }
}

#[cfg(not(target_os = "linux"))]
fn open_unnoticed(options: &OpenOptions, path: &Path) -> io::Result<File> {
    options.open(path)
}

/// A handle that writes to the disk itself, where there is such a thing.
#[cfg(target_os = "linux")]
fn open_past_cache(path: &Path) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt;

    OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path).ok()
}

#[cfg(not(target_os = "linux"))]
fn open_past_cache(_: &Path) -> Option<File> {
    None
}

#[derive(Debug)]
struct PlainFile(File);

impl StorageFile for PlainFile {
    #[cfg(unix)]
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, into, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(&self.0, bytes, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.0, into, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(&self.0, bytes, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[derive(Debug)]
struct HeldLock {
    file: File,
    holder: u32,
}

impl StorageLock for HeldLock {
    fn is_ours(&self) -> bool {
        process::id() == self.holder
    }
}

impl Drop for HeldLock {
    /// Unlocks explicitly: a child that is being spawned holds a copy of the descriptor for a moment, and closing alone
    /// would leave the lock to it. A forked child leaves its parent's lock alone.
    fn drop(&mut self) {
        if self.is_ours() {
            // There is nobody to tell; closing unlocks too, only later.
            let _ = self.file.unlock();
        }
    }
}
