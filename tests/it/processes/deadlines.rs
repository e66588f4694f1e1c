//! Deadlines: none is missed, none comes twice, and they come in the order of time.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use annals::process::{Lane, ProcessManager};
use annals::store::{Commit, Limits, MemoryStore};
use annals::testing::ManualClock;
use annals::{Aggregate, Annals, Context, Error, ErrorKind, Metadata};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::errands::{Bell, Errand, Ring, Step, Told, errands, faults};
use crate::hooked::{Asked, Hooked};

fn noon() -> DateTime<Utc> {
    "2024-05-06T12:00:00Z".parse().unwrap()
}

fn setting() -> (Annals, ManualClock) {
    let clock = ManualClock::at(noon());
    (Annals::builder().clock(clock.clone()).in_memory(), clock)
}

fn steps(annals: &Annals, errand: u64) -> Vec<Step> {
    let errands = annals.of::<Errand>().unwrap();
    let history = errands.history(&errand).unwrap();
    history.read().unwrap().map(|step| step.unwrap().into_event()).collect()
}

/// A manager that was not at work for a week comes to the same as one that was.
#[test]
fn a_deadline_comes_before_what_was_recorded_after_it() {
    let hour = TimeDelta::hours(1);
    for drives_in_between in [true, false] {
        let (annals, clock) = setting();
        let bells = annals.of::<Bell>().unwrap();
        let manager = errands(&annals).unwrap().open().unwrap();
        let drive = || {
            if drives_in_between {
                manager.run_until_settled().unwrap();
            }
        };
        let ring = |ring| drop(bells.execute("front", ring).unwrap());
        // The one is answered in time, the second at the last moment, the third too late.
        for errand in [2, 5, 7] {
            ring(Ring::Rang { errand, asks: 0, by: Some(noon() + hour * 2) });
        }
        drive();
        clock.advance(hour);
        ring(Ring::Answered { errand: 2 });
        drive();
        clock.advance(hour);
        ring(Ring::Answered { errand: 5 });
        drive();
        clock.advance(TimeDelta::microseconds(1));
        ring(Ring::Answered { errand: 7 });
        clock.advance(TimeDelta::weeks(1));
        manager.run_until_settled().unwrap();
        let last = [2, 5, 7].map(|errand| steps(&annals, errand)[1].clone());
        assert_eq!(last, [Step::Answered, Step::Answered, Step::Missed], "{drives_in_between}");
        let faults = faults(&annals, noon() + TimeDelta::weeks(1) + hour * 2);
        assert!(faults.is_empty(), "{faults:#?}");
    }
}

/// Somebody else has answered, and the manager has not heard of it.
#[test]
fn a_deadline_that_is_gone_is_not_minded() {
    let (annals, clock) = setting();
    let (bells, errand) = (annals.of::<Bell>().unwrap(), annals.of::<Errand>().unwrap());
    let by = Some(noon() + TimeDelta::hours(1));
    bells.execute("front", Ring::Rang { errand: 2, asks: 0, by }).unwrap();
    let manager = errands(&annals).unwrap().open().unwrap();
    manager.run_until_settled().unwrap();
    assert_eq!(manager.next_due(), by);
    let answer = Told::Ring(Ring::Answered { errand: 2 });
    errand.execute(&2, answer).unwrap();
    clock.advance(TimeDelta::hours(2));
    manager.run_until_settled().unwrap();
    assert_eq!(steps(&annals, 2), [Step::Begun { by }, Step::Answered]);
    assert_eq!(manager.next_due(), None);
}

/// Somebody answers at the very moment at which the errand is told that it is late.
#[test]
fn a_deadline_is_told_at_the_version_that_has_it() {
    let clock = ManualClock::at(noon());
    let log = Arc::new(MemoryStore::with(clock.clone(), Limits::default()));
    let beside = Annals::builder().clock(clock.clone()).with_store(Arc::clone(&log));
    let errand = beside.of::<Errand>().unwrap();
    let has_answered = AtomicBool::new(false);
    let store = Hooked::new(&log, move |asked| {
        let is_late = |commit: &Commit| {
            commit.events().any(|(_, event)| event.event_type().as_str() == "Missed")
        };
        if matches!(asked, Asked::Append(commit) if is_late(commit))
            && !has_answered.swap(true, Ordering::Relaxed)
        {
            errand.execute(&2, Told::Ring(Ring::Answered { errand: 2 })).unwrap();
        }
        Ok(())
    });
    let annals = Annals::builder().clock(clock.clone()).with_store(store);
    let by = Some(noon() + TimeDelta::hours(1));
    let ring = Ring::Rang { errand: 2, asks: 0, by };
    annals.of::<Bell>().unwrap().execute("front", ring).unwrap();
    let manager = errands(&annals).unwrap().open().unwrap();
    manager.run_until_settled().unwrap();
    clock.advance(TimeDelta::hours(2));
    manager.run_until_settled().unwrap();
    assert_eq!(steps(&annals, 2), [Step::Begun { by }, Step::Answered]);
    assert!(manager.stuck().is_empty());
}

/// Somebody who notices only what comes late.
#[derive(Debug, Default)]
struct Sleeper {
    wakes_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum SleeperEvent {
    FellAsleep { wakes_at: DateTime<Utc> },
    Awoke,
    Heard { errand: u64 },
}

#[derive(Debug, Clone)]
enum SleeperCommand {
    Hear(u64),
    Wake,
}

impl Aggregate for Sleeper {
    const TYPE: &'static str = "sleeper";
    type Id = str;
    type Event = SleeperEvent;
    type Command = SleeperCommand;
    type Error = Infallible;
    type Services = ();

    fn apply(&mut self, event: &SleeperEvent) {
        match event {
            SleeperEvent::FellAsleep { wakes_at } => self.wakes_at = Some(*wakes_at),
            SleeperEvent::Awoke => self.wakes_at = None,
            SleeperEvent::Heard { .. } => {}
        }
    }

    fn handle(
        &self,
        command: SleeperCommand,
        context: &Context<'_, Self>,
    ) -> Result<Vec<SleeperEvent>, Infallible> {
        let wakes_at = context.now() + TimeDelta::hours(1);
        Ok(match command {
            SleeperCommand::Hear(0) => vec![SleeperEvent::FellAsleep { wakes_at }],
            SleeperCommand::Hear(_) if self.wakes_at.is_some() => vec![],
            SleeperCommand::Hear(errand) => vec![SleeperEvent::Heard { errand }],
            SleeperCommand::Wake => vec![SleeperEvent::Awoke],
        })
    }
}

/// What an instance has decided nothing about before its deadline is not decided again behind it, even if the process dies right then.
#[test]
fn what_was_slept_through_is_not_heard_later() {
    let clock = ManualClock::at(noon());
    let log = Arc::new(MemoryStore::with(clock.clone(), Limits::default()));
    let dies = Arc::new(AtomicBool::new(true));
    let is_over = AtomicBool::new(false);
    let died = Arc::clone(&dies);
    let store = Hooked::new(&log, move |asked| {
        let Asked::Append(commit) = asked else { return Ok(()) };
        let wakes = commit.events().any(|(_, event)| event.event_type().as_str() == "Awoke");
        // What comes behind the waking is not written any more in this life.
        if died.load(Ordering::Relaxed) && is_over.fetch_or(wakes, Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::StorageFull));
        }
        Ok(())
    });
    let annals = Annals::builder().clock(clock.clone()).with_store(store);
    let (sleepers, bells) = (annals.of::<Sleeper>().unwrap(), annals.of::<Bell>().unwrap());
    let open = || {
        let process = sleepers.process("sleep").on::<Bell>(|e| {
            let (Ring::Rang { errand, .. } | Ring::Answered { errand }) = e.event();
            Some(("ann".to_owned(), SleeperCommand::Hear(*errand)))
        });
        process.deadline(|ann| Some((ann.wakes_at?, SleeperCommand::Wake))).open().unwrap()
    };
    let ring = |errand| drop(bells.execute("front", Ring::Answered { errand }).unwrap());
    ring(0);
    open().run_until_settled().unwrap();
    ring(1);
    clock.advance(TimeDelta::hours(2));
    ring(2);
    open().run_until_settled().unwrap_err();
    dies.store(false, Ordering::Relaxed);
    open().run_until_settled().unwrap();
    let history = sleepers.history("ann").unwrap();
    let heard: Vec<_> = history.read().unwrap().map(|e| e.unwrap().into_event()).collect();
    assert_eq!(heard[1..], [SleeperEvent::Awoke, SleeperEvent::Heard { errand: 2 }]);
}

/// A clock that goes back is no reason to do anything twice, or to go round in circles.
#[test]
fn the_clock_may_go_back() {
    let (annals, clock) = setting();
    let bells = annals.of::<Bell>().unwrap();
    let by = Some(noon() + TimeDelta::hours(1));
    let manager = errands(&annals).unwrap().open().unwrap();
    bells.execute("front", Ring::Rang { errand: 2, asks: 0, by }).unwrap();
    manager.run_until_settled().unwrap();
    clock.advance(TimeDelta::hours(3));
    bells.execute("front", Ring::Answered { errand: 7 }).unwrap();
    clock.set(noon());
    manager.run_until_settled().unwrap();
    assert_eq!(steps(&annals, 2)[1], Step::Missed);
    clock.advance(TimeDelta::hours(3));
    manager.run_until_settled().unwrap();
    assert_eq!(steps(&annals, 2).len(), 3);
}

/// A plant that wants water every day, by way of its deadline.
#[derive(Debug, Default)]
struct Plant {
    dry_at: Option<DateTime<Utc>>,
    waterings: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum PlantEvent {
    Planted { dry_at: DateTime<Utc> },
    Watered { dry_at: DateTime<Utc> },
    Complained,
}

#[derive(Debug, Clone)]
enum PlantCommand {
    Plant,
    Water,
    Complain,
    Nothing,
    Panic,
}

impl Aggregate for Plant {
    const TYPE: &'static str = "plant";
    type Id = str;
    type Event = PlantEvent;
    type Command = PlantCommand;
    type Error = Infallible;
    type Services = ();

    fn apply(&mut self, event: &PlantEvent) {
        match event {
            PlantEvent::Planted { dry_at } => self.dry_at = Some(*dry_at),
            PlantEvent::Watered { dry_at } => {
                (self.dry_at, self.waterings) = (Some(*dry_at), self.waterings + 1);
            }
            PlantEvent::Complained => {}
        }
    }

    fn handle(
        &self,
        command: PlantCommand,
        context: &Context<'_, Self>,
    ) -> Result<Vec<PlantEvent>, Infallible> {
        let dry_at = self.dry_at.unwrap_or(context.now()) + TimeDelta::days(1);
        Ok(match command {
            PlantCommand::Plant => vec![PlantEvent::Planted { dry_at }],
            PlantCommand::Water => vec![PlantEvent::Watered { dry_at }],
            PlantCommand::Complain => vec![PlantEvent::Complained],
            PlantCommand::Nothing => vec![],
            PlantCommand::Panic => panic!("no water"),
        })
    }
}

fn garden(annals: &Annals, at_dusk: PlantCommand) -> ProcessManager<Plant> {
    let plants = annals.of::<Plant>().unwrap();
    let garden =
        plants.process("garden").deadline(move |plant| Some((plant.dry_at?, at_dusk.clone())));
    garden.open().unwrap()
}

#[test]
fn a_deadline_may_come_again_and_again() {
    let (annals, clock) = setting();
    let plants = annals.of::<Plant>().unwrap();
    plants.execute("fern", PlantCommand::Plant).unwrap();
    let manager = garden(&annals, PlantCommand::Water);
    manager.run_until_settled().unwrap();
    clock.advance(TimeDelta::days(10));
    manager.run_until_settled().unwrap();
    assert_eq!(plants.load("fern").unwrap().state().waterings, 10);
    assert_eq!(manager.next_due(), Some(noon() + TimeDelta::days(11)));
}

#[test]
fn a_deadline_that_stays_is_named_and_not_minded_for_ever() {
    for (at_dusk, events, reason) in [
        (PlantCommand::Nothing, 1, "2024-05-07 12:00:00 UTC has been seen to, and is still there"),
        (PlantCommand::Complain, 2, "2024-05-07 12:00:00 UTC has been seen to, and is still there"),
        (PlantCommand::Panic, 1, "it panicked: no water"),
    ] {
        let (annals, clock) = setting();
        let plants = annals.of::<Plant>().unwrap();
        plants.execute("fern", PlantCommand::Plant).unwrap();
        let manager = garden(&annals, at_dusk);
        clock.advance(TimeDelta::days(2));
        manager.run_until_settled().unwrap();
        let stuck = manager.stuck();
        let [stuck] = &*stuck else { panic!("{stuck:?}") };
        assert_eq!((stuck.lane, stuck.position, stuck.waiting), (Lane::Inbox, None, 0));
        assert!(stuck.reason.ends_with(reason), "{}", stuck.reason);
        assert_eq!(plants.load("fern").unwrap().version().get(), events);
        // A program that is mended goes on.
        drop(manager);
        let manager = garden(&annals, PlantCommand::Water);
        manager.run_until_settled().unwrap();
        assert_eq!(manager.stuck().len(), 1);
        assert!(manager.retry("fern", Metadata::new()).unwrap());
        manager.run_until_settled().unwrap();
        assert!(manager.stuck().is_empty());
        assert_eq!(plants.load("fern").unwrap().state().waterings, 2);
    }
}

#[test]
fn a_deadline_that_is_skipped_is_gone() {
    let (annals, clock) = setting();
    annals.of::<Plant>().unwrap().execute("fern", PlantCommand::Plant).unwrap();
    let manager = garden(&annals, PlantCommand::Nothing);
    clock.advance(TimeDelta::days(2));
    manager.run_until_settled().unwrap();
    assert!(manager.skip("fern", Metadata::new()).unwrap());
    manager.run_until_settled().unwrap();
    assert!(manager.stuck().is_empty());
    assert_eq!((manager.next_due(), manager.status().deadlines), (None, 0));
}
