//! What can be wrong with stored bytes, and how a file is reported that fails or is not there.

use std::io;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::storage::{FileName, Storage, StorageFile};

/// Why bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("the bytes end too early")]
    Short,
    #[error("a checksum does not match")]
    Checksum,
    #[error("{0}")]
    Wrong(&'static str),
    #[error("it has {what} {number}, which this version does not know")]
    Unknown { what: &'static str, number: u64 },
}

impl Fault {
    /// The error that says where the fault lies.
    pub(super) fn at(self, file: FileName, offset: u64) -> Error {
        let name = file.to_string();
        let kind = match self {
            Self::Unknown { .. } => ErrorKind::Unsupported { file: name },
            _ => ErrorKind::Damaged { file: name, offset },
        };
        Error::new(kind).detail(self.to_string())
    }
}

/// The error that says what could not be done to which file.
pub(crate) fn failed(doing: &str, file: FileName) -> impl FnOnce(io::Error) -> Error {
    move |source| {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => ErrorKind::StorageFull,
            _ => ErrorKind::Store,
        };
        Error::new(kind).detail(format!("{doing} {file}")).caused_by(source)
    }
}

/// Opens a file, if it is there.
pub(crate) fn find(
    storage: &dyn Storage,
    name: FileName,
) -> Result<Option<Arc<dyn StorageFile>>, Error> {
    match storage.open(name) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("opening", name)(error)),
    }
}
