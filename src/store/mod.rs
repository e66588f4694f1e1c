//! The port to whatever keeps the events, its vocabulary, and the stores that come with the crate: in memory and on disk.

mod filter;
mod query;
mod commit;
mod interrupt;
mod identity;
mod statistics;
mod event_store;
mod memory;
mod file;

pub use commit::{
    AppendError, Appended, Commit, Condition, Conflict, Expected, Guard, Limits, StreamWrite,
};
pub use event_store::{Batches, EventStore, Events, Head};
pub(crate) use event_store::{event_at, judge_requirements};
pub use file::care;
pub use file::{CutTail, Durability, FileOptions, FileStore, Follower, RecoveryReport, Upkeep};
pub(crate) use file::{failed, find};
pub use filter::{Clause, Filter};
pub use identity::Identity;
pub use interrupt::Interrupt;
pub use memory::MemoryStore;
pub use query::{Direction, Query};
pub use statistics::Statistics;
