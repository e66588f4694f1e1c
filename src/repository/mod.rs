//! Working with the aggregates of one type.

mod answer;
mod binding;
mod execution;
mod handle;
mod history;
mod loaded;
mod retry;
mod stage;

pub use answer::{ExecuteError, Refusal};
pub(crate) use binding::Binding;
pub use execution::Execution;
pub use handle::Repository;
pub use history::{History, Ids, Recordings};
pub use loaded::{Loaded, Outcome};
pub(crate) use retry::Retries;
pub(crate) use stage::Stage;
