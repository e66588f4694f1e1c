//! Managers on stores that fail, that are closed and opened again, and that are moved elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use annals::process::State;
use annals::store::{Limits, MemoryStore, Query};
use annals::testing::ManualClock;
use annals::transfer::{Import, export};
use annals::{Annals, Backoff, Clock, Error, ErrorKind, Metadata};
use chrono::TimeDelta;

use super::errands::{Bell, Ring, Shop, errands, faults};
use crate::directory::Directory;
use crate::hooked::{Asked, Hooked};

/// A store that answers so many commits of a category with an error of this kind.
fn flaky(category: &'static str, kind: ErrorKind) -> (Annals, ManualClock, Arc<AtomicU64>) {
    let clock = ManualClock::at("2024-05-06T09:00:00Z".parse().unwrap());
    let failures = Arc::new(AtomicU64::new(0));
    let log = Arc::new(MemoryStore::with(clock.clone(), Limits::default()));
    let left = Arc::clone(&failures);
    let store = Hooked::new(&log, move |asked| {
        let Asked::Append(commit) = asked else { return Ok(()) };
        let is_meant = commit.writes().iter().any(|it| it.stream.category() == category);
        let take = |left: u64| left.checked_sub(1);
        let fails =
            is_meant && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        if fails { Err(Error::new(kind.clone())) } else { Ok(()) }
    });
    (Annals::builder().clock(clock.clone()).with_store(store), clock, failures)
}

fn ring(annals: &Annals, errand: u64, asks: u64) {
    let ring = Ring::Rang { errand, asks, by: None };
    annals.of::<Bell>().unwrap().execute("front", ring).unwrap();
}

fn is_right(annals: &Annals, clock: &ManualClock) {
    let faults = faults(annals, clock.now());
    assert!(faults.is_empty(), "{faults:#?}");
}

/// A command that fails is tried again, later and later; the others of the instance wait, those of others do not.
#[test]
fn what_fails_is_tried_again() {
    let too_large = ErrorKind::TooLarge { limit: 1, actual: 2 };
    let (annals, clock, failures) = flaky("shop", too_large.clone());
    let backoff = Backoff::retries(3, Duration::from_secs(1));
    let manager = errands(&annals).unwrap().retry(backoff.clone()).open().unwrap();
    failures.store(3, Ordering::Relaxed);
    ring(&annals, 1, 2);
    ring(&annals, 2, 1);
    manager.run_until_settled().unwrap();
    // Each of the two has failed once.
    assert_eq!((failures.load(Ordering::Relaxed), manager.status().waiting), (1, 2));
    assert_eq!(manager.next_due(), Some(clock.now() + TimeDelta::seconds(1)));
    clock.advance(TimeDelta::seconds(1));
    manager.run_until_settled().unwrap();
    assert_eq!((failures.load(Ordering::Relaxed), manager.status().waiting), (0, 1));
    assert_eq!(manager.next_due(), Some(clock.now() + TimeDelta::seconds(2)));
    clock.advance(TimeDelta::seconds(2));
    manager.run_until_settled().unwrap();
    assert_eq!((manager.status().waiting, manager.status().stuck), (0, 0));
    is_right(&annals, &clock);

    // In vain.
    failures.store(4, Ordering::Relaxed);
    ring(&annals, 5, 1);
    for _ in 0..4 {
        assert!(manager.stuck().is_empty());
        manager.run_until_settled().unwrap();
        clock.advance(TimeDelta::seconds(4));
    }
    let stuck = manager.stuck();
    assert_eq!(stuck.len(), 1);
    assert!(stuck[0].reason.starts_with("too large"), "{}", stuck[0].reason);
    assert!(manager.retry(&5, Metadata::new()).unwrap());
    manager.run_until_settled().unwrap();
    is_right(&annals, &clock);

    // What waits for another try is tried at once in another life.
    failures.store(1, Ordering::Relaxed);
    ring(&annals, 6, 3);
    manager.run_until_settled().unwrap();
    assert_eq!(manager.status().waiting, 1);
    drop(manager);
    let manager = errands(&annals).unwrap().retry(backoff).open().unwrap();
    manager.run_until_settled().unwrap();
    assert_eq!(manager.status().waiting, 0);
    is_right(&annals, &clock);
}

/// What is wrong with the store is not the fault of the instances: none of them is stuck because of it.
#[test]
fn a_store_that_fails_holds_up_the_manager_as_a_whole() {
    for category in ["shop", "errand", "$process"] {
        let (annals, clock, failures) = flaky(category, ErrorKind::StorageFull);
        let backoff = Backoff::retries(2, Duration::from_secs(1));
        let manager = errands(&annals).unwrap().retry(backoff).open().unwrap();
        failures.store(2, Ordering::Relaxed);
        for errand in 0..5 {
            ring(&annals, errand, 4);
        }
        let error = manager.run_until_settled().unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::StorageFull, "{category}");
        assert!(matches!(manager.status().state, State::Retrying { .. }), "{category}");
        clock.advance(TimeDelta::seconds(10));
        manager.run_until_settled().unwrap_err();
        clock.advance(TimeDelta::seconds(10));
        manager.run_until_settled().unwrap();
        assert!(manager.stuck().is_empty());
        is_right(&annals, &clock);

        failures.store(3, Ordering::Relaxed);
        ring(&annals, 7, 1);
        for round in 0..4 {
            let answer = manager.run_until_settled();
            assert!(answer.is_err(), "{category}, round {round}");
            clock.advance(TimeDelta::seconds(10));
        }
        assert_eq!(manager.status().state, State::Failed, "{category}");
        manager.resume();
        manager.run_until_settled().unwrap();
        is_right(&annals, &clock);
    }
}

#[test]
fn a_manager_goes_on_after_its_store_was_closed() {
    let directory = Directory::new();
    let clock = ManualClock::at("2024-05-06T09:00:00Z".parse().unwrap());
    let by = Some("2024-05-07T09:00:00Z".parse().unwrap());
    for life in 0..6 {
        let annals = Annals::builder().clock(clock.clone()).open(directory.path()).unwrap();
        let manager = errands(&annals).unwrap().open().unwrap();
        if life % 3 == 2 {
            clock.advance(TimeDelta::hours(30));
        }
        let ring = Ring::Rang { errand: life, asks: 3, by };
        annals.of::<Bell>().unwrap().execute("front", ring).unwrap();
        if life % 2 == 0 {
            manager.run_until_settled().unwrap();
            is_right(&annals, &clock);
        }
        drop(manager);
        annals.close().unwrap();
    }
    let annals = Annals::builder().clock(clock.clone()).open(directory.path()).unwrap();
    errands(&annals).unwrap().open().unwrap().run_until_settled().unwrap();
    is_right(&annals, &clock);
}

/// What a manager knows stands in the log, and moves with it.
#[test]
fn a_manager_goes_on_in_a_copy_of_the_log() {
    let clock = ManualClock::at("2024-05-06T09:00:00Z".parse().unwrap());
    let annals = Annals::builder().clock(clock.clone()).in_memory();
    let manager = errands(&annals).unwrap().open().unwrap();
    for errand in 0..5 {
        ring(&annals, errand, 4);
    }
    manager.run_until_settled().unwrap();
    let mut lines = Vec::new();
    export(annals.store(), Query::default(), &mut lines, |_| {}).unwrap();
    let copy = Annals::builder().clock(clock.clone()).in_memory();
    Import::copy().run(copy.store(), &lines[..], |_| {}).unwrap();
    let before = copy.store().head().unwrap();
    assert_eq!(before, annals.store().head().unwrap());
    let manager = errands(&copy).unwrap().open().unwrap();
    manager.run_until_settled().unwrap();
    assert_eq!(copy.store().head().unwrap(), before);
    ring(&copy, 6, 2);
    manager.run_until_settled().unwrap();
    is_right(&copy, &clock);
}

/// Behind another history the events have other places, so what a manager has noted is not true there.
#[test]
fn notes_of_another_log_are_refused() {
    let (annals, other) = (Annals::in_memory(), Annals::in_memory());
    ring(&annals, 1, 2);
    errands(&annals).unwrap().open().unwrap().run_until_settled().unwrap();
    ring(&other, 7, 1);
    let mut lines = Vec::new();
    export(annals.store(), Query::default(), &mut lines, |_| {}).unwrap();
    Import::append().run(other.store(), &lines[..], |_| {}).unwrap();
    let error = errands(&other).unwrap().open().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Checkpoint);
    assert!(error.to_string().contains("the event that errands handled last"), "{error}");
}

/// Commands may go to another store. What a manager has sent there is recognised there.
#[test]
fn a_command_may_go_to_another_store() {
    let (annals, elsewhere) = (Annals::in_memory(), Annals::in_memory());
    let shops = elsewhere.of::<Shop>().unwrap();
    let errand = annals.of::<super::errands::Errand>().unwrap();
    let open = |name: &str| {
        let process = errand.process(name).on::<Bell>(|e| match e.event() {
            Ring::Rang { errand, .. } => {
                Some((*errand, super::errands::Told::Ring(e.event().clone())))
            }
            Ring::Answered { .. } => None,
        });
        let process = process.send(&shops, |e| match e.event() {
            super::errands::Step::Asked { number } => {
                Some((*e.id(), super::errands::Sale::Sold { errand: *e.id(), number: *number }))
            }
            _ => None,
        });
        process.open().unwrap()
    };
    ring(&annals, 1, 2);
    open("errands").run_until_settled().unwrap();
    assert_eq!(shops.load(&1).unwrap().version().get(), 2);
}
