//! Caring for stores on disk: verifying, salvaging, backing up and restoring them.

mod finding;
mod search;
mod sections;
mod survey;
mod verify;

pub use finding::{Finding, Findings};
pub use verify::{Verification, Verify};
