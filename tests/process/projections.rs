//! Processes that append and keep a view in SQLite, killed at any moment: each event is in the view exactly once.

use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use annals::projection::{Keep, ProjectionBuilder, Sqlite};
use annals::rusqlite::{self, Connection};
use annals::{Aggregate, Annals, Context, Recorded};
use serde::{Deserialize, Serialize};

use crate::child::{Notes, Role, Task};
use crate::history;
use crate::kills::numbers;
use crate::places::Place;

#[derive(Debug, Serialize, Deserialize)]
enum Event {
    Read { litres: u32 },
}

#[derive(Debug, Default)]
struct Meter;

impl Aggregate for Meter {
    const TYPE: &'static str = "meter";
    type Id = u64;
    type Event = Event;
    type Command = u32;
    type Error = std::convert::Infallible;
    type Services = ();

    fn apply(&mut self, _: &Event) {}

    fn handle(&self, litres: u32, _: &Context<'_, Self>) -> Result<Vec<Event>, Self::Error> {
        Ok(vec![Event::Read { litres }])
    }
}

/// What the view shows: the litres of each meter, and the events in the order in which they were handled.
type Shown = (Vec<(u64, u64)>, Vec<u64>);

const SCHEMA: &str = "
    CREATE TABLE litres (meter INTEGER NOT NULL PRIMARY KEY, litres INTEGER NOT NULL);
    CREATE TABLE handled (number INTEGER NOT NULL PRIMARY KEY, position INTEGER NOT NULL);
";

fn apply(tables: &Connection, e: &Recorded<'_, Meter>) -> rusqlite::Result<()> {
    let Event::Read { litres } = e.event();
    let add = "INSERT INTO litres VALUES (?1, ?2)
        ON CONFLICT DO UPDATE SET litres = litres + excluded.litres";
    tables.prepare_cached(add)?.execute((i64::try_from(*e.id()).unwrap(), litres))?;
    let note = "INSERT INTO handled (position) VALUES (?1)";
    tables.prepare_cached(note)?.execute([i64::try_from(e.position().get()).unwrap()])?;
    Ok(())
}

fn shown_in(tables: &Connection) -> Shown {
    let number = |number: i64| u64::try_from(number).unwrap();
    let mut litres = tables.prepare("SELECT meter, litres FROM litres ORDER BY meter").unwrap();
    let rows = litres.query_map([], |row| Ok((number(row.get(0)?), number(row.get(1)?)))).unwrap();
    let litres = rows.map(Result::unwrap).collect();
    let mut handled = tables.prepare("SELECT position FROM handled ORDER BY number").unwrap();
    let rows = handled.query_map([], |row| Ok(number(row.get(0)?))).unwrap();
    (litres, rows.map(Result::unwrap).collect())
}

/// What the view has to show when it has seen the log up to here.
fn refolded(annals: &Annals, up_to: u64) -> Shown {
    let mut shown = (std::collections::BTreeMap::new(), Vec::new());
    for event in annals.of::<Meter>().unwrap().events().read().unwrap() {
        let event = event.unwrap();
        if event.position().get() <= up_to {
            let Event::Read { litres } = event.event();
            *shown.0.entry(*event.id()).or_default() += u64::from(*litres);
            shown.1.push(event.position().get());
        }
    }
    (shown.0.into_iter().collect(), shown.1)
}

/// The database lies beside the store, and is the projection's own or not.
fn keeper(task: &Task) -> Sqlite {
    let path = task.directory.with_file_name("view.sqlite");
    if task.is_small {
        Sqlite::owned(path, SCHEMA)
    } else {
        Sqlite::within(path, SCHEMA, "DROP TABLE litres; DROP TABLE handled")
    }
}

fn projection(
    annals: &Annals,
    task: &Task,
    handles: impl Fn(u64) + Send + Sync + 'static,
) -> ProjectionBuilder<Sqlite> {
    let view = annals.view("meters").on::<Meter>(move |tables: &mut Connection, e| {
        let applied = apply(tables, e);
        handles(e.position().get());
        applied
    });
    view.kept_in(keeper(task)).batch(8.try_into().unwrap())
}

fn open(task: &Task) -> Annals {
    Annals::with_store(history::options(true).open(&task.directory).unwrap())
}

/// Appends, and projects what it appends, until it is killed.
pub(crate) fn project(task: &Task, notes: Notes) {
    let annals = open(task);
    let meters = annals.of::<Meter>().unwrap();
    let notes = std::sync::Arc::new(notes);
    let its_notes = std::sync::Arc::clone(&notes);
    let handles = move |position| {
        its_notes.write(&format!("handles {position}"));
        thread::sleep(Duration::from_micros(300));
    };
    let projection = projection(&annals, task, handles).spawn().unwrap();
    if task.life % 8 == 7 {
        projection.rebuild().unwrap();
    }
    for number in 0.. {
        let done = meters.execute(&(number % 5), u32::try_from(number % 97).unwrap()).unwrap();
        notes.write(&format!("acknowledged {}", done.position()));
        while projection.status().lag.events > 40 {
            thread::sleep(Duration::from_micros(200));
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    in_flight: u64,
    while_rebuilding: u64,
    events: u64,
    acknowledged: u64,
}

/// The last number behind this word.
fn last(notes: &[String], word: &str) -> u64 {
    let number = |line: &String| line.strip_prefix(word)?.trim().parse().ok();
    notes.iter().rev().find_map(number).unwrap_or(0)
}

/// Lets a child work until it handles events, and kills it a little later.
fn kill_one(task: &Task, place: &Place, random: &mut impl FnMut(u64) -> u64) {
    fs::remove_file(place.notes()).ok();
    let mut child = task.start();
    let began = Instant::now();
    while last(&place.read_notes(), "handles") == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself: {task:?}");
        assert!(began.elapsed() < Duration::from_secs(30), "it does nothing: {task:?}");
        thread::sleep(Duration::from_micros(500));
    }
    thread::sleep(Duration::from_micros(random(20_000)));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Looks at what a killed process has left: the view is what the events up to its checkpoint make.
fn look_into(task: &Task, place: &Place, tally: &mut Tally) {
    let notes = place.read_notes();
    let annals = open(task);
    let head = annals.store().head().unwrap().durable.get();
    assert!(head >= last(&notes, "acknowledged"));
    let is_rebuilding = {
        let projection = projection(&annals, task, |_| {}).open().unwrap();
        let status = projection.status();
        let shown = shown_in(&keeper(task).reader().connect().unwrap());
        assert_eq!(shown, refolded(&annals, status.position.get()), "{task:?}");
        let in_flight = last(&notes, "handles") > status.position.get();
        tally.in_flight += u64::from(in_flight && status.rebuild.is_none());
        status.rebuild.is_some()
    };
    tally.while_rebuilding += u64::from(is_rebuilding);
    if task.life % 4 == 3 {
        let projection = projection(&annals, task, |_| {}).open().unwrap();
        projection.run_until_caught_up().unwrap();
        let shown = shown_in(&projection.reader().connect().unwrap());
        assert_eq!(shown, refolded(&annals, head), "{task:?}");
    }
    tally.kills += 1;
    tally.acknowledged +=
        notes.iter().filter(|line| line.starts_with("acknowledged")).count() as u64;
    annals.close().unwrap();
}

#[test]
fn whatever_the_moment_of_a_kill_each_event_is_in_the_view_once() {
    let kills: u64 = env::var("ANNALS_KILLS").map_or(200, |kills| kills.parse().unwrap());
    let (began, seed) = (Instant::now(), u64::from(std::process::id()));
    let (mut tally, mut random) = (Tally::default(), numbers(seed));
    while tally.kills < kills || tally.in_flight * 4 < kills * 3 {
        assert!(tally.kills < 3 * kills, "too few kills strike a batch: {tally:?}");
        let place = Place::new();
        let is_small = random(2) == 0;
        for life in 0..16 {
            let task = Task { life, is_small, ..Task::new(Role::Projects, &place) };
            kill_one(&task, &place, &mut random);
            look_into(&task, &place, &mut tally);
        }
        let task = Task { is_small, ..Task::new(Role::Projects, &place) };
        tally.events += open(&task).store().head().unwrap().durable.get();
    }
    println!("{kills} kills in {:?}, seed {seed}: {tally:?}", began.elapsed());
}
