//! What holds whatever a view is kept in.

use std::num::NonZeroUsize;
use std::time::Duration;

use annals::projection::{ErrorPolicy, State};
use annals::testing::ManualClock;
use annals::{Annals, ErrorKind, Position, Repository};
use chrono::TimeDelta;

use super::subject::{Faults, laws, refolded};
use crate::account::{Account, Command};

pub(super) fn clock() -> ManualClock {
    ManualClock::at("2024-02-29T12:00:00Z".parse().unwrap())
}

/// Accounts with some events, six of them theirs.
fn bank() -> (Annals, Repository<Account>) {
    let annals = Annals::builder().clock(clock()).in_memory();
    let accounts = annals.of::<Account>().unwrap();
    deposit(&accounts, ["alice", "bob", "alice", "cem", "bob", "alice"]);
    (annals, accounts)
}

pub(super) fn deposit<'n>(
    accounts: &Repository<Account>,
    names: impl IntoIterator<Item = &'n str>,
) {
    for (cents, name) in (1..).zip(names) {
        accounts.execute(name, Command::Deposit(cents)).unwrap();
    }
}

fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}

laws! {
    fn it_handles_each_event_once_and_in_order<S: Subject>(subject: &S) {
        let ((annals, accounts), faults) = (bank(), Faults::default());
        let mut batch = 1;
        loop {
            let size = NonZeroUsize::new(batch).unwrap();
            let projection = subject.projection(&annals, &faults).batch(size).open().unwrap();
            assert_eq!(projection.run_until_caught_up().unwrap(), annals.store().head().unwrap().durable);
            assert_eq!(subject.shown(&projection.reader()), refolded(&annals, &[]));
            deposit(&accounts, ["bob", "dora", "alice"]);
            projection.run_until_caught_up().unwrap();
            assert_eq!(subject.shown(&projection.reader()), refolded(&annals, &[]));
            let status = projection.status();
            assert_eq!((status.state, status.errors, status.lag.events), (State::Following, 0, 0));
            batch += 1;
            if batch == 5 {
                return;
            }
        }
    }

    fn it_stops_before_an_event_that_its_handler_refuses<S: Subject>(subject: &S) {
        let ((annals, _), faults) = (bank(), Faults::default());
        let projection = subject.projection(&annals, &faults).open().unwrap();
        faults.fail_at([4]);
        for round in 1..3 {
            let error = projection.run_until_caught_up().unwrap_err();
            assert_eq!((error.kind(), error.position()), (&ErrorKind::View, Some(Position::new(4))));
            assert!(error.to_string().contains("accounts"), "{error}");
            assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "refused: 4");
            assert_eq!(subject.shown(&projection.reader()), refolded(&annals, &[4, 5, 6]));
            let status = projection.status();
            assert_eq!((status.state, status.position), (State::Failed, Position::new(3)));
            assert_eq!((status.errors, status.lag.events), (round, 3));
            let last = status.last_error.unwrap();
            assert_eq!(last.stream().unwrap().to_string(), "account/cem");
            // Without being told, it does not try again.
            assert!(projection.run_until_caught_up().is_err());
            assert_eq!(projection.status().errors, round);
            projection.resume();
            assert_eq!(projection.status().state, State::Following);
        }
        faults.fail_at([]);
        projection.run_until_caught_up().unwrap();
        assert_eq!(subject.shown(&projection.reader()), refolded(&annals, &[]));
    }

    fn a_handler_that_panics_has_failed<S: Subject>(subject: &S) {
        let ((annals, _), faults) = (bank(), Faults::default());
        let projection = subject.projection(&annals, &faults).open().unwrap();
        faults.panic_at([2]);
        let error = projection.run_until_caught_up().unwrap_err();
        assert_eq!((error.kind(), error.position()), (&ErrorKind::View, Some(Position::new(2))));
        assert!(error.to_string().contains("no good: 2"), "{error}");
        assert_eq!(error.stream().unwrap().to_string(), "account/bob");
        assert_eq!(subject.shown(&projection.reader()), refolded(&annals, &[2, 3, 4, 5, 6]));
        faults.panic_at([]);
        projection.resume();
        projection.run_until_caught_up().unwrap();
        assert_eq!(subject.shown(&projection.reader()), refolded(&annals, &[]));
    }

    fn it_tries_again_after_twice_the_time<S: Subject>(subject: &S) {
        let clock = clock();
        let annals = Annals::builder().clock(clock.clone()).in_memory();
        deposit(&annals.of::<Account>().unwrap(), ["alice", "bob", "cem"]);
        let faults = Faults::default();
        let policy = ErrorPolicy::retry(4, Duration::from_secs(10)).at_most_every(Duration::from_secs(30));
        let projection = subject.projection(&annals, &faults).on_error(policy).open().unwrap();
        faults.fail_at([2]);
        let last = Position::new(3);
        let mut at = annals::Clock::now(&clock);
        for (tries, delay) in (1..).zip([10, 20, 30, 30]) {
            for short_of in [1, 0] {
                let error = projection.wait_for(last, Duration::from_millis(100)).unwrap_err();
                assert_eq!(error.kind(), &ErrorKind::Behind { position: Position::new(1) });
                let status = projection.status();
                assert_eq!(status.errors, tries);
                assert_eq!(status.state, State::Retrying { at: at + TimeDelta::seconds(delay) });
                clock.set(at + TimeDelta::seconds(delay - short_of));
            }
            at += TimeDelta::seconds(delay);
        }
        let error = projection.run_until_caught_up().unwrap_err();
        assert_eq!((error.kind(), projection.status().errors), (&ErrorKind::View, 5));
        assert_eq!(projection.status().state, State::Failed);

        projection.resume();
        let error = projection.wait_for(last, Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Behind { position: Position::new(1) });
        faults.fail_at([]);
        clock.advance(TimeDelta::seconds(10));
        projection.run_until_caught_up().unwrap();
        assert_eq!(subject.shown(&projection.reader()), refolded(&annals, &[]));
    }

    fn it_parks_what_it_cannot_handle_and_replays_it<S: Subject>(subject: &S) {
        let ((annals, accounts), faults) = (bank(), Faults::default());
        let open = || subject.projection(&annals, &faults).on_error(ErrorPolicy::park()).open().unwrap();
        let mut projection = open();
        faults.fail_at([1, 4, 5]);
        projection.run_until_caught_up().unwrap();
        assert_eq!(subject.shown(&projection.reader()), refolded(&annals, &[1, 4, 5]));
        assert_eq!((projection.status().parked, projection.status().state), (3, State::Following));
        let parked = projection.parked();
        assert_eq!(parked[1].position, Position::new(4));
        assert_eq!((parked[1].stream.to_string(), parked[1].event_type.as_str()), ("account/cem".into(), "Deposited"));
        assert!(parked[1].error.contains("refused: 4"), "{}", parked[1].error);

        if S::LASTS {
            drop(projection);
            projection = open();
            assert_eq!(projection.parked(), parked);
        }
        faults.fail_at([4]);
        deposit(&accounts, ["bob"]);
        assert_eq!(projection.replay_parked().unwrap(), 2);
        projection.run_until_caught_up().unwrap();
        let left: Vec<_> = projection.parked().iter().map(|parked| parked.position.get()).collect();
        assert_eq!(left, [4]);
        let mut shown = subject.shown(&projection.reader());
        shown.handled.sort_unstable();
        assert_eq!(shown, refolded(&annals, &[4]));

        faults.fail_at([]);
        assert_eq!(projection.replay_parked().unwrap(), 1);
        projection.run_until_caught_up().unwrap();
        assert_eq!((projection.parked(), projection.status().parked), (vec![], 0));
        let mut shown = subject.shown(&projection.reader());
        shown.handled.sort_unstable();
        assert_eq!(shown, refolded(&annals, &[]));
    }

    fn a_rebuild_makes_the_same_view<S: Subject>(subject: &S) {
        let ((annals, accounts), faults) = (bank(), Faults::default());
        let projection = subject.projection(&annals, &faults).batch(one()).open().unwrap();
        projection.run_until_caught_up().unwrap();
        let old = subject.shown(&projection.reader());
        for _ in 0..3 {
            projection.rebuild().unwrap();
            let status = projection.status();
            assert_eq!(status.state, State::Rebuilding);
            let progress = status.rebuild.unwrap();
            assert_eq!((progress.done, progress.total), (0, 6));
            if S::SHOWS_OLD {
                assert_eq!(status.position, Position::new(6));
                assert_eq!(subject.shown(&projection.reader()), old);
                // What is in the old view need not be waited for.
                projection.wait_for(Position::new(6), Duration::ZERO).unwrap();
            } else {
                assert_eq!(status.position, Position::START);
                assert!(subject.shown(&projection.reader()).handled.is_empty());
            }
            faults.fail_at([3]);
            let beyond = Position::new(7);
            let error = projection.wait_for(beyond, Duration::from_secs(9)).unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::View);
            let shown = subject.shown(&projection.reader());
            if S::SHOWS_OLD {
                assert_eq!(shown, old);
            } else {
                assert_eq!(shown, refolded(&annals, &[3, 4, 5, 6]));
            }
            faults.fail_at([]);
            projection.resume();
            projection.run_until_caught_up().unwrap();
            assert_eq!(subject.shown(&projection.reader()), old);
            assert_eq!(projection.status().rebuild, None);
        }
        deposit(&accounts, ["alice"]);
        projection.run_until_caught_up().unwrap();
        assert_eq!(subject.shown(&projection.reader()), refolded(&annals, &[]));
    }

    fn another_revision_makes_the_view_anew_if_that_is_asked_for<S: Subject>(subject: &S) {
        let ((annals, _), faults) = (bank(), Faults::default());
        let projection = subject.projection(&annals, &faults).open().unwrap();
        projection.run_until_caught_up().unwrap();
        drop(projection);
        let second = || subject.projection(&annals, &faults).revision(2);
        if S::LASTS {
            let error = second().open().unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::Revision { kept: 1 });
            assert!(error.to_string().contains("accounts is at revision 2"), "{error}");
        }
        for _ in 0..2 {
            let projection = second().start_over_if_changed().open().unwrap();
            projection.run_until_caught_up().unwrap();
            assert_eq!(subject.shown(&projection.reader()), refolded(&annals, &[]));
        }
        // Now it is what the view is at, and nothing has to be asked for.
        let projection = second().open().unwrap();
        projection.run_until_caught_up().unwrap();
        assert_eq!(subject.shown(&projection.reader()), refolded(&annals, &[]));
        drop(projection);
        let projection = second().start_over().open().unwrap();
        assert_eq!(projection.status().state, State::Rebuilding);
        projection.run_until_caught_up().unwrap();
        assert_eq!(subject.shown(&projection.reader()), refolded(&annals, &[]));
    }

    fn it_is_told_what_it_has_to_wait_for<S: Subject>(subject: &S) {
        let ((annals, accounts), faults) = (bank(), Faults::default());
        let projection = subject.projection(&annals, &faults).open().unwrap();
        let done = accounts.to("alice").wait_for(&projection, Duration::from_secs(9)).execute(Command::Deposit(5)).unwrap();
        done.awaited().unwrap();
        assert_eq!(subject.shown(&projection.reader()), refolded(&annals, &[]));

        // The command is carried out, whatever becomes of the waiting.
        faults.fail_at([8]);
        let done = accounts.to("alice").wait_for(&projection, Duration::from_secs(9)).execute(Command::Deposit(5)).unwrap();
        assert_eq!(done.awaited().unwrap_err().kind(), &ErrorKind::View);
        assert_eq!(done.version(), accounts.load("alice").unwrap().version());

        faults.fail_at([]);
        projection.resume();
        projection.run_until_caught_up().unwrap();
        projection.pause();
        let done = accounts.to("bob").wait_for(&projection, Duration::from_secs(9)).execute(Command::Deposit(5)).unwrap();
        let behind = done.awaited().unwrap_err();
        assert_eq!(behind.kind(), &ErrorKind::Behind { position: Position::new(8) });
        assert!(behind.to_string().contains("paused"), "{behind}");
        assert_eq!(projection.status().state, State::Paused);
        projection.resume();
        projection.wait_for(done.position(), Duration::from_secs(9)).unwrap();
        assert_eq!(subject.shown(&projection.reader()), refolded(&annals, &[]));
    }
}
