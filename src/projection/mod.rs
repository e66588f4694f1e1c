//! Projections: views that are kept up to date, and lose nothing.

mod checkpoint;
mod keep;
mod memory;
mod at_least_once;
#[cfg(feature = "sqlite")]
mod sqlite;
mod policy;
mod status;
mod board;
mod desk;
mod parking;
mod worker;
mod core;
mod handle;
mod builder;

pub use at_least_once::AtLeastOnce;
pub use builder::ProjectionBuilder;
pub use checkpoint::{Checkpoint, Parked};
pub use handle::Projection;
pub use keep::{Change, Keep, Standing};
pub use memory::{Memory, MemoryReader};
pub use policy::ErrorPolicy;
#[cfg(feature = "sqlite")]
pub use sqlite::{Sqlite, SqliteReader};
pub use status::{Lag, State, Status};
