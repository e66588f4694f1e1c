//! Snapshots: a cache of states that may vanish at any time.
//!
//! A repository with [`snapshot_every`](crate::Repository::snapshot_every) keeps the state of an aggregate beside the
//! log, so that loading it folds only the events since. The log stays the truth: a snapshot that is missing, was made by
//! another version of the program, or does not fit the log is passed over, and the state is folded from the events.

mod policy;
mod snapshot_store;
mod memory;
mod record;
mod table;
mod contents;
mod file;

pub use file::FileSnapshots;
pub use memory::MemorySnapshots;
pub(crate) use policy::SnapshotPlan;
pub use snapshot_store::{Snapshot, SnapshotStore, kept};
