//! What a view does with the events that it is made of.

use std::any::Any;
use std::error::Error as StdError;
use std::sync::Arc;
use std::thread;

use super::ahead::{ReadAhead, Wanted};
use super::decoder::{Ahead, AnyDecoder, Batched, Decoder};
use crate::aggregate::{Aggregate, Recorded, missing};
use crate::codec::EventCodec;
use crate::error::{Error, ErrorKind};
use crate::event::RecordedEvent;
use crate::id::Category;
use crate::position::Position;
use crate::store::{Clause, EventStore, Filter};

/// What a view does with an event: a closure that takes the view and the event and returns `()`, or a `Result` whose
/// error stops the view.
#[diagnostic::on_unimplemented(
    message = "this closure does not handle the events of `{A}`",
    note = "a handler is a closure `|view, event|` that returns `()` or a `Result`"
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
    note = "it returns `()` or a `Result`; end the last expression with a `;`, or wrap it in `drop(…)`"
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

/// What stands in the `Ok` is not looked at: as the number of rows that a database has changed.
impl<T, E: Into<Box<dyn StdError + Send + Sync>>> HandlerAnswer for Result<T, E> {
    fn into_result(self) -> Result<(), Box<dyn StdError + Send + Sync>> {
        self.map(drop).map_err(Into::into)
    }
}

/// The handlers of a view, under the categories whose events they take.
pub(crate) struct Handlers<V> {
    pub(crate) name: String,
    registered: Vec<Registered<V>>,
    /// Whether events of unknown types, and gaps, are passed over.
    pub(super) skip_unknown: bool,
    /// On how many threads events are decoded where many are to be handled.
    pub(super) threads: usize,
}

/// A handler, the category whose events it takes, and who decodes them.
struct Registered<V> {
    category: Category,
    decoder: Arc<AnyDecoder>,
    handle: Box<BoxedHandler<V>>,
}

/// Handles an event, which may stand at a place of what was decoded ahead.
type BoxedHandler<V> = dyn Fn(&mut V, RecordedEvent<'_>, Option<(&mut (dyn Any + Send), usize)>) -> Result<(), Error>
    + Send
    + Sync;

/// More threads than this have nothing to do: one folds what they decode.
const THREADS_MAX: usize = 8;

/// An event was not handled.
pub(crate) struct Unhandled {
    pub(crate) error: Error,
    /// A handler has begun with it, and nobody knows how far it got.
    pub(super) has_begun: bool,
}

impl<V> Handlers<V> {
    pub(super) fn new(name: &str) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        let (name, registered) = (name.to_owned(), Vec::new());
        Self { name, registered, skip_unknown: false, threads }
    }

    pub(super) fn register<A: Aggregate>(
        &mut self,
        handler: impl Handler<V, A>,
    ) -> Result<(), Error> {
        let (name, category) = (self.name.clone(), Category::new(A::TYPE)?);
        let codec = EventCodec::<A::Event>::new(A::upcasters())?;
        let decoder = Decoder::new(category.clone(), codec);
        let decodes = Arc::clone(&decoder);
        let handle: Box<BoxedHandler<V>> = Box::new(move |view, stored, ahead| {
            let (mut ahead, place) = ahead
                .map_or((None, 0), |(all, place)| (all.downcast_mut::<Batched<A::Event>>(), place));
            let decoded = decodes.take(&stored, ahead.as_deref_mut().map(|all| (all, place)));
            let decode = |_: &RecordedEvent<'_>| decoded;
            Recorded::<A>::read_by(decode, stored, |recorded| {
                let handled = handler(view, &recorded).into_result().map_err(|source| {
                    Error::new(ErrorKind::View)
                        .detail(name.clone())
                        .in_stream(recorded.stream().to_stream_id())
                        .at_position(recorded.position())
                        .of_event(recorded.stored().to_event_type(), recorded.schema())
                        .caused_by(source)
                });
                if let Some(all) = &mut ahead {
                    all.keep(place, recorded.into_event());
                }
                handled
            })
        });
        self.registered.push(Registered { category, decoder, handle });
        Ok(())
    }

    /// Reads and decodes ahead what is to be handled, if that is of use.
    pub(crate) fn read_ahead(
        &self,
        store: &Arc<dyn EventStore>,
        after: Position,
        up_to: Position,
    ) -> Option<ReadAhead> {
        let decoders = self.registered.iter().map(|registered| Arc::clone(&registered.decoder));
        let wanted = Wanted { filter: self.filter(), after, up_to };
        ReadAhead::begin(store, decoders.collect(), wanted, self.threads)
    }

    /// The events that there are handlers for.
    pub(crate) fn filter(&self) -> Filter {
        let categories = self.registered.iter().map(|registered| registered.category.clone());
        Clause::new().categories(categories).into()
    }

    pub(crate) fn handle(
        &self,
        view: &mut V,
        stored: RecordedEvent<'_>,
        (ahead, place): (&mut Ahead, usize),
    ) -> Result<(), Unhandled> {
        if stored.is_gap() {
            let error = missing(stored.version(), stored.version(), &stored);
            let is_passed = self.skip_unknown;
            return if is_passed { Ok(()) } else { Err(Unhandled { error, has_begun: false }) };
        }
        let is_meant = |registered: &Registered<V>| stored.stream().is_in(&registered.category);
        let Some(last) = self.registered.iter().rposition(is_meant) else { return Ok(()) };
        let mut has_begun = false;
        for (number, registered) in self.registered[..last].iter().enumerate() {
            if is_meant(registered) {
                let ahead = ahead.get_mut(number).map(|all| (&mut **all, place));
                let handled = (registered.handle)(view, stored.clone(), ahead);
                self.judge(handled, &mut has_begun)?;
            }
        }
        let ahead = ahead.get_mut(last).map(|all| (&mut **all, place));
        let handled = (self.registered[last].handle)(view, stored, ahead);
        self.judge(handled, &mut has_begun)
    }

    fn judge(&self, handled: Result<(), Error>, has_begun: &mut bool) -> Result<(), Unhandled> {
        match handled {
            Err(error) if self.skip_unknown && *error.kind() == ErrorKind::UnknownEvent => Ok(()),
            Err(error) => {
                let has_begun = *has_begun || *error.kind() == ErrorKind::View;
                Err(Unhandled { error, has_begun })
            }
            Ok(()) => {
                *has_begun = true;
                Ok(())
            }
        }
    }
}
