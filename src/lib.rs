//! annals

pub mod aggregate;
mod annals;
mod at;
mod backing;
mod clock;
pub mod codec;
mod error;
pub mod event;
pub mod id;
mod position;
pub mod repository;
pub mod snapshot;
pub mod store;
pub mod testing;
mod unit;
pub mod view;

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
