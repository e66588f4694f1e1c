//! What a process manager knows, as an aggregate of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::lane::{Lane, Queue, Task};
use crate::aggregate::{Aggregate, Context};
use crate::error::{Error, ErrorKind};
use crate::id::EventId;
use crate::position::Position;
use crate::store::{EventStore, event_at};

/// How far a manager is, and what is open: folded from the notes that it takes in a stream of its own.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Ledger {
    /// Everything up to here is done, or waits in a queue.
    pub(super) position: Position,
    /// The last event that was handled, which proves the log.
    pub(super) last: Option<(Position, EventId)>,
    /// Under the ids of their instances; none is empty.
    inboxes: BTreeMap<String, Queue>,
    outboxes: BTreeMap<String, Queue>,
    deadlines: Deadlines,
    /// The instances for which nothing is done any more.
    ended: BTreeSet<String>,
}

/// What a manager takes note of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Note {
    /// Everything up to this position is done, or waits in a queue; the last event of it is this one.
    Passed { position: Position, last: Option<(Position, EventId)> },
    /// This has to wait.
    Queued { lane: Lane, instance: String, task: Task },
    /// The first in the queue is done.
    Done { lane: Lane, instance: String },
    /// The first in the queue is not tried any more.
    Stuck { lane: Lane, instance: String, reason: String, at: DateTime<Utc> },
    /// It is to be tried again.
    Retried { lane: Lane, instance: String },
    /// It is left undone.
    Skipped { lane: Lane, instance: String },
    /// Nothing is done for the instance any more.
    Ended { instance: String },
    /// The instance has this deadline now.
    DueAt { instance: String, at: Option<DateTime<Utc>> },
}

impl Ledger {
    pub(super) fn queues(&self, lane: Lane) -> &BTreeMap<String, Queue> {
        match lane {
            Lane::Inbox => &self.inboxes,
            Lane::Outbox => &self.outboxes,
        }
    }

    fn queues_mut(&mut self, lane: Lane) -> &mut BTreeMap<String, Queue> {
        match lane {
            Lane::Inbox => &mut self.inboxes,
            Lane::Outbox => &mut self.outboxes,
        }
    }

    /// The first that waits in a lane.
    pub(super) fn first(&self, lane: Lane, instance: &str) -> Option<Task> {
        self.queues(lane).get(instance)?.tasks.front().copied()
    }

    pub(super) fn waits(&self, lane: Lane, instance: &str) -> bool {
        self.queues(lane).contains_key(instance)
    }

    pub(super) fn has_ended(&self, instance: &str) -> bool {
        self.ended.contains(instance)
    }

    pub(super) fn due(&self, instance: &str) -> Option<DateTime<Utc>> {
        self.deadlines.by_instance.get(instance).copied()
    }

    pub(super) fn deadlines(&self) -> usize {
        self.deadlines.by_instance.len()
    }

    /// Refuses to go on in another log than that in which the notes were taken, as after they were appended to another store.
    pub(super) fn check(&self, name: &str, store: &dyn EventStore) -> Result<(), Error> {
        let Some((position, handled)) = self.last else { return Ok(()) };
        match event_at(store, position)?.get(0) {
            // In a store that was salvaged, it may be lost.
            Some(event) if event.event_id() == handled || event.is_gap() => Ok(()),
            _ => Err(Error::new(ErrorKind::Checkpoint)
                .detail(format!(
                    "the event that {name} handled last, {handled}, does not stand there"
                ))
                .at_position(position)),
        }
    }

    /// How many things there are to keep in mind.
    pub(super) fn open(&self) -> usize {
        self.inboxes.len() + self.outboxes.len() + self.deadlines() + self.ended.len()
    }

    /// The next deadline of an instance that does not wait to be told of something before.
    pub(super) fn next_due(&self) -> Option<(DateTime<Utc>, &str)> {
        let mut due = self.deadlines.by_time.iter();
        let (at, instance) = due.find(|(_, instance)| !self.waits(Lane::Inbox, instance))?;
        Some((*at, instance))
    }

    fn shift(&mut self, lane: Lane, instance: &str) -> Option<Task> {
        let queues = self.queues_mut(lane);
        let queue = queues.get_mut(instance)?;
        queue.stuck = None;
        let first = queue.tasks.pop_front();
        if queue.tasks.is_empty() {
            queues.remove(instance);
        }
        first
    }
}

impl Aggregate for Ledger {
    const TYPE: &'static str = "$process";
    type Id = str;
    type Event = Note;
    type Command = Vec<Note>;
    type Error = Infallible;
    type Services = ();

    fn apply(&mut self, note: &Note) {
        match note.clone() {
            Note::Passed { position, last } => (self.position, self.last) = (position, last),
            Note::Queued { lane, instance, task } => {
                self.queues_mut(lane).entry(instance).or_default().tasks.push_back(task);
            }
            Note::Done { lane, instance } => drop(self.shift(lane, &instance)),
            Note::Skipped { lane, instance } => {
                if self.shift(lane, &instance) == Some(Task::Deadline) {
                    self.deadlines.set(&instance, None);
                }
            }
            Note::Stuck { lane, instance, reason, at } => {
                if let Some(queue) = self.queues_mut(lane).get_mut(&instance) {
                    queue.stuck = Some((reason, at));
                }
            }
            Note::Retried { lane, instance } => {
                if let Some(queue) = self.queues_mut(lane).get_mut(&instance) {
                    queue.stuck = None;
                }
            }
            Note::Ended { instance } => {
                self.inboxes.remove(&instance);
                self.outboxes.remove(&instance);
                self.deadlines.set(&instance, None);
                self.ended.insert(instance);
            }
            Note::DueAt { instance, at } => self.deadlines.set(&instance, at),
        }
    }

    fn handle(&self, notes: Vec<Note>, _: &Context<'_, Self>) -> Result<Vec<Note>, Infallible> {
        Ok(notes)
    }
}

/// The deadlines of instances, and which is the next.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, DateTime<Utc>>", into = "BTreeMap<String, DateTime<Utc>>")]
struct Deadlines {
    by_instance: BTreeMap<String, DateTime<Utc>>,
    by_time: BTreeSet<(DateTime<Utc>, String)>,
}

impl Deadlines {
    fn set(&mut self, instance: &str, at: Option<DateTime<Utc>>) {
        if let Some((instance, before)) = self.by_instance.remove_entry(instance) {
            self.by_time.remove(&(before, instance));
        }
        if let Some(at) = at {
            self.by_instance.insert(instance.to_owned(), at);
            self.by_time.insert((at, instance.to_owned()));
        }
    }
}

impl From<BTreeMap<String, DateTime<Utc>>> for Deadlines {
    fn from(by_instance: BTreeMap<String, DateTime<Utc>>) -> Self {
        let by_time = by_instance.iter().map(|(instance, at)| (*at, instance.clone())).collect();
        Self { by_instance, by_time }
    }
}

impl From<Deadlines> for BTreeMap<String, DateTime<Utc>> {
    fn from(deadlines: Deadlines) -> Self {
        deadlines.by_instance
    }
}
