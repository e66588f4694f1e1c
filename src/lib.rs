//! An embeddable event store: the history of your data, kept in your own process.
//!
//! Event sourcing keeps every change as an immutable event in an append-only log and derives the current state by
//! folding it. A domain type implements [`Aggregate`]: [`handle`](Aggregate::handle) turns a command into events,
//! [`apply`](Aggregate::apply) folds an event into the state. Everything else comes with the crate: the log, optimistic
//! concurrency, time travel, old event shapes, snapshots, views, subscriptions, processes.
//!
//! [`Annals::open`] keeps the events in a directory: a durable log that names its damage ([`store::FileStore`]).
//! [`Annals::in_memory`] keeps them for as long as the process lives. Both stand behind one port, [`store::EventStore`].
//!
//! It is *not* a server, not async, not a message broker.
//!
//! # An example
//!
//! ```
//! use annals::{Aggregate, Annals, Context, Version};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Default)]
//! struct Account { cents: u64 }
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! enum Event { Deposited { cents: u64 }, Withdrawn { cents: u64 } }
//!
//! #[derive(Clone)]
//! enum Command { Deposit(u64), Withdraw(u64) }
//!
//! #[derive(Debug, thiserror::Error)]
//! #[error("only {0} cents left")]
//! struct Short(u64);
//!
//! impl Aggregate for Account {
//!     const TYPE: &'static str = "account";
//!     type Id = str;
//!     type Event = Event;
//!     type Command = Command;
//!     type Error = Short;
//!     type Services = ();
//!
//!     fn apply(&mut self, event: &Event) {
//!         match event {
//!             Event::Deposited { cents } => self.cents += cents,
//!             Event::Withdrawn { cents } => self.cents -= cents,
//!         }
//!     }
//!
//!     fn handle(&self, command: Command, _: &Context<'_, Self>) -> Result<Vec<Event>, Short> {
//!         match command {
//!             Command::Deposit(cents) => Ok(vec![Event::Deposited { cents }]),
//!             Command::Withdraw(cents) if cents > self.cents => Err(Short(self.cents)),
//!             Command::Withdraw(cents) => Ok(vec![Event::Withdrawn { cents }]),
//!         }
//!     }
//! }
//!
//! let accounts = Annals::in_memory().of::<Account>()?;
//! accounts.execute("alice", Command::Deposit(100))?;
//! let done = accounts.execute("alice", Command::Withdraw(30))?;
//! assert_eq!(done.state().cents, 70);
//! assert!(accounts.execute("alice", Command::Withdraw(71)).is_err());
//! assert_eq!(accounts.load_at("alice", Version::new(1))?.state().cents, 100);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where things are
//!
//! | to | look at |
//! |---|---|
//! | open a store, change several aggregates at once, build a view | [`Annals`], [`Unit`], [`view`] |
//! | keep a view up to date, in memory or in SQLite | [`projection`], [`docs::read_models`] |
//! | let something happen because something happened, or after some time | [`process`], [`docs::processes`] |
//! | carry out commands, load, travel in time, read history | [`Repository`] and the module [`repository`] |
//! | model a domain | [`Aggregate`], [`Context`], [`Draft`] |
//! | say who did it and what it belongs to | [`Metadata`] |
//! | catch up with what happens and follow it | [`Subscription`] |
//! | find out why: causes and effects, blame, differences | [`Annals::story`], [`Repository::blame`], [`docs::looking_back`] |
//! | change an event type that has been stored | [`codec::Upcasters`], [`testing::SchemaLock`] |
//! | test aggregates and processes | [`testing::Scenario`], [`testing::ProcessScenario`] |
//! | choose durability, sizes, use of memory | [`store::FileOptions`] |
//! | read a store beside the process that writes to it, or a backup | [`store::Follower`] |
//! | see how a store is doing, and feed that to a metrics system | [`Annals::statistics`] |
//! | append and read without aggregates, write a store | [`store`], and its contract suite in [`testing`] |
//! | move history from store to store, or read it with other tools | [`transfer`] |
//! | make commands to the same aggregates cheap | [`Repository::cached`], [`Repository::snapshot_every`] |
//! | keep snapshots elsewhere | [`snapshot`] |
//! | put a disk of your own under the store | [`storage`] |
//! | back a store up, verify it, save what is left of a damaged one | [`store::care`], [`docs::operations`] |
//! | know what is promised, and what that rests on | [`docs::guarantees`], [`docs::reliability`] |
//! | know what things cost, and make them cheaper | [`docs::performance`] |
//! | know how a store lies on disk | [`docs::format`](mod@docs::format) |
//! | know how it is built, and why | [`docs::architecture`] |
//!
//! # What you can rely on
//!
//! * An append that was answered is on disk ([`Synced`](store::Durability::Synced), the default), and stays there through a
//!   killed process and a power cut.
//! * A commit is written whole or not at all, also across streams and crashes. A refused one leaves no trace.
//! * Damage is named, never hidden: each event is verified each time it is read, and a damaged store says where it is damaged.
//! * Positions are dense and in the order of commits; nobody sees an event before those that came before it.
//! * A subscription hands out what is durable, each event once and in order, from wherever it begins; another goes on where
//!   it was.
//! * A view in SQLite has each event exactly once, whenever the process is killed; a checkpoint of another log is an error.
//! * A process manager tells each event once, sends each command once, and misses no deadline, whenever the process is killed.
//! * A decision is written only against the state that it looked at. [`Outcome::state`](repository::Outcome::state) is
//!   exactly what loading gives: each event is applied in the form in which it reads back, before it is written. What does
//!   not read back, and what the fold cannot take (a panic), never reaches the log through a repository or a unit.
//! * An event that cannot be read is an error that names its stream, position, type and schema version; it is never
//!   passed over in silence.
//! * A snapshot never changes an answer, as long as the state survives being written and read as JSON (which
//!   [`assert_snapshot_equals_refold`](testing::assert_snapshot_equals_refold) tests), and `apply` keeps its meaning or the
//!   repository's [revision](Repository::snapshot_revision) is raised.
//! * Nothing that a caller gives makes the crate panic, beside a panic of the caller's own code. A panic in `handle` or in
//!   a fold, or while an event is encoded, writes nothing. (A snapshot is taken after the write.)
//!
//! # Limits
//!
//! | what | at most |
//! |---|---|
//! | a category, an event type, an aggregate's id, a tag | 128, 256, 512, 512 bytes |
//! | a payload, the metadata of an event, its tags | 1 MiB, 64 KiB, 64 ([`store::Limits`] can be changed) |
//! | a commit | 65,536 events, 64 MiB (likewise) |
//! | open files of a store, however large | 64 |
//! | memory of a store | 16 MiB of cached files and an index of the last 2 MiB of log ([`store::FileOptions`] can be changed) |
//! | the resolution of times | one microsecond |
//! | tries of a decision | 1 and 100 more, unless [`retries`](repository::Execution::retries) says otherwise |
//!
//! # Quirks
//!
//! * A fold that adds with `+` panics on overflow in a debug build and wraps in a release build, as everywhere in Rust.
//!   In the first case nothing is written; the second is yours to rule out.
//! * Payloads are JSON unless a store is made with [`Encoding::Binary`]. In JSON a float that is not a number is refused,
//!   except inside an `Option`, where JSON has only `null` for it and it reads back as `None`.
//! * Two aggregate types with the same [`TYPE`](Aggregate::TYPE) share their streams.
//! * Iterators do not get past an event that they cannot read: they return the same error again. Stop at the first.
//!
//! # From async code
//!
//! Every call blocks for as long as the store and the fold take: an append for one sync of the disk, and up to 100
//! ms at a time while others race for the same aggregate. Call through `tokio::task::spawn_blocking` or its like; handles are cheap to clone, and
//! commands, outcomes and errors may cross threads. The README has a function to copy.
//!
//! # Features
//!
//! * `binary`: payloads in [`Encoding::Binary`], compact and fast. Brings no dependencies. Off by default.
//! * `sqlite`: projections into SQLite, `projection::Sqlite`. Brings rusqlite, and compiles SQLite. Off by default.
//! * `tracing`: what is done and how long it takes, as spans of the crate tracing. Off by default, and costs nothing then.
//! * `testing`: the contract suite for stores, `testing::contract`. Brings proptest. Off by default.

mod bytes;
mod payload;
mod trace;
pub mod id;
mod position;
mod clock;
pub mod storage;
mod error;
mod progress;
mod backoff;
pub mod event;
pub mod codec;
pub mod store;
pub mod transfer;
mod at;
pub mod aggregate;
pub mod snapshot;
mod backing;
pub mod subscription;
pub mod repository;
mod story;
mod unit;
pub mod view;
mod runner;
pub mod projection;
pub mod process;
mod annals;
pub mod testing;
pub mod docs;

/// The crate whose times stand in the public vocabulary.
pub use chrono;
#[cfg(feature = "sqlite")]
/// The crate in whose terms handlers change a view in SQLite.
pub use rusqlite;
/// The crate whose ids stand in the public vocabulary.
pub use uuid;

pub use aggregate::{Aggregate, Context, Draft, Recorded};
pub use annals::{Annals, Builder};
pub use at::At;
pub use backoff::Backoff;
pub use clock::{Clock, SystemClock};
pub use error::{Error, ErrorKind};
pub use event::{Batch, Encoding, Metadata, NewEvent, RecordedEvent, Tags};
pub use id::StreamId;
pub use position::{Position, SchemaVersion, Version};
pub use progress::Progress;
pub use repository::{ExecuteError, Refusal, Repository};
pub use store::Conflict;
pub use story::Story;
pub use subscription::Subscription;
pub use unit::{Committed, Unit};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
