//! Events: what goes into a store and what comes out of it.

mod tags;
mod metadata;
mod new;
mod recorded;
mod chunk;
mod batch;
mod sheet;

pub use batch::Batch;
pub(crate) use chunk::Buffers;
pub use metadata::Metadata;
pub(crate) use metadata::MetadataEncoder;
pub use new::NewEvent;
pub use recorded::{CommitPlace, Placement, RecordedEvent};
pub(crate) use recorded::{GAP, Outline};
pub(crate) use sheet::Sheet;
pub use tags::Tags;

pub use crate::payload::Encoding;
