//! Opening a projection.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::checkpoint::Checkpoint;
use super::desk::{Desk, Settings};
use super::handle::Projection;
use super::keep::Keep;
use super::policy::ErrorPolicy;
use super::worker::Worker;
use crate::error::{Error, ErrorKind};
use crate::runner::{Board, Runner};
use crate::subscription::Subscription;
use crate::view::ViewBuilder;

impl<V> ViewBuilder<V> {
    /// Makes a projection of it: a view that is kept up to date. [`projection`](crate::projection) says what it can be kept in.
    pub fn kept_in<K: Keep<View = V>>(self, keeper: K) -> ProjectionBuilder<K> {
        ProjectionBuilder {
            view: self,
            keeper,
            revision: 1,
            batch: 1_000,
            policy: ErrorPolicy::default(),
            starts_over: StartsOver::Never,
        }
    }
}

/// A projection that is being put together; made by [`ViewBuilder::kept_in`].
#[must_use = "nothing is read before `open` or `spawn`"]
pub struct ProjectionBuilder<K: Keep> {
    view: ViewBuilder<K::View>,
    keeper: K,
    revision: u64,
    batch: usize,
    policy: ErrorPolicy,
    starts_over: StartsOver,
}

#[derive(Clone, Copy, PartialEq)]
enum StartsOver {
    Never,
    IfChanged,
    Now,
}

impl<K: Keep> ProjectionBuilder<K> {
    /// Which revision of the projection this is; 1 unless said otherwise. Raise it whenever the handlers or the shape of the view change
    /// their meaning: what an earlier revision has made is then not taken for this one's.
    pub fn revision(self, revision: u64) -> Self {
        Self { revision, ..self }
    }

    /// A view that another revision has made is made anew. Unless that is said, it is an error of the kind
    /// [`Revision`](ErrorKind::Revision).
    pub fn start_over_if_changed(self) -> Self {
        Self { starts_over: StartsOver::IfChanged, ..self }
    }

    /// The view is made anew in any case, whatever there is.
    pub fn start_over(self) -> Self {
        Self { starts_over: StartsOver::Now, ..self }
    }

    /// How many events are handled together at most, and kept with one checkpoint; 1,000 unless said otherwise. Fewer are together when
    /// fewer are there: nobody waits for a batch to be full.
    pub fn batch(self, events: NonZeroUsize) -> Self {
        Self { batch: events.get(), ..self }
    }

    /// What is done about an event that cannot be handled; unless said otherwise, the projection [stops](ErrorPolicy::stop).
    pub fn on_error(self, policy: ErrorPolicy) -> Self {
        Self { policy, ..self }
    }

    /// Opens the projection where it was, or at the beginning of the log. Whoever holds it
    /// [drives](Projection::run_until_caught_up) it.
    pub fn open(self) -> Result<Projection<K>, Error> {
        let (backing, handlers) = self.view.into_parts()?;
        let (filter, board) = (handlers.filter(), Arc::new(Board::new()));
        let target = backing.store.head()?.durable;
        let store = backing.store.identity().id;
        let mut desk = Desk {
            checkpoint: Checkpoint::start(&handlers.name, store, self.revision),
            backing: Arc::clone(&backing),
            handlers,
            keeper: self.keeper,
            settings: Settings { revision: self.revision, batch: self.batch, policy: self.policy },
            board,
            old: None,
            target,
            trouble: None,
            is_unsettled: false,
        };
        desk.settle()?;
        let (kept, name) = (desk.checkpoint.revision, &desk.handlers.name);
        let is_changed = kept != self.revision;
        if self.starts_over == StartsOver::Now
            || (is_changed && self.starts_over == StartsOver::IfChanged)
        {
            desk.start_over()?;
        } else if is_changed {
            let detail = format!("{name} is at revision {}", self.revision);
            return Err(Error::new(ErrorKind::Revision { kept }).detail(detail));
        } else {
            desk.checkpoint.check(name, &*backing.store).map_err(|error| error.also(name))?;
        }
        let subscription = Subscription::new(&backing.store, filter.clone());
        let subscription = subscription.after(desk.checkpoint.position);
        let reader = desk.keeper.reader();
        let (name, board) = (desk.handlers.name.clone(), Arc::clone(&desk.board));
        let runner =
            Runner::new(&name, &backing, &board, Worker { subscription, desk, ahead: None });
        Ok(Projection::new(runner, filter, reader))
    }

    /// Opens the projection, and lets it follow the log on a thread of its own.
    pub fn spawn(self) -> Result<Projection<K>, Error> {
        self.open()?.spawn()
    }
}

impl<K: Keep> fmt::Debug for ProjectionBuilder<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectionBuilder")
            .field("view", &self.view)
            .field("revision", &self.revision)
            .field("batch", &self.batch)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
