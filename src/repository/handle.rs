//! The handle to all aggregates of one type.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer::ExecuteError;
use super::binding::Binding;
use super::cache::Cache;
use super::execution::Execution;
use super::history::{History, Ids};
use super::loaded::{Loaded, Outcome};
use crate::aggregate::{Aggregate, Recorded};
use crate::at::At;
use crate::backing::Backing;
use crate::error::Error;
use crate::id::{Category, StreamId};
use crate::position::Version;
use crate::snapshot::SnapshotPlan;
use crate::subscription::Subscription;

/// All aggregates of one type in a store. Made by [`Annals::of`](crate::Annals::of); cheap to clone, and to be
/// shared between threads.
///
/// # Example
///
/// ```
/// use annals::{Aggregate, Annals, Context, Version};
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
/// let counters = Annals::in_memory().of::<Counter>()?;
/// counters.execute("visits", 2)?;
/// counters.to("visits").once("request 17").execute(40)?;
/// let again = counters.to("visits").once("request 17").execute(40)?;
/// assert!(again.repeated());
/// assert_eq!(counters.load("visits")?.state().total, 42);
/// assert_eq!(counters.load_at("visits", Version::new(1))?.state().total, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Repository<A: Aggregate> {
    binding: Binding<A>,
}

impl<A: Aggregate> Repository<A> {
    pub(crate) fn new(backing: Arc<Backing>, services: Arc<A::Services>) -> Result<Self, Error> {
        Binding::new(backing, services, Category::new(A::TYPE)?).map(|binding| Self { binding })
    }

    pub(crate) fn binding(&self) -> &Binding<A> {
        &self.binding
    }

    /// Carries out a command: [`to`](Self::to) without options.
    pub fn execute(
        &self,
        id: &A::Id,
        command: A::Command,
    ) -> Result<Outcome<A>, ExecuteError<A::Error>> {
        self.to(id).execute(command)
    }

    /// Prepares a command to this aggregate.
    pub fn to<'r>(&'r self, id: &'r A::Id) -> Execution<'r, A> {
        Execution::new(&self.binding, id)
    }

    /// The aggregate as it is now. One that nothing has happened to is in its initial state, at version 0, and does
    /// not [exist](Loaded::exists).
    pub fn load(&self, id: &A::Id) -> Result<Loaded<A>, Error> {
        self.binding.load(&self.binding.stream(id)?)
    }

    /// The aggregate as it is in the [cache](Self::cached), which may lack what others have written since; without a read of the log. As
    /// it is now, if the cache does not have it.
    pub fn load_cached(&self, id: &A::Id) -> Result<Loaded<A>, Error> {
        let stream = self.binding.stream(id)?;
        self.binding.at_hand(&stream).map_or_else(|| self.binding.load(&stream), Ok)
    }

    /// The aggregate as it was at a version, at a position of the store, or at a time.
    ///
    /// A version that the stream does not have yet, or a position that the store does not have yet, is an error that
    /// names the last one there is. A time in the future shows the present.
    pub fn load_at(&self, id: &A::Id, at: impl Into<At>) -> Result<Loaded<A>, Error> {
        self.binding.load_at(&self.binding.stream(id)?, at.into())
    }

    /// Whether anything has happened to the aggregate.
    pub fn exists(&self, id: &A::Id) -> Result<bool, Error> {
        Ok(self.binding.backing.store.version(&self.binding.stream(id)?)? > Version::ZERO)
    }

    /// The events of one aggregate, to be read with their meaning and their envelopes.
    pub fn history(&self, id: &A::Id) -> Result<History<'_, A>, Error> {
        Ok(History::new(&self.binding, Some(self.binding.stream(id)?)))
    }

    /// The events of all aggregates of the type, to be restricted and read.
    pub fn events(&self) -> History<'_, A> {
        History::new(&self.binding, None)
    }

    /// The events of all aggregates of the type: those that are there, and then those that come.
    pub fn subscribe(&self) -> Subscription<Recorded<'static, A>> {
        let category = self.binding.category.clone();
        Subscription::new(&self.binding.backing.store, category.clone())
            .read_by(category, Arc::clone(&self.binding.codec))
    }

    /// The ids of all aggregates that anything has happened to, in the order of their first events.
    pub fn ids(&self) -> Ids<'_, A> {
        Ids::new(&self.binding)
    }

    /// The name of an aggregate's stream, for guards and raw reads.
    pub fn stream(&self, id: &A::Id) -> Result<StreamId, Error> {
        self.binding.stream(id)
    }
}

impl<A: Aggregate + Clone> Repository<A> {
    /// Keeps about this many aggregates at hand as they were when they were last worked with, so that the next command to one of them reads
    /// nothing, and loading it reads what has come since. Clones that are made of this share the cache; units do without it.
    ///
    /// It changes no answer: what is decided on a state that is not the newest is not written, and decided again. Commands to one
    /// aggregate go one after the other then, within the process.
    ///
    /// An aggregate is copied for each command, and takes the memory of its state.
    #[must_use]
    pub fn cached(mut self, aggregates: usize) -> Self {
        self.binding.cache = (aggregates > 0).then(|| Arc::new(Cache::new(aggregates)));
        self
    }
}

impl<A: Aggregate + Serialize + DeserializeOwned> Repository<A> {
    /// Takes a snapshot of an aggregate whenever this many events have come since its last one; 0 takes none.
    ///
    /// Raise the [revision](Self::snapshot_revision) whenever the meaning of `apply` changes.
    #[must_use]
    pub fn snapshot_every(self, events: u64) -> Self {
        self.snapshot_when(move |last, current| events > 0 && current.get() - last.get() >= events)
    }

    /// Takes a snapshot of an aggregate when `is_due` says so of the version of its last one (0 if there is none) and
    /// its current version.
    #[must_use]
    pub fn snapshot_when(
        mut self,
        is_due: impl Fn(Version, Version) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.plan().is_due = Arc::new(is_due);
        self
    }

    /// Declares which meaning of `apply` the snapshots have; those of another revision are passed over. Takes no
    /// snapshots by itself.
    ///
    /// What can be seen is compared without being declared: the state's type, its fields, the fields of what its
    /// initial value holds, and where upcasters lead. What can not be seen is yours to declare: what `apply` does, what
    /// an upcaster does, and the fields of what is not there yet in the initial value, such as the items of a list.
    #[must_use]
    pub fn snapshot_revision(mut self, revision: u32) -> Self {
        self.plan().revision = revision;
        self
    }

    fn plan(&mut self) -> &mut SnapshotPlan<A> {
        let Binding { snapshots, codec, .. } = &mut self.binding;
        snapshots.get_or_insert_with(|| SnapshotPlan::new(codec.histories()))
    }
}

impl<A: Aggregate> Clone for Repository<A> {
    fn clone(&self) -> Self {
        Self { binding: self.binding.clone() }
    }
}

impl<A: Aggregate> fmt::Debug for Repository<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository")
            .field("category", &self.binding.category)
            .finish_non_exhaustive()
    }
}
