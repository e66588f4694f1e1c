//! The tests that use annals from outside, as one program.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "testing")]
mod contract;
