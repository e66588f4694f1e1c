//! The tests that use annals from outside, as one program.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod account;
mod allocations;
mod atomically;
mod backup;
mod bad_input;
mod beside_a_writer;
#[cfg(feature = "binary")]
mod binary;
mod cached;
mod chance;
#[cfg(feature = "testing")]
mod contract;
mod damaged_reads;
mod directory;
mod events;
mod executing;
mod file_store;
mod file_store_edges;
#[cfg(unix)]
mod followers;
#[cfg(unix)]
mod followers_edges;
#[cfg(unix)]
mod guarded;
mod hooked;
mod golden;
mod gaps;
mod processes;
mod projections;
mod read_ahead;
mod same_answers;
mod schema;
mod snapshots;
mod snapshots_on_disk;
mod space;
mod statistics;
mod structure;
mod subscriptions;
mod subscriptions_edges;
mod time_travel;
mod transfer;
mod views;
mod why;
