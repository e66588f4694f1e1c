//! What a process manager does for the instances.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::lane::{Lane, Task};
use super::ledger::Note;
use super::notebook::Notebook;
use super::route::{Job, Registered};
use crate::aggregate::{Aggregate, AggregateId, Recorded, missing};
use crate::backing::Backing;
use crate::backoff::Backoff;
use crate::clock::to_micros;
use crate::error::{Error, ErrorKind, caught, with_sources};
use crate::event::{Metadata, RecordedEvent};
use crate::id::{EventId, StreamId, Tag};
use crate::position::{Position, Version};
use crate::repository::{ExecuteError, Refusal, Repository};
use crate::runner::{Board, State};
use crate::store::{Clause, Conflict, Events, Query, event_at};
use crate::trace;

/// What a manager is made of.
pub(super) struct Plan<P: Aggregate> {
    pub(super) name: String,
    pub(super) instances: Repository<P>,
    /// In the order in which they were registered, which numbers the commands of an event.
    pub(super) routes: Vec<Registered>,
    pub(super) on_refusal: Option<Box<OnRefusal<P>>>,
    pub(super) deadline: Option<Box<Deadline<P>>>,
    pub(super) backoff: Backoff,
    /// Whether events of unknown types, and gaps, are passed over.
    pub(super) skip_unknown: bool,
}

pub(super) type OnRefusal<P> =
    dyn Fn(&Recorded<'_, P>, &Refusal) -> Option<<P as Aggregate>::Command> + Send;

pub(super) type Deadline<P> =
    dyn Fn(&P) -> Option<(DateTime<Utc>, <P as Aggregate>::Command)> + Send;

/// Everything of a manager but what it reads from.
pub(super) struct Desk<P: Aggregate> {
    pub(super) backing: Arc<Backing>,
    pub(super) board: Arc<Board>,
    pub(super) plan: Plan<P>,
    pub(super) notebook: Notebook,
    /// Everything up to here is done, or waits in a queue; what is written may say less.
    pub(super) position: Position,
    /// The last event that was handled.
    pub(super) last: Option<(Position, EventId)>,
    /// How many events were handled since what is written says how far everything is.
    pub(super) unwritten: u64,
    /// What waits in a queue and is tried again: how often it was, and when it will be.
    pub(super) troubles: BTreeMap<(Lane, String), (u32, DateTime<Utc>)>,
    /// Up to which time deadlines were seen to.
    pub(super) seen_to_until: DateTime<Utc>,
    /// At which version of an instance its deadline was last looked up; of some instances, to save looking again.
    pub(super) looked_at: HashMap<String, Version>,
}

const LOOKED_AT_MAX: usize = 1_000;

/// What became of something that was to be done for an instance. An error that is not about the instance is none of it.
type Done<T = ()> = Result<Result<T, Problem>, Error>;

/// Why something could not be done.
struct Problem {
    reason: String,
    /// Another try would come to the same.
    is_final: bool,
}

/// What an instance is to be told, and when, if it is still at this version.
struct Due<P: Aggregate> {
    at: DateTime<Utc>,
    version: Version,
    command: P::Command,
}

/// What is wrong with a process that would have the same deadline again and again.
#[derive(Debug, thiserror::Error)]
#[error("its deadline of {0} has been seen to, and is still there")]
struct StillThere(DateTime<Utc>);

impl<P: Aggregate> Desk<P> {
    /// Goes back to what is written.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        self.notebook.reopen()?;
        self.stand();
        Ok(())
    }

    /// Goes on from what the notes come to.
    pub(super) fn stand(&mut self) {
        let (ledger, now) = (self.notebook.ledger(), self.backing.clock.now());
        (self.position, self.last, self.unwritten) = (ledger.position, ledger.last, 0);
        self.troubles.clear();
        self.looked_at.clear();
        for lane in [Lane::Inbox, Lane::Outbox] {
            let waiting = ledger.queues(lane).iter().filter(|(_, queue)| queue.stuck.is_none());
            self.troubles.extend(waiting.map(|(instance, _)| ((lane, instance.clone()), (0, now))));
        }
        self.show();
    }

    /// Says how things are.
    pub(super) fn show(&self) {
        let ledger = self.notebook.ledger();
        let queues = ledger.queues(Lane::Inbox).len() + ledger.queues(Lane::Outbox).len();
        self.board.note(|notes| {
            notes.state = State::Following;
            notes.shown = self.position;
            notes.waiting = self.troubles.len();
            notes.parked = queues - self.troubles.len();
            notes.deadlines = ledger.deadlines();
        });
    }

    fn note(&mut self, note: Note) -> Result<(), Error> {
        self.notebook.take(note, Metadata::new())
    }

    /// Writes what was noted, and how far everything is.
    pub(super) fn write(&mut self) -> Result<(), Error> {
        if self.position > self.notebook.ledger().position {
            self.note(Note::Passed { position: self.position, last: self.last })?;
        }
        self.notebook.write()?;
        self.unwritten = 0;
        Ok(())
    }

    /// The same, also if it is written already, and tells where that stands. What comes behind it is recorded later.
    pub(super) fn write_mark(&mut self) -> Result<Position, Error> {
        self.note(Note::Passed { position: self.position, last: self.last })?;
        let mark = self.notebook.write()?;
        self.unwritten = 0;
        Ok(mark.unwrap_or(self.position))
    }

    /// The commands that an event brings about.
    fn jobs(&self, event: &RecordedEvent<'_>) -> Result<Vec<Job>, Error> {
        let mut jobs = Vec::new();
        if event.is_gap() {
            let missing = missing(event.version(), event.version(), event);
            return if self.plan.skip_unknown { Ok(jobs) } else { Err(missing) };
        }
        for (category, route) in &self.plan.routes {
            if event.stream().is_in(category) {
                let routed = caught(|| route(event.clone(), &mut jobs));
                let routed = routed.unwrap_or_else(|message| {
                    let (stream, position) = (event.stream().to_stream_id(), event.position());
                    let detail = format!("a route of {}: {message}", self.plan.name);
                    let error = Error::new(ErrorKind::Process).detail(detail);
                    Err(error.in_stream(stream).at_position(position))
                });
                match routed {
                    Err(error)
                        if self.plan.skip_unknown && *error.kind() == ErrorKind::UnknownEvent => {}
                    routed => routed?,
                }
            }
        }
        Ok(jobs)
    }

    /// Does what an event asks for, or lets it wait.
    pub(super) fn handle(&mut self, event: &RecordedEvent<'_>) -> Result<(), Error> {
        let position = event.position();
        for (number, job) in (0..).zip(self.jobs(event)?) {
            let (lane, instance) = (job.lane, job.instance.clone());
            let task = Task::Command { position, number };
            if self.notebook.ledger().has_ended(&instance) {
                continue;
            }
            if self.notebook.ledger().waits(lane, &instance) {
                self.note(Note::Queued { lane, instance, task })?;
            } else {
                match self.carry_out(event, number, job)? {
                    Ok(was_told) => self.look_at_deadline_if(was_told, &instance)?,
                    Err(problem) => {
                        self.put_off(lane, &instance, task, problem, self.metadata(event))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Carries out a command, and tells whether the instance was told something.
    fn carry_out(&self, event: &RecordedEvent<'_>, number: u32, job: Job) -> Done<bool> {
        let key = key_of(&self.plan.name, event.event_id(), number);
        let _span = trace::span!(
            "dispatch",
            process = self.plan.name,
            instance = job.instance,
            lane = ?job.lane,
            stream = %event.stream(),
            position = event.position().get(),
            correlation = event.correlation().map(tracing::field::display),
        );
        judge(caught(|| match job.lane {
            Lane::Inbox => (job.carry_out)(self.metadata(event), key, None).map(|()| true),
            Lane::Outbox => self.send(event, job, key),
        }))
    }

    /// Sends a command to others, and tells the instance if it is refused: the one or the other, whoever else may be at it or was at it
    /// in an earlier life.
    fn send(
        &self,
        event: &RecordedEvent<'_>,
        job: Job,
        key: String,
    ) -> Result<bool, ExecuteError<Refusal>> {
        let (refused, metadata) = (key_of_refusal(&key), self.metadata(event));
        let unless = |key: &str| Ok::<_, Error>((Tag::once(key)?, event.position()));
        let refusal = match (job.carry_out)(metadata.clone(), key.clone(), Some(unless(&refused)?))
        {
            Err(ExecuteError::Refused(refusal)) => refusal,
            // The instance was told that it is refused.
            Err(ExecuteError::Conflict(Conflict::Event { .. })) => return Ok(true),
            answer => return answer.map(|()| false),
        };
        let Some(command) = self.told_of_refusal(event, job.ordinal, &refusal)? else {
            return Err(ExecuteError::Refused(refusal));
        };
        let (id, (sent, after)) = (P::Id::from_key(&job.instance)?, unless(&key)?);
        let execution = self.plan.instances.to(&id).with(metadata).once(refused);
        match execution.require_none(Clause::new().tag(sent), after).execute(command) {
            // By now it is carried out.
            Err(ExecuteError::Conflict(Conflict::Event { .. })) => Ok(false),
            told => told.map(|_| true).map_err(ExecuteError::boxed),
        }
    }

    /// What is known about what comes of an event.
    fn metadata(&self, event: &RecordedEvent<'_>) -> Metadata {
        Metadata::caused_by(event).with_actor(&self.plan.name)
    }

    /// What the instance is told when what it asked for is refused.
    fn told_of_refusal(
        &self,
        event: &RecordedEvent<'_>,
        ordinal: u32,
        refusal: &Refusal,
    ) -> Result<Option<P::Command>, Error> {
        let Some(on_refusal) = &self.plan.on_refusal else { return Ok(None) };
        let mut command = None;
        let codec = &self.plan.instances.binding().codec;
        Recorded::<P>::read(codec, event.clone(), |recorded| {
            if recorded.ordinal() == ordinal {
                command = on_refusal(&recorded, refusal);
            }
            Ok(())
        })?;
        Ok(command)
    }

    fn stream(&self, instance: &str) -> Result<StreamId, Error> {
        Ok(StreamId::new(&self.plan.instances.binding().category, instance)?)
    }

    /// Lets something wait that could not be done.
    fn put_off(
        &mut self,
        lane: Lane,
        instance: &str,
        task: Task,
        problem: Problem,
        cause: Metadata,
    ) -> Result<(), Error> {
        let is_first = !self.notebook.ledger().waits(lane, instance);
        self.note(Note::Queued { lane, instance: instance.to_owned(), task })?;
        // What waits behind something else is seen to when its turn comes.
        if is_first { self.fail(lane, instance, problem, cause) } else { Ok(()) }
    }

    /// Takes note that the first in a lane could not be done.
    fn fail(
        &mut self,
        lane: Lane,
        instance: &str,
        problem: Problem,
        metadata: Metadata,
    ) -> Result<(), Error> {
        trace::event!(WARN, process = self.plan.name, instance, ?lane, "{}", problem.reason);
        let now = self.backing.clock.now();
        let key = (lane, instance.to_owned());
        let tries = self.troubles.get(&key).map_or(1, |(tries, _)| tries.saturating_add(1));
        let error = Error::new(ErrorKind::Process).detail(problem.reason.clone());
        // An id that no stream can have may be what is wrong.
        let error = match self.stream(instance) {
            Ok(stream) => error.in_stream(stream),
            Err(_) => error.also(&format!("of {instance:?}")),
        };
        self.board.note(|notes| {
            notes.errors += 1;
            notes.last_error = Some(Arc::new(error));
        });
        if !problem.is_final && self.plan.backoff.goes_on_after(tries) {
            self.troubles.insert(key, (tries, self.plan.backoff.due(tries, now)));
            return Ok(());
        }
        self.troubles.remove(&key);
        let (instance, reason, at) = (instance.to_owned(), problem.reason, to_micros(now));
        self.notebook.take(Note::Stuck { lane, instance, reason, at }, metadata)
    }

    /// Tries again what is to be tried by now.
    pub(super) fn try_again(&mut self) -> Result<(), Error> {
        let now = self.backing.clock.now();
        let due = self.troubles.iter().filter(|(_, (_, due))| *due <= now);
        let due: Vec<_> = due.map(|(key, _)| key.clone()).collect();
        for (lane, instance) in due {
            while let Some(task) = self.notebook.ledger().first(lane, &instance) {
                let (cause, done) = self.carry_out_task(&instance, task)?;
                if let Err(problem) = done {
                    self.fail(lane, &instance, problem, cause)?;
                    break;
                }
                self.troubles.remove(&(lane, instance.clone()));
                self.note(Note::Done { lane, instance: instance.clone() })?;
                self.look_at_deadline_if(true, &instance)?;
            }
        }
        Ok(())
    }

    /// Does what waits, and tells what that is because of.
    fn carry_out_task(
        &mut self,
        instance: &str,
        task: Task,
    ) -> Result<(Metadata, Result<(), Problem>), Error> {
        let Task::Command { position, number } = task else {
            // One that only could not be looked up before waits for what was recorded before it.
            let until = self.seen_to_until;
            return Ok((self.cause_of_deadline(instance)?, self.see_to_deadline(instance, until)?));
        };
        let batch = event_at(&self.backing.store, position)?;
        let Some(event) = batch.get(0) else {
            let detail = format!("an event that {} has left waiting is not there", self.plan.name);
            return Err(Error::new(ErrorKind::Checkpoint).detail(detail).at_position(position));
        };
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        let done = match self.jobs(&event)?.into_iter().nth(place) {
            Some(job) => self.carry_out(&event, number, job)?.map(drop),
            // The routes are others by now.
            None => Ok(()),
        };
        Ok((self.metadata(&event), done))
    }

    /// Whether a deadline is over at this time.
    pub(super) fn is_overdue(&self, until: DateTime<Utc>) -> bool {
        self.notebook.ledger().next_due().is_some_and(|(at, _)| at <= until)
    }

    /// Sees to the deadlines that are over at this time.
    pub(super) fn see_to_deadlines(&mut self, until: DateTime<Utc>) -> Result<(), Error> {
        self.seen_to_until = self.seen_to_until.max(until);
        if !self.is_overdue(until) {
            return Ok(());
        }
        // What was decided before the deadline is not decided again behind it.
        if self.unwritten > 0 || self.notebook.unwritten() > 0 {
            self.write()?;
        }
        while let Some((at, instance)) = self.notebook.ledger().next_due() {
            if at > until {
                break;
            }
            let instance = instance.to_owned();
            if let Err(problem) = self.see_to_deadline(&instance, until)? {
                let cause = self.cause_of_deadline(&instance)?;
                self.put_off(Lane::Inbox, &instance, Task::Deadline, problem, cause)?;
            }
        }
        Ok(())
    }

    /// Notes which deadline an instance has; if it is over at this time, the instance is told first.
    fn see_to_deadline(&mut self, instance: &str, until: DateTime<Utc>) -> Done {
        let due = judge(caught(|| match self.deadline(instance)? {
            Some(due) if due.at <= until => self.tell_deadline(instance, due),
            due => Ok(due.map(|due| due.at)),
        }))?;
        self.note_deadline(instance, due)
    }

    /// Notes which deadline an instance has, if it has come to this version.
    pub(super) fn look_at_deadline(
        &mut self,
        instance: &str,
        version: Version,
    ) -> Result<(), Error> {
        let is_new = self.looked_at.get(instance).is_none_or(|looked_at| *looked_at < version);
        self.look_at_deadline_if(is_new, instance)
    }

    fn look_at_deadline_if(&mut self, is_new: bool, instance: &str) -> Result<(), Error> {
        if !is_new || self.plan.deadline.is_none() || self.notebook.ledger().has_ended(instance) {
            return Ok(());
        }
        let due = judge(caught(|| Ok(self.deadline(instance)?.map(|due| due.at))))?;
        if let Err(problem) = self.note_deadline(instance, due)? {
            let cause = self.cause_of_deadline(instance)?;
            self.put_off(Lane::Inbox, instance, Task::Deadline, problem, cause)?;
        }
        Ok(())
    }

    fn note_deadline(
        &mut self,
        instance: &str,
        due: Result<Option<DateTime<Utc>>, Problem>,
    ) -> Done {
        match due {
            Ok(at) if at != self.notebook.ledger().due(instance) => {
                self.note(Note::DueAt { instance: instance.to_owned(), at }).map(Ok)
            }
            due => Ok(due.map(drop)),
        }
    }

    /// The deadline that an instance has.
    fn deadline(&mut self, instance: &str) -> Result<Option<Due<P>>, ExecuteError<Refusal>> {
        let Some(deadline) = &self.plan.deadline else { return Ok(None) };
        let id = P::Id::from_key(instance)?;
        let loaded = self.plan.instances.load(&id)?;
        let version = loaded.version();
        if self.looked_at.len() == LOOKED_AT_MAX {
            self.looked_at.clear();
        }
        self.looked_at.insert(instance.to_owned(), version);
        Ok(deadline(loaded.state()).map(|(at, command)| Due {
            at: to_micros(at),
            version,
            command,
        }))
    }

    /// Tells an instance that its deadline is over, and gives the one that it has then.
    fn tell_deadline(
        &mut self,
        instance: &str,
        due: Due<P>,
    ) -> Result<Option<DateTime<Utc>>, ExecuteError<Refusal>> {
        let (at, id) = (due.at, P::Id::from_key(instance)?);
        let _span = trace::span!("deadline", process = self.plan.name, instance, %at);
        // At this version, so that it is told once: whatever it decides, it is at another one then.
        let execution = self.plan.instances.to(&id).with(self.cause_of_deadline(instance)?);
        match execution.at(due.version).execute(due.command) {
            // Something has happened to it by now: its deadline is to be looked up again.
            Err(ExecuteError::Conflict(_)) => return Ok(Some(at)),
            told => told.map_err(ExecuteError::boxed)?,
        };
        match self.deadline(instance)? {
            Some(next) if next.at <= at => Err(ExecuteError::Refused(Refusal::new(StillThere(at)))),
            next => Ok(next.map(|next| next.at)),
        }
    }

    /// What comes of a deadline comes of the last event of the instance.
    fn cause_of_deadline(&self, instance: &str) -> Result<Metadata, Error> {
        let last = Query::new(self.stream(instance)?).backwards().limit(NonZeroU64::MIN);
        let last = Events::new(&self.backing.store, last).next().transpose()?;
        Ok(last.map_or_else(Metadata::new, |event| self.metadata(&event)))
    }

    /// When something is to be done next that is not because of an event.
    pub(super) fn next_due(&self) -> Option<DateTime<Utc>> {
        let deadline = self.notebook.ledger().next_due().map(|(at, _)| at);
        self.next_try().into_iter().chain(deadline).min()
    }

    /// When something is tried again.
    pub(super) fn next_try(&self) -> Option<DateTime<Utc>> {
        self.troubles.values().map(|(_, due)| *due).min()
    }
}

/// The key of a command.
pub(super) fn key_of(name: &str, event: EventId, number: u32) -> String {
    format!("{name}/{event}/{number}")
}

/// The key under which it is told that a command was refused.
pub(super) fn key_of_refusal(key: &str) -> String {
    format!("{key}/refused")
}

/// Tells what is wrong with an instance from what is wrong with the store.
fn judge<T>(answer: Result<Result<T, ExecuteError<Refusal>>, String>) -> Done<T> {
    let error = match answer {
        Ok(Ok(done)) => return Ok(Ok(done)),
        Ok(Err(error)) => error,
        Err(reason) => return Ok(Err(Problem { reason, is_final: true })),
    };
    let reason = with_sources(&error);
    match error {
        ExecuteError::Store(error) if is_of_the_store(error.kind()) => Err(error),
        ExecuteError::Refused(_) => Ok(Err(Problem { reason, is_final: true })),
        _ => Ok(Err(Problem { reason, is_final: false })),
    }
}

fn is_of_the_store(kind: &ErrorKind) -> bool {
    use ErrorKind::{Closed, Forked, Poisoned, ReadOnly, StorageFull, Store};
    matches!(kind, Closed | Forked | Poisoned | ReadOnly | StorageFull | Store)
}
