//! Managers on stores that fail, that are closed and opened again, and that are moved elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use annals::process::State;
use annals::store::{
    AppendError, Appended, Commit, EventStore, Head, Identity, Interrupt, MemoryStore, Query,
};
use annals::testing::ManualClock;
use annals::transfer::{Import, export};
use annals::{
    Annals, Backoff, Batch, Clock, Error, ErrorKind, Metadata, Position, StreamId, Version,
};
use chrono::TimeDelta;

use super::errands::{Bell, Ring, Shop, errands, faults};
use crate::directory::Directory;

/// Answers so many commits of a category with an error of this kind.
#[derive(Debug)]
struct Flaky {
    inner: MemoryStore,
    category: &'static str,
    kind: ErrorKind,
    failures: Arc<AtomicU64>,
}

impl EventStore for Flaky {
    fn identity(&self) -> Identity {
        self.inner.identity()
    }
    fn append(&self, commit: Commit) -> Result<Appended, AppendError> {
        let is_meant = commit.writes().iter().any(|it| it.stream.category() == self.category);
        let left = self.failures.load(Ordering::Relaxed);
        if is_meant && left > 0 {
            self.failures.store(left - 1, Ordering::Relaxed);
            return Err(Error::new(self.kind.clone()).into());
        }
        self.inner.append(commit)
    }
    fn read(&self, query: &Query) -> Result<(Batch, Option<Query>), Error> {
        self.inner.read(query)
    }
    fn version(&self, stream: &StreamId) -> Result<Version, Error> {
        self.inner.version(stream)
    }
    fn head(&self) -> Result<Head, Error> {
        self.inner.head()
    }
    fn wait(
        &self,
        after: Position,
        timeout: Duration,
        interrupt: &Interrupt,
    ) -> Result<Position, Error> {
        self.inner.wait(after, timeout, interrupt)
    }
    fn interrupt(&self, interrupt: &Interrupt) {
        self.inner.interrupt(interrupt);
    }
    fn close(&self) -> Result<(), Error> {
        self.inner.close()
    }
}

fn flaky(category: &'static str, kind: ErrorKind) -> (Annals, ManualClock, Arc<AtomicU64>) {
    let clock = ManualClock::at("2024-05-06T09:00:00Z".parse().unwrap());
    let failures = Arc::new(AtomicU64::new(0));
    let inner = MemoryStore::with(Arc::new(clock.clone()), annals::store::Limits::default());
    let store = Flaky { inner, category, kind, failures: Arc::clone(&failures) };
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
