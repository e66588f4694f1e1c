//! What the store on disk promises, held against a disk that forgets, tears, fails and is full.
//!
//! Every test prints what it did. A failure names the seed and the one command that repeats it; [`report`] says what
//! can be set from outside.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod random;
mod disk;
mod terms;
mod oracle;
mod log;
mod author;
mod settings;
mod player;
mod workload;
mod report;
mod trial;
mod crash_points;
mod aftermath;
mod followers;
mod io_errors;
mod full_disk;
mod records;
mod golden;
mod creation;
mod damage;
mod repair;
mod hostile;
mod salvage;
mod verifying;
mod cut_short;
mod same_trace;
mod misplaced;
mod rivals;
mod snapshots;
mod processes;
mod newer;
