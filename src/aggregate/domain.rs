//! The trait that a domain type implements.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::aggregate_id::AggregateId;
use crate::codec::Upcasters;
use crate::event::{Metadata, Tags};
use crate::id::{CorrelationId, EventId, InvalidName};
use crate::position::Version;

/// A thing of the domain that changes only through its events: an account, an order, a family.
///
/// # The idea
///
/// [`handle`](Self::handle) looks at the state and a command and decides: events, or a refusal.
/// [`apply`](Self::apply) folds an event into the state and decides nothing. The value itself is the state; its
/// `Default` is what the state is before the first event.
///
/// # Laws for those who implement it
///
/// * `apply` depends on the state and the event alone: no clock, no randomness, no outside world, no `panic!`. What
///   the fold needs of time or actor, `handle` puts into the event.
/// * `apply` never refuses: the event has happened.
/// * `handle` may be called more than once for one command, each time on a fresher state, when others wrote in between. Calls
///   to services with side effects belong behind the events.
/// * [`TYPE`](Self::TYPE), the names of events and their recorded shapes do not change; what does change is told to
///   [`upcasters`](Self::upcasters).
///
/// # Example
///
/// ```
/// use annals::{Aggregate, Context};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Default)]
/// struct Counter { total: u64 }
///
/// #[derive(Serialize, Deserialize)]
/// enum Counted { Added { amount: u64 } }
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("nothing to add")]
/// struct NothingToAdd;
///
/// impl Aggregate for Counter {
///     const TYPE: &'static str = "counter";
///     type Id = str;
///     type Event = Counted;
///     type Command = u64;
///     type Error = NothingToAdd;
///     type Services = ();
///
///     fn apply(&mut self, event: &Counted) {
///         match event {
///             Counted::Added { amount } => self.total += amount,
///         }
///     }
///
///     fn handle(&self, amount: u64, _: &Context<'_, Self>) -> Result<Vec<Counted>, NothingToAdd> {
///         if amount == 0 { Err(NothingToAdd) } else { Ok(vec![Counted::Added { amount }]) }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an aggregate",
    note = "implement `annals::Aggregate` for it: `handle` turns a command into events, `apply` folds an event"
)]
pub trait Aggregate: Default + Send + Sync + 'static {
    /// The category of the aggregate's streams: `account` in `account/alice`. Unique among the aggregates of a store.
    const TYPE: &'static str;

    /// What tells one from another: `str`, or any type that displays and parses.
    type Id: AggregateId + ?Sized;

    /// What can happen: an enum in serde's default form. The names of the variants are the stored event types.
    type Event: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// What can be asked for. Cloned where a decision is taken again.
    type Command: Clone;

    /// Why it may be refused.
    type Error: std::error::Error + Send + Sync + 'static;

    /// What a decision may consult beside the state; `()` for nothing, `dyn Trait` for something replaceable.
    type Services: ?Sized + Send + Sync + 'static;

    /// Folds an event into the state.
    fn apply(&mut self, event: &Self::Event);

    /// Decides what a command brings about. No events is an accepted "nothing to do".
    fn handle(
        &self,
        command: Self::Command,
        context: &Context<'_, Self>,
    ) -> Result<Vec<Self::Event>, Self::Error>;

    /// The tags under which an event is to be found across aggregates; none unless said otherwise.
    fn tags(_event: &Self::Event) -> Result<Tags, InvalidName> {
        Ok(Tags::none())
    }

    /// What became of old events; nothing unless said otherwise.
    fn upcasters() -> Upcasters {
        Upcasters::new()
    }
}

/// What a decision knows beside the state and the command.
pub struct Context<'a, A: Aggregate> {
    id: &'a A::Id,
    version: Version,
    services: &'a A::Services,
    occasion: &'a Occasion,
}

/// When and in whose name commands are carried out.
pub(crate) struct Occasion {
    pub(crate) now: DateTime<Utc>,
    pub(crate) metadata: std::sync::Arc<Metadata>,
}

impl<'a, A: Aggregate> Context<'a, A> {
    pub(crate) fn new(
        id: &'a A::Id,
        version: Version,
        services: &'a A::Services,
        occasion: &'a Occasion,
    ) -> Self {
        Self { id, version, services, occasion }
    }

    /// Which aggregate decides.
    #[must_use]
    pub fn id(&self) -> &'a A::Id {
        self.id
    }

    /// The version of the state that the decision looks at.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether nothing has happened to the aggregate yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.version == Version::ZERO
    }

    /// The current time, as the clock of the [`Annals`](crate::Annals) tells it.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.occasion.now
    }

    /// What the command belongs to.
    #[must_use]
    pub fn correlation(&self) -> Option<CorrelationId> {
        self.occasion.metadata.correlation()
    }

    /// Which event caused the command.
    #[must_use]
    pub fn causation(&self) -> Option<EventId> {
        self.occasion.metadata.causation()
    }

    /// Who gives the command.
    #[must_use]
    pub fn actor(&self) -> Option<&'a str> {
        self.occasion.metadata.actor()
    }

    /// All that came with the command.
    pub fn metadata(&self) -> &'a Metadata {
        &self.occasion.metadata
    }

    /// What the decision may consult.
    #[must_use]
    pub fn services(&self) -> &'a A::Services {
        self.services
    }
}

impl<A: Aggregate> fmt::Debug for Context<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("id", &self.id.to_key())
            .field("version", &self.version)
            .field("now", &self.now())
            .field("metadata", &self.metadata())
            .finish_non_exhaustive()
    }
}
