//! The store on disk: a log of segments, an index beside it, and what it takes to trust both.
//!
//! From the bottom: codecs that know bytes and no files (`bytes` to `watermark`); the cache and the log, for reading; the
//! index; the view, and everything that is answered from one; the writer and what it shares with others; recovery; the
//! engine that holds them together.

mod bytes;
mod address;
mod fault;
mod beginning;
mod segment;
mod record;
mod frame;
mod watermark;
mod counters;
mod cache;
mod log;
mod index;
mod view;
mod walker;
mod reading;
mod lookup;
mod pages;
mod judge;
mod sync;
mod groups;
mod heads;
mod space;
mod scan;
mod report;
mod reader;
mod options;
mod recovery;
mod writer;
mod engine;
mod prepare;
mod tend;
mod file_store;
mod chase;
mod follower;
pub mod care;

pub(crate) use fault::{failed, find};
pub use file_store::FileStore;
pub use follower::Follower;
pub use options::{Durability, FileOptions, Upkeep};
pub use report::{CutTail, RecoveryReport};
