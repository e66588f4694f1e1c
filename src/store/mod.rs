//! The port to whatever keeps the events, its vocabulary, and the store that keeps them in memory.

mod filter;
mod query;
mod commit;
mod event_store;
mod memory;

pub use commit::{
    AppendError, Appended, Commit, Condition, Conflict, Expected, Guard, Limits, StreamWrite,
};
pub(crate) use event_store::judge_requirements;
pub use event_store::{Batches, EventStore, Events, Head};
pub use filter::{Clause, Filter};
pub use memory::MemoryStore;
pub use query::{Direction, Query};
