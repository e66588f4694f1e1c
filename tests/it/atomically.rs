//! Several decisions in one commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use annals::id::Tag;
use annals::store::{Clause, Expected};
use annals::{Annals, Conflict, ErrorKind, ExecuteError, Metadata, Position, Refusal, Version};

use crate::account::{Account, Command, Refused};

#[test]
fn a_transfer_happens_wholly_or_not_at_all() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    accounts.execute("alice", Command::Deposit(100)).unwrap();
    let transfer = |cents| {
        annals.atomically(|unit| {
            unit.execute(&accounts, "bob", Command::Deposit(cents))?;
            let version = unit.execute(&accounts, "alice", Command::Withdraw(cents))?;
            assert_eq!(version, Version::new(2));
            Ok(unit.load(&accounts, "alice")?.cents)
        })
    };
    let done = transfer(60).unwrap();
    assert_eq!(done.value, 40);
    let appended = done.appended.unwrap();
    assert_eq!((appended.first, appended.last), (Position::new(2), Position::new(3)));
    let refused = transfer(60).unwrap_err();
    let ExecuteError::Refused(refusal) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.reason::<Refused>(), Some(&Refused::Short(40)));
    assert_eq!(accounts.load("bob").unwrap().state().cents, 60);
}

#[test]
fn a_second_command_sees_what_the_first_decided() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    annals
        .atomically(|unit| {
            unit.execute(&accounts, "alice", Command::Deposit(5))?;
            unit.execute(&accounts, "alice", Command::Withdraw(5))?;
            assert!(matches!(
                unit.execute(&accounts, "alice", Command::Withdraw(1)),
                Err(ExecuteError::Refused(_))
            ));
            unit.execute(&accounts, "alice", Command::Deposit(7))?;
            Ok(())
        })
        .unwrap();
    let loaded = accounts.load("alice").unwrap();
    assert_eq!((loaded.version(), loaded.state().cents), (Version::new(3), 7));
}

#[test]
fn the_closure_runs_again_when_others_come_in_between() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    let runs = AtomicU32::new(0);
    let done = annals
        .atomically(|unit| {
            unit.execute(&accounts, "alice", Command::Deposit(1))?;
            if runs.fetch_add(1, Ordering::Relaxed) == 0 {
                accounts.execute("alice", Command::Deposit(10)).unwrap();
            }
            unit.execute(&accounts, "bob", Command::Deposit(1))?;
            Ok(unit.load(&accounts, "bob")?.cents)
        })
        .unwrap();
    assert_eq!((done.value, runs.into_inner()), (1, 2));
    assert_eq!(accounts.load("alice").unwrap().state().cents, 11);
}

#[test]
fn what_a_decision_looked_at_is_guarded_although_it_is_not_written() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    let runs = AtomicU32::new(0);
    annals
        .atomically(|unit| {
            unit.load(&accounts, "alice")?;
            if runs.fetch_add(1, Ordering::Relaxed) == 0 {
                accounts.execute("alice", Command::Deposit(10)).unwrap();
            }
            unit.execute(&accounts, "bob", Command::Deposit(1))?;
            Ok(())
        })
        .unwrap();
    assert_eq!(runs.into_inner(), 2);
}

#[test]
fn many_transfers_at_once_keep_the_sum() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    let ids = ["a", "b", "c", "d"];
    for id in ids {
        accounts.execute(id, Command::Deposit(1_000)).unwrap();
    }
    let transfers = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (annals, accounts, transfers) = (annals.clone(), accounts.clone(), &transfers);
            scope.spawn(move || {
                for round in 0..50 {
                    let (from, to) =
                        (ids[(thread + round) % 4], ids[(thread + round + 1 + round % 3) % 4]);
                    let moved = annals.atomically(|unit| {
                        unit.execute(&accounts, from, Command::Withdraw(3))?;
                        unit.execute(&accounts, to, Command::Deposit(3))?;
                        Ok(())
                    });
                    assert!(matches!(moved, Ok(_) | Err(ExecuteError::Refused(_))), "{moved:?}");
                    transfers.fetch_add(u32::from(moved.is_ok()), Ordering::Relaxed);
                }
            });
        }
    });
    let sum: u64 = ids.iter().map(|id| accounts.load(id).unwrap().state().cents).sum();
    assert_eq!(sum, 4_000);
    assert!(transfers.into_inner() > 300);
}

#[test]
fn slow_units_get_their_turn_among_fast_ones() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap().snapshot_every(50);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for id in ["a", "b", "b"] {
            let (annals, accounts, done) = (&annals, &accounts, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    annals
                        .atomically(|unit| unit.execute(accounts, id, Command::Deposit(1)))
                        .unwrap();
                    accounts.execute(id, Command::Deposit(1)).unwrap();
                }
            });
        }
        for _ in 0..10 {
            let slow = annals.atomically(|unit| {
                unit.execute(&accounts, "a", Command::Deposit(1))?;
                std::thread::sleep(Duration::from_millis(2));
                unit.execute(&accounts, "b", Command::Deposit(1))
            });
            if slow.is_err() {
                done.store(true, Ordering::Relaxed);
            }
            slow.unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn what_a_closure_concludes_rests_on_one_instant() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    for id in ["a", "b"] {
        accounts.execute(id, Command::Deposit(100)).unwrap();
    }
    let answer = annals.atomically(|unit| {
        let a = unit.load(&accounts, "a")?.cents;
        annals.atomically(|transfer| {
            transfer.execute(&accounts, "a", Command::Withdraw(50))?;
            transfer.execute(&accounts, "b", Command::Deposit(50))
        })?;
        let sum = a + unit.load(&accounts, "b")?.cents;
        Err::<(), _>(Refusal::new(std::io::Error::other(format!("the sum is {sum}"))).into())
    });
    assert_eq!(answer.unwrap_err().to_string(), "the sum is 200");
}

#[test]
fn a_fold_that_panicked_in_a_unit_is_not_written_although_somebody_caught_it() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    for also_decides in [true, false] {
        let answer = annals.atomically(|unit| {
            if also_decides {
                unit.execute(&accounts, "alice", Command::Deposit(1))?;
            }
            let panics = || unit.execute(&accounts, "alice", Command::PanicInFold).map(drop);
            assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
            unit.execute(&accounts, "bob", Command::Deposit(1))
        });
        let Err(ExecuteError::Store(error)) = answer else { panic!("{answer:?}") };
        assert_eq!(*error.kind(), ErrorKind::InvalidCommit);
        assert!(!accounts.exists("alice").unwrap() && !accounts.exists("bob").unwrap());
    }
}

#[test]
fn each_repository_decides_with_its_own_services() {
    use annals::{Aggregate, Context};
    #[derive(Default)]
    struct Served;
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    enum By {
        Service(u32),
    }
    impl Aggregate for Served {
        const TYPE: &'static str = "served";
        type Id = str;
        type Event = By;
        type Command = ();
        type Error = std::convert::Infallible;
        type Services = u32;
        fn apply(&mut self, _: &By) {}
        fn handle(&self, (): (), context: &Context<'_, Self>) -> Result<Vec<By>, Self::Error> {
            Ok(vec![By::Service(*context.services())])
        }
    }
    let annals = Annals::in_memory();
    let (one, two) = (annals.of_with::<Served>(1).unwrap(), annals.of_with::<Served>(2).unwrap());
    annals
        .atomically(|unit| {
            unit.execute(&one, "x", ())?;
            unit.execute(&two, "x", ())
        })
        .unwrap();
    let events: Vec<_> = one.events().read().unwrap().map(|e| e.unwrap().into_event()).collect();
    assert_eq!(events, [By::Service(1), By::Service(2)]);
}

#[test]
fn a_condition_that_does_not_hold_is_a_conflict_at_once() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    let open = |id: &str| {
        let owner = Clause::new().tag(Tag::new("owner:Ann").unwrap());
        let mut runs = 0;
        let answer = annals.atomically(|unit| {
            runs += 1;
            unit.require_none(owner.clone(), Position::START);
            unit.execute(&accounts, id, Command::Open("Ann".into()))?;
            Ok(())
        });
        (answer.map(|done| done.appended.is_some()), runs)
    };
    assert!(open("first").0.unwrap());
    let (answer, runs) = open("second");
    let Err(ExecuteError::Conflict(Conflict::Event { stream, event_type, position })) = answer
    else {
        panic!("{answer:?}");
    };
    assert_eq!((stream.id(), event_type.as_str(), position), ("first", "Opened", Position::new(1)));
    assert_eq!(runs, 2, "the same conflict twice is an answer, not a race");
    assert!(!accounts.exists("second").unwrap());
}

#[test]
fn a_guard_on_another_stream_is_kept() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    let guarded = |expected| {
        annals.atomically(|unit| {
            unit.guard(accounts.stream("alice")?, expected);
            unit.execute(&accounts, "bob", Command::Deposit(1))?;
            Ok(())
        })
    };
    assert!(matches!(
        guarded(Expected::Exists),
        Err(ExecuteError::Conflict(Conflict::Stream { .. }))
    ));
    guarded(Expected::Empty).unwrap();
    assert_eq!(accounts.load("bob").unwrap().version(), Version::new(1));
}

#[test]
fn a_unit_shares_its_metadata_and_may_end_with_an_error_of_its_own() {
    #[derive(Debug, thiserror::Error)]
    #[error("changed my mind")]
    struct Changed;
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    let answer = annals.atomically(|unit| -> Result<(), _> {
        unit.execute(&accounts, "alice", Command::Deposit(1))?;
        Err(Refusal::new(Changed).into())
    });
    assert_eq!(answer.unwrap_err().to_string(), "changed my mind");
    assert!(!accounts.exists("alice").unwrap());

    annals
        .atomically(|unit| {
            unit.execute(&accounts, "alice", Command::Deposit(1))?;
            unit.with(Metadata::new().with_actor("ann")).execute(
                &accounts,
                "bob",
                Command::Deposit(1),
            )?;
            Ok(())
        })
        .unwrap();
    let recorded: Vec<_> = accounts.events().read().unwrap().map(Result::unwrap).collect();
    assert_eq!(recorded[0].correlation(), recorded[1].correlation());
    assert_eq!((recorded[0].actor(), recorded[1].actor()), (None, Some("ann")));
}

#[test]
fn a_unit_without_decisions_writes_nothing_and_still_keeps_its_word() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    let check = |expected| {
        annals.atomically(|unit| {
            unit.guard(accounts.stream("alice")?, expected);
            unit.require_none(Tag::new("owner:Ann")?, Position::START);
            unit.execute(&accounts, "bob", Command::Nothing)
        })
    };
    assert!(matches!(
        check(Expected::Exists),
        Err(ExecuteError::Conflict(Conflict::Stream { .. }))
    ));
    let done = check(Expected::Empty).unwrap();
    assert!(done.appended.is_none() && done.value == Version::ZERO);
    accounts.execute("carol", Command::Open("Ann".into())).unwrap();
    assert!(matches!(check(Expected::Empty), Err(ExecuteError::Conflict(Conflict::Event { .. }))));
    let single = accounts.to("bob").guard(accounts.stream("alice").unwrap(), Expected::Exists);
    assert!(matches!(single.execute(Command::Nothing), Err(ExecuteError::Conflict(_))));
}

#[test]
fn what_a_unit_loads_was_true_at_one_instant() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    accounts.execute("alice", Command::Deposit(100)).unwrap();
    let runs = AtomicU32::new(0);
    let sum = annals.atomically(|unit| {
        let alice = unit.load(&accounts, "alice")?.cents;
        if runs.fetch_add(1, Ordering::Relaxed) == 0 {
            accounts.execute("alice", Command::Withdraw(100)).unwrap();
            accounts.execute("bob", Command::Deposit(100)).unwrap();
        }
        Ok(alice + unit.load(&accounts, "bob")?.cents)
    });
    assert_eq!((sum.unwrap().value, runs.into_inner()), (100, 2));
}

#[test]
fn a_repository_of_another_store_is_refused() {
    let other = Annals::in_memory().of::<Account>().unwrap();
    let answer = Annals::in_memory().atomically(|unit| {
        unit.execute(&other, "alice", Command::Deposit(1))?;
        Ok(())
    });
    assert!(
        matches!(answer, Err(ExecuteError::Store(error)) if *error.kind() == ErrorKind::OtherStore)
    );
}
