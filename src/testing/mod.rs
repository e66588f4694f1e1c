//! For tests: of aggregates, of event types, and (with the feature `testing`) of stores.

mod clock;
#[cfg(feature = "testing")]
pub mod contract;

pub use clock::ManualClock;
