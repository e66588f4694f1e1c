//! Reading allocates for what the events themselves hold, and for nothing else.

use std::time::Duration;

use annals::store::Filter;
use annals::{Aggregate, Annals, Context, Error};
use serde::{Deserialize, Serialize};

/// Events without and with a field that needs an allocation.
#[derive(Default)]
struct Meter {
    sum: u128,
}

#[derive(Debug, Serialize, Deserialize)]
enum Metered {
    Read { value: u64, at: i64, ok: bool },
    Noted { text: String },
}

impl Aggregate for Meter {
    const TYPE: &'static str = "meter";
    type Id = str;
    type Event = Metered;
    type Command = u32;
    type Error = std::convert::Infallible;
    type Services = ();
    fn apply(&mut self, event: &Metered) {
        match event {
            Metered::Read { value, at, ok } => {
                self.sum += u128::from(*value) + u128::from(*ok) + u128::from(at.unsigned_abs());
            }
            Metered::Noted { text } => self.sum += text.len() as u128,
        }
    }
    fn handle(&self, count: u32, _: &Context<'_, Self>) -> Result<Vec<Metered>, Self::Error> {
        let event = |n: u32| match n % 2 {
            0 => Metered::Read { value: u64::from(n) << 40, at: -i64::from(n), ok: true },
            _ => Metered::Noted { text: format!("note {n}") },
        };
        Ok((0..count).map(event).collect())
    }
}

/// How many allocations reading takes, by the number of events.
fn allocations(events: u32, read: impl Fn(&Annals)) -> u64 {
    let annals = Annals::in_memory();
    annals.of::<Meter>().unwrap().execute("m", events).unwrap();
    allocation_counter::measure(|| read(&annals)).count_total
}

/// How many allocations 10,000 further events take. Each batch of a thousand takes some forty to grow its buffers.
fn further(read: impl Fn(&Annals)) -> u64 {
    allocations(11_000, &read) - allocations(1_000, &read)
}

fn check(read: impl Fn(&Annals)) {
    // 5,000 of the 10,000 further events hold a string.
    let beside = further(read) - 5_000;
    assert!(beside < 500, "{beside} allocations for 10,000 further events, beside their own");
}
#[test]
fn loading_allocates_nothing_for_each_event() {
    check(|annals| {
        let loaded = annals.of::<Meter>().unwrap().load("m").unwrap();
        assert!(loaded.state().sum > 1 << 40);
    });
}

#[test]
fn a_view_allocates_nothing_for_each_event() {
    check(|annals| {
        let view = annals
            .view::<usize>("length")
            // Allocations are counted on this thread.
            .decoding_threads(1)
            .on::<Meter>(|length, e| {
                *length += e.id().len() + e.event_type().len() + e.tags().count();
                *length += usize::from(e.correlation().is_some() && e.actor().is_none());
            })
            .run()
            .unwrap();
        assert!(*view > 1_000);
    });
}

#[test]
fn a_subscription_allocates_nothing_for_each_event() {
    let beside = further(|annals| {
        let (mut subscription, mut length) = (annals.subscribe(Filter::all()), 0);
        let mut read = || {
            subscription.next_batch(Duration::ZERO, |batch| {
                length += batch.iter().map(|e| e.payload().len() + e.tags().count()).sum::<usize>();
                Ok::<_, Error>(())
            })
        };
        while read().unwrap().is_some() {}
        assert!(length > 10_000);
    });
    assert!(beside < 500, "{beside} allocations for 10,000 further events");
}
