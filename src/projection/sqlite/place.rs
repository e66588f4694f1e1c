//! Where the database of a projection is.

use std::io;
use std::path::{Path, PathBuf};

use crate::storage::paths;

/// The files of a database.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// The user's database, and what takes the tables out of it again.
    Shared { path: PathBuf, undo: String },
    /// Files of the projection alone: the path followed by `.v` and a number, the highest of which is read; and one that is being made,
    /// which has `.new` behind that until it is finished.
    ///
    /// A number is never used twice and a file never renamed while it is open, since SQLite finds the log of a database by its name.
    Own { path: PathBuf },
}

/// The files that there are of a projection's own.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The numbers of those that are finished, in order.
    pub(super) finished: Vec<u64>,
    pub(super) new: Option<u64>,
}

impl Files {
    pub(super) fn newest(&self) -> Option<u64> {
        self.finished.last().copied()
    }
}

/// The file with this number.
pub(super) fn numbered(path: &Path, number: u64) -> PathBuf {
    paths::with_suffix(path, &format!(".v{number}"))
}

/// The file that will have this number.
pub(super) fn unfinished(path: &Path, number: u64) -> PathBuf {
    paths::with_suffix(path, &format!(".v{number}.new"))
}

/// What SQLite puts beside a database.
pub(super) fn log_of(path: &Path) -> PathBuf {
    paths::with_suffix(path, "-wal")
}

/// Lists the files of the database at this path.
pub(super) fn files(path: &Path) -> io::Result<Files> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the name of the database is not text")
    })?;
    let mut files = Files::default();
    for other in paths::names_beside(path)? {
        let Some(rest) = other.strip_prefix(name).and_then(|rest| rest.strip_prefix(".v")) else {
            continue;
        };
        match rest.strip_suffix(".new") {
            Some(number) => files.new = canonical(number).or(files.new),
            None => files.finished.extend(canonical(rest)),
        }
    }
    files.finished.sort_unstable();
    Ok(files)
}

/// The number, if it is written as it is here.
fn canonical(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

/// Removes a database that nobody writes to.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    paths::remove(path)?;
    paths::remove(&log_of(path))?;
    paths::remove(&paths::with_suffix(path, "-shm"))
}
