//! Processes in which a process manager is at work, killed at any moment: in the end each thing has happened once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use annals::chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use annals::process::ProcessManager;
use annals::store::{Durability, FileStore};
use annals::testing::ManualClock;
use annals::{Annals, Clock, SystemClock};

use crate::child::{Notes, Role, Task};
use crate::history;
use crate::kills::numbers;
use crate::places::Place;

#[path = "../subjects/errands.rs"]
mod errands;

use errands::{Bell, Errand, Ring, Sale, Shop, Step, errands, faults};

/// How many processes die on the same store.
const LIVES: u64 = 16;

/// The errands of one process are numbered from so many times its own number on.
const ERRANDS_OF_LIFE: u64 = 1_000_000;

fn open(task: &Task, clock: impl Clock + Clone + 'static) -> Annals {
    let store = history::options(true).clock(clock.clone()).open(&task.directory).unwrap();
    Annals::builder().clock(clock).with_store(store)
}

/// How a child opens it: in a small task, what is rung is synced every now and then only.
fn open_as_child(task: &Task) -> (Annals, Arc<FileStore>) {
    let durability = if task.is_small { Durability::Buffered } else { Durability::Synced };
    let store = history::options(true).durability(durability).open(&task.directory).unwrap();
    let store = Arc::new(store);
    (Annals::with_store(Arc::clone(&store)), store)
}

/// Rings on and on while a manager is at work, until it is killed.
pub(crate) fn manage(task: &Task, notes: Notes) {
    let notes = Arc::new(notes);
    let its_notes = Arc::clone(&notes);
    let asked = move |errand: u64, number: u64| {
        its_notes.write(&format!("asks {errand} {number}"));
        thread::sleep(Duration::from_micros(300));
    };
    assert!(errands::ASKED.set(Box::new(asked)).is_ok());
    let (annals, store) = open_as_child(task);
    let bells = annals.of::<Bell>().unwrap();
    let ring = |ring| {
        let rung = bells.execute("front", ring).unwrap();
        notes.write(&format!("acknowledged {}", rung.position()));
    };
    let manager = errands(&annals).unwrap().spawn().unwrap();
    let mut random = numbers(task.life + u64::from(std::process::id()));
    for number in 0.. {
        let errand = task.life * ERRANDS_OF_LIFE + number;
        let in_time = TimeDelta::milliseconds(i64::try_from(5 + random(36)).unwrap());
        let by = (random(2) == 0).then(|| (SystemClock.now() + in_time).trunc_subsecs(6));
        ring(Ring::Rang { errand, asks: random(4), by });
        if random(3) == 0 {
            ring(Ring::Answered { errand: errand - random(1 + number.min(5)) });
        }
        if random(4) == 0 {
            store.sync().unwrap();
        }
        while manager.status().lag.events > 40 {
            thread::sleep(Duration::from_micros(200));
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    /// With an intent in the log that the notes have not passed.
    in_flight: u64,
    /// With a shop that was asked and whose answer is not in the log.
    unanswered: u64,
    settled: u64,
    events: u64,
    acknowledged: u64,
    missed: u64,
}

/// Lets a child work until it asks a shop for something, and kills it a little later.
fn kill_one(task: &Task, place: &Place, random: &mut impl FnMut(u64) -> u64) {
    fs::remove_file(place.notes()).ok();
    let mut child = task.start();
    let began = Instant::now();
    while !place.read_notes().iter().any(|line| line.starts_with("asks")) {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself: {task:?}");
        assert!(began.elapsed() < Duration::from_secs(30), "it asks for nothing: {task:?}");
        thread::sleep(Duration::from_micros(500));
    }
    thread::sleep(Duration::from_micros(random(40_000)));
    assert!(child.try_wait().unwrap().is_none(), "it ended by itself: {task:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The last thing that a shop was asked for, unless that was answered.
fn is_unanswered(annals: &Annals, notes: &[String]) -> bool {
    let last = notes.iter().rev().find_map(|line| {
        let (errand, number) = line.strip_prefix("asks ")?.split_once(' ')?;
        Some((errand.parse().unwrap(), number.parse().unwrap()))
    });
    let Some((errand, number)) = last else { return false };
    if errands::answer(errand, number) == errands::Answer::HasNothingToDo {
        return false;
    }
    let sale = Sale::Sold { errand, number };
    let sales = annals.of::<Shop>().unwrap();
    let steps = annals.of::<Errand>().unwrap();
    let is_sold = sales.events().read().unwrap().any(|sold| *sold.unwrap().event() == sale);
    let refused = Step::Refused { number };
    let mut history = steps.history(&errand).unwrap().read().unwrap();
    !is_sold && !history.any(|step| *step.unwrap().event() == refused)
}

/// Looks at what a killed process has left: what was acknowledged is there, and the manager goes on.
fn look_into(task: &Task, place: &Place, tally: &mut Tally) {
    let notes = place.read_notes();
    let annals = open(task, SystemClock);
    let rings = annals.of::<Bell>().unwrap();
    let rings: BTreeSet<_> =
        rings.events().read().unwrap().map(|rung| rung.unwrap().position().get()).collect();
    for position in notes.iter().filter_map(|line| line.strip_prefix("acknowledged ")) {
        assert!(rings.contains(&position.parse().unwrap()), "{position} is lost: {task:?}");
        tally.acknowledged += 1;
    }
    let manager = errands(&annals).unwrap().open().unwrap();
    let done = manager.status().position;
    let steps = annals.of::<Errand>().unwrap();
    let mut intents = steps.events().after(done).read().unwrap().map(Result::unwrap);
    let in_flight = intents.any(|step| matches!(step.event(), Step::Asked { .. }));
    tally.in_flight += u64::from(in_flight);
    tally.unanswered += u64::from(is_unanswered(&annals, &notes));
    if task.life % 4 == 3 {
        settle_in_time(&manager);
        tally.settled += 1;
        is_right(&annals, &manager, SystemClock.now(), task);
    }
    tally.kills += 1;
    drop(manager);
    annals.close().unwrap();
}

/// Does everything, and waits for the deadlines.
fn settle_in_time(manager: &ProcessManager<Errand>) {
    manager.run_until_settled().unwrap();
    while let Some(due) = manager.next_due() {
        thread::sleep((due - SystemClock.now()).to_std().unwrap_or_default());
        manager.run_until_settled().unwrap();
    }
}

fn is_right(annals: &Annals, manager: &ProcessManager<Errand>, now: DateTime<Utc>, task: &Task) {
    let faults = faults(annals, now);
    assert!(faults.is_empty(), "{task:?}: {faults:#?}");
    let stuck = manager.stuck();
    assert!(stuck.is_empty(), "{task:?}: {stuck:#?}");
}

/// Once all time is over, everything is as it has to be.
fn look_at_the_end(task: &Task, tally: &mut Tally) {
    let clock = ManualClock::at(SystemClock.now() + TimeDelta::days(1));
    let annals = open(task, clock.clone());
    let manager = errands(&annals).unwrap().open().unwrap();
    manager.run_until_settled().unwrap();
    assert_eq!(manager.status().deadlines, 0, "{task:?}");
    is_right(&annals, &manager, clock.now(), task);
    let steps = annals.of::<Errand>().unwrap();
    let steps = steps.events().read().unwrap().map(Result::unwrap);
    tally.missed += steps.filter(|step| *step.event() == Step::Missed).count() as u64;
    tally.events += annals.store().head().unwrap().durable.get();
}

#[test]
fn whatever_the_moment_of_a_kill_each_thing_happens_once() {
    let kills: u64 = env::var("ANNALS_KILLS").map_or(200, |kills| kills.parse().unwrap());
    let (began, seed) = (Instant::now(), u64::from(std::process::id()));
    let (mut tally, mut random) = (Tally::default(), numbers(seed));
    while tally.kills < kills || tally.in_flight * 4 < kills * 3 {
        assert!(tally.kills < 3 * kills, "too few kills strike a dispatch: {tally:?}");
        let place = Place::new();
        for life in 0..LIVES {
            let is_small = random(3) == 0;
            let task = Task { life, is_small, ..Task::new(Role::Manages, &place) };
            kill_one(&task, &place, &mut random);
            look_into(&task, &place, &mut tally);
        }
        look_at_the_end(&Task::new(Role::Manages, &place), &mut tally);
    }
    println!("{kills} kills in {:?}, seed {seed}: {tally:?}", began.elapsed());
}
