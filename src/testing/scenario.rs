//! Given, when, then.

use std::fmt::{self, Debug};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::clock::ManualClock;
use crate::aggregate::Aggregate;
use crate::annals::Annals;
use crate::codec::EventCodec;
use crate::error::{Error, with_sources};
use crate::event::{Metadata, NewEvent};
use crate::id::{EventType, StreamId};
use crate::payload::Encoding;
use crate::position::SchemaVersion;
use crate::repository::{ExecuteError, Outcome, Repository};
use crate::store::{AppendError, Commit, Expected};

/// A test of an aggregate: given what has happened, when a command comes, then something follows.
///
/// It runs on a store in memory with a clock that stands still, so what it tests is the real path: every event is
/// written, read back, upcast and folded.
///
/// ```
/// use annals::testing::Scenario;
/// # use annals::{Aggregate, Context};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Default)] struct Counter { total: u64 }
/// # #[derive(Debug, PartialEq, Serialize, Deserialize)] enum Counted { Added { amount: u64 } }
/// # #[derive(Debug, PartialEq, thiserror::Error)] #[error("nothing to add")] struct NothingToAdd;
/// # impl Aggregate for Counter {
/// #   const TYPE: &'static str = "counter";
/// #   type Id = str; type Event = Counted; type Command = u64; type Services = ();
/// #   type Error = NothingToAdd;
/// #   fn apply(&mut self, event: &Counted) { let Counted::Added { amount } = event; self.total += amount; }
/// #   fn handle(&self, amount: u64, _: &Context<'_, Self>) -> Result<Vec<Counted>, NothingToAdd> {
/// #       if amount == 0 { Err(NothingToAdd) } else { Ok(vec![Counted::Added { amount }]) }
/// #   }
/// # }
///
/// Scenario::<Counter>::of("visits")
///     .given([Counted::Added { amount: 2 }])
///     .when(40)
///     .then([Counted::Added { amount: 40 }])
///     .then_state(|counter| assert_eq!(counter.total, 42))
///     .when(0)
///     .then_refused(&NothingToAdd);
/// ```
///
/// Every step panics where the test is to fail, and points at the line of the test.
#[must_use = "a scenario tests nothing before `when` and `then`"]
pub struct Scenario<'i, A: Aggregate> {
    annals: Annals,
    clock: ManualClock,
    repository: Repository<A>,
    id: &'i A::Id,
    metadata: Metadata,
}

impl<'i, A: Aggregate<Services = ()>> Scenario<'i, A> {
    /// A scenario about this aggregate, to which nothing has happened yet. It is the beginning of the year 2000.
    #[track_caller]
    pub fn of(id: &'i A::Id) -> Self {
        Self::with_services(id, ())
    }
}

impl<'i, A: Aggregate> Scenario<'i, A> {
    /// As [`of`](Self::of), for an aggregate whose decisions consult services.
    #[track_caller]
    pub fn with_services(id: &'i A::Id, services: impl Into<Arc<A::Services>>) -> Self {
        let clock = ManualClock::at(beginning());
        let annals = Annals::builder().clock(clock.clone()).in_memory();
        let repository = succeed(annals.of_with::<A>(services));
        Self { annals, clock, repository, id, metadata: Metadata::new() }
    }

    /// It is this time; what is given after it happens then too.
    pub fn at(self, time: DateTime<Utc>) -> Self {
        self.clock.set(time);
        self
    }

    /// The commands come with this metadata.
    pub fn with(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// These events have happened.
    #[track_caller]
    pub fn given(self, events: impl IntoIterator<Item = A::Event>) -> Self {
        for event in events {
            self.append(encode::<A>(&self.repository.binding().codec, &event));
        }
        self
    }

    /// An event was recorded in this shape: one that an upcaster is to bring up to date.
    #[track_caller]
    pub fn given_stored(self, event_type: &str, schema: u32, payload: &impl Serialize) -> Self {
        let event_type = succeed(EventType::new(event_type).map_err(Error::from));
        let Some(schema) = SchemaVersion::new(schema) else { panic!("schema versions start at 1") };
        let event = succeed(NewEvent::new(event_type, payload));
        self.append(event.with_schema(schema));
        self
    }

    #[track_caller]
    fn append(&self, event: NewEvent) {
        append(&self.annals, succeed(self.repository.stream(self.id)), event);
    }

    /// A command comes.
    pub fn when(self, command: A::Command) -> Then<'i, A> {
        let execution = self.repository.to(self.id).with(self.metadata.clone());
        let answer = execution.execute(command);
        Then { scenario: self, answer }
    }
}

/// What follows from a command, to be checked.
pub struct Then<'i, A: Aggregate> {
    scenario: Scenario<'i, A>,
    answer: Result<Outcome<A>, ExecuteError<A::Error>>,
}

impl<'i, A: Aggregate> Then<'i, A> {
    /// Exactly these events happen; none if there was nothing to do.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = A::Event>) -> Self
    where
        A::Event: PartialEq + Debug,
    {
        let expected: Vec<A::Event> = expected.into_iter().collect();
        match &self.answer {
            Ok(outcome) => assert_eq!(outcome.events(), expected, "other events than expected"),
            Err(error) => panic!("expected {expected:?}, but: {error}"),
        }
        self
    }

    /// The command is refused for this reason, and nothing happens.
    #[track_caller]
    pub fn then_refused(self, expected: &A::Error) -> Self
    where
        A::Error: PartialEq,
    {
        match &self.answer {
            Err(ExecuteError::Refused(refused)) => {
                assert_eq!(refused, expected, "refused otherwise");
            }
            Err(error) => panic!("expected a refusal, but: {error}"),
            Ok(outcome) => {
                panic!("expected a refusal, but {} events happened", outcome.events().len())
            }
        }
        self
    }

    /// The aggregate, loaded anew, is as this closure finds right.
    #[track_caller]
    pub fn then_state(self, check: impl FnOnce(&A)) -> Self {
        let loaded = succeed(self.scenario.repository.load(self.scenario.id));
        check(loaded.state());
        self
    }

    /// The command's answer, for whatever else is to be checked.
    pub fn into_answer(self) -> Result<Outcome<A>, ExecuteError<A::Error>> {
        self.answer
    }

    /// A further command comes.
    pub fn when(self, command: A::Command) -> Self {
        self.scenario.when(command)
    }

    /// Time has come to this.
    pub fn at(self, time: DateTime<Utc>) -> Scenario<'i, A> {
        self.scenario.at(time)
    }
}

/// When scenarios begin: with the year 2000.
pub(super) fn beginning() -> DateTime<Utc> {
    DateTime::from_timestamp(946_684_800, 0).unwrap_or_default()
}

/// What is stored for an event.
#[track_caller]
pub(super) fn encode<A: Aggregate>(codec: &EventCodec<A::Event>, event: &A::Event) -> NewEvent {
    let (new, event) = succeed(codec.encode(Encoding::Json, event));
    new.with_tags(succeed(A::tags(&event).map_err(Error::from)))
}

#[track_caller]
pub(super) fn append(annals: &Annals, stream: StreamId, event: NewEvent) {
    match annals.store().append(Commit::new().write(stream, Expected::Any, [event])) {
        Ok(_) => {}
        Err(AppendError::Conflict(conflict)) => panic!("{conflict}"),
        Err(AppendError::Store(error)) => succeed(Err(error)),
    }
}

#[track_caller]
pub(super) fn succeed<T>(result: Result<T, Error>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{}", with_sources(&error)),
    }
}

impl<A: Aggregate> Debug for Scenario<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scenario").field("annals", &self.annals).finish_non_exhaustive()
    }
}

impl<A: Aggregate> Debug for Then<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = self.answer.as_ref().map(Outcome::version);
        f.debug_struct("Then").field("answer", &answer).finish_non_exhaustive()
    }
}
