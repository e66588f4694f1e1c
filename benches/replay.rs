//! What reading history costs, beside the least that it can cost: decoding the stored JSON into a struct.
//!
//! `cargo bench --bench replay`. Before criterion's own measurements it prints the ratio of a typed replay to the bare
//! decoding of the same bytes: both in one process, in turns, the best round of each.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use annals::store::Query;
use annals::{Aggregate, Annals, Context, Metadata, Repository};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};

/// An event of 163 bytes of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Event {
    Deposited {
        cents: u64,
        currency: String,
        reference: String,
        counterparty: String,
        booked_on: String,
        note: String,
    },
    Withdrawn {
        cents: u64,
        currency: String,
        reference: String,
        counterparty: String,
        booked_on: String,
        note: String,
    },
}

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct Account {
    cents: u64,
    text: u64,
    movements: u64,
}

impl Account {
    fn moved(&mut self, cents: u64, texts: [&str; 5]) {
        self.cents = self.cents.wrapping_add(cents);
        self.text += texts.iter().map(|text| text.len() as u64).sum::<u64>();
        self.movements += 1;
    }
}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Id = str;
    type Event = Event;
    type Command = u64;
    type Error = std::convert::Infallible;
    type Services = ();

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Deposited { cents, currency, reference, counterparty, booked_on, note } => {
                self.moved(*cents, [currency, reference, counterparty, booked_on, note]);
            }
            Event::Withdrawn { cents, currency, reference, counterparty, booked_on, note } => {
                self.moved(
                    cents.wrapping_neg(),
                    [currency, reference, counterparty, booked_on, note],
                );
            }
        }
    }

    fn handle(&self, count: u64, _: &Context<'_, Self>) -> Result<Vec<Event>, Self::Error> {
        Ok((self.movements..self.movements + count).map(event).collect())
    }
}

fn event(number: u64) -> Event {
    let (cents, currency) = (10_000 + number % 90_000, "EUR".to_owned());
    let reference = format!("INV-2024-A{:07}", number % 1_000_000);
    let counterparty = "DE89370400440532013000".to_owned();
    let (booked_on, note) = ("2024-05-17".to_owned(), "membership fees, in full".to_owned());
    if number.is_multiple_of(3) {
        Event::Withdrawn { cents, currency, reference, counterparty, booked_on, note }
    } else {
        Event::Deposited { cents, currency, reference, counterparty, booked_on, note }
    }
}

/// A store whose one account has this many events, each in a full envelope.
fn account_with(events: u64) -> (Annals, Repository<Account>) {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    let mut left = events;
    while left > 0 {
        let metadata = Metadata::new().with_actor("teller 7").with_header("branch", "Ulm");
        let metadata = metadata.with_causation(annals::id::EventId::random());
        accounts.to("alice").with(metadata).execute(left.min(1_000)).unwrap();
        left -= left.min(1_000);
    }
    (annals, accounts)
}

/// The same fields as the event's variants, to be decoded without annals.
#[derive(Deserialize)]
struct Movement {
    cents: u64,
    currency: String,
    reference: String,
    counterparty: String,
    booked_on: String,
    note: String,
}

/// The stored names and payloads, one behind the other, as they would lie in a buffer.
struct Bare {
    names: Vec<String>,
    payloads: Vec<u8>,
    ends: Vec<usize>,
}

impl Bare {
    fn of(annals: &Annals) -> Self {
        let mut bare = Self { names: Vec::new(), payloads: Vec::new(), ends: Vec::new() };
        for event in annals.read(Query::default()).map(Result::unwrap) {
            assert_eq!(event.payload().len(), 163, "the payload that the figures are about");
            bare.names.push(event.event_type().to_owned());
            bare.payloads.extend_from_slice(event.payload());
            bare.ends.push(bare.payloads.len());
        }
        bare
    }

    /// The least that a replay can do: match the known name, decode the bytes, fold.
    fn replay(&self) -> Account {
        let mut account = Account::default();
        let mut start = 0;
        for (name, end) in self.names.iter().zip(&self.ends) {
            let m: Movement = serde_json::from_slice(&self.payloads[start..*end]).unwrap();
            let cents = match name.as_str() {
                "Deposited" => m.cents,
                "Withdrawn" => m.cents.wrapping_neg(),
                name => panic!("{name}"),
            };
            account
                .moved(cents, [&m.currency, &m.reference, &m.counterparty, &m.booked_on, &m.note]);
            start = *end;
        }
        account
    }
}

fn view(annals: &Annals) -> Account {
    let view = annals.view::<Account>("all").on::<Account>(|all, e| all.apply(e.event()));
    view.run().unwrap().into_inner()
}

fn best_of(rounds: usize, contenders: &mut [&mut dyn FnMut()]) -> Vec<Duration> {
    let mut best = vec![Duration::MAX; contenders.len()];
    for _ in 0..rounds {
        for (contender, best) in contenders.iter_mut().zip(&mut best) {
            let start = Instant::now();
            contender();
            *best = (*best).min(start.elapsed());
        }
    }
    best
}

fn print_ratios() {
    let events = 100_000;
    let (annals, accounts) = account_with(events);
    let bare = Bare::of(&annals);
    let expected = bare.replay();
    assert_eq!(*accounts.load("alice").unwrap().state(), expected);
    assert_eq!(view(&annals), expected);
    let best = best_of(
        25,
        &mut [
            &mut || _ = black_box(bare.replay()),
            &mut || _ = black_box(accounts.load("alice").unwrap()),
            &mut || _ = black_box(view(&annals)),
        ],
    );
    let nanos = |time: Duration| time.as_secs_f64() * 1e9 / events as f64;
    let ratio = |time: Duration| time.as_secs_f64() / best[0].as_secs_f64();
    println!(
        "replay of {events} events of 163 bytes in full envelopes, best of 25 interleaved rounds:"
    );
    println!("  bare decoding  {:6.0} ns an event", nanos(best[0]));
    println!(
        "  load           {:6.0} ns an event, {:.2} times the bare decoding",
        nanos(best[1]),
        ratio(best[1])
    );
    println!(
        "  view           {:6.0} ns an event, {:.2} times the bare decoding",
        nanos(best[2]),
        ratio(best[2])
    );
}

fn replay(c: &mut Criterion) {
    if !std::env::args().any(|argument| argument == "--test") {
        print_ratios();
    }
    let mut group = c.benchmark_group("fold");
    for events in [1, 100, 10_000] {
        let (annals, accounts) = account_with(events);
        let bare = Bare::of(&annals);
        group.throughput(Throughput::Elements(events));
        group.bench_function(BenchmarkId::new("load", events), |b| {
            b.iter(|| accounts.load("alice").unwrap())
        });
        group.bench_function(BenchmarkId::new("bare decoding", events), |b| {
            b.iter(|| bare.replay())
        });
        let accounts = accounts.snapshot_every(1);
        accounts.load("alice").unwrap();
        let name = BenchmarkId::new("load from a snapshot", events);
        group.bench_function(name, |b| b.iter(|| accounts.load("alice").unwrap()));
    }
    group.finish();
}

fn execute(c: &mut Criterion) {
    let mut group = c.benchmark_group("execute");
    for events in [1, 100, 10_000] {
        group.bench_function(BenchmarkId::new("with a snapshot every 100, after", events), |b| {
            let (_, accounts) = account_with(events);
            let accounts = accounts.snapshot_every(100);
            b.iter(|| accounts.execute("alice", 1).unwrap());
        });
    }
    group.bench_function("on a new aggregate", |b| {
        let (_, accounts) = account_with(1);
        let mut number = 0_u64;
        b.iter(|| {
            number += 1;
            accounts.execute(&number.to_string(), 1).unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, replay, execute);
criterion_main!(benches);
