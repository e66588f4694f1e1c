//! Subscriptions: the durable log from any place on, and then whatever comes, in one sequence.

mod source;
mod stopper;
mod handle;

pub use handle::Subscription;
pub use stopper::Stopper;
