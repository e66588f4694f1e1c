//! Deadlines: none is missed, none comes twice, and they come in the order of time.

use std::convert::Infallible;

use annals::process::{Lane, ProcessManager};
use annals::testing::ManualClock;
use annals::{Aggregate, Annals, Context, Metadata};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::errands::{Bell, Errand, Ring, Step, errands, faults};

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
    let answer = super::errands::Told::Ring(Ring::Answered { errand: 2 });
    errand.execute(&2, answer).unwrap();
    clock.advance(TimeDelta::hours(2));
    manager.run_until_settled().unwrap();
    assert_eq!(steps(&annals, 2), [Step::Begun { by }, Step::Answered]);
    assert_eq!(manager.next_due(), None);
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
