//! Aggregates that are kept at hand: fewer reads, the same answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use annals::store::MemoryStore;
use annals::{Annals, ExecuteError, Repository, Version};

use crate::account::{Account, Command, Refused};
use crate::chance::Chance;
use crate::hooked::{Asked, Hooked};

/// How much a store was asked for.
#[derive(Debug, Default)]
struct Counts {
    appends: AtomicU64,
    reads: AtomicU64,
    versions: AtomicU64,
}

impl Counts {
    fn add(&self, asked: &Asked<'_>) {
        let count = match asked {
            Asked::Append(_) => &self.appends,
            Asked::Read => &self.reads,
            Asked::Version => &self.versions,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// How many appends, reads and looks at versions there were since this was last asked.
    fn counts(&self) -> [u64; 3] {
        [&self.appends, &self.reads, &self.versions].map(|count| count.swap(0, Ordering::Relaxed))
    }
}

/// A store, its aggregates with a cache, and the same without one, as somebody else has them.
fn setting(size: usize) -> (Arc<Counts>, Repository<Account>, Repository<Account>) {
    let (counts, log) = (Arc::new(Counts::default()), Arc::new(MemoryStore::new()));
    let counted = Arc::clone(&counts);
    let store = Arc::new(Hooked::new(&log, move |asked| {
        counted.add(&asked);
        Ok(())
    }));
    let [cached, other] = [(); 2].map(|()| Annals::with_store(Arc::clone(&store)));
    (counts, cached.of::<Account>().unwrap().cached(size), other.of::<Account>().unwrap())
}

#[test]
fn a_command_to_an_aggregate_at_hand_costs_one_append() {
    let (store, accounts, _) = setting(10);
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    store.counts();
    for _ in 0..100 {
        accounts.clone().execute("alice", Command::Deposit(1)).unwrap();
    }
    assert_eq!(store.counts(), [100, 0, 0]);
    let done = accounts.to("alice").once("key").execute(Command::Deposit(1)).unwrap();
    assert_eq!((done.state().cents, store.counts()), (102, [1, 1, 0]));
    // What was decided then is looked up, and the state after it.
    assert!(accounts.to("alice").once("key").execute(Command::Deposit(1)).unwrap().repeated());
    assert_eq!(store.counts(), [0, 2, 0]);
    assert_eq!(accounts.load("alice").unwrap().state().cents, 102);
    assert_eq!(store.counts(), [0, 1, 0]);
    assert_eq!(accounts.load_cached("alice").unwrap().state().cents, 102);
    assert_eq!(store.counts(), [0, 0, 0]);
    // A refusal and an empty decision are only given of the newest state.
    assert!(accounts.execute("alice", Command::Withdraw(1_000)).is_err());
    assert_eq!(store.counts(), [0, 0, 1]);
    assert!(!accounts.execute("alice", Command::Nothing).unwrap().written());
    assert_eq!(store.counts(), [0, 0, 1]);
}

#[test]
fn what_others_have_written_counts() {
    let (store, accounts, others) = setting(10);
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    others.execute("alice", Command::Deposit(10)).unwrap();
    assert_eq!(accounts.load_cached("alice").unwrap().state().cents, 1);
    // Refused on what is at hand, and not on what there is.
    let done = accounts.execute("alice", Command::Withdraw(5)).unwrap();
    assert_eq!((done.state().cents, done.version().get()), (6, 3));
    others.execute("alice", Command::Withdraw(6)).unwrap();
    store.counts();
    // Accepted on what is at hand, and refused on what there is.
    let refused = accounts.execute("alice", Command::Withdraw(1)).unwrap_err();
    assert_eq!(refused.refusal(), Some(&Refused::Short(0)));
    let [appends, ..] = store.counts();
    assert_eq!(appends, 1);
    others.execute("alice", Command::Deposit(3)).unwrap();
    // That something was not the newest is no race that was lost.
    let done = accounts.to("alice").retries(0).execute(Command::Withdraw(1)).unwrap();
    assert_eq!((done.state().cents, done.version().get()), (2, 6));
    let at = accounts.to("alice").at(Version::new(6)).execute(Command::Withdraw(2)).unwrap();
    assert_eq!(at.state().cents, 0);
    let late = accounts.to("alice").at(Version::new(6)).execute(Command::Deposit(1));
    assert!(matches!(late, Err(ExecuteError::Conflict(_))));
}

#[test]
fn a_fold_that_panics_leaves_nothing_behind() {
    let (_, accounts, others) = setting(10);
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    for command in [Command::PanicInFold, Command::Panic] {
        let accounts = accounts.clone();
        assert!(thread::spawn(move || accounts.execute("alice", command)).join().is_err());
    }
    let done = accounts.execute("alice", Command::Deposit(1)).unwrap();
    assert_eq!(done.state(), others.load("alice").unwrap().state());
    assert_eq!(done.state().cents, 2);
}

#[test]
fn a_cache_has_its_bound() {
    let (store, accounts, _) = setting(8);
    for number in 0..100 {
        accounts.execute(&number.to_string(), Command::Deposit(1)).unwrap();
    }
    store.counts();
    let at_hand = (0..100).rev().filter(|number| {
        accounts.load_cached(&number.to_string()).unwrap();
        store.counts() == [0, 0, 0]
    });
    let at_hand = at_hand.count();
    assert!((1..=8).contains(&at_hand), "{at_hand}");
}

#[test]
fn threads_do_not_fight_for_an_aggregate() {
    let (store, accounts, others) = setting(10);
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    store.counts();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    accounts.execute("alice", Command::Deposit(1)).unwrap();
                }
            });
        }
    });
    assert_eq!(others.load("alice").unwrap().state().cents, 401);
    let [appends, ..] = store.counts();
    // Whoever waits for 100 ms goes on without a turn.
    assert!((400..420).contains(&appends), "{appends}");
}

/// Whoever writes, with a cache or without, in whatever order: the answers are those of a program without any.
#[test]
fn answers_are_the_same() {
    for seed in 0..100 {
        let mut chance = Chance(seed);
        let (_, cached, plain) = setting(1 + usize::try_from(chance.below(4)).unwrap());
        let model = Annals::in_memory().of::<Account>().unwrap();
        let mut keys: HashMap<u64, u64> = HashMap::new();
        for _ in 0..100 {
            let id = chance.below(6).to_string();
            let command = match chance.below(5) {
                0 | 1 => Command::Deposit(chance.below(50)),
                2 | 3 => Command::Withdraw(chance.below(80)),
                _ => Command::Nothing,
            };
            let key = chance.below(200);
            *keys.entry(key).or_default() += 1;
            let who = if chance.below(2) == 0 { &cached } else { &plain };
            let [answer, right] = [who, &model].map(|accounts| {
                let done = accounts.to(&id).once(key.to_string()).execute(command.clone());
                done.map(|it| (it.state().clone(), it.version(), it.repeated(), it.events().len()))
                    .map_err(|error| error.to_string())
            });
            assert_eq!(answer, right, "seed {seed}");
            let loaded = cached.load(&id).unwrap();
            assert_eq!(loaded.state(), model.load(&id).unwrap().state(), "seed {seed}");
            let known = cached.load_cached(&id).unwrap();
            assert_eq!(known.version(), loaded.version(), "seed {seed}");
        }
    }
}
