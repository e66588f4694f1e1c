//! Longer documents about the crate.

#[doc = include_str!("architecture.md")]
pub mod architecture {}
