//! The domain's side: what a user implements, and what is handed to it.

mod aggregate_id;
mod domain;
mod draft;
mod recorded;

pub use aggregate_id::AggregateId;
pub(crate) use domain::Occasion;
pub use domain::{Aggregate, Context};
pub use draft::Draft;
pub use recorded::Recorded;
pub(crate) use recorded::{id_of, missing};
