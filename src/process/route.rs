//! From events to commands.

use std::borrow::Borrow;

use super::lane::Lane;
use crate::aggregate::{Aggregate, AggregateId, Recorded};
use crate::codec::EventCodec;
use crate::error::Error;
use crate::event::{Metadata, RecordedEvent};
use crate::id::{Category, Tag};
use crate::position::Position;
use crate::repository::{ExecuteError, Refusal, Repository};
use crate::store::Clause;

/// Which commands to aggregates of type `B` an event of an `A` brings about: a closure that takes the event and returns ids and commands,
/// in an `Option`, a `Vec` or whatever else iterates over them.
#[diagnostic::on_unimplemented(
    message = "this closure does not make commands to `{B}` of the events of `{A}`",
    note = "a route is a closure `|event|` that returns an `Option` or a `Vec` of pairs of an id and a command"
)]
pub trait Route<A: Aggregate, B: Aggregate>:
    for<'r, 'e> Fn(&'r Recorded<'e, A>) -> Self::Commands + Send + 'static
{
    /// What it returns.
    type Commands: IntoIterator<Item = (<B::Id as ToOwned>::Owned, B::Command)>;
}

impl<A, B, F, R> Route<A, B> for F
where
    A: Aggregate,
    B: Aggregate,
    F: for<'r, 'e> Fn(&'r Recorded<'e, A>) -> R + Send + 'static,
    R: IntoIterator<Item = (<B::Id as ToOwned>::Owned, B::Command)>,
{
    type Commands = R;
}

/// A command that an event brings about.
pub(super) struct Job {
    pub(super) lane: Lane,
    pub(super) instance: String,
    /// Which of the events it is of that an upcaster made of the stored one.
    pub(super) ordinal: u32,
    pub(super) carry_out: CarryOut,
}

/// Carries out a command with this metadata, once under this key; unless there is an event with this tag after this position.
type CarryOut =
    Box<dyn FnOnce(Metadata, String, Option<(Tag, Position)>) -> Result<(), ExecuteError<Refusal>>>;

/// Adds the commands that a stored event brings about.
pub(super) type BoxedRoute =
    Box<dyn Fn(RecordedEvent<'_>, &mut Vec<Job>) -> Result<(), Error> + Send>;

/// A route, and the category whose events it takes.
pub(super) type Registered = (Category, BoxedRoute);

/// The way from an event of an `A` to the process, or from the process to a `B`; `lane` says which.
pub(super) fn registered<A: Aggregate, B: Aggregate>(
    lane: Lane,
    to: Repository<B>,
    route: impl Route<A, B>,
) -> Result<Registered, Error> {
    let codec = EventCodec::<A::Event>::new(A::upcasters())?;
    let route: BoxedRoute = Box::new(move |stored, jobs| {
        Recorded::<A>::read(&codec, stored, |recorded| {
            for (id, command) in route(&recorded) {
                let instance = match lane {
                    Lane::Inbox => Borrow::<B::Id>::borrow(&id).to_key(),
                    Lane::Outbox => recorded.id().to_key(),
                };
                let (instance, to) = (instance.into_owned(), to.clone());
                let carry_out: CarryOut = Box::new(move |metadata, key, unless| {
                    let mut execution = to.to(id.borrow()).with(metadata).once(key);
                    if let Some((tag, after)) = unless {
                        execution = execution.require_none(Clause::new().tag(tag), after);
                    }
                    execution.execute(command).map(drop).map_err(ExecuteError::boxed)
                });
                jobs.push(Job { lane, instance, ordinal: recorded.ordinal(), carry_out });
            }
            Ok(())
        })
    });
    Ok((Category::new(A::TYPE)?, route))
}
