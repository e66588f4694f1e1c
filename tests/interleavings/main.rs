//! The turns of writers, and how readers, waiters and subscribers learn what was written, under thousands of schedules: random ones, and
//! ones with few changes of thread at the worst places. The sources are checked as they are, on locks that the checker
//! controls; and faulty copies of them, to see that faults are found.
//!
//! `ANNALS_SCHEDULES` says how many schedules there are of each law and kind; `SHUTTLE_RANDOM_SEED` repeats a run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::duplicate_mod, reason = "the laws are for the sources and for their copies")]

mod faults;
mod sync;
mod surroundings;
mod sound;
mod faulty;

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use faults::Fault;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, Runner};
use surroundings::{error, event, position, store};

type Law = fn();

const LAWS: usize = 15;

/// All laws, for the sources or for their copies.
macro_rules! laws {
    ($of:ident) => {{
        use $of::{following, laws};
        let laws: [(&str, Law); LAWS] = [
            (
                "each task has its own answer",
                laws::each_task_has_its_own_answer_and_is_done_once_in_the_order_of_arrival,
            ),
            ("who excludes leaders is alone", laws::who_excludes_leaders_is_alone),
            ("a leader panics", laws::if_a_leader_panics_its_group_is_told_and_others_go_on),
            (
                "one who excludes leaders panics",
                laws::if_one_who_excludes_leaders_panics_others_go_on,
            ),
            ("nobody misses a publication", laws::nobody_misses_what_is_published),
            ("closing wakes everybody", laws::closing_wakes_everybody),
            (
                "an interrupt ends waits",
                laws::an_interrupt_ends_the_waits_that_it_is_for_and_no_other,
            ),
            (
                "waiting for a time",
                laws::who_waits_for_a_time_is_told_how_far_it_is_or_that_it_is_over,
            ),
            (
                "the first reason is told",
                laws::the_first_reason_to_write_no_more_is_the_one_that_is_told,
            ),
            ("what is answered is shown and synced", laws::what_is_answered_is_shown_and_synced),
            ("who waits sees what is synced", laws::who_waits_sees_only_what_is_synced),
            (
                "nothing is written after a panic",
                laws::after_a_panic_nothing_is_written_and_everybody_is_answered,
            ),
            (
                "a subscription sees each event once",
                following::a_subscription_sees_each_event_once_and_in_order,
            ),
            (
                "a stopped subscription is gone on with",
                following::a_stopped_subscription_ends_and_another_goes_on_where_it_was,
            ),
            (
                "a subscription ends with its store",
                following::a_subscription_ends_when_its_store_is_closed,
            ),
        ];
        laws
    }};
}

/// How many schedules of each law and kind are tried.
fn schedules() -> usize {
    env::var("ANNALS_SCHEDULES").map_or(12_000, |count| count.parse().unwrap())
}

/// Without the schedule in the output if a law fails: its seed is enough.
fn quiet() -> Config {
    let mut config = Config::new();
    config.failure_persistence = FailurePersistence::None;
    config
}

/// Tries a law under so many schedules.
fn check(law: Law, scheduler: impl Scheduler + 'static) {
    Runner::new(scheduler, quiet()).run(law);
}

#[test]
fn the_laws_hold_under_every_schedule_that_is_tried() {
    let (began, count) = (Instant::now(), schedules());
    for (name, law) in laws!(sound) {
        let law_began = Instant::now();
        check(law, RandomScheduler::new(count));
        for depth in [2, 3] {
            check(law, PctScheduler::new(depth, count / 2));
        }
        println!("{name}: {} schedules in {:?}", 2 * count, law_began.elapsed());
    }
    println!("{} schedules in {:?}, no fault", 2 * count * LAWS, began.elapsed());
}

/// After how many schedules a law finds this fault, of at most so many. On a thread of its own: what fails leaves the checker
/// in disorder there.
fn found_after(fault: Fault, law: Law, most: usize) -> Option<usize> {
    let check = move || {
        faults::switch_on(fault);
        let tried = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&tried);
        let counted = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            law();
        };
        let scheduler = RandomScheduler::new_from_seed(1, most);
        let run = || Runner::new(scheduler, quiet()).run(counted);
        catch_unwind(AssertUnwindSafe(run)).err().map(|_| tried.load(Ordering::Relaxed))
    };
    thread::spawn(check).join().unwrap()
}

const FAULTS: [Fault; 28] = [
    Fault::TakesAnyAnswer,
    Fault::LeadsBesideAnother,
    Fault::LooksAwayBeforeItWaits,
    Fault::TurnsTheOrderAround,
    Fault::FreesTheTurnTooEarly,
    Fault::ExcludesNobody,
    Fault::PanicsWithTheTurn,
    Fault::LeavesTasksOfAPanicUnanswered,
    Fault::ForgetsToNotify,
    Fault::PassesTheTurnToNobody,
    Fault::NotifiesBeforeItPublishes,
    Fault::PublishesInSilence,
    Fault::ForgetsTheFirstReason,
    Fault::ClosesInSilence,
    Fault::NotifiesBeforeItInterrupts,
    Fault::InterruptsInSilence,
    Fault::WakesForTheAcknowledged,
    Fault::LooksAwayBeforeItSleeps,
    Fault::AnswersBeforeItPublishes,
    Fault::PublishesBeforeItSyncs,
    Fault::SyncsOutsideItsTurn,
    Fault::WritesInSpiteOfThePoison,
    Fault::TakesALaterHead,
    Fault::TakesTheAcknowledged,
    Fault::WaitsForOneMore,
    Fault::WaitsForGood,
    Fault::ForgetsTheRest,
    Fault::MovesOnBeforeItIsDone,
];

#[test]
fn every_seeded_fault_is_found() {
    let began = Instant::now();
    let mut missed = Vec::new();
    for fault in FAULTS {
        let finds =
            |(name, law): (&'static str, Law)| Some((name, found_after(fault, law, 1_000)?));
        let found: Vec<_> = laws!(faulty).into_iter().filter_map(finds).collect();
        match found.iter().min_by_key(|(_, after)| *after) {
            Some((law, after)) => {
                println!(
                    "{fault:?}: found by {} laws, after {after} schedules by \"{law}\"",
                    found.len()
                )
            }
            None => missed.push(fault),
        }
    }
    println!("{} faults, {} missed, {:?}", FAULTS.len(), missed.len(), began.elapsed());
    assert!(missed.is_empty(), "not found: {missed:?}");
}
