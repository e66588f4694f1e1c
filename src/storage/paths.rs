//! Files outside the directory of a store: whole ones, at paths that their user chose.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::directory::sync_names_of;

/// What the file holds, if there is one.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes this what the file holds: all of it, or it stays as it was, also across a crash.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = with_suffix(path, ".draft");
    let mut file = File::create(&draft)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    rename(&draft, path)
}

/// Gives a file another name, which it still has after a crash.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_names_of(&folder_of(to))
}

/// Removes a file, if it is there.
#[cfg(feature = "sqlite")]
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(feature = "sqlite")]
/// The names of the files in the folder of this one, as far as they are text.
pub(crate) fn names_beside(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder_of(path))? {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}

/// How long a file is; nothing if it is not there.
#[cfg(feature = "sqlite")]
pub(crate) fn len(path: &Path) -> io::Result<u64> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// A file that is locked, for as long as this is there.
#[cfg(feature = "sqlite")]
#[derive(Debug)]
pub(crate) struct FileLock(File);

#[cfg(feature = "sqlite")]
impl FileLock {
    pub(crate) fn take(path: &Path) -> io::Result<Self> {
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(fs::TryLockError::Error(error)) => Err(error),
            Err(fs::TryLockError::WouldBlock) => {
                Err(io::Error::other("another process or thread has it open"))
            }
        }
    }
}

#[cfg(feature = "sqlite")]
impl Drop for FileLock {
    /// Explicitly: a child that is being spawned has a copy of the file for a moment, and would keep the lock.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// The path with something behind its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
