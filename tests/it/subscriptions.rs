//! Subscriptions: what is there, and then what comes, beside many who write.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use annals::id::{Category, EventId, EventType, Tag};
use annals::store::{
    Clause, Commit, Durability, EventStore, Events, Expected, FileStore, Filter, MemoryStore, Query,
};
use annals::{Annals, Error, ErrorKind, NewEvent, Position, RecordedEvent, Subscription};

use crate::account::{Account, Command};
use crate::chance::Chance;
use crate::directory::Directory;
use crate::file_store::tiny;

/// How long it may take until somebody who has fallen behind has seen everything.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn event(kind: u64) -> NewEvent {
    let event = NewEvent::new(EventType::new(format!("Kind{}", kind % 3)).unwrap(), &kind);
    let tag = Tag::new(format!("tag:{}", kind % 2)).unwrap();
    event.unwrap().with_tags([tag].into_iter().collect())
}

/// Some events of several streams and categories, together.
pub(crate) fn some(chance: &mut Chance) -> Commit {
    (0..=chance.below(3)).fold(Commit::new(), |commit, write| {
        let stream = match chance.below(3) {
            0 => format!("a/{write}"),
            1 => format!("b/{write}"),
            _ => format!("c/{write}"),
        };
        let stream = stream.parse().unwrap();
        commit.write(stream, Expected::Any, (0..=chance.below(2)).map(|_| event(chance.below(6))))
    })
}

/// So much that it is read in several batches.
fn much(chance: &mut Chance) -> Commit {
    let padding = "x".repeat(1_000);
    let large = |kind: u64| NewEvent::new(event(kind).event_type().clone(), &padding).unwrap();
    ["a/0", "b/0", "c/0"].into_iter().fold(Commit::new(), |commit, stream| {
        let events = std::iter::repeat_with(|| large(chance.below(6))).take(400);
        commit.write(stream.parse().unwrap(), Expected::Any, events)
    })
}

/// Commits of events, and units of two aggregates.
fn write(store: &Arc<dyn EventStore>, mut chance: Chance, commits: u64) {
    let annals = Annals::with_store(Arc::clone(store));
    let accounts = annals.of::<Account>().unwrap();
    for _ in 0..commits {
        if chance.below(4) > 0 {
            store.append(some(&mut chance)).unwrap();
            continue;
        }
        let written = annals.atomically(|unit| {
            unit.execute(&accounts, "alice", Command::Deposit(1))?;
            unit.execute(&accounts, "bob", Command::Deposit(1))?;
            Ok(())
        });
        // Others may get in between too often; then nothing is written.
        drop(written);
    }
}

fn filters() -> Vec<Filter> {
    let category = |name: &str| Category::new(name).unwrap();
    let tag = Tag::new("tag:1").unwrap();
    let kind = EventType::new("Kind2").unwrap();
    vec![
        Filter::all(),
        category("a").into(),
        category("account").into(),
        tag.clone().into(),
        Clause::new().category(category("b")).event_type(kind).into(),
        Filter::any_of([
            Clause::new().stream("c/0".parse().unwrap()),
            Clause::new().category(category("b")).tag(tag),
        ]),
        Filter::any_of([]),
    ]
}

type Seen = Vec<(Position, EventId)>;

fn meant(store: &dyn EventStore, filter: &Filter, after: Position) -> Seen {
    let events = Events::new(store, Query::new(filter.clone()).after(after));
    events.map(|event| place(&event.unwrap())).collect()
}

fn place(event: &RecordedEvent<'_>) -> (Position, EventId) {
    (event.position(), event.event_id())
}

/// Takes some events in a way that chance chooses.
fn take(subscription: &mut Subscription, chance: &mut Chance, into: &Mutex<Seen>) {
    let short = Duration::from_millis(5);
    let take = |event: RecordedEvent<'_>| into.lock().unwrap().push(place(&event));
    match chance.below(3) {
        0 => subscription.try_next().unwrap().into_iter().for_each(take),
        1 => subscription.next_timeout(short).unwrap().into_iter().for_each(take),
        _ => {
            let fails = chance.below(4) == 0;
            let mut first = None;
            let taken = subscription.next_batch(short, |batch| {
                first = batch.get(0).map(|event| event.position());
                if fails {
                    return Err(Error::new(ErrorKind::View));
                }
                batch.iter().for_each(take);
                Ok(())
            });
            match taken {
                Ok(taken) => assert_eq!(taken.is_some(), first.is_some()),
                Err(_) => assert!(first.is_some_and(|first| first > subscription.checkpoint())),
            }
        }
    }
}

/// A subscriber on a thread of its own.
struct Subscriber {
    filter: Filter,
    after: Position,
    seen: Arc<Mutex<Seen>>,
    is_over: Arc<AtomicBool>,
    thread: thread::JoinHandle<Position>,
}

/// Somebody who subscribes from somewhere on, and begins anew now and then where it was.
fn subscriber(store: &Arc<dyn EventStore>, filter: Filter, mut chance: Chance) -> Subscriber {
    let annals = Annals::with_store(Arc::clone(store));
    let mut subscription = annals.subscribe(filter.clone());
    let head = store.head().unwrap().durable;
    subscription = match chance.below(4) {
        0 => subscription,
        1 => subscription.from_now().unwrap(),
        2 => subscription.after(Position::new(chance.below(head.get() + 1))),
        _ => subscription.after(head.checked_add(20).unwrap()),
    };
    let after = subscription.checkpoint();
    let (seen, is_over) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
    let (ours, over, meant) = (Arc::clone(&seen), Arc::clone(&is_over), filter.clone());
    let thread = thread::spawn(move || {
        while !over.load(SeqCst) {
            take(&mut subscription, &mut chance, &ours);
            let durable = annals.store().head().unwrap().durable;
            let last = ours.lock().unwrap().last().map(|last| last.0);
            assert!(last.is_none_or(|last| last <= durable), "{last:?} is not durable");
            assert!(last.is_none_or(|last| last <= subscription.checkpoint()));
            if chance.below(20) == 0 {
                subscription = annals.subscribe(meant.clone()).after(subscription.checkpoint());
            }
        }
        subscription.checkpoint()
    });
    Subscriber { filter, after, seen, is_over, thread }
}

/// Many write, many subscribe at any time, and each sees what its filter matches: once, and in order.
fn trial(seed: u64, writer: &Arc<dyn EventStore>, reader: &Arc<dyn EventStore>, sync: impl Fn()) {
    let chance = |number: u64| Chance(seed * 1_000 + number);
    writer.append(much(&mut chance(0))).unwrap();
    let subscribe = |(number, filter)| subscriber(reader, filter, chance(number));
    let mut subscribers: Vec<_> = (100..).zip(filters()).map(subscribe).collect();
    let writers = [1, 2, 3, 4].map(|number| {
        let (writer, chance) = (Arc::clone(writer), chance(number));
        thread::spawn(move || write(&writer, chance, 25))
    });
    subscribers.extend((200..).zip(filters()).map(subscribe));
    while writers.iter().any(|writer| !writer.is_finished()) {
        sync();
        thread::sleep(Duration::from_millis(2));
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    sync();
    let began = Instant::now();
    for Subscriber { filter, after, seen, is_over, thread } in subscribers {
        let meant = meant(&**reader, &filter, after);
        let is_waited_for = || began.elapsed() < PATIENCE && !thread.is_finished();
        while seen.lock().unwrap().len() < meant.len() && is_waited_for() {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(3));
        is_over.store(true, SeqCst);
        let position = thread.join().unwrap();
        assert_eq!(*seen.lock().unwrap(), meant, "seed {seed}, {filter:?} after {after}");
        let head = reader.head().unwrap().durable;
        assert!(position <= head.max(after), "seed {seed}, {filter:?} after {after}");
    }
}

#[test]
fn each_subscriber_of_a_store_in_memory_sees_what_its_filter_matches_once_and_in_order() {
    for seed in 0..30 {
        let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
        trial(seed, &store, &store, || {});
    }
}

#[test]
fn each_subscriber_of_a_store_on_disk_sees_what_its_filter_matches_once_and_in_order() {
    for seed in 30..40 {
        let directory = Directory::new();
        let store: Arc<dyn EventStore> = Arc::new(tiny().open(directory.path()).unwrap());
        trial(seed, &store, &store, || {});
    }
}

#[test]
fn each_subscriber_of_a_buffered_store_sees_what_is_synced_once_and_in_order() {
    for seed in 40..50 {
        let directory = Directory::new();
        let buffered = tiny().durability(Durability::Buffered);
        let file = Arc::new(buffered.open(directory.path()).unwrap());
        let store: Arc<dyn EventStore> = Arc::<FileStore>::clone(&file);
        trial(seed, &store, &store, || {
            file.sync().unwrap();
        });
    }
}

#[test]
fn each_subscriber_of_a_follower_sees_what_its_filter_matches_once_and_in_order() {
    for seed in 50..60 {
        let directory = Directory::new();
        let writer: Arc<dyn EventStore> = Arc::new(tiny().open(directory.path()).unwrap());
        let follower: Arc<dyn EventStore> = Arc::new(tiny().follow(directory.path()).unwrap());
        trial(seed, &writer, &follower, || {});
    }
}
