//! The contract suite: holds any [`EventStore`](crate::store::EventStore) to the laws of the port.
//!
//! One line in a store's tests is enough. The factory makes a fresh, empty store, with the default
//! [`Limits`](crate::store::Limits), on the clock that it is given, each time it is called:
//!
//! ```
//! use annals::store::{Limits, MemoryStore};
//! use annals::testing::contract;
//!
//! contract::check(|clock| MemoryStore::with(clock, Limits::default()));
//! ```
//!
//! [`check`] panics with a [`Report`] that names each broken [`Law`]; [`run`] hands the report over. Three kinds of
//! trial make it up:
//!
//! * **Scenarios** go where chance rarely does: to limits, to the ends of ranges, to reads of many pages, to waiters
//!   and to closed stores. They are the same in every run.
//! * **Random operations**, grown from a seed, are carried out by the store and judged by a naive model beside it. A
//!   sequence that goes wrong is shrunk to a short one and printed with its seed.
//! * **Crowds** of writers, readers and waiters, each with a seed, meet in one store; what they were told and saw is
//!   held against the log that they leave.
//!
//! Each trial ends at its first discrepancy and blames one law for it. Where two laws could be to blame, the suite
//! asks the store something simpler until the answer tells them apart; so a store with one defect breaks one law.

mod material;
mod law;
mod report;
mod reading;
mod oracle;
mod blame;
mod trial;
mod operations;
mod traffic;
mod decisions;
mod extremes;
mod pages;
mod random;
mod repetitions;
mod times;
mod waiting;
mod crowd;
mod identity;
mod suite;

pub use law::Law;
pub use report::Report;
pub use suite::{check, check_seeds, run};
