//! Whatever happens in whatever order, the view is what its events make.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use annals::Annals;
use annals::projection::{ErrorPolicy, Keep, Projection};
use annals::testing::ManualClock;
use chrono::TimeDelta;

use super::laws::{clock, deposit};
use super::subject::{Faults, Subject, laws, refolded};
use crate::account::Account;
use crate::chance::Chance;

/// Some of the events that there are by now, and some that will be.
fn some(chance: &mut Chance, head: u64) -> BTreeSet<u64> {
    (0..chance.below(4)).map(|_| 1 + chance.below(head + 5)).collect()
}

/// The view is what its events make, as far as it says that it is.
fn check<S: Subject>(subject: &S, projection: &Projection<S::Keeper>, annals: &Annals, seed: u64) {
    let status = projection.status();
    if status.rebuild.is_some() && S::SHOWS_OLD {
        // Which events the old view has parked is not told any more.
        return;
    }
    let head = annals.store().head().unwrap().durable.get();
    let parked = projection.parked().into_iter().map(|it| it.position.get());
    let parked: Vec<u64> = parked.chain(status.position.get() + 1..=head).collect();
    let mut shown = subject.shown(&projection.reader());
    shown.handled.sort_unstable();
    assert_eq!(shown, refolded(annals, &parked), "seed {seed}");
}

/// Lets time pass, for what is tried again.
fn catch_up<K: Keep>(projection: &Projection<K>, clock: &ManualClock) {
    std::thread::scope(|scope| {
        let running = scope.spawn(|| projection.run_until_caught_up().unwrap());
        while !running.is_finished() {
            clock.advance(TimeDelta::minutes(1));
            std::thread::yield_now();
        }
    });
}

fn live_through<S: Subject>(subject: &S, seed: u64) {
    let (mut chance, faults, clock) = (Chance(seed), Faults::default(), clock());
    let annals = Annals::builder().clock(clock.clone()).in_memory();
    let accounts = annals.of::<Account>().unwrap();
    let open = |chance: &mut Chance| {
        let batch = NonZeroUsize::new(1 + usize::try_from(chance.below(9)).unwrap()).unwrap();
        let retries = u32::try_from(chance.below(3)).unwrap();
        let policy = ErrorPolicy::retry(retries, Duration::from_secs(60)).then_park();
        let projection = subject.projection(&annals, &faults).batch(batch).on_error(policy);
        projection.start_over_if_changed().revision(chance.below(2)).open().unwrap()
    };
    let mut projection = open(&mut chance);
    for _ in 0..25 {
        let head = annals.store().head().unwrap().durable;
        match chance.below(9) {
            0..3 => deposit(
                &accounts,
                ["alice", "bob", "cem"]
                    .into_iter()
                    .take(1 + usize::try_from(chance.below(3)).unwrap()),
            ),
            3 => faults.fail_at(some(&mut chance, head.get())),
            4 => faults.panic_at(some(&mut chance, head.get())),
            5 => drop(projection.wait_for(head, Duration::ZERO)),
            6 => drop(projection.replay_parked().unwrap()),
            7 => {
                if chance.below(2) == 0 {
                    projection.rebuild().unwrap();
                } else {
                    drop(projection);
                    projection = open(&mut chance);
                }
            }
            _ => catch_up(&projection, &clock),
        }
        check(subject, &projection, &annals, seed);
    }
    faults.fail_at([]);
    faults.panic_at([]);
    catch_up(&projection, &clock);
    projection.replay_parked().unwrap();
    catch_up(&projection, &clock);
    assert_eq!(projection.parked(), [], "seed {seed}");
    check(subject, &projection, &annals, seed);
}

laws! {
    fn whatever_happens_the_view_is_what_its_events_make<S: Subject>(_subject: &S) {
        for seed in 0..25 {
            live_through(&S::default(), seed);
        }
    }
}
