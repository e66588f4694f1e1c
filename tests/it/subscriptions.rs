//! Subscriptions: what is there, and then what comes.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use annals::id::{Category, EventId, EventType, Tag};
use annals::store::{
    Clause, Commit, Durability, EventStore, Events, Expected, FileStore, Filter, MemoryStore, Query,
};
use annals::subscription::Stopper;
use annals::{
    Aggregate, Annals, Error, ErrorKind, NewEvent, Position, Recorded, RecordedEvent, Subscription,
};

use crate::account::{Account, Command};
use crate::directory::Directory;
use crate::file_store::tiny;

/// How long it may take until somebody who has fallen behind has seen everything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Chance that a seed repeats.
struct Chance(u64);

impl Chance {
    /// A number below `count`.
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % count
    }
}

fn event(kind: u64) -> NewEvent {
    let event = NewEvent::new(EventType::new(format!("Kind{}", kind % 3)).unwrap(), &kind);
    let tag = Tag::new(format!("tag:{}", kind % 2)).unwrap();
    event.unwrap().with_tags([tag].into_iter().collect())
}

/// Some events of several streams and categories, together.
fn some(chance: &mut Chance) -> Commit {
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

#[test]
fn what_is_only_buffered_is_not_handed_out() {
    let directory = Directory::new();
    let store = tiny().durability(Durability::Buffered).open(directory.path()).unwrap();
    let store = Arc::new(store);
    let mut subscription = Annals::with_store(Arc::clone(&store)).subscribe(Filter::all());
    store.append(some(&mut Chance(1))).unwrap();
    assert_eq!(subscription.try_next().unwrap(), None);
    store.sync().unwrap();
    assert_eq!(subscription.try_next().unwrap().unwrap().position(), Position::new(1));
}

/// A store in memory, one on disk and a follower of that, and who writes to them.
fn stores(directory: &Directory) -> [(Arc<dyn EventStore>, Arc<dyn EventStore>); 3] {
    let memory: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let open = |name| Arc::new(tiny().open(directory.path().join(name)).unwrap());
    let (file, followed): (Arc<dyn EventStore>, Arc<dyn EventStore>) = (open("1"), open("2"));
    let follower = Arc::new(tiny().follow(directory.path().join("2")).unwrap());
    [(Arc::clone(&memory), memory), (Arc::clone(&file), file), (followed, follower)]
}

/// Counts what comes, until the subscription ends; and when that was.
fn count(mut subscription: Subscription) -> thread::JoinHandle<(u64, Position, Instant)> {
    thread::spawn(move || {
        let count = subscription.by_ref().map(Result::unwrap).count() as u64;
        let ended = Instant::now();
        assert!(subscription.has_ended() && subscription.next().is_none());
        assert!(subscription.try_next().unwrap().is_none());
        (count, subscription.checkpoint(), ended)
    })
}

/// So soon ends what sleeps, also on a machine with much to do.
const PROMPTLY: Duration = Duration::from_millis(500);

#[test]
fn a_stopped_subscription_ends_promptly_and_another_misses_nothing() {
    let directory = Directory::new();
    for (writer, reader) in stores(&directory) {
        let annals = Annals::with_store(reader);
        let subscription = annals.subscribe(Filter::all());
        let stopper = subscription.stopper();
        let other = count(annals.subscribe(Filter::all()));
        let counting = count(subscription);
        thread::sleep(Duration::from_millis(20));
        let stopped = Instant::now();
        stopper.clone().stop();
        let (none, start, ended) = counting.join().unwrap();
        assert_eq!((none, start), (0, Position::START));
        assert!(ended - stopped < PROMPTLY, "{:?}", ended - stopped);

        let (mut counted, mut position, mut chance) = (0, Position::START, Chance(7));
        for round in 0..60 {
            let subscription = annals.subscribe(Filter::all()).after(position);
            let stopper = subscription.stopper();
            let counting = count(subscription);
            writer.append(some(&mut chance)).unwrap();
            thread::sleep(Duration::from_micros(chance.below(400)));
            stopper.stop();
            let (more, reached, _) = counting.join().unwrap();
            (counted, position) = (counted + more, reached);
            assert_eq!(counted, position.get(), "round {round}");
        }
        writer.append(some(&mut chance)).unwrap();
        // Who comes after the end of another sees the rest.
        let rest = annals.subscribe(Filter::all()).after(position);
        let stopper = rest.stopper();
        let head = writer.head().unwrap().durable;
        let seen = rest.take_while(|event| {
            event.as_ref().unwrap().position() < head || {
                stopper.stop();
                true
            }
        });
        assert_eq!(seen.count() as u64 + counted, head.get());
        assert!(!other.is_finished(), "nobody else was stopped");
        let closed = Instant::now();
        annals.clone().close().unwrap();
        let (all, reached, ended) = other.join().unwrap();
        assert_eq!(all, reached.get());
        assert!(ended - closed < PROMPTLY, "{:?}", ended - closed);
        assert_eq!(annals.subscribe(Filter::all()).next().map(|e| e.is_ok()), None);
        let from_now = annals.subscribe(Filter::all()).from_now();
        assert_eq!(*from_now.unwrap_err().kind(), ErrorKind::Closed);
    }
}

#[test]
fn the_position_moves_on_over_what_does_not_match() {
    let directory = Directory::new();
    for (writer, reader) in stores(&directory) {
        let mut subscription = Annals::with_store(reader).subscribe(Category::new("a").unwrap());
        let write = |stream: &str| {
            let stream = stream.parse().unwrap();
            writer.append(Commit::new().write(stream, Expected::Any, [event(1), event(2)])).unwrap()
        };
        write("b/1");
        let own = write("a/1").first;
        write("b/1");
        assert_eq!(subscription.checkpoint(), Position::START);
        assert_eq!(subscription.try_next().unwrap().unwrap().position(), own);
        assert_eq!(subscription.checkpoint(), own);
        assert!(subscription.try_next().unwrap().is_some());
        assert_eq!(subscription.checkpoint(), writer.head().unwrap().durable);
        write("b/1");
        assert_eq!(subscription.try_next().unwrap(), None);
        assert_eq!(subscription.checkpoint(), writer.head().unwrap().durable);
    }
}

#[test]
fn a_batch_is_handed_out_again_until_it_is_handled_and_holds_nothing_that_was_handed_out() {
    let annals = Annals::in_memory();
    for number in 0..6 {
        let stream = "a/1".parse().unwrap();
        annals.store().append(Commit::new().write(stream, Expected::Any, [event(number)])).unwrap();
    }
    let mut subscription = annals.subscribe(Filter::all());
    assert_eq!(subscription.try_next().unwrap().unwrap().position(), Position::new(1));
    for _ in 0..2 {
        let failed = subscription.next_batch(Duration::ZERO, |batch| {
            assert_eq!(batch.get(0).unwrap().position(), Position::new(2));
            Err::<(), _>(Error::new(ErrorKind::View))
        });
        assert_eq!(*failed.unwrap_err().kind(), ErrorKind::View);
        assert_eq!(subscription.checkpoint(), Position::new(1));
    }
    assert_eq!(subscription.try_next().unwrap().unwrap().position(), Position::new(2));
    let length = |subscription: &mut Subscription| {
        subscription.next_batch(Duration::ZERO, |batch| Ok::<_, Error>(batch.len())).unwrap()
    };
    assert_eq!(length(&mut subscription), Some(4));
    assert_eq!(subscription.checkpoint(), Position::new(6));
    assert_eq!(length(&mut subscription), None);
    let mut again = subscription.after(Position::new(4));
    assert_eq!(length(&mut again), Some(2));
}

#[test]
fn after_an_error_the_same_place_is_tried_again() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    let unknown = NewEvent::new(EventType::new("Unheard").unwrap(), &()).unwrap();
    let stream = accounts.stream("alice").unwrap();
    annals.store().append(Commit::new().write(stream, Expected::Any, [unknown])).unwrap();
    let mut subscription = accounts.subscribe();
    assert_eq!(subscription.next().unwrap().unwrap().id(), "alice");
    for _ in 0..3 {
        let error = subscription.next().unwrap().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::UnknownEvent);
        assert_eq!(subscription.checkpoint(), Position::new(1));
        assert!(!subscription.has_ended());
    }
    assert_eq!(annals.subscribe(Filter::all()).take(2).map(Result::unwrap).count(), 2);
}

#[test]
fn a_typed_subscription_sees_its_own_aggregates_and_no_others() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    accounts.execute("alice", Command::Open("ann".into())).unwrap();
    let stream = "a/1".parse().unwrap();
    annals.store().append(Commit::new().write(stream, Expected::Any, [event(1)])).unwrap();
    accounts.execute("bob", Command::Open("bea".into())).unwrap();
    let ids = |mut subscription: Subscription<Recorded<'static, Account>>| {
        let next = move || subscription.try_next().unwrap();
        std::iter::from_fn(next).map(|e| e.id().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(accounts.subscribe()), ["alice", "bob"]);
    let all = annals.subscribe(Filter::all());
    assert_eq!(ids(all.typed::<Account>().unwrap()), ["alice", "bob"]);
    let beas = accounts.events().tagged(Tag::new("owner:bea").unwrap()).filter().unwrap();
    assert_eq!(ids(annals.subscribe(beas).typed::<Account>().unwrap()), ["bob"]);
    assert_eq!(ids(accounts.subscribe().after(Position::new(1))), ["bob"]);
    assert_eq!(ids(accounts.subscribe().from_now().unwrap()), [""; 0]);
}

#[test]
fn a_gap_is_an_error_where_it_has_a_meaning_and_is_seen_where_it_has_none() {
    let (damaged, saved) = (Directory::new(), Directory::new());
    let annals = Annals::with_store(tiny().open(damaged.path()).unwrap());
    let accounts = annals.of::<Account>().unwrap();
    for cents in [1, 777_777, 3] {
        accounts.execute("alice", Command::Deposit(cents)).unwrap();
    }
    annals.close().unwrap();
    let log = damaged.path().join("0000000001.log");
    let mut bytes = std::fs::read(&log).unwrap();
    let place = bytes.windows(6).position(|window| window == b"777777").unwrap();
    bytes[place] = b'8';
    std::fs::write(&log, bytes).unwrap();
    let open = |directory: &Directory| annals::storage::Directory::new(directory.path()).unwrap();
    let copied = annals::store::care::salvage(open(&damaged), open(&saved), |_| {});
    assert_eq!(copied.unwrap().gaps, 1);

    let annals = Annals::with_store(tiny().open(saved.path()).unwrap());
    let gaps: Vec<_> =
        annals.subscribe(Filter::all()).take(3).map(|event| event.unwrap().is_gap()).collect();
    assert_eq!(gaps, [false, true, false]);
    let mut subscription = annals.of::<Account>().unwrap().subscribe();
    assert!(subscription.next().unwrap().is_ok());
    for _ in 0..2 {
        let error = subscription.next().unwrap().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::MissingEvents { .. }), "{error}");
        assert_eq!(subscription.checkpoint(), Position::new(1));
    }
    let mut rest = subscription.after(Position::new(2));
    assert_eq!(rest.next().unwrap().unwrap().position(), Position::new(3));
}

/// The time of a processor that a thread has had, and how often it went to sleep.
#[cfg(target_os = "linux")]
fn activity(task: &std::path::Path) -> (Duration, u64) {
    let stat = std::fs::read_to_string(task.join("stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    let status = std::fs::read_to_string(task.join("status")).unwrap();
    let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    (Duration::from_millis(10 * ticks), switches.unwrap().trim().parse().unwrap())
}

#[test]
#[cfg(target_os = "linux")]
fn an_idle_subscriber_sleeps() {
    let directory = Directory::new();
    for (number, (_, reader)) in stores(&directory).into_iter().enumerate() {
        let mut subscription = Annals::with_store(reader).subscribe(Filter::all());
        let stopper = subscription.stopper();
        let (sender, receiver) = std::sync::mpsc::channel();
        let sleeper = thread::spawn(move || {
            sender.send(std::fs::read_link("/proc/thread-self").unwrap()).unwrap();
            subscription.next().is_none()
        });
        let task = std::path::Path::new("/proc").join(receiver.recv().unwrap());
        thread::sleep(Duration::from_millis(100));
        let before = activity(&task);
        thread::sleep(Duration::from_secs(1));
        let after = activity(&task);
        let (time, switches) = (after.0 - before.0, after.1 - before.1);
        println!("store {number}: {time:?} in a second, awake {switches} times");
        assert!(time <= Duration::from_millis(20), "it takes {time:?} of a second");
        // A follower polls; whoever waits on a writer is not woken at all.
        assert!(number == 2 || switches == 0, "it wakes {switches} times");
        stopper.stop();
        assert!(sleeper.join().unwrap());
    }
}

#[test]
fn subscriptions_and_what_stops_them_may_go_to_other_threads() {
    fn is_send<T: Send>() {}
    fn is_shared<T: Clone + Send + Sync>() {}
    fn typed<A: Aggregate<Id = str, Event: Clone>>() {
        is_send::<Subscription<Recorded<'static, A>>>();
    }
    is_send::<Subscription>();
    typed::<Account>();
    is_shared::<Stopper>();
}
