//! What every contender does.

use std::path::Path;

use crate::workload::Commit;

/// How much a contender is to keep through a power cut.
#[derive(Clone, Copy, PartialEq)]
pub enum Mode {
    /// Every commit, before it returns.
    Durable,
    /// Everything, once it is closed.
    Bulk,
}

/// What was set, and where that is explained.
pub type Setting = (&'static str, &'static str);

/// Something that keeps events: unique ids, streams with versions that are checked, one order of all.
pub trait Contender: Sized + Sync {
    const NAME: &'static str;
    const SETTINGS: &'static [Setting];
    /// A commit, in the contender's own types.
    type Commit: Send;

    fn open(directory: &Path, mode: Mode) -> Self;
    fn prepare(commit: &Commit) -> Self::Commit;
    /// Checks the versions and writes the commit.
    fn append(&self, commit: Self::Commit);
    /// Shows the type and the payload of each event, in the order of the log.
    fn replay(&self, look: impl FnMut(&str, &[u8]));
    /// Shows those of a stream.
    fn stream(&self, stream: &str, look: impl FnMut(&str, &[u8]));
    /// Makes everything durable, and leaves nothing to be done by the next opening.
    fn close(self);
}
