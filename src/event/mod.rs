//! Events: what goes into a store and what comes out of it.

mod tags;
mod metadata;
mod new;
mod recorded;
mod batch;

pub use batch::Batch;
pub use metadata::Metadata;
pub use new::NewEvent;
pub use recorded::{CommitPlace, Placement, RecordedEvent};
pub(crate) use recorded::{GAP, Parts};
pub use tags::Tags;
