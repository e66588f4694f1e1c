//! Putting a view together.

use std::fmt;
use std::sync::Arc;

use super::handlers::{Handler, Handlers};
use super::value::View;
use crate::aggregate::Aggregate;
use crate::backing::Backing;
use crate::error::Error;

/// A view that is being put together; made by [`Annals::view`](crate::Annals::view). What is registered is what the
/// view reads.
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
/// use std::collections::BTreeMap;
///
/// let annals = Annals::in_memory();
/// annals.of::<Counter>()?.execute("visits", 3)?;
/// let largest = annals
///     .view::<BTreeMap<String, u64>>("largest")
///     .on::<Counter>(|largest, e| {
///         let Counted::Added { amount } = e.event();
///         let so_far = largest.entry(e.id().to_owned()).or_default();
///         *so_far = (*so_far).max(*amount);
///     })
///     .run()?;
/// assert_eq!(largest["visits"], 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "nothing is read before `run`, or before a projection is made of it"]
pub struct ViewBuilder<V> {
    backing: Arc<Backing>,
    handlers: Handlers<V>,
    /// The first thing that was wrong with what was registered.
    error: Option<Error>,
}

impl<V> ViewBuilder<V> {
    pub(crate) fn new(backing: Arc<Backing>, name: &str) -> Self {
        Self { backing, handlers: Handlers::new(name), error: None }
    }

    /// Folds the events of an aggregate type into the view with this closure.
    pub fn on<A: Aggregate>(mut self, handler: impl Handler<V, A>) -> Self {
        if let Err(error) = self.handlers.register(handler) {
            self.error = self.error.or(Some(error));
        }
        self
    }

    /// Passes over events of types that the registered aggregates do not know, and over
    /// [gaps](crate::RecordedEvent::is_gap), instead of failing at them.
    pub fn skip_unknown(mut self) -> Self {
        self.handlers.skip_unknown = true;
        self
    }

    /// On how many threads events are read and decoded where many are to be folded: as a rule on all that the machine has, up to
    /// eight. They are folded in order on one thread in any case; with 1 it does everything.
    pub fn decoding_threads(mut self, threads: usize) -> Self {
        self.handlers.threads = threads;
        self
    }

    /// Reads everything up to now.
    pub fn run(self) -> Result<View<V>, Error>
    where
        V: Default,
    {
        let (backing, handlers) = self.into_parts()?;
        let mut view = View::new(backing, handlers);
        view.refresh()?;
        Ok(view)
    }

    /// What was put together, if nothing is wrong with it.
    pub(crate) fn into_parts(self) -> Result<(Arc<Backing>, Handlers<V>), Error> {
        self.error.map_or(Ok((self.backing, self.handlers)), Err)
    }
}

impl<V> fmt::Debug for ViewBuilder<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViewBuilder").field("name", &self.handlers.name).finish_non_exhaustive()
    }
}
