//! What a disk can be told to do wrong.

use std::io;

/// What can be asked of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Open,
    Create,
    List,
    Rename,
    Remove,
    SyncNames,
    Lock,
    Read,
    Write,
    SetLen,
    Len,
    Sync,
}

impl Op {
    pub(super) const COUNT: usize = 12;

    /// Whether the disk may be another one afterwards.
    pub(super) fn changes(self) -> bool {
        !matches!(self, Self::Open | Self::List | Self::Lock | Self::Read | Self::Len)
    }
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It does nothing and says so.
    Error(io::ErrorKind),
    /// It reads or writes a part and says so, which is no error.
    Short,
    /// It writes nothing and says so, which is no error. Only writes do.
    Nothing,
    /// It writes a part and reports an error.
    PartThenError(io::ErrorKind),
}

/// An operation that fails.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    /// Which kind of operation is counted; all of them if none is named.
    pub(crate) of: Option<Op>,
    /// How many of them succeed before.
    pub(crate) after: u64,
    /// Whether all that follow fail too, not only the one.
    pub(crate) lasting: bool,
    pub(crate) failure: Failure,
}

impl Fault {
    /// What becomes of an operation that so many of its kind, and so many in all, came before.
    pub(super) fn strikes(&self, op: Op, before_of_kind: u64, before: u64) -> Option<Failure> {
        let before = match self.of {
            None => before,
            Some(of) if of == op => before_of_kind,
            Some(_) => return None,
        };
        let due = if self.lasting { before >= self.after } else { before == self.after };
        // Nobody is interrupted for ever: whoever tries again gets on at some time.
        let interrupted = self.failure == Failure::Error(io::ErrorKind::Interrupted);
        let spared = interrupted && (before - self.after.min(before)) % 3 == 2;
        (due && !spared).then_some(self.failure)
    }
}

/// The error of this kind, as a disk reports it.
pub(super) fn error(kind: io::ErrorKind) -> io::Error {
    io::Error::new(kind, "the simulated disk was told to fail")
}
