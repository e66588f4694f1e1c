//! Longer documents about the crate.

#[doc = include_str!("architecture.md")]
pub mod architecture {}
#[doc = include_str!("guarantees.md")]
pub mod guarantees {}
#[doc = include_str!("reliability.md")]
pub mod reliability {}
#[doc = include_str!("operations.md")]
pub mod operations {}
#[doc = include_str!("read_models.md")]
pub mod read_models {}
#[doc = include_str!("processes.md")]
pub mod processes {}
#[doc = include_str!("looking_back.md")]
pub mod looking_back {}
#[doc = include_str!("performance.md")]
pub mod performance {}
#[doc = include_str!("format.md")]
pub mod format {}
