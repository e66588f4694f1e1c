//! Given, when, then for processes.

use std::fmt::{self, Debug};

use chrono::{DateTime, TimeDelta, Utc};

use super::clock::ManualClock;
use super::scenario::{append, beginning, encode, succeed};
use crate::aggregate::{Aggregate, AggregateId, Recorded};
use crate::annals::Annals;
use crate::clock::Clock;
use crate::codec::EventCodec;
use crate::error::Error;
use crate::id::{Category, StreamId};
use crate::position::Position;
use crate::process::{ProcessBuilder, ProcessManager};
use crate::store::{Events, Query};

/// A test of a process: given what has happened, when something happens or time passes, then the process decides something, and
/// something happens to others.
///
/// It runs on a store in memory with a clock that is moved by hand, so what it tests is the real path: the manager that is handed over
/// reads, decides, sends and minds deadlines. Three days pass in no time.
///
/// ```
/// use annals::testing::ProcessScenario;
/// use chrono::TimeDelta;
/// # use annals::{Aggregate, Annals, Context, Error, process::ProcessBuilder};
/// # use chrono::{DateTime, Utc};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Default)] struct Mailbox;
/// # #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)] enum Mail { Reminded { of: String } }
/// # impl Aggregate for Mailbox {
/// #   const TYPE: &'static str = "mailbox";
/// #   type Id = str; type Event = Mail; type Command = Mail; type Services = ();
/// #   type Error = std::convert::Infallible;
/// #   fn apply(&mut self, _: &Mail) {}
/// #   fn handle(&self, mail: Mail, _: &Context<'_, Self>) -> Result<Vec<Mail>, Self::Error> { Ok(vec![mail]) }
/// # }
/// # #[derive(Default)] struct Loan { due: Option<DateTime<Utc>> }
/// # #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)] enum LoanEvent { Lent { until: DateTime<Utc> }, Returned, Overdue }
/// # impl Aggregate for Loan {
/// #   const TYPE: &'static str = "loan";
/// #   type Id = str; type Event = LoanEvent; type Command = LoanEvent; type Services = ();
/// #   type Error = std::convert::Infallible;
/// #   fn apply(&mut self, event: &LoanEvent) { self.due = if let LoanEvent::Lent { until } = event { Some(*until) } else { None } }
/// #   fn handle(&self, event: LoanEvent, _: &Context<'_, Self>) -> Result<Vec<LoanEvent>, Self::Error> { Ok(vec![event]) }
/// # }
///
/// fn reminders(annals: &Annals) -> Result<ProcessBuilder<Loan>, Error> {
///     let (loans, mailboxes) = (annals.of::<Loan>()?, annals.of::<Mailbox>()?);
///     Ok(loans
///         .process("reminders")
///         .deadline(|loan| Some((loan.due?, LoanEvent::Overdue)))
///         .send(&mailboxes, |e| match e.event() {
///             LoanEvent::Overdue => Some(("ann".to_owned(), Mail::Reminded { of: e.id().to_owned() })),
///             _ => None,
///         }))
/// }
///
/// let until = "2000-01-04T00:00:00Z".parse()?;
/// ProcessScenario::of("ulysses", reminders)
///     .given::<Loan>("ulysses", [LoanEvent::Lent { until }])
///     .after(TimeDelta::days(2))
///     .then([])
///     .after(TimeDelta::days(2))
///     .then([LoanEvent::Overdue])
///     .then_happened::<Mailbox>("ann", [Mail::Reminded { of: "ulysses".to_owned() }]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What `then` compares is what has happened since the last `given`, `when` or `after`. Every step panics where the test is to fail, and
/// points at the line of the test.
pub struct ProcessScenario<'i, P: Aggregate> {
    annals: Annals,
    clock: ManualClock,
    manager: ProcessManager<P>,
    id: &'i P::Id,
    /// Behind this stands what has happened since the last step.
    since: Position,
}

impl<'i, P: Aggregate> ProcessScenario<'i, P> {
    /// A scenario about this instance of the process that the function puts together. It is the beginning of the year 2000, and nothing
    /// has happened yet.
    #[track_caller]
    #[must_use = "a scenario tests nothing before `then`"]
    pub fn of(
        id: &'i P::Id,
        process: impl FnOnce(&Annals) -> Result<ProcessBuilder<P>, Error>,
    ) -> Self {
        let clock = ManualClock::at(beginning());
        let annals = Annals::builder().clock(clock.clone()).in_memory();
        let manager = succeed(process(&annals).and_then(ProcessBuilder::open));
        Self { annals, clock, manager, id, since: Position::START }
    }

    /// These events have happened to an aggregate, and the process has done what is to be done because of them.
    #[track_caller]
    #[must_use = "a scenario tests nothing before `then`"]
    pub fn given<A: Aggregate>(
        mut self,
        id: &A::Id,
        events: impl IntoIterator<Item = A::Event>,
    ) -> Self {
        let codec = succeed(EventCodec::<A::Event>::new(A::upcasters()));
        for event in events {
            append(&self.annals, stream::<A>(id), encode::<A>(&codec, &event));
            self.go_on();
        }
        self
    }

    /// This happens to an aggregate, and the process does what is to be done because of it.
    #[track_caller]
    #[must_use = "a scenario tests nothing before `then`"]
    pub fn when<A: Aggregate>(self, id: &A::Id, event: A::Event) -> Self {
        self.given::<A>(id, [event])
    }

    /// So much time passes. What is to be done meanwhile is done when its time has come.
    #[track_caller]
    #[must_use = "a scenario tests nothing before `then`"]
    pub fn after(mut self, time: TimeDelta) -> Self {
        let end = self.clock.now().checked_add_signed(time).unwrap_or(DateTime::<Utc>::MAX_UTC);
        self.since = self.head();
        while let Some(due) = self.manager.next_due().filter(|due| *due <= end) {
            self.clock.set(due.max(self.clock.now()));
            succeed(self.manager.run_until_settled());
        }
        self.clock.set(end);
        self
    }

    /// Exactly this is what the instance has decided.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = P::Event>) -> Self
    where
        P::Event: PartialEq + Debug,
    {
        let id = self.id;
        self.then_happened::<P>(id, expected)
    }

    /// Exactly this is what has happened to an aggregate.
    #[track_caller]
    pub fn then_happened<A: Aggregate>(
        self,
        id: &A::Id,
        expected: impl IntoIterator<Item = A::Event>,
    ) -> Self
    where
        A::Event: PartialEq + Debug,
    {
        let codec = succeed(EventCodec::<A::Event>::new(A::upcasters()));
        let (expected, mut happened) = (expected.into_iter().collect::<Vec<_>>(), Vec::new());
        let since = Query::new(stream::<A>(id)).after(self.since);
        for stored in Events::new(self.annals.store(), since) {
            succeed(Recorded::<A>::read(&codec, succeed(stored), |recorded| {
                happened.push(recorded.into_event());
                Ok(())
            }));
        }
        let stuck = self.reasons();
        assert_eq!(happened, expected, "other events than expected; stuck: {stuck:?}");
        self
    }

    /// The instance is stuck, for a reason with these words in it.
    #[track_caller]
    #[expect(clippy::must_use_candidate, reason = "a scenario may end with it")]
    pub fn then_stuck(self, words: &str) -> Self {
        let reasons = self.reasons();
        assert!(reasons.iter().any(|reason| reason.contains(words)), "stuck: {reasons:?}");
        self
    }

    /// Why the instance is stuck, if it is.
    fn reasons(&self) -> Vec<String> {
        let (stuck, id) = (self.manager.stuck().into_iter(), self.id.to_key());
        let own = stuck.filter(|stuck| stuck.instance == id);
        own.map(|stuck| stuck.reason).collect()
    }

    /// The manager, to give it a hand or to look at more of it.
    #[must_use]
    pub fn manager(&self) -> &ProcessManager<P> {
        &self.manager
    }

    /// Lets the process do what is to be done because of what has just happened.
    #[track_caller]
    fn go_on(&mut self) {
        self.since = self.head();
        succeed(self.manager.run_until_settled());
    }

    #[track_caller]
    fn head(&self) -> Position {
        succeed(self.annals.store().head()).acknowledged
    }
}

#[track_caller]
fn stream<A: Aggregate>(id: &A::Id) -> StreamId {
    let category = succeed(Category::new(A::TYPE).map_err(Error::from));
    succeed(StreamId::new(&category, id.to_key()).map_err(Error::from))
}

impl<P: Aggregate> Debug for ProcessScenario<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessScenario").field("manager", &self.manager).finish_non_exhaustive()
    }
}
