//! All trials, one after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::crowd::crowd;
use super::identity::identity;
use super::law::Law;
use super::report::{Failure, Held, Report};
use super::trial::Trial;
use super::{decisions, extremes, pages, random, repetitions, times, waiting};
use crate::store::EventStore;
use crate::testing::clock::ManualClock;

type Scenario = (&'static str, fn(&mut Trial) -> Held);

const SCENARIOS: &[Scenario] = &[
    ("every expectation", decisions::expectations),
    ("the first failure", decisions::first_failure),
    ("the state before a commit", decisions::state_before),
    ("every condition", decisions::conditions),
    ("exact repetitions", repetitions::exact),
    ("repetitions of made ids", repetitions::made_ids),
    ("overlaps of commits", repetitions::overlaps),
    ("repetitions with other content", repetitions::other_content),
    ("times that commits bring", times::brought),
    ("malformed commits", extremes::malformed),
    ("limits", extremes::limits),
    ("extreme content", extremes::content),
    ("extreme ranges", extremes::ranges),
    ("filters that match nothing", extremes::nothing),
    ("filters by ids", extremes::ids),
    ("long reads", pages::long_reads),
    ("reads amid appends", pages::reads_amid_appends),
    ("waiting for nothing new", waiting::time_and_past),
    ("waking up", waiting::wake_ups),
    ("interrupting", waiting::interrupting),
    ("closing", waiting::closing),
    ("closing amid waiting", waiting::closing_amid_waiting),
];

/// Holds a store to all laws, by its default seeds, and panics with a report if it breaks one.
///
/// The factory makes a fresh, empty store with the default limits on the clock that it is given.
///
/// # Panics
///
/// If a law is broken, with the [`Report`] as its message.
pub fn check<S: EventStore>(factory: impl Fn(ManualClock) -> S) {
    check_seeds(factory, 0..8);
}

/// Like [`check`], by these seeds: one to repeat a failure, or many for a longer look.
///
/// # Panics
///
/// If a law is broken, with the [`Report`] as its message.
pub fn check_seeds<S: EventStore>(
    factory: impl Fn(ManualClock) -> S,
    seeds: impl IntoIterator<Item = u64>,
) {
    let report = run(factory, seeds);
    assert!(report.is_clean(), "{report}");
}

/// Holds a store to all laws, by these seeds, and tells which it keeps.
///
/// The factory makes a fresh, empty store with the default limits on the clock that it is given. Stores that lose a
/// waiter leave its thread behind.
pub fn run<S: EventStore>(
    factory: impl Fn(ManualClock) -> S,
    seeds: impl IntoIterator<Item = u64>,
) -> Report {
    let factory = |clock| Arc::new(factory(clock)) as Arc<dyn EventStore>;
    let mut report = Report::default();
    for (name, scenario) in SCENARIOS {
        let held = caught(|| scenario(&mut Trial::begin(&factory)?));
        report.note(&format!("scenario \"{name}\""), held);
    }
    report.note("scenario \"identity\"", caught(|| identity(&factory)));
    for seed in seeds {
        let held = caught(|| random::carry_out(&factory, seed));
        report.note(&format!("random operations, seed {seed}"), held);
        report.note(&format!("crowd, seed {seed}"), caught(|| crowd(&factory, seed)));
    }
    report
}

/// What a trial comes to, also when the store panics.
fn caught(trial: impl FnOnce() -> Held) -> Held {
    catch_unwind(AssertUnwindSafe(trial)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Failure::of(Law::Serves, format!("a panic: {}", text.unwrap_or_default())))
    })
}
