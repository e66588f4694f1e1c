//! Working with the aggregates of one type.

mod answer;
mod loaded;
mod cache;
mod binding;
mod stage;
mod retry;
mod execution;
mod history;
mod handle;
mod why;

pub use answer::{ExecuteError, Refusal};
pub(crate) use binding::Binding;
pub use execution::Execution;
pub use handle::Repository;
pub use history::{History, Ids, Recordings};
pub use loaded::{Loaded, Outcome};
pub(crate) use retry::Retries;
pub(crate) use stage::Stage;
pub use why::{Blame, Difference};
