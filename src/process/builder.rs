//! Putting a process manager together.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::desk::{Desk, Plan, key_of, key_of_refusal};
use super::handle::ProcessManager;
use super::lane::Lane;
use super::notebook::Notebook;
use super::route::{Registered, Route, registered};
use super::worker::Worker;
use crate::aggregate::{Aggregate, Recorded};
use crate::backoff::Backoff;
use crate::error::Error;
use crate::id::{EventId, Tag};
use crate::position::Position;
use crate::repository::{Refusal, Repository};
use crate::runner::{Board, Runner};
use crate::store::Clause;
use crate::subscription::Subscription;

impl<P: Aggregate> Repository<P> {
    /// Begins a process manager over these aggregates: they are told what happens elsewhere, what they ask others for is sent on, and
    /// their deadlines are minded. The name, of up to 200 bytes, stands in the log, and stays: the manager is the actor of all that it
    /// does. [`process`](crate::process) says more.
    ///
    /// ```
    /// # use annals::{Aggregate, Annals, Context};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Default)] struct Door;
    /// # #[derive(Clone, Serialize, Deserialize)] enum DoorEvent { Forced, Locked }
    /// # impl Aggregate for Door {
    /// #   const TYPE: &'static str = "door";
    /// #   type Id = str; type Event = DoorEvent; type Command = DoorEvent; type Services = ();
    /// #   type Error = std::convert::Infallible;
    /// #   fn apply(&mut self, _: &DoorEvent) {}
    /// #   fn handle(&self, event: DoorEvent, _: &Context<'_, Self>) -> Result<Vec<DoorEvent>, Self::Error> { Ok(vec![event]) }
    /// # }
    /// # #[derive(Default)] struct Siren { sounds: u32 }
    /// # #[derive(Clone, Serialize, Deserialize)] enum SirenEvent { Sounded }
    /// # impl Aggregate for Siren {
    /// #   const TYPE: &'static str = "siren";
    /// #   type Id = str; type Event = SirenEvent; type Command = SirenEvent; type Services = ();
    /// #   type Error = std::convert::Infallible;
    /// #   fn apply(&mut self, _: &SirenEvent) { self.sounds += 1; }
    /// #   fn handle(&self, event: SirenEvent, _: &Context<'_, Self>) -> Result<Vec<SirenEvent>, Self::Error> { Ok(vec![event]) }
    /// # }
    /// let annals = Annals::in_memory();
    /// let (doors, sirens) = (annals.of::<Door>()?, annals.of::<Siren>()?);
    /// let alarm = doors
    ///     .process("alarm")
    ///     .send(&sirens, |e| match e.event() {
    ///         DoorEvent::Forced => Some(("roof".to_owned(), SirenEvent::Sounded)),
    ///         DoorEvent::Locked => None,
    ///     })
    ///     .open()?;
    /// doors.execute("back", DoorEvent::Forced)?;
    /// alarm.run_until_settled()?;
    /// assert_eq!(sirens.load("roof")?.state().sounds, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn process(&self, name: &str) -> ProcessBuilder<P> {
        let plan = Plan {
            name: name.to_owned(),
            instances: self.clone(),
            routes: Vec::new(),
            on_refusal: None,
            deadline: None,
            backoff: Backoff::retries(10, Duration::from_millis(100))
                .at_most_every(Duration::from_secs(60)),
            skip_unknown: false,
        };
        ProcessBuilder { plan, begins_after: Position::START, error: None }
    }
}

/// A process manager that is being put together; made by [`Repository::process`].
#[must_use = "nothing happens before `open` or `spawn`"]
pub struct ProcessBuilder<P: Aggregate> {
    plan: Plan<P>,
    begins_after: Position,
    /// The first thing that was wrong with what was registered.
    error: Option<Error>,
}

impl<P: Aggregate> ProcessBuilder<P> {
    fn register(mut self, route: Result<Registered, Error>) -> Self {
        match route {
            Ok(route) => self.plan.routes.push(route),
            Err(error) => self.error = self.error.or(Some(error)),
        }
        self
    }

    /// Tells instances what happens elsewhere: which ones, and as which command, the closure says of each event of an `A`.
    ///
    /// The command is carried out once for the event. If the instance refuses it, the instance is [stuck](super::Stuck).
    pub fn on<A: Aggregate>(self, route: impl Route<A, P>) -> Self {
        let route = registered::<A, P>(Lane::Inbox, self.plan.instances.clone(), route);
        self.register(route)
    }

    /// Sends on what instances ask for: to whom, and as which command, the closure says of each event of an instance.
    ///
    /// The event stands in the log before the command goes out, and the command is carried out [once](crate::repository::Execution::once)
    /// for it, under the key `name/event id/number`: the so many'th command that the event brings about, over all routes in the order in
    /// which they are registered. So register further ones behind those that are there.
    pub fn send<B: Aggregate>(self, to: &Repository<B>, route: impl Route<P, B>) -> Self {
        self.register(registered::<P, B>(Lane::Outbox, to.clone(), route))
    }

    /// Tells an instance that what it asked for with this event was refused, as the command that the closure gives. Where it gives none,
    /// and where nothing is said, the instance is [stuck](super::Stuck).
    pub fn on_refusal(
        mut self,
        command: impl Fn(&Recorded<'_, P>, &Refusal) -> Option<P::Command> + Send + 'static,
    ) -> Self {
        self.plan.on_refusal = Some(Box::new(command));
        self
    }

    /// Tells an instance that time is over, as this command at this time, if its state says so; of several deadlines the state gives the
    /// next. Whatever the command brings about has to change the deadline, to none or to a later one; else the instance is
    /// [stuck](super::Stuck).
    ///
    /// A deadline comes before every event that was recorded after it, also where the manager was not at work at the time. It is looked
    /// up whenever something happens to the instance, and kept in the log.
    pub fn deadline(
        mut self,
        deadline: impl Fn(&P) -> Option<(DateTime<Utc>, P::Command)> + Send + 'static,
    ) -> Self {
        self.plan.deadline = Some(Box::new(deadline));
        self
    }

    /// How often a command is tried again that could not be carried out, before its instance is stuck: 10 times unless said
    /// otherwise, after 100 ms at first. A command that is refused is not tried again. Likewise the manager itself goes on after a failure
    /// of the store.
    pub fn retry(mut self, backoff: Backoff) -> Self {
        self.plan.backoff = backoff;
        self
    }

    /// Passes over events of types that the registered aggregates do not know, and over [gaps](crate::RecordedEvent::is_gap), instead of
    /// stopping before them.
    pub fn skip_unknown(mut self) -> Self {
        self.plan.skip_unknown = true;
        self
    }

    /// Where a manager of this name begins that has never been at work: behind this position. At the beginning of the log unless that
    /// is said.
    pub fn begin_after(mut self, position: Position) -> Self {
        self.begins_after = position;
        self
    }

    /// Opens the manager where it was. Whoever holds it [drives](ProcessManager::run_until_settled) it.
    ///
    /// One manager of a name is at work at a time. A second one notices when it takes its first note, and stands still with an error of
    /// the kind [`InUse`](crate::ErrorKind::InUse).
    ///
    /// Notes that were taken in another log, as after a history was [appended](crate::transfer::Import::append) to another store, are an
    /// error of the kind [`Checkpoint`](crate::ErrorKind::Checkpoint).
    pub fn open(self) -> Result<ProcessManager<P>, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let (plan, begins_after) = (self.plan, self.begins_after);
        // The longest key that it may need.
        Tag::once(&key_of_refusal(&key_of(&plan.name, EventId::new(Uuid::nil()), u32::MAX)))?;
        let backing = Arc::clone(&plan.instances.binding().backing);
        // What happens to the instances is of interest for what they ask for, which has routes, and for their deadlines.
        let own = plan.deadline.is_some().then(|| plan.instances.binding().category.clone());
        let categories = plan.routes.iter().map(|(category, _)| category.clone());
        let filter = Clause::new().categories(categories.chain(own));
        let (name, board) = (plan.name.clone(), Arc::new(Board::new()));
        let notebook = Notebook::open(&backing, &name)?;
        notebook.ledger().check(&name, &*backing.store)?;
        let (is_new, notes) = (notebook.is_new(), notebook.stream.clone());
        let mut desk = Desk {
            backing: Arc::clone(&backing),
            board: Arc::clone(&board),
            plan,
            notebook,
            position: Position::START,
            last: None,
            unwritten: 0,
            troubles: BTreeMap::new(),
            seen_to_until: DateTime::<Utc>::MIN_UTC,
            looked_at: HashMap::new(),
        };
        desk.stand();
        if is_new && begins_after > Position::START {
            desk.position = begins_after;
            desk.write()?;
        }
        let subscription = Subscription::new(&backing.store, filter.clone()).after(desk.position);
        let worker = Worker { subscription, desk, mark: None, failure: None };
        let runner = Runner::new(&name, &backing, &board, worker);
        Ok(ProcessManager::new(runner, filter.into(), notes))
    }

    /// Opens the manager, and lets it follow the log on a thread of its own.
    pub fn spawn(self) -> Result<ProcessManager<P>, Error> {
        self.open()?.spawn()
    }
}

impl<P: Aggregate> fmt::Debug for ProcessBuilder<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessBuilder")
            .field("name", &self.plan.name)
            .field("backoff", &self.plan.backoff)
            .finish_non_exhaustive()
    }
}
