//! annals

pub mod id;
mod position;
mod clock;
mod error;
pub mod event;
pub mod codec;
pub mod store;
mod at;
pub mod aggregate;
pub mod snapshot;
mod backing;
pub mod repository;
mod unit;
pub mod view;
mod annals;
pub mod testing;

pub use aggregate::{Aggregate, Context, Draft, Recorded};
pub use annals::{Annals, Builder};
pub use at::At;
pub use clock::{Clock, SystemClock};
pub use error::{Error, ErrorKind};
pub use event::{Batch, Metadata, NewEvent, RecordedEvent, Tags};
pub use id::StreamId;
pub use position::{Position, SchemaVersion, Version};
pub use repository::{ExecuteError, Refusal, Repository};
pub use store::Conflict;
pub use unit::{Committed, Unit};
