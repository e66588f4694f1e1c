//! What is found to be wrong with a store.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::id::StreamId;
use crate::position::{Position, Version};
use crate::storage::FileName;
use crate::store::file::fault::Fault;

/// Something that is wrong with a stored log or what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The file.
    pub file: String,
    /// Where in the file it shows.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
    /// The first and the last position of the events that cannot be read, where any are lost and it is known which.
    pub lost: Option<(Position, Position)>,
    /// The stream that it is about, and the first and the last version that are missing there, where that is known.
    pub stream: Option<(StreamId, Version, Version)>,
}

impl Finding {
    pub(super) fn new(file: impl fmt::Display, offset: u64, what: impl fmt::Display) -> Self {
        let (file, what) = (file.to_string(), what.to_string());
        Self { file, offset, what, lost: None, stream: None }
    }

    /// What a fault is about. Of what a newer version wrote nothing can be said.
    pub(super) fn of_fault(file: FileName, offset: u64, fault: Fault) -> Result<Self, Error> {
        match fault {
            Fault::Unknown { .. } => Err(fault.at(file, offset)),
            _ => Ok(Self::new(file, offset, fault)),
        }
    }

    /// What an error is about that names damage. Other errors stay what they are: they say nothing of
    /// what is stored.
    pub(super) fn from_error(error: Error) -> Result<Self, Error> {
        let (file, offset) = match error.kind() {
            ErrorKind::Damaged { file, offset } => (file.clone(), *offset),
            _ => return Err(error),
        };
        Ok(Self::new(file, offset, error))
    }

    /// The error that says the same.
    pub(super) fn into_error(self) -> Error {
        let Self { file, offset, what, .. } = self;
        Error::new(ErrorKind::Damaged { file, offset }).detail(what)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.file, self.offset, self.what)?;
        if let Some((first, last)) = self.lost {
            write!(f, "; lost: positions {first} to {last}")?;
        }
        if let Some((stream, first, last)) = &self.stream {
            write!(f, "; missing: versions {first} to {last} of {stream}")?;
        }
        Ok(())
    }
}

/// Findings, of which only so many are kept.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    kept: Vec<Finding>,
    count: u64,
}

impl Findings {
    /// How many are kept.
    pub const KEPT_MAX: usize = 1000;

    pub(super) fn add(&mut self, finding: Finding) {
        self.count += 1;
        if self.kept.len() < Self::KEPT_MAX {
            self.kept.push(finding);
        }
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The first [`KEPT_MAX`](Self::KEPT_MAX) of them.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.kept.iter()
    }
}
