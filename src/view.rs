//! Views: whatever can be folded from the events of several aggregates.

use std::error::Error as StdError;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::aggregate::{Aggregate, Recorded, missing};
use crate::backing::Backing;
use crate::codec::EventCodec;
use crate::error::{Error, ErrorKind};
use crate::event::RecordedEvent;
use crate::id::Category;
use crate::position::Position;
use crate::store::{Batches, Clause, Filter, Query};

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
#[must_use = "nothing is read before `run`"]
pub struct ViewBuilder<V> {
    backing: Arc<Backing>,
    name: String,
    value: V,
    registered: Vec<(Category, BoxedHandler<V>)>,
    skip_unknown: bool,
    /// The first thing that was wrong with what was registered.
    error: Option<Error>,
}

type BoxedHandler<V> = Box<dyn Fn(&mut V, RecordedEvent<'_>) -> Result<(), Error> + Send + Sync>;

/// What a view does with an event: a closure that takes the view and the event and returns `()`, or a `Result` whose
/// error stops the view.
#[diagnostic::on_unimplemented(
    message = "this closure does not handle the events of `{A}`",
    note = "a handler is a closure `|view, event|` that returns `()` or a `Result<(), E>`"
)]
pub trait Handler<V, A: Aggregate>:
    for<'v, 'r, 'e> Fn(&'v mut V, &'r Recorded<'e, A>) -> Self::Answer + Send + Sync + 'static
{
    /// What it returns.
    type Answer: HandlerAnswer;
}

impl<V, A, F, R> Handler<V, A> for F
where
    A: Aggregate,
    F: for<'v, 'r, 'e> Fn(&'v mut V, &'r Recorded<'e, A>) -> R + Send + Sync + 'static,
    R: HandlerAnswer,
{
    type Answer = R;
}

/// What a [`Handler`] may return: `()`, or a `Result`.
#[diagnostic::on_unimplemented(
    message = "a view's handler cannot return `{Self}`",
    note = "it returns `()` or a `Result<(), E>`; end the last expression with a `;`, or wrap it in `drop(…)`"
)]
pub trait HandlerAnswer {
    /// The answer as a result.
    fn into_result(self) -> Result<(), Box<dyn StdError + Send + Sync>>;
}

impl HandlerAnswer for () {
    fn into_result(self) -> Result<(), Box<dyn StdError + Send + Sync>> {
        Ok(())
    }
}

impl<E: Into<Box<dyn StdError + Send + Sync>>> HandlerAnswer for Result<(), E> {
    fn into_result(self) -> Result<(), Box<dyn StdError + Send + Sync>> {
        self.map_err(Into::into)
    }
}

impl<V> ViewBuilder<V> {
    pub(crate) fn new(backing: Arc<Backing>, name: &str, value: V) -> Self {
        let registered = Vec::new();
        Self { backing, name: name.to_owned(), value, registered, skip_unknown: false, error: None }
    }

    /// Folds the events of an aggregate type into the view with this closure.
    pub fn on<A: Aggregate>(mut self, handler: impl Handler<V, A>) -> Self {
        match Category::new(A::TYPE).map_err(Error::from).and_then(|category| {
            let codec = EventCodec::<A::Event>::new(A::upcasters())?;
            Ok((category, boxed::<V, A>(self.name.clone(), codec, handler)))
        }) {
            Ok(registered) => self.registered.push(registered),
            Err(error) => self.error = self.error.or(Some(error)),
        }
        self
    }

    /// Passes over events of types that the registered aggregates do not know, and over [gaps](RecordedEvent::is_gap), instead of
    /// failing at them.
    pub fn skip_unknown(mut self) -> Self {
        self.skip_unknown = true;
        self
    }

    /// Reads everything up to now.
    pub fn run(self) -> Result<View<V>, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let categories = self.registered.iter().map(|(category, _)| category.clone());
        let filter = Clause::new().categories(categories).into();
        let mut view = View {
            backing: self.backing,
            value: self.value,
            registered: self.registered,
            skip_unknown: self.skip_unknown,
            filter,
            position: Position::START,
            stopped: false,
        };
        view.refresh()?;
        Ok(view)
    }
}

fn boxed<V, A: Aggregate>(
    name: String,
    codec: EventCodec<A::Event>,
    handler: impl Handler<V, A>,
) -> BoxedHandler<V> {
    Box::new(move |value, stored| {
        Recorded::<A>::read(&codec, stored, |recorded| {
            handler(value, &recorded).into_result().map_err(|source| {
                Error::new(ErrorKind::View)
                    .detail(name.clone())
                    .in_stream(recorded.stream().to_stream_id())
                    .at_position(recorded.position())
                    .of_event(recorded.stored().to_event_type(), recorded.schema())
                    .caused_by(source)
            })
        })
    })
}

/// A view in memory: a value, and the position up to which it has seen the log. Derefs to the value.
pub struct View<V> {
    backing: Arc<Backing>,
    value: V,
    registered: Vec<(Category, BoxedHandler<V>)>,
    skip_unknown: bool,
    filter: Filter,
    /// Everything up to here is folded in.
    position: Position,
    /// A handler failed, and may have done a part of its work.
    stopped: bool,
}

impl<V> View<V> {
    /// Folds in what was recorded since, and returns the position up to which the view has now seen the log.
    ///
    /// An error names the event at which it arose; the view then shows everything before it, and calling again tries it
    /// again. A view of which a handler has failed, or has seen an event that another could not read, stays where it is:
    /// the event is half handled, and nobody knows how far.
    pub fn refresh(&mut self) -> Result<Position, Error> {
        if self.stopped {
            return Err(Error::new(ErrorKind::View).detail("it was stopped by an earlier failure"));
        }
        let head = self.backing.store.head()?.durable;
        let query = Query::new(self.filter.clone()).after(self.position).up_to(head);
        let backing = Arc::clone(&self.backing);
        for batch in Batches::new(&backing.store, query) {
            for stored in batch?.iter() {
                self.handle(&stored)?;
                self.position = stored.position();
            }
        }
        self.position = self.position.max(head);
        Ok(self.position)
    }

    fn handle(&mut self, stored: &RecordedEvent<'_>) -> Result<(), Error> {
        if stored.is_gap() {
            return if self.skip_unknown {
                Ok(())
            } else {
                Err(missing(stored.version(), stored.version(), stored))
            };
        }
        // Also for a handler that panics.
        self.stopped = true;
        let mut has_begun = false;
        for (category, handler) in &self.registered {
            if !stored.stream().is_in(category) {
                continue;
            }
            match handler(&mut self.value, stored.clone()) {
                Ok(()) => has_begun = true,
                Err(error) if self.skip_unknown && *error.kind() == ErrorKind::UnknownEvent => {}
                Err(error) => {
                    self.stopped = has_begun || *error.kind() == ErrorKind::View;
                    return Err(error);
                }
            }
        }
        self.stopped = false;
        Ok(())
    }

    /// The position up to which the view has seen the log.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The value, to keep.
    #[must_use]
    pub fn into_inner(self) -> V {
        self.value
    }
}

impl<V> Deref for View<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

impl<V: fmt::Debug> fmt::Debug for View<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("value", &self.value)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl<V> fmt::Debug for ViewBuilder<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViewBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}
