//! Projections: views that are kept up to date, and lose nothing.
//!
//! [`ViewBuilder::kept_in`](crate::view::ViewBuilder::kept_in) makes a [`Projection`] of a view, kept in a [`Keep`]:
//!
//! | keeper | the view | after the process has ended | each event |
//! |---|---|---|---|
//! | [`Memory`] | a value | begins at the start of the log | once |
//! | `Sqlite`, with the feature `sqlite` | tables of a database | goes on where it was | exactly once, whenever the process is killed |
//! | [`AtLeastOnce`] | something elsewhere, such as a search index | goes on at the last checkpoint | at least once |
//!
//! The guide is [`docs::read_models`](crate::docs::read_models).

mod checkpoint;
mod keep;
mod memory;
mod at_least_once;
#[cfg(feature = "sqlite")]
mod sqlite;
mod policy;
mod status;
mod desk;
mod parking;
mod worker;
mod handle;
mod builder;

pub use crate::runner::{Lag, State};
pub use at_least_once::AtLeastOnce;
pub use builder::ProjectionBuilder;
pub use checkpoint::{Checkpoint, Parked};
pub use handle::Projection;
pub use keep::{Change, Keep, Standing};
pub use memory::{Memory, MemoryReader};
pub use policy::ErrorPolicy;
#[cfg(feature = "sqlite")]
pub use sqlite::{Sqlite, SqliteReader};
pub use status::Status;
