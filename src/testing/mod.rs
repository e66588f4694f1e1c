//! For tests: of aggregates and processes, of event types, and (with the feature `testing`) of stores.
//!
//! * [`Scenario`]: given these events, when this command comes, then this happens.
//! * [`ProcessScenario`]: the same for processes, with deadlines in virtual time.
//! * [`SchemaLock`]: what was once recorded stays readable.
//! * [`assert_snapshot_equals_refold`]: a state survives being a snapshot.
//! * [`ViewLaws`]: a view depends on its events and on nothing else.
//! * [`ManualClock`]: a clock that stands still until it is moved.

mod clock;
mod scenario;
mod process_scenario;
mod schema_lock;
mod snapshots;
mod view_laws;
#[cfg(feature = "testing")]
pub mod contract;

pub use clock::ManualClock;
pub use process_scenario::ProcessScenario;
pub use scenario::{Scenario, Then};
pub use schema_lock::{SchemaLock, SchemaLockError};
pub use snapshots::assert_snapshot_equals_refold;
pub use view_laws::{BrokenLaws, ViewLaw, ViewLaws};
