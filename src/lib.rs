//! annals

mod clock;
pub mod codec;
mod error;
pub mod event;
pub mod id;
mod position;
pub mod store;
pub mod testing;

pub use clock::{Clock, SystemClock};
pub use error::{Error, ErrorKind};
pub use event::{Batch, Metadata, NewEvent, RecordedEvent, Tags};
pub use id::StreamId;
pub use position::{Position, SchemaVersion, Version};
