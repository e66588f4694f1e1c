//! The store on disk in real processes: killed at any moment, forked, traced, short of room, on a disk that fails.
//!
//! The program runs itself again for what is to be killed or traced: see `child`. `ANNALS_KILLS` says how many processes are
//! killed. `ANNALS_NO_STRACE=1` passes over what needs `strace`, where that may not attach to processes.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod places;
mod history;
mod child;
mod kills;
mod followers;
mod locks;
mod forks;
mod strange_files;
mod room;
mod traces;
mod failing_disk;
mod processes;
#[cfg(feature = "sqlite")]
mod projections;
