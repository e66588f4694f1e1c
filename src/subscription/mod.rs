//! Subscriptions: the durable log from any place on, and then whatever comes, in one sequence.

mod source;
mod stopper;
mod handle;
mod read_model;

pub use handle::Subscription;
pub use read_model::ReadModel;
pub use stopper::Stopper;
