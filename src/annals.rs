//! The handle that an application holds.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::aggregate::Aggregate;
use crate::backing::{Backing, Turns};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::event::RecordedEvent;
use crate::id::{CorrelationId, EventId};
use crate::repository::{ExecuteError, Refusal, Repository};
use crate::snapshot::{FileSnapshots, MemorySnapshots, SnapshotStore};
use crate::store::{
    Clause, EventStore, Events, FileOptions, Filter, Limits, MemoryStore, Query, Statistics,
};
use crate::story::Story;
use crate::subscription::Subscription;
use crate::unit::{Committed, Unit, atomically};
use crate::view::ViewBuilder;

/// A store and all that goes with it: a clock, and a place for snapshots. What an application opens once and passes
/// around; cheap to clone, and to be shared between threads.
///
/// Every call blocks for as long as the store takes. From async code, call it through `spawn_blocking` or its like; the
/// crate's page shows how.
#[derive(Debug, Clone)]
pub struct Annals {
    backing: Arc<Backing>,
}

impl Annals {
    /// The store in this directory, with its snapshots; both are made if they are not there. Every append is on disk when it is
    /// answered. [`FileStore`](crate::store::FileStore) says more.
    ///
    /// One process at a time has a store open; an error of the kind [`InUse`](crate::ErrorKind::InUse) tells who does.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder().open(directory)
    }

    /// A store in memory, which is gone with its last handle.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::builder().in_memory()
    }

    /// A store of your own, or a [`Follower`](crate::store::Follower) of one that another process writes to. An `Arc` of a store
    /// is a store too, for those who want to keep a hand on it.
    #[must_use]
    pub fn with_store(store: impl EventStore) -> Self {
        Self::builder().with_store(store)
    }

    /// Says more about what is opened.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The aggregates of a type that needs no services. Its names, its event type and its upcasters are checked here.
    pub fn of<A: Aggregate<Services = ()>>(&self) -> Result<Repository<A>, Error> {
        self.of_with(())
    }

    /// The aggregates of a type whose decisions consult services: a value, or an `Arc` of what it is to be.
    pub fn of_with<A: Aggregate>(
        &self,
        services: impl Into<Arc<A::Services>>,
    ) -> Result<Repository<A>, Error> {
        Repository::new(Arc::clone(&self.backing), services.into())
    }

    /// Writes the decisions of several aggregates together, or none of them.
    ///
    /// The closure runs again when others wrote to one of the streams in between, so it decides and has no other
    /// effects. An error that it returns ends the unit, and nothing is written.
    ///
    /// ```
    /// # use annals::{Aggregate, Annals, Context};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Default)] struct Counter { total: u64 }
    /// # #[derive(Serialize, Deserialize)] enum Counted { Added { amount: u64 } }
    /// # impl Aggregate for Counter {
    /// #   const TYPE: &'static str = "counter";
    /// #   type Id = str; type Event = Counted; type Command = u64; type Services = ();
    /// #   type Error = std::convert::Infallible;
    /// #   fn apply(&mut self, event: &Counted) { let Counted::Added { amount } = event; self.total += amount; }
    /// #   fn handle(&self, amount: u64, _: &Context<'_, Self>) -> Result<Vec<Counted>, Self::Error> {
    /// #       Ok(vec![Counted::Added { amount }])
    /// #   }
    /// # }
    /// let annals = Annals::in_memory();
    /// let counters = annals.of::<Counter>()?;
    /// annals.atomically(|unit| {
    ///     unit.execute(&counters, "visits", 1)?;
    ///     unit.execute(&counters, "visitors", 1)?;
    ///     Ok(())
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn atomically<T>(
        &self,
        decide: impl FnMut(&mut Unit<'_>) -> Result<T, ExecuteError<Refusal>>,
    ) -> Result<Committed<T>, ExecuteError<Refusal>> {
        atomically(&self.backing, decide)
    }

    /// Begins a view: a value that is folded from the events of any aggregates. The name stands in its errors.
    pub fn view<V>(&self, name: &str) -> ViewBuilder<V> {
        ViewBuilder::new(Arc::clone(&self.backing), name)
    }

    /// The recorded events that a query asks for, exactly as they were stored.
    #[must_use]
    pub fn read(&self, query: Query) -> Events<'_> {
        Events::new(&self.backing.store, query)
    }

    /// The recorded events that a filter matches, exactly as they were stored: those that are there, and then those that come.
    pub fn subscribe(&self, filter: impl Into<Filter>) -> Subscription {
        Subscription::new(&self.backing.store, filter)
    }

    /// The event with this id, exactly as it was stored.
    pub fn event(&self, id: EventId) -> Result<Option<RecordedEvent<'static>>, Error> {
        self.read(Query::new(Clause::new().event(id))).next().transpose()
    }

    /// The events that this one caused, exactly as they were stored. What caused an event, [`RecordedEvent::causation`] tells.
    #[must_use]
    pub fn effects_of(&self, id: EventId) -> Events<'_> {
        self.read(Query::new(Clause::new().caused_by(id)))
    }

    /// Everything with this correlation id, as a tree of causes and effects that can be printed. All of it is held in memory.
    pub fn story(&self, id: CorrelationId) -> Result<Story, Error> {
        Story::read(&self.backing.store, id)
    }

    /// How large the store is, and what it and this have done since they were opened: numbers for whatever collects such. How far
    /// something is behind the log, [`Projection::status`](crate::projection::Projection::status) tells, and
    /// [`ProcessManager::status`](crate::process::ProcessManager::status).
    pub fn statistics(&self) -> Result<Statistics, Error> {
        let turns = &self.backing.turns;
        let (conflicts, retries) =
            (turns.conflicts.load(Ordering::Relaxed), turns.retries.load(Ordering::Relaxed));
        Ok(Statistics { conflicts, retries, ..self.backing.store.statistics()? })
    }

    /// The store itself, for commits and reads without aggregates.
    #[must_use]
    pub fn store(&self) -> &dyn EventStore {
        &*self.backing.store
    }

    /// Closes the store, for every clone and everything that was made from them. Later calls answer with the kind
    /// [`Closed`](crate::ErrorKind::Closed).
    pub fn close(self) -> Result<(), Error> {
        self.backing.store.close()
    }
}

/// What an [`Annals`] is to be made of.
#[derive(Debug)]
#[must_use = "nothing is opened before `open`, `in_memory` or `with_store`"]
pub struct Builder {
    clock: Arc<dyn Clock>,
    limits: Limits,
    files: FileOptions,
    /// Where they are kept if that was said.
    snapshots: Option<Arc<dyn SnapshotStore>>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
            files: FileOptions::default(),
            snapshots: None,
        }
    }
}

impl Builder {
    /// Where the time comes from: for [`Context::now`](crate::Context::now), and for the time of recording in a store
    /// that is made here. The system's clock unless said otherwise.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How large things may be in a store that is made here.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where snapshots are kept. Unless said otherwise, beside the events: in the directory, or in memory.
    pub fn snapshots(mut self, snapshots: impl SnapshotStore) -> Self {
        self.snapshots = Some(Arc::new(snapshots));
        self
    }

    /// How a store on disk is opened: its durability, its use of memory. Its clock and limits are those that are given here.
    pub fn files(mut self, options: FileOptions) -> Self {
        self.files = options;
        self
    }

    /// The store in this directory, with its snapshots; both are made if they are not there.
    pub fn open(mut self, directory: impl AsRef<Path>) -> Result<Annals, Error> {
        let files = self.files.clone().clock(Arc::clone(&self.clock)).limits(self.limits.clone());
        let store = files.open(&directory)?;
        if self.snapshots.is_none() {
            self.snapshots = Some(Arc::new(FileSnapshots::open(directory)?));
        }
        Ok(self.with_store(store))
    }

    /// A store in memory.
    #[must_use]
    pub fn in_memory(self) -> Annals {
        let store = MemoryStore::with(Arc::clone(&self.clock), self.limits.clone());
        self.with_store(store)
    }

    /// A store of your own, which has its own clock and limits.
    #[must_use]
    pub fn with_store(self, store: impl EventStore) -> Annals {
        let (store, turns) = (Arc::new(store), Turns::new());
        let snapshots = self.snapshots.unwrap_or_else(|| Arc::new(MemorySnapshots::new()));
        let backing = Backing { store, clock: self.clock, snapshots, turns };
        Annals { backing: Arc::new(backing) }
    }
}
