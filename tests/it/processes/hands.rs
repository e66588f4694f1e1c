//! Instances that are stuck, and those who give them a hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use annals::process::{Lane, ProcessManager, State};
use annals::testing::ManualClock;
use annals::{Aggregate, Annals, Context, ErrorKind, Metadata};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::errands::{Bell, Errand, Ring, Sale, Shop, Step, errands};

fn setting() -> (Annals, ManualClock) {
    let clock = ManualClock::at("2024-05-06T09:00:00Z".parse().unwrap());
    (Annals::builder().clock(clock.clone()).in_memory(), clock)
}

/// A manager whose errands are not told of refusals.
fn deaf(annals: &Annals) -> ProcessManager<Errand> {
    errands(annals).unwrap().on_refusal(|_, _| None).open().unwrap()
}

fn ring(annals: &Annals, errand: u64, asks: u64) {
    let by = Some("2024-05-07T09:00:00Z".parse().unwrap());
    annals.of::<Bell>().unwrap().execute("front", Ring::Rang { errand, asks, by }).unwrap();
}

fn sold(annals: &Annals, errand: u64) -> Vec<u64> {
    let shops = annals.of::<Shop>().unwrap();
    let sales = shops.events().read().unwrap().map(|sale| sale.unwrap().into_event());
    let of = sales.filter_map(|Sale::Sold { errand: of, number }| (of == errand).then_some(number));
    of.collect()
}

/// Errand 1 is refused its thing 2, so that the four behind it wait; errand 0 gets its three.
fn stuck_at_things() -> (Annals, ManualClock, ProcessManager<Errand>) {
    let (annals, clock) = setting();
    let manager = deaf(&annals);
    ring(&annals, 1, 7);
    ring(&annals, 0, 3);
    manager.run_until_settled().unwrap();
    (annals, clock, manager)
}

#[test]
fn what_waits_keeps_its_order_and_others_go_on() {
    let (annals, _, manager) = stuck_at_things();
    assert_eq!(sold(&annals, 1), [0, 1]);
    assert_eq!(sold(&annals, 0), [0, 1, 2]);
    let [stuck] = &manager.stuck()[..] else { panic!("one is stuck") };
    assert_eq!(stuck.instance, "1");
    assert_eq!((stuck.lane, stuck.waiting), (Lane::Outbox, 4));
    assert_eq!(stuck.reason, "thing 2 is not sold here");
    let event = annals.of::<Errand>().unwrap();
    let event = event.history(&1).unwrap().read().unwrap().nth(3).unwrap().unwrap();
    assert_eq!(
        (event.event(), Some(event.position())),
        (&Step::Asked { number: 2 }, stuck.position)
    );
    let status = manager.status();
    assert_eq!((status.stuck, status.waiting, status.errors), (1, 0, 1));
    assert_eq!(status.last_error.unwrap().stream().unwrap().as_str(), "errand/1");
    assert_eq!(status.state, State::Following);
}

#[test]
fn a_hand_is_noted_with_who_gave_it() {
    let (annals, _, manager) = stuck_at_things();
    let petra = || Metadata::new().with_actor("petra");
    // It is refused once more.
    assert!(manager.retry(&1, petra()).unwrap());
    manager.run_until_settled().unwrap();
    assert_eq!(manager.stuck().len(), 1);
    assert!(manager.skip(&1, petra()).unwrap());
    manager.run_until_settled().unwrap();
    // Thing 3 is not there, 4 and 5 are sold, 6 is sold; nothing is refused before 7.
    assert_eq!(sold(&annals, 1), [0, 1, 4, 5, 6]);
    assert!(manager.stuck().is_empty());
    assert!(!manager.skip(&1, petra()).unwrap());
    assert!(!manager.retry(&77, petra()).unwrap());
    let notes = annals::store::Query::new(manager.notes().clone());
    let by_petra = annals.read(notes).map(Result::unwrap).filter(|e| e.actor() == Some("petra"));
    let noted: Vec<_> = by_petra.map(|note| note.event_type().to_owned()).collect();
    assert_eq!(noted, ["Retried", "Skipped"]);
    // And it stands in the story of the errand.
    let bell = annals.of::<Bell>().unwrap().history("front").unwrap().first().unwrap().unwrap();
    let story = annals.story(bell.correlation().unwrap()).unwrap().to_string();
    assert!(story.contains("Skipped  $process/errands"), "{story}");
    assert!(story.contains("Stuck  $process/errands"), "{story}");
}

#[test]
fn an_instance_that_was_stuck_is_so_in_another_life() {
    let (annals, _, manager) = stuck_at_things();
    let stuck = manager.stuck();
    drop(manager);
    let manager = deaf(&annals);
    assert_eq!(manager.stuck(), stuck);
    let head = annals.store().head().unwrap();
    manager.run_until_settled().unwrap();
    assert_eq!(annals.store().head().unwrap(), head, "it is not tried by itself");
    manager.skip(&1, Metadata::new()).unwrap();
    drop(manager);
    let manager = deaf(&annals);
    manager.run_until_settled().unwrap();
    assert_eq!(sold(&annals, 1), [0, 1, 4, 5, 6]);
}

#[test]
fn an_instance_that_was_ended_is_left_alone() {
    let (annals, clock, manager) = stuck_at_things();
    manager.end(&1, Metadata::new().with_actor("petra")).unwrap();
    manager.end(&12, Metadata::new()).unwrap();
    assert!(manager.stuck().is_empty());
    drop(manager);
    let manager = deaf(&annals);
    // Errand 12 was ended before it began.
    ring(&annals, 12, 1);
    clock.advance(TimeDelta::days(30));
    manager.run_until_settled().unwrap();
    let errands = annals.of::<Errand>().unwrap();
    assert_eq!(errands.load(&1).unwrap().version().get(), 8);
    assert!(!errands.exists(&12).unwrap());
    assert_eq!(sold(&annals, 1), [0, 1]);
}

/// Somebody who does not want to hear of the number 13 while they are upset.
#[derive(Debug, Default)]
struct Guest {
    is_calm: bool,
    leaves_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum GuestEvent {
    Heard { number: u64, leaves_at: DateTime<Utc> },
    Calmed,
    Left,
}

#[derive(Debug, Clone)]
enum GuestCommand {
    Hear(u64),
    Calm,
    Leave,
}

#[derive(Debug, thiserror::Error)]
#[error("not that number")]
struct NotThat;

impl Aggregate for Guest {
    const TYPE: &'static str = "guest";
    type Id = str;
    type Event = GuestEvent;
    type Command = GuestCommand;
    type Error = NotThat;
    type Services = ();

    fn apply(&mut self, event: &GuestEvent) {
        match event {
            GuestEvent::Heard { leaves_at, .. } => self.leaves_at = Some(*leaves_at),
            GuestEvent::Calmed => self.is_calm = true,
            GuestEvent::Left => self.leaves_at = None,
        }
    }

    fn handle(
        &self,
        command: GuestCommand,
        context: &Context<'_, Self>,
    ) -> Result<Vec<GuestEvent>, NotThat> {
        let leaves_at = context.now() + TimeDelta::hours(1);
        match command {
            GuestCommand::Hear(13) if !self.is_calm => Err(NotThat),
            GuestCommand::Hear(number) => Ok(vec![GuestEvent::Heard { number, leaves_at }]),
            GuestCommand::Calm => Ok(vec![GuestEvent::Calmed]),
            GuestCommand::Leave => Ok(vec![GuestEvent::Left]),
        }
    }
}

fn party(annals: &Annals) -> ProcessManager<Guest> {
    let guests = annals.of::<Guest>().unwrap();
    let party = guests.process("party").on::<Bell>(|e| match e.event() {
        // Everybody hears it.
        Ring::Rang { asks, .. } => {
            ["ann", "bob"].map(|guest| (guest.to_owned(), GuestCommand::Hear(*asks))).to_vec()
        }
        Ring::Answered { .. } => vec![],
    });
    party.deadline(|guest| Some((guest.leaves_at?, GuestCommand::Leave))).open().unwrap()
}

fn heard(annals: &Annals, guest: &str) -> Vec<GuestEvent> {
    let guests = annals.of::<Guest>().unwrap();
    let events = guests.history(guest).unwrap().read().unwrap();
    let events = events.map(|event| event.unwrap().into_event());
    events.filter(|event| *event != GuestEvent::Calmed).collect()
}

/// An instance that refuses what it is told: the next things wait, and so does its deadline.
#[test]
fn an_inbox_may_be_stuck() {
    let (annals, clock) = setting();
    let guests = annals.of::<Guest>().unwrap();
    guests.execute("bob", GuestCommand::Calm).unwrap();
    let manager = party(&annals);
    for number in [12, 13, 14] {
        ring(&annals, 0, number);
    }
    manager.run_until_settled().unwrap();
    let [stuck] = &manager.stuck()[..] else { panic!("one is stuck") };
    assert_eq!(stuck.instance, "ann");
    assert_eq!((stuck.lane, stuck.waiting, &*stuck.reason), (Lane::Inbox, 1, "not that number"));
    assert_eq!((heard(&annals, "ann").len(), heard(&annals, "bob").len()), (1, 3));
    clock.advance(TimeDelta::hours(2));
    manager.run_until_settled().unwrap();
    assert_eq!(heard(&annals, "bob").last(), Some(&GuestEvent::Left));
    assert_eq!(heard(&annals, "ann").len(), 1, "it may be told something before it leaves");
    drop(manager);
    let manager = party(&annals);
    guests.execute("ann", GuestCommand::Calm).unwrap();
    assert!(manager.retry("ann", Metadata::new()).unwrap());
    manager.run_until_settled().unwrap();
    let numbers: Vec<_> = heard(&annals, "ann")
        .into_iter()
        .filter_map(|event| match event {
            GuestEvent::Heard { number, .. } => Some(number),
            _ => None,
        })
        .collect();
    assert_eq!(numbers, [12, 13, 14]);
    clock.advance(TimeDelta::hours(2));
    manager.run_until_settled().unwrap();
    assert_eq!(heard(&annals, "ann").last(), Some(&GuestEvent::Left));
    assert!(manager.stuck().is_empty());
}

/// An id that no stream can have is the trouble of that instance alone.
#[test]
fn an_id_that_is_not_allowed_holds_up_nobody_else() {
    let (annals, _) = setting();
    let guests = annals.of::<Guest>().unwrap();
    let party = guests.process("party").on::<Bell>(|e| match e.event() {
        Ring::Rang { .. } => {
            ["an\nn", "", "bob"].map(|guest| (guest.to_owned(), GuestCommand::Hear(1))).to_vec()
        }
        Ring::Answered { .. } => vec![],
    });
    let manager = party.retry(annals::Backoff::none()).open().unwrap();
    ring(&annals, 1, 1);
    manager.run_until_settled().unwrap();
    assert_eq!(heard(&annals, "bob").len(), 1);
    let stuck: Vec<_> = manager.stuck().into_iter().map(|stuck| stuck.instance).collect();
    assert_eq!(stuck, ["", "an\nn"]);
    assert!(manager.skip("", Metadata::new()).unwrap());
    manager.end("an\nn", Metadata::new()).unwrap();
    manager.run_until_settled().unwrap();
    assert!(manager.stuck().is_empty());
}

/// A route that panics stops the manager before the event, which is not passed over.
#[test]
fn a_route_that_panics_stops_the_manager() {
    let (annals, _) = setting();
    let panics = Arc::new(AtomicBool::new(true));
    let may_panic = Arc::clone(&panics);
    let (errand, shops) = (annals.of::<Errand>().unwrap(), annals.of::<Shop>().unwrap());
    let manager = errands(&annals)
        .unwrap()
        .send(&shops, move |_| {
            assert!(!may_panic.load(Ordering::Relaxed), "no way");
            None
        })
        .retry(annals::Backoff::none())
        .open()
        .unwrap();
    ring(&annals, 1, 1);
    for _ in 0..2 {
        let error = manager.run_until_settled().unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Process);
        assert!(error.to_string().contains("a route of errands: it panicked: no way"), "{error}");
        assert_eq!(error.stream().unwrap().as_str(), "errand/1");
        assert_eq!(manager.status().state, State::Failed);
    }
    assert_eq!(errand.load(&1).unwrap().version().get(), 2);
    panics.store(false, Ordering::Relaxed);
    manager.resume();
    manager.run_until_settled().unwrap();
    assert_eq!(errand.load(&1).unwrap().version().get(), 2, "it has not begun twice");
    assert_eq!(sold(&annals, 1), [0]);
}
