//! Caring for stores on disk: verifying, salvaging, backing up and restoring them.

mod finding;
mod search;
mod sections;
mod survey;
mod verify;
mod copy;
mod lost;
mod salvage;
mod backup;

pub use backup::{BackedUp, backup};
pub use finding::{Finding, Findings};
pub use salvage::{Copied, restore, salvage};
pub use verify::{Verification, verify};
