//! Projections on threads of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use annals::projection::{Change, Checkpoint, Keep, Memory, Standing, State};
use annals::store::{Durability, EventStore, FileStore};
use annals::{Annals, Error, ErrorKind, Position};

use super::laws::deposit;
use super::subject::{Faults, InMemory, Subject, laws, refolded};
use crate::account::{Account, Command};
use crate::directory::Directory;

const LONG: Duration = Duration::from_secs(30);

laws! {
    fn it_follows_many_writers_while_it_is_paused_and_resumed<S: Subject>(subject: &S) {
        let (annals, faults) = (Annals::in_memory(), Faults::default());
        let projection = subject.projection(&annals, &faults).spawn().unwrap();
        thread::scope(|scope| {
            for name in ["alice", "bob", "cem"] {
                let accounts = annals.of::<Account>().unwrap();
                let projection = &projection;
                scope.spawn(move || {
                    for _ in 0..40 {
                        let to = accounts.to(name).wait_for(projection, LONG);
                        to.execute(Command::Deposit(1)).unwrap().awaited().unwrap();
                    }
                });
            }
            for _ in 0..10 {
                projection.pause();
                let status = projection.status();
                assert_eq!(status.state, State::Paused);
                thread::sleep(Duration::from_millis(2));
                assert_eq!(projection.status().position, status.position);
                projection.resume();
                thread::sleep(Duration::from_millis(1));
            }
        });
        projection.run_until_caught_up().unwrap();
        assert_eq!(projection.status().position, Position::new(120));
        assert_eq!(subject.shown(&projection.reader()), refolded(&annals, &[]));
    }

    fn a_failure_is_told_to_those_who_wait_and_resumed<S: Subject>(subject: &S) {
        let (annals, faults) = (Annals::in_memory(), Faults::default());
        let accounts = annals.of::<Account>().unwrap();
        faults.fail_at([3]);
        let projection = subject.projection(&annals, &faults).spawn().unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| projection.wait_for(Position::new(4), LONG));
            deposit(&accounts, ["alice", "bob", "alice", "bob"]);
            assert_eq!(waiting.join().unwrap().unwrap_err().kind(), &ErrorKind::View);
        });
        projection.wait_for(Position::new(2), LONG).unwrap();
        let behind = projection.wait_for(Position::new(3), Duration::ZERO).unwrap_err();
        assert_eq!(behind.kind(), &ErrorKind::View);
        faults.fail_at([]);
        projection.resume();
        projection.wait_for(Position::new(4), LONG).unwrap();
        projection.rebuild().unwrap();
        deposit(&accounts, ["cem"]);
        projection.run_until_caught_up().unwrap();
        assert_eq!(subject.shown(&projection.reader()), refolded(&annals, &[]));
    }
}

#[test]
fn its_thread_ends_with_the_store_or_with_the_handle() {
    let (annals, faults) = (Annals::in_memory(), Faults::default());
    let projection = InMemory.projection(&annals, &faults).spawn().unwrap();
    deposit(&annals.of::<Account>().unwrap(), ["alice"]);
    projection.run_until_caught_up().unwrap();
    let another = InMemory.projection(&annals, &faults).spawn().unwrap();
    drop(another);
    annals.close().unwrap();
    let closed = projection.wait_for(Position::new(2), LONG).unwrap_err();
    assert_eq!(closed.kind(), &ErrorKind::Closed);
    assert_eq!(projection.status().state, State::Ended);
    assert_eq!(projection.reader().view().handled, [1]);
}

/// Panics when it is to keep something.
struct Panicking;

impl Keep for Panicking {
    type View = ();
    type Reader = ();

    fn reader(&self) {}

    fn recover(&mut self, start: &Checkpoint) -> Result<Standing, Error> {
        Ok(Standing { checkpoint: start.clone(), old: None })
    }

    fn keep(&mut self, _: &Checkpoint, _: Change<'_, ()>) -> Result<(), Error> {
        panic!("a bug of the keeper")
    }

    fn start_over(&mut self, start: &Checkpoint) -> Result<Standing, Error> {
        self.recover(start)
    }

    fn finish(&mut self, _: &Checkpoint) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn whoever_waits_for_a_thread_that_panics_is_told() {
    let annals = Annals::in_memory();
    let view = annals.view::<()>("a name \0 with a zero").on::<Account>(|(), _| ());
    let projection = view.kept_in(Panicking).spawn().unwrap();
    deposit(&annals.of::<Account>().unwrap(), ["alice"]);
    let ended = projection.wait_for(Position::new(1), LONG).unwrap_err();
    assert!(ended.to_string().contains("has ended"), "{ended}");
    assert_eq!(projection.status().state, State::Ended);
}

#[test]
fn a_paused_projection_is_not_run_and_notices_that_its_store_is_closed() {
    let (annals, faults) = (Annals::in_memory(), Faults::default());
    let projection = Arc::new(InMemory.projection(&annals, &faults).spawn().unwrap());
    assert_eq!(projection.name(), "accounts");
    projection.pause();
    let accounts = annals.of::<Account>().unwrap();
    let soon = Duration::from_millis(20);
    let done = accounts.to("alice").wait_for(&projection, soon).execute(Command::Deposit(1));
    let behind = done.unwrap().awaited().unwrap_err();
    assert!(behind.to_string().contains("paused"), "{behind}");
    let behind = projection.run_until_caught_up().unwrap_err();
    assert!(behind.to_string().contains("paused"), "{behind}");
    annals.close().unwrap();
    let closed = projection.wait_for(Position::new(1), LONG).unwrap_err();
    assert_eq!(closed.kind(), &ErrorKind::Closed);
    assert_eq!(projection.status().state, State::Ended);
    assert_eq!(projection.rebuild().unwrap_err().kind(), &ErrorKind::Closed);
}

/// What is read is never less than what those who wait are told, also while a view in memory begins anew after a failure.
#[test]
fn a_view_that_begins_anew_is_waited_for() {
    let (annals, faults) = (Annals::in_memory(), Faults::default());
    deposit(&annals.of::<Account>().unwrap(), ["alice"; 4]);
    faults.fail_at([4]);
    let projection = InMemory.projection(&annals, &faults).batch(std::num::NonZeroUsize::MIN);
    let projection = projection.open().unwrap();
    for _ in 0..20 {
        projection.wait_for(Position::new(3), LONG).unwrap();
        assert_eq!(projection.reader().view().handled, [1, 2, 3]);
        projection.wait_for(Position::new(4), LONG).unwrap_err();
        projection.resume();
    }
    let projection = projection.spawn().unwrap();
    let reader = projection.reader();
    for _ in 0..2_000 {
        projection.resume();
        if projection.wait_for(Position::new(3), LONG).is_ok() {
            assert!(
                reader.view().handled.len() >= 3 || projection.status().position < Position::new(3)
            );
        }
    }
    // Whoever looks twice in one expression does not wait for a projection that waits for them.
    faults.fail_at([]);
    projection.resume();
    let both = (reader.view(), {
        deposit(&annals.of::<Account>().unwrap(), ["bob"]);
        thread::sleep(Duration::from_millis(20));
        reader.view()
    });
    assert_eq!(both.0.handled, both.1.handled);
}

#[test]
fn a_handler_may_hold_the_last_handle() {
    let annals = Annals::in_memory();
    let cell = Arc::new(std::sync::Mutex::new(None));
    let count = Arc::new(AtomicU64::new(0));
    let (its_cell, its_count) = (Arc::clone(&cell), Arc::clone(&count));
    let view = annals.view::<u64>("last").on::<Account>(move |_, _| {
        drop(its_cell.lock().unwrap().take());
        its_count.fetch_add(1, Ordering::SeqCst);
    });
    *cell.lock().unwrap() = Some(view.kept_in(Memory::new()).spawn().unwrap());
    deposit(&annals.of::<Account>().unwrap(), ["alice", "bob"]);
    while count.load(Ordering::SeqCst) < 1 {
        thread::yield_now();
    }
    assert!(cell.lock().unwrap().is_none());
}

#[test]
fn it_sees_what_is_durable_and_nothing_else() {
    let (directory, faults) = (Directory::new(), Faults::default());
    let options = FileStore::options().durability(Durability::Buffered);
    let store = Arc::new(options.open(directory.path()).unwrap());
    let annals = Annals::with_store(Arc::clone(&store));
    let projection = InMemory.projection(&annals, &faults).spawn().unwrap();
    deposit(&annals.of::<Account>().unwrap(), ["alice", "bob"]);
    assert_eq!(annals.store().head().unwrap().durable, Position::START);
    let behind = projection.wait_for(Position::new(2), Duration::from_millis(30)).unwrap_err();
    assert!(matches!(behind.kind(), ErrorKind::Behind { .. }), "{behind}");
    let lag = projection.status().lag;
    assert_eq!((lag.events, lag.time), (0, chrono::TimeDelta::zero()));
    store.sync().unwrap();
    projection.wait_for(Position::new(2), LONG).unwrap();
    assert_eq!(projection.reader().view().clone(), refolded(&annals, &[]));
}

#[test]
fn it_works_on_a_follower() {
    let (directory, faults) = (Directory::new(), Faults::default());
    let annals = Annals::open(directory.path()).unwrap();
    let accounts = annals.of::<Account>().unwrap();
    let follower = FileStore::follow(directory.path()).unwrap();
    assert_eq!(follower.identity(), annals.store().identity());
    let beside = Annals::with_store(follower);
    let projection = InMemory.projection(&beside, &faults).spawn().unwrap();
    for _ in 0..20 {
        deposit(&accounts, ["alice", "bob"]);
        projection.wait_for(annals.store().head().unwrap().durable, LONG).unwrap();
    }
    assert_eq!(projection.reader().view().clone(), refolded(&annals, &[]));
}
