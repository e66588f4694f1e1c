//! What a view does with the events that it is made of.

use std::error::Error as StdError;

use crate::aggregate::{Aggregate, Recorded, missing};
use crate::codec::EventCodec;
use crate::error::{Error, ErrorKind};
use crate::event::RecordedEvent;
use crate::id::Category;
use crate::store::{Clause, Filter};

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
    registered: Vec<(Category, BoxedHandler<V>)>,
    /// Whether events of unknown types, and gaps, are passed over.
    pub(super) skip_unknown: bool,
}

type BoxedHandler<V> = Box<dyn Fn(&mut V, RecordedEvent<'_>) -> Result<(), Error> + Send + Sync>;

/// An event was not handled.
pub(crate) struct Unhandled {
    pub(crate) error: Error,
    /// A handler has begun with it, and nobody knows how far it got.
    pub(super) has_begun: bool,
}

impl<V> Handlers<V> {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), registered: Vec::new(), skip_unknown: false }
    }

    pub(super) fn register<A: Aggregate>(
        &mut self,
        handler: impl Handler<V, A>,
    ) -> Result<(), Error> {
        let (name, category) = (self.name.clone(), Category::new(A::TYPE)?);
        let codec = EventCodec::<A::Event>::new(A::upcasters())?;
        let handle: BoxedHandler<V> = Box::new(move |view, stored| {
            Recorded::<A>::read(&codec, stored, |recorded| {
                handler(view, &recorded).into_result().map_err(|source| {
                    Error::new(ErrorKind::View)
                        .detail(name.clone())
                        .in_stream(recorded.stream().to_stream_id())
                        .at_position(recorded.position())
                        .of_event(recorded.stored().to_event_type(), recorded.schema())
                        .caused_by(source)
                })
            })
        });
        self.registered.push((category, handle));
        Ok(())
    }

    /// The events that there are handlers for.
    pub(crate) fn filter(&self) -> Filter {
        let categories = self.registered.iter().map(|(category, _)| category.clone());
        Clause::new().categories(categories).into()
    }

    pub(crate) fn handle(&self, view: &mut V, stored: RecordedEvent<'_>) -> Result<(), Unhandled> {
        if stored.is_gap() {
            let error = missing(stored.version(), stored.version(), &stored);
            let is_passed = self.skip_unknown;
            return if is_passed { Ok(()) } else { Err(Unhandled { error, has_begun: false }) };
        }
        let is_meant = |(category, _): &(Category, _)| stored.stream().is_in(category);
        let Some(last) = self.registered.iter().rposition(is_meant) else { return Ok(()) };
        let mut has_begun = false;
        for registered in self.registered[..last].iter().filter(|registered| is_meant(registered)) {
            self.let_handle(registered, view, stored.clone(), &mut has_begun)?;
        }
        self.let_handle(&self.registered[last], view, stored, &mut has_begun)
    }

    fn let_handle(
        &self,
        (_, handle): &(Category, BoxedHandler<V>),
        view: &mut V,
        stored: RecordedEvent<'_>,
        has_begun: &mut bool,
    ) -> Result<(), Unhandled> {
        match handle(view, stored) {
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
