//! What opening a store found and did.

/// What opening a store found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Whether the store was new, or had been closed, so that there was nothing to do.
    pub clean: bool,
    /// How many events were read again because no index run covered them.
    pub replayed_events: u64,
    /// The torn tail that was cut off, if there was one.
    pub cut: Option<CutTail>,
    /// How many bytes of the log were written again because nothing proved that they were synced.
    pub rewritten_bytes: u64,
    /// Index runs that were of no use, and why. They were removed, and what they covered was indexed again.
    pub removed_runs: Vec<String>,
}

/// A torn tail: the beginning of a write that was not completed, of which nobody was told that it was.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CutTail {
    /// The segment's file.
    pub file: String,
    /// Where it was cut.
    pub offset: u64,
    /// How many bytes were cut off, zeros at their end not counted.
    pub bytes: u64,
    /// The file into which they were copied, if that was possible.
    pub saved_as: Option<String>,
}
