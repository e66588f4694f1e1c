//! Caring for stores on disk: verifying, salvaging, backing up and restoring them.

mod finding;
mod search;
mod sections;
mod survey;
mod verify;
mod lost;
mod copy;
mod salvage;
mod backup;

pub use backup::{BackedUp, backup};
pub use copy::Copied;
pub use finding::{Finding, Findings};
pub use salvage::{restore, salvage};
pub use verify::{Verification, verify};
