//! A crowd in one store: writers that get in each other's way, readers and waiters that look on.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use chrono::TimeDelta;

use super::law::Law;
use super::material::{event_type, id, stream, tag, tags, with_payload};
use super::reading::{read, served};
use super::report::{Held, hold};
use super::trial::Trial;
use crate::clock::Clock;
use crate::event::{NewEvent, RecordedEvent};
use crate::id::EventId;
use crate::position::Position;
use crate::store::{AppendError, Appended, Clause, Commit, EventStore, Expected, Interrupt, Query};
use crate::testing::clock::ManualClock;

const WRITERS: u64 = 16;
const ONLOOKERS: u64 = 2;
const COMMITS: u64 = 24;
const GLANCE: Duration = Duration::from_millis(10);
/// Stands where a writer's number does in the ids of commits that all writers send.
const EVERYBODY: u64 = 99;

/// What was asked, what was answered, and what was seen meanwhile.
#[derive(Default)]
pub(super) struct Traffic {
    pub(super) sent: Vec<(Commit, Result<Appended, AppendError>)>,
    pub(super) readings: Vec<Vec<(Position, EventId)>>,
    /// What was wrong there and then.
    pub(super) held: Vec<Held>,
}

/// Lets the crowd in and waits until all are out again.
pub(super) fn traffic(trial: &Trial, seed: u64) -> Traffic {
    let done = &AtomicBool::new(false);
    let parts = thread::scope(|scope| {
        let write = |writer| scope.spawn(move || Writer::new(trial, writer, seed).carry_on());
        let writers: Vec<_> = (0..WRITERS).map(write).collect();
        let mut onlookers = Vec::new();
        for _ in 0..ONLOOKERS {
            onlookers.push(scope.spawn(|| look_on(done, |seen| look(trial, seen))));
            let mut known = Position::START;
            onlookers.push(scope.spawn(move || look_on(done, |_| follow(trial, &mut known))));
        }
        let mut parts: Vec<_> = writers.into_iter().map(ScopedJoinHandle::join).collect();
        // Also after a panic, or the onlookers would never leave.
        done.store(true, Ordering::Release);
        parts.extend(onlookers.into_iter().map(ScopedJoinHandle::join));
        parts
    });
    let mut all = Traffic::default();
    for part in parts {
        all.extend(part.unwrap_or_else(|panic| resume_unwind(panic)));
    }
    all
}

impl Traffic {
    fn extend(&mut self, part: Self) {
        self.sent.extend(part.sent);
        self.readings.extend(part.readings);
        self.held.extend(part.held);
    }
}

struct Writer<'t> {
    store: &'t dyn EventStore,
    clock: &'t ManualClock,
    number: u64,
    dice: Dice,
    events: u64,
    /// The last commit that was accepted and has ids.
    accepted: Option<Commit>,
}

impl<'t> Writer<'t> {
    fn new(trial: &'t Trial, number: u64, seed: u64) -> Self {
        let dice = Dice(seed.wrapping_mul(WRITERS).wrapping_add(number));
        Self { store: &*trial.store, clock: &trial.clock, number, dice, events: 0, accepted: None }
    }

    fn carry_on(mut self) -> Traffic {
        let mut traffic = Traffic::default();
        for _ in 0..COMMITS {
            let held = self.send(&mut traffic);
            let broken = held.is_err();
            traffic.held.push(held);
            if broken {
                break;
            }
        }
        traffic
    }

    fn send(&mut self, traffic: &mut Traffic) -> Held {
        let (commit, repeatable) = self.commit()?;
        let answer = self.store.append(commit.clone());
        let last = answer.as_ref().ok().map(|appended| appended.last);
        if last.is_some() && repeatable {
            self.accepted = Some(commit.clone());
        }
        traffic.sent.push((commit, answer));
        let head = served(self.store.head())?.acknowledged;
        hold!(
            Law::VisibleWhenAcknowledged,
            last.is_none_or(|last| last <= head),
            "position {last:?} is acknowledged, but the head is {head}"
        )
    }

    /// A commit, and whether all its events have ids.
    fn commit(&mut self) -> Held<(Commit, bool)> {
        let hot = ["hot/1", "hot/2"][self.dice.below(2)];
        let other = ["hot/3", "hot/4"][self.dice.below(2)];
        Ok(match self.dice.below(8) {
            0 => (shared(self.dice.below(8)), true),
            1 => match self.accepted.clone() {
                Some(accepted) => (accepted, true),
                None => (self.contended(&[hot])?, true),
            },
            2 => (self.contended(&[hot])?, true),
            3 => (self.contended(&[hot, other])?, true),
            4 => {
                let own = stream(&format!("own/{}", self.number));
                let unwritten = stream(&format!("name/{}", self.dice.below(8)));
                let commit = Commit::new().write(own, Expected::Any, [self.event()]);
                (commit.guard(unwritten, Expected::Empty), false)
            }
            5 => (self.registration(), false),
            6 => {
                let own = stream(&format!("own/{}", self.number));
                let commit = Commit::new().write(own, Expected::Any, [self.event()]);
                (commit.recorded_at(self.clock.now()), false)
            }
            _ => {
                let own = stream(&format!("own/{}", self.number));
                let (first, second) = ([self.event(), self.event()], [self.event()]);
                let commit = Commit::new().write(own, Expected::Any, first);
                (commit.write(stream(hot), Expected::Any, second), false)
            }
        })
    }

    fn event(&mut self) -> NewEvent {
        self.events += 1;
        with_payload("X", &format!("[{},{}]", self.number, self.events))
    }

    /// Writes to streams at the versions that they have by now, which others do as well.
    fn contended(&mut self, names: &[&str]) -> Held<Commit> {
        let mut commit = Commit::new();
        for name in names {
            let expected = Expected::Exactly(served(self.store.version(&stream(name)))?);
            let mut events = Vec::new();
            for _ in 0..=self.dice.below(3) {
                let event = self.event();
                events.push(event.with_id(id(self.number << 32 | self.events)));
            }
            commit = commit.write(stream(name), expected, events);
        }
        thread::yield_now();
        Ok(commit)
    }

    /// Takes one of a few names that nobody may have taken.
    fn registration(&mut self) -> Commit {
        let name = self.dice.below(8).to_string();
        let event = self.event().with_tags(tags(&[&name]));
        let taken = Clause::new().event_type(event_type("X")).tag(tag(&name));
        let stream = stream(&format!("name/{name}"));
        let commit = Commit::new().write(stream, Expected::Any, [event]);
        commit.require_none(taken, Position::START)
    }
}

/// A commit that all writers send in the same form.
fn shared(number: usize) -> Commit {
    let event = |n: usize| {
        let id = id(EVERYBODY << 32 | (number * 2 + n) as u64);
        with_payload("X", &format!("[{EVERYBODY},{number},{n}]")).with_id(id)
    };
    Commit::new().write(stream("hot/1"), Expected::Any, [event(0)]).write(
        stream("hot/3"),
        Expected::Any,
        [event(1)],
    )
}

/// Looks until all is done, at least once.
fn look_on(done: &AtomicBool, mut look: impl FnMut(&mut Traffic) -> Held) -> Traffic {
    let mut seen = Traffic::default();
    loop {
        let last = done.load(Ordering::Acquire);
        let held = look(&mut seen);
        let broken = held.is_err();
        seen.held.push(held);
        if last || broken {
            return seen;
        }
    }
}

/// Reads everything; what was acknowledged before has to be there, and nothing that is not acknowledged after.
fn look(trial: &Trial, seen: &mut Traffic) -> Held {
    let to_and_fro = if seen.readings.len().is_multiple_of(2) { 5 } else { -4 };
    trial.clock.advance(TimeDelta::microseconds(to_and_fro));
    let before = served(trial.store.head())?.acknowledged;
    let events = read(&*trial.store, &Query::default())?;
    let after = served(trial.store.head())?.acknowledged;
    let last = events.last().map_or(Position::START, RecordedEvent::position);
    let places = events.iter().map(|event| (event.position(), event.event_id()));
    seen.readings.push(places.collect());
    hold!(
        Law::VisibleWhenAcknowledged,
        before <= last && last <= after,
        "a read ends at {last}, but the head was {before} before and {after} after it"
    )
}

/// Waits for more than it knows; what a waiter is told of has to be there.
fn follow(trial: &Trial, known: &mut Position) -> Held {
    let told = served(trial.store.wait(*known, GLANCE, &Interrupt::new()))?;
    hold!(Law::Waiting, told >= *known, "a waiter that knows {known} is told {told}")?;
    let durable = served(trial.store.head())?.durable;
    hold!(
        Law::VisibleWhenAcknowledged,
        told <= durable,
        "a waiter is told {told}, but the durable head is {durable}"
    )?;
    let events = read(&*trial.store, &Query::default().after(*known).up_to(told))?;
    let last = events.last().map_or(*known, RecordedEvent::position);
    *known = told;
    hold!(
        Law::VisibleWhenAcknowledged,
        last == told,
        "a waiter is told {told}, but a read ends at {last}"
    )
}

/// Numbers that look random and follow from the seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        // The finalizer of SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).expect("it is below a `usize`")
    }
}
