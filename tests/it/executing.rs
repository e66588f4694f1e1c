//! Commands: decisions, conflicts, retries, repetition.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use annals::store::Expected;
use annals::testing::{ManualClock, Scenario};
use annals::{
    Aggregate, Annals, Conflict, Context, ExecuteError, Metadata, Position, Repository, Version,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::account::{Account, Command, Event, Refused};

fn accounts() -> Repository<Account> {
    Annals::in_memory().of::<Account>().unwrap()
}

#[test]
fn handles_are_shared_between_threads() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<Annals>();
    shared::<Repository<Account>>();
    sent::<annals::repository::Outcome<Account>>();
    sent::<annals::repository::Loaded<Account>>();
    sent::<annals::Recorded<'static, Account>>();
    sent::<ExecuteError<Refused>>();
}

#[test]
fn an_outcome_tells_state_version_position_and_events() {
    let accounts = accounts();
    let done = accounts.execute("alice", Command::Deposit(100)).unwrap();
    assert_eq!(done.state().cents, 100);
    assert_eq!((done.version(), done.position()), (Version::new(1), Position::new(1)));
    assert_eq!(done.events(), [Event::Deposited { cents: 100 }]);
    assert!(done.written() && !done.repeated());

    accounts.execute("bob", Command::Deposit(1)).unwrap();
    let done = accounts.execute("alice", Command::Close).unwrap();
    assert_eq!((done.version(), done.position()), (Version::new(3), Position::new(4)));
    assert_eq!(done.events().len(), 2);
    assert_eq!(done.into_state(), *accounts.load("alice").unwrap().state());
}

#[test]
fn an_empty_decision_is_accepted_and_writes_nothing() {
    let accounts = accounts();
    let done = accounts.execute("alice", Command::Nothing).unwrap();
    assert!(!done.written() && done.events().is_empty());
    assert_eq!((done.version(), done.position()), (Version::ZERO, Position::START));
    assert!(!accounts.exists("alice").unwrap());
}

#[test]
fn a_refusal_writes_nothing() {
    let accounts = accounts();
    accounts.execute("alice", Command::Deposit(10)).unwrap();
    let refused = accounts.execute("alice", Command::Withdraw(11)).unwrap_err();
    assert!(matches!(refused, ExecuteError::Refused(Refused::Short(10))));
    assert_eq!(accounts.load("alice").unwrap().version(), Version::new(1));
}

#[test]
fn an_unknown_aggregate_is_in_its_initial_state() {
    let loaded = accounts().load("nobody").unwrap();
    assert_eq!((loaded.version(), loaded.position()), (Version::ZERO, Position::START));
    assert!(!loaded.exists());
    assert_eq!(*loaded.state(), Account::default());
}

#[test]
fn an_edit_of_an_old_page_is_a_conflict_and_is_not_retried() {
    let accounts = accounts();
    accounts.execute("alice", Command::Deposit(10)).unwrap();
    let page = accounts.load("alice").unwrap();
    accounts.execute("alice", Command::Deposit(10)).unwrap();
    let answer = accounts.to("alice").at(page.version()).retries(5).execute(Command::Withdraw(10));
    let Err(ExecuteError::Conflict(Conflict::Stream { stream, expected, actual })) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(stream.to_string(), "account/alice");
    assert_eq!((expected, actual), (Expected::Exactly(Version::new(1)), Version::new(2)));
    assert_eq!(accounts.load("alice").unwrap().state().cents, 20);
    accounts.to("alice").at(Version::new(2)).execute(Command::Withdraw(10)).unwrap();
}

#[test]
fn sixteen_threads_on_one_id_all_succeed() {
    let accounts = accounts().snapshot_every(100);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            let accounts = accounts.clone();
            scope.spawn(move || {
                for _ in 0..500 {
                    accounts.execute("alice", Command::Deposit(1)).unwrap();
                }
            });
        }
    });
    let loaded = accounts.load("alice").unwrap();
    assert_eq!((loaded.state().cents, loaded.version()), (8_000, Version::new(8_000)));
    let versions =
        accounts.history("alice").unwrap().read().unwrap().map(|e| e.unwrap().version().get());
    assert!(versions.eq(1..=8_000));
}

#[test]
fn threads_that_race_without_snapshots_all_succeed() {
    let accounts = accounts();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..20 {
                    accounts.execute("alice", Command::Deposit(1)).unwrap();
                }
            });
        }
    });
    assert_eq!(accounts.load("alice").unwrap().version(), Version::new(320));
}

#[test]
fn a_key_makes_a_command_happen_once() {
    let accounts = accounts();
    accounts.execute("alice", Command::Deposit(5)).unwrap();
    let first = accounts.to("alice").once("payment 17").execute(Command::Deposit(100)).unwrap();
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    let again = accounts.to("alice").once("payment 17").execute(Command::Deposit(100)).unwrap();
    assert!(!first.repeated() && again.repeated() && !again.written());
    assert_eq!(again.events(), [Event::Deposited { cents: 100 }]);
    assert_eq!((again.version(), again.position()), (first.version(), first.position()));
    assert_eq!(again.state().cents, 105, "the state after the first time, not the latest");
    assert_eq!(accounts.load("alice").unwrap().state().cents, 106);
}

#[test]
fn a_key_and_a_condition_go_together() {
    let accounts = accounts();
    let open = |id: &str| {
        let open = accounts.to(id).once("form 1").with(Metadata::new());
        let owner = annals::store::Clause::new().tag(annals::id::Tag::new("owner:Ann").unwrap());
        open.require_none(owner, Position::START).execute(Command::Open("Ann".into()))
    };
    assert!(open("first").unwrap().written());
    let again = open("first").unwrap();
    assert!(again.repeated());
    assert_eq!(again.event_ids().len(), 1);
    let conflict = open("second").unwrap_err();
    assert!(matches!(conflict, ExecuteError::Conflict(Conflict::Event { .. })), "{conflict}");

    let guarded = accounts.to("third").guard(accounts.stream("second").unwrap(), Expected::Exists);
    assert!(matches!(guarded.execute(Command::Deposit(1)), Err(ExecuteError::Conflict(_))));
    let guarded = accounts.to("third").guard(accounts.stream("second").unwrap(), Expected::Empty);
    guarded.execute(Command::Deposit(1)).unwrap();
}

#[test]
fn a_key_belongs_to_one_aggregate() {
    let accounts = accounts();
    accounts.to("alice").once("k").execute(Command::Deposit(1)).unwrap();
    let other = accounts.to("bob").once("k").execute(Command::Deposit(1)).unwrap();
    assert!(!other.repeated());
}

#[test]
fn refusals_and_empty_decisions_are_decided_afresh_under_a_key() {
    let accounts = accounts();
    assert!(accounts.to("alice").once("k").execute(Command::Withdraw(1)).is_err());
    assert!(!accounts.to("alice").once("k").execute(Command::Nothing).unwrap().repeated());
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    assert!(accounts.to("alice").once("k").execute(Command::Withdraw(1)).unwrap().written());
    assert!(accounts.to("alice").once("k").execute(Command::Withdraw(1)).unwrap().repeated());
}

#[test]
fn a_key_is_looked_up_before_the_version_is_compared() {
    let accounts = accounts();
    accounts.to("alice").at(Version::ZERO).once("k").execute(Command::Deposit(1)).unwrap();
    let again =
        accounts.to("alice").at(Version::ZERO).once("k").execute(Command::Deposit(1)).unwrap();
    assert!(again.repeated());
}

#[test]
fn of_racers_with_one_key_one_writes_and_the_others_get_its_answer() {
    for round in 0..50 {
        let accounts = accounts();
        let id = format!("racer {round}");
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let run = || {
                accounts.to(&id).retries(round % 2).once("k").execute(Command::Deposit(7)).unwrap()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(outcomes.iter().filter(|outcome| outcome.written()).count(), 1);
        assert!(outcomes.iter().all(|outcome| outcome.version() == Version::new(1)));
        assert!(outcomes.iter().all(|outcome| outcome.events() == [Event::Deposited { cents: 7 }]));
    }
}

#[test]
fn racers_whose_command_can_be_refused_still_get_the_first_answer() {
    for round in 0..200 {
        let accounts = accounts();
        accounts.execute("alice", Command::Deposit(5)).unwrap();
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let run =
                || accounts.to("alice").once("all of it").execute(Command::Withdraw(5)).unwrap();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(outcomes.iter().filter(|outcome| outcome.written()).count(), 1, "round {round}");
        assert!(outcomes.iter().all(|outcome| outcome.events() == [Event::Withdrawn { cents: 5 }]));
    }
}

#[test]
fn a_panic_in_a_handler_or_a_fold_writes_nothing_and_breaks_nothing() {
    let accounts = accounts();
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    for command in [Command::Panic, Command::PanicInFold] {
        let panicked = catch_unwind(AssertUnwindSafe(|| accounts.execute("alice", command)));
        assert!(panicked.is_err());
        assert_eq!(accounts.load("alice").unwrap().version(), Version::new(1));
        accounts.execute("bob", Command::Deposit(1)).unwrap();
    }
    accounts.execute("alice", Command::Deposit(1)).unwrap();
}

#[test]
fn metadata_is_recorded_and_a_command_without_any_starts_a_correlation() {
    let accounts = accounts();
    let metadata = Metadata::new().with_actor("ann").with_header("ip", "192.0.2.7");
    accounts.to("alice").with(metadata.clone()).execute(Command::Close).unwrap();
    let recorded: Vec<_> =
        accounts.history("alice").unwrap().read().unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(recorded[0].actor(), Some("ann"));
    assert_eq!(recorded[1].metadata().header("ip"), Some("192.0.2.7"));
    assert!(recorded[0].correlation().is_some());
    assert_eq!(recorded[0].correlation(), recorded[1].correlation());

    let done = accounts.to("carol").with(metadata).execute(Command::Deposit(1)).unwrap();
    let carols = accounts.history("carol").unwrap().first().unwrap().unwrap();
    assert_eq!(done.event_ids(), [carols.event_id()]);
    assert_eq!(done.correlation(), carols.correlation());
    assert_ne!(done.correlation(), recorded[0].correlation());

    let caused = Metadata::caused_by(&recorded[0]);
    assert_eq!(caused.causation(), Some(recorded[0].event_id()));
    accounts.to("bob").with(caused).execute(Command::Deposit(1)).unwrap();
    let effects = accounts.events().correlated(recorded[0].correlation().unwrap());
    assert_eq!(effects.read().unwrap().count(), 3);
}

/// Decides by the clock, the caller and a service.
#[derive(Default)]
struct Till;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Rung {
    Rang { at: DateTime<Utc>, by: String, id: u32, fresh: bool, tax: u32 },
}

trait Taxes: Send + Sync {
    fn tax(&self) -> u32;
}

struct Counting(AtomicU32);

impl Taxes for Counting {
    fn tax(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl Aggregate for Till {
    const TYPE: &'static str = "till";
    type Id = u32;
    type Event = Rung;
    type Command = ();
    type Error = std::convert::Infallible;
    type Services = dyn Taxes;

    fn apply(&mut self, _: &Rung) {}

    fn handle(&self, (): (), context: &Context<'_, Self>) -> Result<Vec<Rung>, Self::Error> {
        Ok(vec![Rung::Rang {
            at: context.now(),
            by: context.actor().unwrap_or("nobody").to_owned(),
            id: *context.id(),
            fresh: context.is_new(),
            tax: context.services().tax(),
        }])
    }
}

#[test]
fn a_decision_sees_time_caller_id_and_services() {
    let time: DateTime<Utc> = "2024-05-06T07:08:09.123456789Z".parse().unwrap();
    let taxes: Arc<dyn Taxes> = Arc::new(Counting(AtomicU32::new(3)));
    let micros = "2024-05-06T07:08:09.123456Z".parse().unwrap();
    Scenario::<Till>::with_services(&7, taxes)
        .at(time)
        .with(Metadata::new().with_actor("ann"))
        .when(())
        .then([Rung::Rang { at: micros, by: "ann".into(), id: 7, fresh: true, tax: 3 }])
        .when(())
        .then([Rung::Rang { at: micros, by: "ann".into(), id: 7, fresh: false, tax: 4 }]);
}

#[test]
fn the_injected_clock_stamps_what_is_recorded() {
    let clock = ManualClock::at("2024-01-01T00:00:00Z".parse().unwrap());
    let annals = Annals::builder().clock(clock.clone()).in_memory();
    let accounts = annals.of::<Account>().unwrap();
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    clock.advance(TimeDelta::days(-1));
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    let times: Vec<_> = annals
        .read(annals::store::Query::default())
        .map(|event| event.unwrap().recorded_at())
        .collect();
    assert_eq!(times[0].to_rfc3339(), "2024-01-01T00:00:00+00:00");
    assert_eq!(times[1], times[0], "time does not go backwards");
}

#[test]
fn a_decision_that_is_taken_again_sees_the_time_of_then() {
    /// Says when it decides, and lets the test do something first.
    #[derive(Default)]
    struct Slow;
    #[derive(Serialize, Deserialize)]
    enum Decided {
        At(DateTime<Utc>),
    }
    impl Aggregate for Slow {
        const TYPE: &'static str = "slow";
        type Id = str;
        type Event = Decided;
        type Command = Option<Arc<dyn Fn() + Send + Sync>>;
        type Error = std::convert::Infallible;
        type Services = ();
        fn apply(&mut self, _: &Decided) {}
        fn handle(
            &self,
            first: Self::Command,
            context: &Context<'_, Self>,
        ) -> Result<Vec<Decided>, Self::Error> {
            if let (Some(first), true) = (first, context.is_new()) {
                first();
            }
            Ok(vec![Decided::At(context.now())])
        }
    }
    let clock = ManualClock::at("2024-01-01T00:00:00Z".parse().unwrap());
    let slow = Annals::builder().clock(clock.clone()).in_memory().of::<Slow>().unwrap();
    let other = slow.clone();
    let interfere = move || {
        clock.advance(TimeDelta::hours(1));
        other.execute("x", None).unwrap();
    };
    let done = slow.execute("x", Some(Arc::new(interfere))).unwrap();
    let Decided::At(time) = &done.events()[0];
    assert_eq!(
        (time.to_rfc3339().as_str(), done.version()),
        ("2024-01-01T01:00:00+00:00", Version::new(2))
    );
}

#[test]
fn a_command_inside_a_command_does_not_wait_for_itself() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    let start = std::time::Instant::now();
    let mut runs = 0;
    annals
        .atomically(|unit| {
            unit.execute(&accounts, "alice", Command::Deposit(1))?;
            runs += 1;
            if runs < 50 {
                accounts.execute("alice", Command::Deposit(1)).unwrap();
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(accounts.load("alice").unwrap().version(), Version::new(50));
    assert!(start.elapsed().as_secs() < 4, "a wait for its own turn would take 100 ms each time");
}

#[test]
fn a_repeated_commit_may_name_its_streams_in_another_order() {
    use annals::id::{EventId, EventType};
    use annals::store::{AppendError, Commit};
    let annals = Annals::in_memory();
    let event = |name: &str| {
        annals::NewEvent::new(EventType::new(name).unwrap(), name)
            .unwrap()
            .with_id(EventId::random())
    };
    let (a, b) = (vec![event("A"), event("B")], vec![event("C")]);
    let commit = |first: (&str, &Vec<annals::NewEvent>), second: (&str, &Vec<annals::NewEvent>)| {
        let write = |commit: Commit, (stream, events): (&str, &Vec<annals::NewEvent>)| {
            commit.write(stream.parse().unwrap(), Expected::Empty, events.clone())
        };
        annals.store().append(write(write(Commit::new(), first), second))
    };
    let first = commit(("s/a", &a), ("s/b", &b)).unwrap();
    let again = commit(("s/b", &b), ("s/a", &a)).unwrap();
    assert!(again.already_there);
    assert_eq!((again.first, again.last), (first.first, first.last));
    assert_eq!(again.ids, [&first.ids[2..], &first.ids[..2]].concat());
    assert_eq!(again.versions.iter().map(|(_, version)| version.get()).collect::<Vec<_>>(), [1, 2]);
    let turned: Vec<_> = a.iter().rev().cloned().collect();
    for answer in [commit(("s/a", &turned), ("s/b", &b)), commit(("s/b", &a), ("s/a", &b))] {
        assert!(
            matches!(answer, Err(AppendError::Store(error)) if *error.kind() == annals::ErrorKind::EventIdTaken)
        );
    }
}

#[test]
fn scenarios_check_events_refusals_and_state() {
    Scenario::<Account>::of("alice")
        .given([Event::Opened { owner: "Alice".into() }, Event::Deposited { cents: 30 }])
        .when(Command::Withdraw(31))
        .then_refused(&Refused::Short(30))
        .when(Command::Nothing)
        .then([])
        .when(Command::Close)
        .then([Event::Withdrawn { cents: 30 }, Event::Closed])
        .then_state(|account| assert!(account.closed && account.owner == "Alice"))
        .when(Command::Close)
        .then_refused(&Refused::Closed);
}

#[test]
fn a_scenario_that_does_not_hold_panics() {
    let scenario = || Scenario::<Account>::of("alice").given([Event::Deposited { cents: 5 }]);
    let fails = |test: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(test)).is_err());
    fails(&|| drop(scenario().when(Command::Nothing).then([Event::Closed])));
    fails(&|| drop(scenario().when(Command::Withdraw(6)).then([])));
    fails(&|| drop(scenario().when(Command::Withdraw(6)).then_refused(&Refused::Short(6))));
    fails(&|| drop(scenario().when(Command::Withdraw(5)).then_refused(&Refused::Short(5))));
    fails(&|| {
        drop(scenario().when(Command::Nothing).then_state(|account| assert_eq!(account.cents, 6)));
    });
    fails(&|| drop(scenario().given_stored("Unknown", 1, &()).when(Command::Nothing).then([])));
}

#[test]
fn closing_is_for_everyone() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    annals.clone().close().unwrap();
    let closed = annals::ErrorKind::Closed;
    assert_eq!(*accounts.load("alice").unwrap_err().kind(), closed);
    assert!(matches!(
        accounts.execute("alice", Command::Deposit(1)),
        Err(ExecuteError::Store(error)) if *error.kind() == closed
    ));
    assert_eq!(*annals.view::<u32>("v").on::<Account>(|_, _| ()).run().unwrap_err().kind(), closed);
    annals.close().unwrap();
}
