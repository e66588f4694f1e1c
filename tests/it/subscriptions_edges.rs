//! Subscriptions: how they end, what they pass over, what they stop at, and what they cost while nothing comes.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use annals::id::{Category, EventType, Tag};
use annals::store::{Commit, Durability, EventStore, Expected, Filter, MemoryStore};
use annals::subscription::Stopper;
use annals::{Aggregate, Annals, Error, ErrorKind, NewEvent, Position, Recorded, Subscription};

use crate::account::{Account, Command};
use crate::chance::Chance;
use crate::directory::Directory;
use crate::file_store::tiny;
use crate::subscriptions::{event, some};

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
