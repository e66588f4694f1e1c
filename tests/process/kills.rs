//! Processes that are killed at any moment.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use annals::store::EventStore;

use crate::child::{Role, Task};
use crate::history::{self, History, Which};
use crate::places::Place;

/// How many processes die on the same store.
const LIVES: u64 = 16;

/// What was seen.
#[derive(Debug, Default)]
struct Tally {
    kills: AtomicUsize,
    acknowledged: AtomicUsize,
    events: AtomicUsize,
    not_clean: AtomicUsize,
    replayed: AtomicUsize,
    rewritten: AtomicUsize,
    cut: AtomicUsize,
    runs: AtomicUsize,
    segments: AtomicUsize,
    copies: AtomicUsize,
    before_open: AtomicUsize,
}

fn count(counter: &AtomicUsize, more: usize) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// Numbers below what is asked for, as they grow from a seed.
pub(crate) fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    }
}

/// Starts a child, and kills it: mostly while it writes, sometimes while it opens.
pub(crate) fn kill_one(task: &Task, place: &Place, random: &mut impl FnMut(u64) -> u64) {
    let lines = place.read_notes().len();
    let mut child = task.start();
    let began = Instant::now();
    if random(5) > 0 {
        while place.read_notes().len() == lines && began.elapsed() < Duration::from_secs(30) {
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself: {task:?}");
            thread::sleep(Duration::from_micros(200));
        }
    }
    thread::sleep(Duration::from_micros(random(30_000)));
    child.kill().unwrap();
    child.wait().unwrap();
}

pub(crate) fn files(directory: &Path, extension: &str) -> usize {
    let names = fs::read_dir(directory).into_iter().flatten();
    names
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == extension))
        .count()
}

/// Opens what a killed process left behind, and looks at all of it.
fn look_into(place: &Place, notes: &[String], task: &Task, tally: &Tally) {
    let store = history::options(task.is_small).open(place.store()).unwrap();
    let report = store.recovery();
    count(&tally.not_clean, usize::from(!report.clean));
    count(&tally.replayed, usize::from(report.replayed_events > 0));
    count(&tally.rewritten, usize::from(report.rewritten_bytes > 0));
    count(&tally.cut, usize::from(report.cut.is_some()));
    let history = History::of(&store);
    history.has_all_of(notes);
    let which = Which { life: task.life, thread: 1000, number: 0 };
    let appended = which.append(&store).unwrap();
    assert_eq!(appended.first.get(), history.events + 1);
    assert_eq!(History::of(&store).has_all_of(&[which.acknowledged(&appended)]), 1);
    count(&tally.runs, files(&place.store(), "index"));
    count(&tally.segments, files(&place.store(), "log"));
    store.close().unwrap();
}

/// Lets one store outlive so many of its processes.
fn outlive(lives: u64, seed: u64, tally: &Tally) {
    let place = Place::new();
    let mut random = numbers(seed);
    let is_small = seed.is_multiple_of(2);
    for life in 0..lives {
        let threads = if random(2) == 0 { 1 } else { 8 };
        let task = Task { life, threads, is_small, ..Task::new(Role::Work, &place) };
        kill_one(&task, &place, &mut random);
        count(&tally.kills, 1);
        let notes = place.read_notes();
        if !notes.iter().any(|line| line == "open") {
            count(&tally.before_open, 1);
        }
        if life % 2 == 0 && place.store().is_dir() {
            // The original stays as it is, for the next process to open.
            look_into(&place.copy(), &notes, &task, tally);
            count(&tally.copies, 1);
        } else {
            look_into(&place, &notes, &task, tally);
        }
    }
    let store = history::options(is_small).open(place.store()).unwrap();
    let history = History::of(&store);
    count(&tally.acknowledged, history.has_all_of(&place.read_notes()));
    count(&tally.events, usize::try_from(history.events).unwrap());
}

#[test]
fn whatever_the_moment_of_a_kill_the_store_opens_with_all_that_was_acknowledged() {
    let kills: u64 = env::var("ANNALS_KILLS").map_or(208, |kills| kills.parse().unwrap());
    let began = Instant::now();
    let seed = u64::from(std::process::id());
    let tally = Tally::default();
    let next = AtomicUsize::new(0);
    let stores = kills.div_ceil(LIVES);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let store = next.fetch_add(1, Ordering::Relaxed) as u64;
                    if store >= stores {
                        return;
                    }
                    outlive(LIVES.min(kills - store * LIVES), seed + store, &tally);
                }
            });
        }
    });
    println!("{kills} kills in {:?}, seed {seed}: {tally:?}", began.elapsed());
}
