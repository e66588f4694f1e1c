//! The port.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use super::commit::{AppendError, Appended, Commit, Conflict};
use super::identity::Identity;
use super::interrupt::Interrupt;
use super::query::Query;
use super::statistics::Statistics;
use crate::error::Error;
use crate::event::{Batch, RecordedEvent};
use crate::id::StreamId;
use crate::position::{Position, Version};

/// Keeps events: one log of all commits, in their order.
///
/// # The idea
///
/// A store knows bytes and JSON, streams and positions, and nothing of aggregates. It knows who it is, and does five things: append a
/// commit, read a query, tell a stream's version, tell the head, and wait for the head to pass a position, which can be
/// interrupted. All of them are synchronous and take `&self`; a store is shared between threads as it is.
///
/// # Laws for those who implement it
///
/// 1. **Positions are dense and in the order of commits**, from 1. A reader never sees position *n* + 1 before *n*,
///    and nothing is visible before its append is acknowledged durable or, in a store that buffers, accepted. Where a store has
///    lost an event to damage, a [gap](RecordedEvent::is_gap) has its position.
/// 2. **A commit is atomic**, also across streams and across a crash. Each event tells [its place](RecordedEvent::commit)
///    in its commit.
/// 3. **A refused commit leaves no trace** and uses up no position. The order of judgement is: well-formed and within
///    the limits ([`Commit::check`]); repetition (law 4); the writes' expectations, the guards, then the conditions,
///    each in the order of the commit and against the log as it was before; at last the time that it brings (law 5). A
///    conflict names the first that fails; for a condition, the first event that it rules out.
/// 4. **Idempotency is exact.** An event id stands in a store at most once. A commit whose ids, all given by the
///    caller, are exactly those of one earlier commit, in the same streams with the same content (in each stream in the
///    same order; the order of the streams does not matter), is answered with
///    [`Appended::already_there`] and the original places, whatever its expectations, guards, conditions and time say now.
///    Any other overlap is an error of the kind [`EventIdTaken`](crate::ErrorKind::EventIdTaken). An id counts as given
///    whoever made it first. Events without an id get a new one from [`FreshEventIds`](crate::id::FreshEventIds).
/// 5. **The time of recording** is one per commit: what the clock says, cut to microseconds, or the time of the commit
///    before if that is later. It never goes backwards, whatever the clock does. A commit that brings a time
///    ([`Commit::recorded_at`]) has that, whatever the clock says; if it lies before that of the commit before, the commit is
///    refused with the kind [`TimeBeforeLast`](crate::ErrorKind::TimeBeforeLast). [`Commit::time_of_recording`] decides.
///
/// 6. **A wait ends** once the durable head is after the position, the time is over, or its [`Interrupt`] is raised by
///    [`interrupt`](Self::interrupt), whichever comes first, also if that has come before; and not otherwise. So a waiter
///    looks at its interrupt under the lock under which it falls asleep, and whoever raises one holds that lock, and then wakes all.
///
/// After [`close`](Self::close), every call, also one that is waiting, answers with the kind
/// [`Closed`](crate::ErrorKind::Closed); only a commit that is not well-formed may still be told so first.
///
/// The contract suite in [`testing`](crate::testing) (feature `testing`) holds any store to these laws in one line.
///
/// # Laws for those who call it
///
/// * An event id is supplied by whoever wants to repeat a commit, and only by them.
/// * A read is a sequence of batches: go on with the query that comes with each until there is none;
///   [`Batches`] does that. A read shows the log as it was when its first batch was read.
/// * A call may block for as long as the store writes. From async code, call it where blocking is allowed.
///
/// # Cost
///
/// A version, a head and the opening of a read cost a look-up. A batch is bounded by the store (about 512 KiB), so the
/// memory of a read does not depend on how much there is to read.
///
/// # Example: for a caller
///
/// ```
/// use annals::store::{Batches, Commit, EventStore, Expected, MemoryStore, Query};
/// use annals::{NewEvent, StreamId, Version, id::EventType};
///
/// let store = MemoryStore::new();
/// let alice: StreamId = "account/alice".parse()?;
/// let opened = NewEvent::new(EventType::new("Opened")?, &())?;
/// let done = store.append(Commit::new().write(alice.clone(), Expected::Empty, [opened]))?;
/// assert_eq!(store.version(&alice)?, Version::new(1));
/// for batch in Batches::new(&store, Query::new(alice)) {
///     for event in batch?.iter() {
///         assert_eq!(event.position(), done.first);
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Example: for an implementer
///
/// A store that counts what passes through it, and leaves the rest to another:
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::time::Duration;
/// use annals::store::{AppendError, Appended, Commit, EventStore, Head, Identity, Interrupt, MemoryStore, Query};
/// use annals::{Batch, Error, Position, StreamId, Version};
///
/// #[derive(Debug, Default)]
/// struct Counting {
///     commits: AtomicU64,
///     inner: MemoryStore,
/// }
///
/// impl EventStore for Counting {
///     fn identity(&self) -> Identity {
///         self.inner.identity()
///     }
///     fn append(&self, commit: Commit) -> Result<Appended, AppendError> {
///         let appended = self.inner.append(commit)?;
///         self.commits.fetch_add(1, Ordering::Relaxed);
///         Ok(appended)
///     }
///     fn read(&self, query: &Query) -> Result<(Batch, Option<Query>), Error> {
///         self.inner.read(query)
///     }
///     fn version(&self, stream: &StreamId) -> Result<Version, Error> {
///         self.inner.version(stream)
///     }
///     fn head(&self) -> Result<Head, Error> {
///         self.inner.head()
///     }
///     fn wait(
///         &self,
///         after: Position,
///         timeout: Duration,
///         interrupt: &Interrupt,
///     ) -> Result<Position, Error> {
///         self.inner.wait(after, timeout, interrupt)
///     }
///     fn interrupt(&self, interrupt: &Interrupt) {
///         self.inner.interrupt(interrupt);
///     }
///     fn close(&self) -> Result<(), Error> {
///         self.inner.close()
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event store",
    note = "a store is handed over by value or as an `Arc`; `Annals::in_memory` brings its own"
)]
pub trait EventStore: fmt::Debug + Send + Sync + 'static {
    /// Who the store is. It stays the same for as long as the store is there, however often it is opened, and also when it is closed;
    /// no other store has it. Whoever keeps a position keeps the id with it.
    fn identity(&self) -> Identity;

    /// Writes a commit, all of it or nothing. When this returns `Ok`, the events are as safe as the store promises.
    fn append(&self, commit: Commit) -> Result<Appended, AppendError>;

    /// Reads the next events that a query asks for, and gives the query for those that follow, if any can.
    ///
    /// A batch may be empty although a rest is given: the store then has looked through a bounded part of the log
    /// in vain. What is recorded after the first batch of a read is not part of it; see [`Query::rest`].
    fn read(&self, query: &Query) -> Result<(Batch, Option<Query>), Error>;

    /// The version of a stream's last event; [`Version::ZERO`] if it has none.
    fn version(&self, stream: &StreamId) -> Result<Version, Error>;

    /// Where the log ends.
    fn head(&self) -> Result<Head, Error>;

    /// Blocks until the durable head is after this position, the time is over, or the interrupt is raised, and returns the
    /// durable head.
    fn wait(
        &self,
        after: Position,
        timeout: Duration,
        interrupt: &Interrupt,
    ) -> Result<Position, Error>;

    /// [Raises](Interrupt::raise) an interrupt, and makes those who wait with it return. Nothing else happens, and the others go on
    /// waiting.
    fn interrupt(&self, interrupt: &Interrupt);

    /// How large the store is, and what it has done since it was opened, as far as it counts that. Where nothing is said, how many
    /// events there are, and how many of them are not durable.
    fn statistics(&self) -> Result<Statistics, Error> {
        let Head { acknowledged, durable } = self.head()?;
        let (events, unsynced_events) = (acknowledged.get(), acknowledged.get() - durable.get());
        Ok(Statistics { events, unsynced_events, ..Statistics::default() })
    }

    /// Closes the store for everyone who holds it. Closing again does nothing.
    fn close(&self) -> Result<(), Error>;
}

/// Where a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// The last position that a writer was told of: what loads, version checks and reads see.
    pub acknowledged: Position,
    /// The last position that is as safe as the store can make it: what others may build on. Never after the first.
    pub durable: Position,
}

impl<S: EventStore + ?Sized> EventStore for Arc<S> {
    fn identity(&self) -> Identity {
        (**self).identity()
    }

    fn append(&self, commit: Commit) -> Result<Appended, AppendError> {
        (**self).append(commit)
    }

    fn read(&self, query: &Query) -> Result<(Batch, Option<Query>), Error> {
        (**self).read(query)
    }

    fn version(&self, stream: &StreamId) -> Result<Version, Error> {
        (**self).version(stream)
    }

    fn head(&self) -> Result<Head, Error> {
        (**self).head()
    }

    fn wait(
        &self,
        after: Position,
        timeout: Duration,
        interrupt: &Interrupt,
    ) -> Result<Position, Error> {
        (**self).wait(after, timeout, interrupt)
    }

    fn interrupt(&self, interrupt: &Interrupt) {
        (**self).interrupt(interrupt);
    }

    fn statistics(&self) -> Result<Statistics, Error> {
        (**self).statistics()
    }

    fn close(&self) -> Result<(), Error> {
        (**self).close()
    }
}

/// Whether the guards and conditions of a commit hold now: for one that has nothing to write, which no store judges.
pub(crate) fn judge_requirements(
    store: &dyn EventStore,
    commit: &Commit,
) -> Result<(), AppendError> {
    for guard in commit.guards() {
        let actual = store.version(&guard.stream)?;
        if !guard.expected.allows(actual) {
            let (stream, expected) = (guard.stream.clone(), guard.expected);
            return Err(Conflict::Stream { stream, expected, actual }.into());
        }
    }
    for condition in commit.conditions() {
        let query =
            Query::new(condition.none_of.clone()).after(condition.after).limit(NonZeroU64::MIN);
        for batch in Batches::new(store, query) {
            if let Some(event) = batch?.get(0) {
                let (stream, event_type) = (event.stream().to_stream_id(), event.to_event_type());
                return Err(
                    Conflict::Event { stream, event_type, position: event.position() }.into()
                );
            }
        }
    }
    Ok(())
}

/// The batches of a read, one after the other. After an error it tries the same batch again.
#[derive(Debug)]
pub struct Batches<'s> {
    store: &'s dyn EventStore,
    next: Option<Query>,
}

impl<'s> Batches<'s> {
    /// Reads what the query asks for.
    #[must_use]
    pub fn new(store: &'s dyn EventStore, query: Query) -> Self {
        Self { store, next: Some(query) }
    }
}

impl Iterator for Batches<'_> {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let query = self.next.as_ref()?;
        match self.store.read(query) {
            Ok((batch, rest)) => {
                self.next = rest;
                Some(Ok(batch))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// The event at a position, alone in a batch; an empty batch if there is none.
pub(crate) fn event_at(store: &dyn EventStore, position: Position) -> Result<Batch, Error> {
    let query = Query::default().after(position.before()).up_to(position);
    let mut batches = Batches::new(store, query);
    let found = batches.find(|batch| !matches!(batch, Ok(batch) if batch.is_empty()));
    found.unwrap_or_else(|| Ok(Batch::new()))
}

/// The events of a read, one by one, each free to be kept. After an error it tries again at the same place.
#[derive(Debug)]
pub struct Events<'s> {
    batches: Batches<'s>,
    batch: Batch,
    next: usize,
}

impl<'s> Events<'s> {
    /// Reads what the query asks for.
    #[must_use]
    pub fn new(store: &'s dyn EventStore, query: Query) -> Self {
        Self { batches: Batches::new(store, query), batch: Batch::new(), next: 0 }
    }
}

impl Iterator for Events<'_> {
    type Item = Result<RecordedEvent<'static>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.batch.get(self.next) {
                self.next += 1;
                return Some(Ok(event.into_owned()));
            }
            match self.batches.next()? {
                Ok(batch) => (self.batch, self.next) = (batch, 0),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
