//! How far something long has come.

/// How far something has come that takes its time: of `total` bytes or events, `done` are. Handed to a callback every now and then,
/// and at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// How much is done.
    pub done: u64,
    /// How much there is to do, as far as is known.
    pub total: u64,
}

impl Progress {
    pub(crate) fn new(done: u64, total: u64) -> Self {
        Self { done, total }
    }
}
