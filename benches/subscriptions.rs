//! What a subscription costs: catching up, beside reading the log batch by batch; catching up through the typed closure of a
//! projection, beside a loop that reads the log and decodes each payload itself; and the way of an event from its acknowledgement to a
//! sleeping subscriber, beside the waking of a thread by a bare condition variable.
//!
//! `cargo bench --bench subscriptions` prints all three; what is compared is measured in one run, in turns. The goals: a projection
//! reaches 0.8 of the bare typed replay, and a median delivery takes at most twice as long as a bare wake-up.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use annals::id::{Category, EventType};
use annals::projection::Memory;
use annals::store::{Batches, Commit, EventStore, Expected, FileStore, Filter, MemoryStore, Query};
use annals::{Aggregate, Annals, Context, Error, NewEvent};
use serde::{Deserialize, Serialize};
use serde_json::json;

fn commit(events: u64) -> Commit {
    let event = |number| NewEvent::new(EventType::new("Read").unwrap(), &payload(number)).unwrap();
    let events = (0..events).map(event);
    Commit::new().write("meter/1".parse().unwrap(), Expected::Any, events)
}

/// The payloads of all events, without a subscription.
fn read(store: &dyn EventStore) -> usize {
    let query = Query::default().up_to(store.head().unwrap().durable);
    Batches::new(store, query).map(|batch| length(&batch.unwrap())).sum()
}

/// The same through a subscription.
fn catch_up(annals: &Annals) -> usize {
    let (mut subscription, mut total) = (annals.subscribe(Filter::all()), 0);
    let mut next =
        || subscription.next_batch(Duration::ZERO, |batch| Ok::<_, Error>(length(batch)));
    while let Some(length) = next().unwrap() {
        total += length;
    }
    total
}

fn length(batch: &annals::Batch) -> usize {
    batch.iter().map(|event| event.payload().len()).sum()
}

fn catching_up(name: &str, annals: &Annals, commits: u64, rounds: usize) {
    const COMMIT: u64 = 1_000;
    for _ in 0..commits {
        annals.store().append(commit(COMMIT)).unwrap();
    }
    assert_eq!(catch_up(annals), read(annals.store()));
    let mut best = [Duration::MAX; 2];
    for _ in 0..rounds {
        let start = Instant::now();
        black_box(read(annals.store()));
        best[0] = best[0].min(start.elapsed());
        let start = Instant::now();
        black_box(catch_up(annals));
        best[1] = best[1].min(start.elapsed());
    }
    let [bare, subscribed] = best.map(|best| best.as_secs_f64() * 1e9 / (commits * COMMIT) as f64);
    println!(
        "{name}: catching up {subscribed:.0} ns an event, bare reading {bare:.0} ns: {:.2} times",
        subscribed / bare
    );
}

/// What happens to a meter: an event of 163 bytes of JSON.
#[derive(Debug, Serialize, Deserialize)]
enum Shown {
    Read { litres: u64, unit: String, street: String, customer: String, day: String, note: String },
}

/// What is stored of it.
fn payload(number: u64) -> serde_json::Value {
    json!({
        "litres": 10_000 + number % 90_000,
        "unit": "m3",
        "street": format!("{:04} Long Street, Old Town", number % 10_000),
        "customer": format!("C-{:08}", number % 100_000_000),
        "day": "2024-02-29",
        "note": "read by the customer, and sent by telephone",
    })
}

/// Bytes of text and litres, so that everything is looked at.
fn weight(Shown::Read { litres, unit, street, customer, day, note }: &Shown) -> u64 {
    [unit, street, customer, day, note].iter().map(|text| text.len() as u64).sum::<u64>() + litres
}

#[derive(Debug, Default)]
struct Meter;

impl Aggregate for Meter {
    const TYPE: &'static str = "meter";
    type Id = u32;
    type Event = Shown;
    type Command = ();
    type Error = std::convert::Infallible;
    type Services = ();

    fn apply(&mut self, _: &Shown) {}

    fn handle(&self, (): (), _: &Context<'_, Self>) -> Result<Vec<Shown>, Self::Error> {
        Ok(Vec::new())
    }
}

/// The fields of the event, as somebody would write them who decodes by hand.
#[derive(Deserialize)]
struct Fields {
    litres: u64,
    unit: String,
    street: String,
    customer: String,
    day: String,
    note: String,
}

/// Folds all events, each decoded by hand.
fn replay(store: &dyn EventStore) -> u64 {
    let query = Query::new(Category::new("meter").unwrap()).up_to(store.head().unwrap().durable);
    let mut total = 0;
    for batch in Batches::new(store, query) {
        for event in batch.unwrap().iter() {
            let Fields { litres, unit, street, customer, day, note } =
                serde_json::from_slice(event.payload()).unwrap();
            total += weight(&Shown::Read { litres, unit, street, customer, day, note });
        }
    }
    total
}

/// The same by a projection.
fn project(annals: &Annals) -> u64 {
    let view = annals.view::<u64>("total").on::<Meter>(|total, e| *total += weight(e.event()));
    let projection = view.kept_in(Memory::new()).open().unwrap();
    projection.run_until_caught_up().unwrap();
    *projection.reader().view()
}

fn projecting(name: &str, annals: &Annals, rounds: usize) {
    let events = annals.store().head().unwrap().durable.get();
    assert_eq!(project(annals), replay(annals.store()));
    let mut best = [Duration::MAX; 2];
    for _ in 0..rounds {
        let start = Instant::now();
        black_box(replay(annals.store()));
        best[0] = best[0].min(start.elapsed());
        let start = Instant::now();
        black_box(project(annals));
        best[1] = best[1].min(start.elapsed());
    }
    let [bare, ours] = best.map(|best| best.as_secs_f64() * 1e9 / events as f64);
    println!(
        "{name}: a projection takes {ours:.0} ns an event of {events}, a bare typed replay {bare:.0} ns: {:.2} of its rate",
        bare / ours
    );
}

/// Tells when each event was delivered, as soon as it is.
fn deliveries(annals: &Annals) -> Receiver<Instant> {
    let (sender, receiver) = channel();
    let mut subscription = annals.subscribe(Filter::all()).from_now().unwrap();
    thread::spawn(move || {
        let mut tell = || {
            subscription.next_batch(Duration::MAX, |batch| {
                // Nobody listens any more once the store is about to be closed.
                Ok::<_, Error>(batch.iter().try_for_each(|_| sender.send(Instant::now())))
            })
        };
        while tell().unwrap().is_some() {}
    });
    receiver
}

type Bell = (Mutex<u64>, Condvar);

/// Tells when it was woken, each time that the bell is rung, until that is the last time.
fn wake_ups(bell: &Bell, last: u64, sender: &Sender<Instant>) {
    for heard in 0..last {
        let mut rung = bell.0.lock().unwrap();
        while *rung <= heard {
            rung = bell.1.wait(rung).unwrap();
        }
        drop(rung);
        sender.send(Instant::now()).unwrap();
    }
}

fn delivering(name: &str, annals: &Annals, rounds: u64) {
    let delivered = deliveries(annals);
    let bell = Arc::new(Bell::default());
    let ((sender, woken), theirs) = (channel(), Arc::clone(&bell));
    thread::spawn(move || wake_ups(&theirs, rounds, &sender));
    let mut taken = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        // Time for those who wait to fall asleep.
        thread::sleep(Duration::from_micros(300));
        annals.store().append(commit(1)).unwrap();
        let acknowledged = Instant::now();
        let told = delivered.recv().unwrap();
        // It may be delivered before its writer is back on the processor: at once, then.
        taken[0].push(told.saturating_duration_since(acknowledged));
        thread::sleep(Duration::from_micros(300));
        let rung = Instant::now();
        *bell.0.lock().unwrap() += 1;
        bell.1.notify_all();
        taken[1].push(woken.recv().unwrap() - rung);
    }
    let [ours, bare] = taken.map(percentiles);
    println!("{name}: a bare wake-up takes {:.1} µs (p50), {:.1} µs (p99)", bare[0], bare[1]);
    println!(
        "{name}: an event is delivered {:.1} µs, {:.1} µs after it is acknowledged: {:.2}, {:.2} times that",
        ours[0],
        ours[1],
        ours[0] / bare[0],
        ours[1] / bare[1]
    );
}

/// The median and what 99 of 100 are below, in microseconds.
fn percentiles(mut taken: Vec<Duration>) -> [f64; 2] {
    taken.sort_unstable();
    [taken.len() / 2, taken.len() * 99 / 100].map(|place| taken[place].as_secs_f64() * 1e6)
}

fn main() {
    let is = |name: &str| std::env::args().any(|argument| argument == name);
    let is_test = is("--test") || !is("--bench");
    let (commits, rounds, wake_ups) = if is_test { (2, 1, 5) } else { (1_000, 9, 2_000) };
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("subscriptions-{}", std::process::id()));
    let stores = [
        ("in memory", Annals::with_store(MemoryStore::new())),
        ("on disk", Annals::with_store(FileStore::open(&directory).unwrap())),
    ];
    for (name, annals) in stores {
        catching_up(name, &annals, commits, rounds);
        projecting(name, &annals, rounds);
        delivering(name, &annals, wake_ups);
        annals.close().unwrap();
    }
    fs::remove_dir_all(directory).unwrap();
}
