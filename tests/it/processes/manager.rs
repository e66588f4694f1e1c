//! A manager on a thread of its own, and those who wait for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use annals::process::State;
use annals::testing::ManualClock;
use annals::{Annals, Backoff, Clock, ErrorKind};
use chrono::TimeDelta;

use super::errands::{Bell, Errand, Ring, Shop, errands, faults};

const LONG: Duration = Duration::from_secs(60);

fn setting() -> (Annals, ManualClock) {
    let clock = ManualClock::at("2024-05-06T09:00:00Z".parse().unwrap());
    (Annals::builder().clock(clock.clone()).in_memory(), clock)
}

#[test]
fn a_thread_does_what_comes_and_minds_the_clock() {
    let (annals, clock) = setting();
    let manager = errands(&annals).unwrap().spawn().unwrap();
    let (bells, shops) = (annals.of::<Bell>().unwrap(), annals.of::<Shop>().unwrap());
    let mut subscription = shops.subscribe();
    let by = Some("2024-05-07T09:00:00Z".parse().unwrap());
    bells.execute("front", Ring::Rang { errand: 1, asks: 1, by }).unwrap();
    assert!(subscription.next_timeout(LONG).unwrap().is_some());
    assert!(subscription.next_timeout(Duration::from_millis(50)).unwrap().is_none());
    clock.advance(TimeDelta::days(1));
    assert!(subscription.next_timeout(LONG).unwrap().is_some());
    manager.run_until_settled().unwrap();
    let faults = faults(&annals, "2024-05-07T09:00:00Z".parse().unwrap());
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn who_writes_can_wait_until_the_process_knows() {
    let (annals, _) = setting();
    for spawns in [false, true] {
        let builder = errands(&annals).unwrap();
        let manager = if spawns { builder.spawn() } else { builder.open() }.unwrap();
        let bells = annals.of::<Bell>().unwrap();
        let ring = Ring::Rang { errand: 1 + u64::from(spawns), asks: 0, by: None };
        let done = bells.to("front").wait_for(&manager, LONG).execute(ring).unwrap();
        done.awaited().unwrap();
        let errands = annals.of::<Errand>().unwrap();
        assert!(errands.exists(&(1 + u64::from(spawns))).unwrap());
        assert!(manager.status().position >= done.position());
    }
}

#[test]
fn a_manager_pauses_and_goes_on() {
    let (annals, _) = setting();
    let manager = errands(&annals).unwrap().spawn().unwrap();
    let bells = annals.of::<Bell>().unwrap();
    manager.pause();
    let done = bells.execute("front", Ring::Rang { errand: 1, asks: 0, by: None }).unwrap();
    let error = manager.wait_for(done.position(), Duration::from_millis(20)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Behind { .. }), "{error}");
    assert!(manager.run_until_settled().is_err());
    let status = manager.status();
    assert_eq!((status.state, status.lag.events), (State::Paused, 1));
    assert!(!annals.of::<Errand>().unwrap().exists(&1).unwrap());
    manager.resume();
    manager.wait_for(done.position(), LONG).unwrap();
    manager.run_until_settled().unwrap();
    assert_eq!(manager.status().state, State::Following);
}

#[test]
fn two_managers_of_a_name_are_noticed_and_do_nothing_twice() {
    let (annals, clock) = setting();
    let (one, other) = (errands(&annals).unwrap(), errands(&annals).unwrap());
    let (one, other) = (one.open().unwrap(), other.open().unwrap());
    let bells = annals.of::<Bell>().unwrap();
    bells.execute("front", Ring::Rang { errand: 1, asks: 2, by: None }).unwrap();
    one.run_until_settled().unwrap();
    let error = other.run_until_settled().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::InUse);
    assert!(error.to_string().contains("another manager named errands is at work"), "{error}");
    assert_eq!(other.status().state, State::Failed);
    // Whoever takes over goes on where the other one was.
    drop(one);
    other.resume();
    other.run_until_settled().unwrap();
    let faults = faults(&annals, clock.now());
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Threads ring, managers of one name on several threads fight over the work, and each thing happens once all the same.
#[test]
fn managers_that_fight_lose_nothing() {
    let (annals, clock) = setting();
    let is_over = AtomicBool::new(false);
    let rounds: u64 = thread::scope(|scope| {
        let fight = || {
            let managers =
                [errands(&annals), errands(&annals)].map(|it| it.unwrap().open().unwrap());
            let mut rounds = 0;
            while !is_over.load(Ordering::Relaxed) {
                for manager in &managers {
                    let _ = manager.run_until_settled();
                    manager.resume();
                }
                rounds += 1;
            }
            rounds
        };
        let fights = [scope.spawn(fight), scope.spawn(fight), scope.spawn(fight)];
        let ring = |thread: u64| {
            let bells = annals.of::<Bell>().unwrap();
            for number in 0..25 {
                let ring = Ring::Rang { errand: thread * 25 + number, asks: 4, by: None };
                let bell = if number % 2 == 0 { "front" } else { "back" };
                bells.execute(bell, ring).unwrap();
            }
        };
        let rings: Vec<_> = (0..4).map(|thread| scope.spawn(move || ring(thread))).collect();
        rings.into_iter().for_each(|ring| ring.join().unwrap());
        is_over.store(true, Ordering::Relaxed);
        fights.into_iter().map(|fight| fight.join().unwrap()).sum()
    });
    assert!(rounds > 0);
    errands(&annals).unwrap().open().unwrap().run_until_settled().unwrap();
    let faults = faults(&annals, clock.now());
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_store_that_is_closed_ends_it() {
    let (annals, _) = setting();
    let manager = errands(&annals).unwrap().spawn().unwrap();
    manager.run_until_settled().unwrap();
    annals.close().unwrap();
    let began = std::time::Instant::now();
    while manager.status().state != State::Ended {
        assert!(began.elapsed() < LONG);
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(manager.run_until_settled().unwrap_err().kind(), &ErrorKind::Closed);
}

#[test]
fn names_are_checked() {
    let (annals, _) = setting();
    let errands = annals.of::<Errand>().unwrap();
    for name in ["", "a\0b"] {
        let error = errands.process(name).open().unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::InvalidName, "{name:?}");
    }
    let long = "x".repeat(201);
    assert_eq!(errands.process(&long).open().unwrap_err().kind(), &ErrorKind::InvalidName);
    let manager = errands.process("nothing to do").retry(Backoff::none()).open().unwrap();
    manager.run_until_settled().unwrap();
    assert_eq!(manager.name(), "nothing to do");
    assert_eq!(manager.notes().as_str(), "$process/nothing to do");
}
