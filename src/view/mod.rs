//! Views: whatever can be folded from the events of several aggregates.
//!
//! What a view is made of is registered with a [`ViewBuilder`]. The value is then either read up to now, and held by whoever asked
//! for it (a [`View`]), or kept up to date by a [projection](crate::projection): in memory, in a database, or elsewhere.

mod decoder;
mod ahead;
mod handlers;
mod value;
mod builder;

pub(crate) use ahead::{Page, ReadAhead};
pub use builder::ViewBuilder;
pub(crate) use decoder::Ahead;
pub(crate) use handlers::Handlers;
pub use handlers::{Handler, HandlerAnswer};
pub use value::View;
