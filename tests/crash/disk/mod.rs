//! A simulated disk: a directory of files that forgets what was not synced, tears what was being written, fails where it
//! is told to, and is full when it is told to be.
//!
//! * [`Inode`](inode::Inode): the bytes of a file: what a process sees, what is durable, what is on its way.
//! * [`Names`](names::Names): the same for which files there are.
//! * [`State`]: both together; a crash makes another one of it.
//! * [`SimDisk`]: the [`Storage`](annals::storage::Storage) on top, with [faults](Fault) and a [trace](Traced).

mod inode;
mod names;
mod state;
mod fault;
mod sim;
mod storage;
mod tests;

pub(crate) use fault::{Failure, Fault, Op};
pub(crate) use sim::{Moment, SimDisk, Traced};
pub(crate) use state::{Crash, State};
