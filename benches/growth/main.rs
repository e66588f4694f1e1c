//! What grows with the log: the same things done on stores of 100,000 and of 1,000,000 events, and how much longer they take.
//!
//! `cargo bench --bench growth` prints a line for each size, and below them the factor from the smallest to the largest. Nothing
//! but a replay may grow with the log, apart from a logarithm: a condition that is judged and a tag that is searched for take at
//! most twice as long. With the argument `10M`, a store of 10,000,000 events comes third; for a while that takes 4 GB of disk.
//!
//! All stores are open side by side and take turns, so that a machine that is now fast and now slow is so for all of them; and
//! each log has been read before, so that it is the store which is measured and not the disk, as far as memory reaches.
//!
//! As a test, it does all of it with 1,000 and 10,000 events, and holds each answer against what was written.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

#[path = "../file_store/measure.rs"]
#[allow(dead_code, reason = "shared with another benchmark")]
mod measure;
#[path = "../file_store/open.rs"]
#[allow(dead_code, reason = "shared with another benchmark")]
mod open;
#[path = "../file_store/workload.rs"]
#[allow(dead_code, reason = "shared with another benchmark")]
mod workload;
mod plan;

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use annals::store::{
    AppendError, Clause, Commit, Conflict, EventStore, Expected, FileStore, Filter, Query,
};
use annals::{NewEvent, Position, Version};

use crate::measure::{Scratch, files, is_test, length, median, peak_bytes, shown, timed};
use crate::open::{OPEN, copy_store, open, open_as_child, wait_until_idle};
use crate::plan::{
    CORRELATED, Plan, RARE_TAG_AT, RARITY, STREAM_EVENTS, both_common_and_rare, event_type, name,
    tag,
};
use crate::workload::{buffered, each, metadata, new_event, stream};

/// How many events a child process is to write, and where. Each size has a process of its own, for the peak of its memory.
const LOAD: &str = "ANNALS_BENCH_LOAD";

/// A page of a search for a tag: as many events as the smallest store has with it.
const PAGE: NonZeroU64 = NonZeroU64::new(10).unwrap();

/// How many rounds a store does before it is the next one's turn.
const TURN_ROUNDS: u64 = 10;

/// What is measured, and the factor that is not to be exceeded.
const COLUMNS: [(&str, &str); 11] = [
    ("append", ""),
    ("absent tag", "2"),
    ("rare+common", "2"),
    ("stream", ""),
    ("correlation", ""),
    ("rare tag", "2"),
    ("open closed", ""),
    ("open killed", ""),
    ("open memory", ""),
    ("peak memory", ""),
    ("disk/event", ""),
];

/// A store of some size, and what its writer knows.
struct Sized {
    plan: Plan,
    directory: PathBuf,
    store: FileStore,
    last_rare: Position,
    version: Version,
}

impl Sized {
    fn open(events: u64, directory: PathBuf) -> Self {
        let last_rare = (0..events).rev().find(|number| Plan::has_rare_tag(*number)).unwrap();
        let store = buffered(&directory);
        let (plan, version) = (Plan { events }, store.version(&stream("own")).unwrap());
        Self { plan, directory, store, last_rare: Position::new(last_rare + 1), version }
    }

    fn count(&self, query: Query) -> u64 {
        let mut events = 0;
        each(&self.store, query, |_| events += 1);
        events
    }

    /// The seconds that a read takes which gives so many events.
    fn read(&self, query: Query, events: u64) -> f64 {
        timed(|| assert_eq!(self.count(query), events)).as_secs_f64()
    }

    /// The seconds that it takes to append an event which has nothing that is searched for.
    fn append(&mut self, require: impl FnOnce(Commit) -> Commit) -> f64 {
        let event = NewEvent::from_json(event_type("Noted"), new_event(0, &metadata()).payload());
        let expected = Expected::Exactly(self.version);
        let commit = require(Commit::new().write(stream("own"), expected, [event.unwrap()]));
        let took = timed(|| self.version = self.store.append(commit).unwrap().versions[0].1);
        took.as_secs_f64()
    }

    /// Each thing once: an append, alone and with conditions that hold (an absent tag in all of the log; a rare tag of a common
    /// type, behind what the writer has read); reads of a stream, of what belongs together, and of the first page with a rare tag.
    fn round(&mut self, round: u64) -> [f64; 6] {
        // One far from the other, so that what was read of one is of no use for the next.
        let far = |from: u64| round * 7_919 % from;
        let last_rare = self.last_rare;
        let stream = name(far(self.plan.events / STREAM_EVENTS));
        let correlation = Plan::correlation(far(self.plan.events / CORRELATED) * CORRELATED);
        let page = self.plan.events.div_ceil(RARITY).min(PAGE.get());
        // The first append after reads finds the processor's caches full of other things.
        self.append(|commit| commit);
        [
            self.append(|commit| commit),
            self.append(|commit| commit.require_none(tag("audited:no"), Position::START)),
            self.append(|commit| commit.require_none(both_common_and_rare(), last_rare)),
            self.read(Query::new(stream), STREAM_EVENTS),
            self.read(Query::new(Clause::new().correlation(correlation)), CORRELATED),
            self.read(Query::new(tag("audited:yes")).limit(PAGE), page),
        ]
    }

    /// A condition that does not hold names the first event that it rules out.
    fn check_refusal(&self, filter: Filter) {
        let event = new_event(0, &metadata());
        let commit = Commit::new().write(stream("own"), Expected::Any, [event]);
        match self.store.append(commit.require_none(filter, Position::START)) {
            Err(AppendError::Conflict(Conflict::Event { position, .. })) => {
                assert_eq!(position, Position::new(RARE_TAG_AT + 1));
            }
            other => panic!("{other:?}"),
        }
    }

    /// Closes it, and gives the position of its last event; how it lay there before, as a killed process leaves it, is beside it.
    fn close(self, killed: &Path) -> u64 {
        assert_eq!(self.store.version(&stream("own")).unwrap(), self.version);
        self.store.sync().unwrap();
        wait_until_idle(&self.directory);
        copy_store(&self.directory, killed);
        let head = self.store.head().unwrap().durable.get();
        self.store.close().unwrap();
        head
    }
}

/// Fills a store, and tells what memory that and a few reads took, and what an event takes on disk.
fn load_as_child(size: &str, directory: &Path) {
    let events = size.parse().unwrap();
    let before = peak_bytes();
    Plan { events }.load(directory);
    let disk = length(&files(directory)) as f64 / events as f64;
    let mut store = Sized::open(events, directory.to_owned());
    (0..100).for_each(|round| _ = store.round(round));
    let memory = peak_bytes() - before;
    if is_test() {
        store.check_refusal(both_common_and_rare());
        store.plan.check_all(&store.store);
    }
    store.store.close().unwrap();
    println!("{memory} {disk}");
}

fn load(events: u64, directory: &Path) -> [f64; 2] {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let child = child.args(std::env::args().skip(1)).stderr(Stdio::inherit());
    let output = child.env(LOAD, events.to_string()).env("DIRECTORY", directory).output().unwrap();
    assert!(output.status.success(), "{events} events cannot be written");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap());
    [(); 2].map(|()| numbers.next().unwrap())
}

type Line = [f64; COLUMNS.len()];

/// The medians of many rounds, in which stores of these sizes take turns.
fn measure(scratch: &Scratch, sizes: &[u64]) -> Vec<Line> {
    let (turns, opens) = if is_test() { (1, 1) } else { (100, 15) };
    let directory = |events: &u64, state: &str| scratch.fresh(&format!("{events}-{state}"));
    let loaded = sizes.iter().map(|events| {
        let directory = directory(events, "closed");
        (load(*events, &directory), Sized::open(*events, directory))
    });
    let (loads, mut stores): (Vec<_>, Vec<_>) = loaded.unzip();
    let mut times = vec![[const { Vec::new() }; COLUMNS.len()]; sizes.len()];
    stores.iter().for_each(|store| assert!(store.count(Query::default()) >= store.plan.events));
    for turn in 0..turns {
        for (store, times) in stores.iter_mut().zip(&mut times) {
            for round in turn * TURN_ROUNDS..(turn + 1) * TURN_ROUNDS {
                let took = store.round(round);
                times.iter_mut().zip(took).for_each(|(times, took)| times.push(took));
            }
        }
    }
    let closed = stores.into_iter().map(|store| {
        let killed = directory(&store.plan.events, "killed");
        ([store.directory.clone(), killed.clone()], store.close(&killed))
    });
    let closed: Vec<_> = closed.collect();
    for _ in 0..opens {
        for ((directories, head), times) in closed.iter().zip(&mut times) {
            let [closed, killed] =
                directories.each_ref().map(|directory| open(scratch, directory, *head));
            times[6].push(closed.0.as_secs_f64());
            times[7].push(killed.0.as_secs_f64());
            times[8].push(closed.1.max(killed.1) as f64);
        }
    }
    times.into_iter().zip(loads).map(|(times, load)| line(times, load)).collect()
}

fn line(mut times: [Vec<f64>; COLUMNS.len()], load: [f64; 2]) -> Line {
    times[9].push(load[0]);
    times[10].push(load[1]);
    let mut line = times.map(median);
    // What a condition costs is what an append takes longer with it.
    line[1] -= line[0];
    line[2] -= line[0];
    line
}

fn shown_in(column: usize, number: f64) -> String {
    match COLUMNS[column].0 {
        "open memory" | "peak memory" => format!("{:.1} MiB", number / f64::from(1 << 20)),
        "disk/event" => format!("{number:.0} B"),
        _ => shown(number).trim().to_owned(),
    }
}

fn print_line(what: &str, cells: impl Iterator<Item = String>) {
    let cells: String = cells.map(|cell| format!("{cell:>13}")).collect();
    println!("{what:<10}{cells}");
}

fn main() {
    if let Some(directory) = std::env::var_os(OPEN) {
        return open_as_child(Path::new(&directory));
    }
    if let Ok(events) = std::env::var(LOAD) {
        return load_as_child(&events, Path::new(&std::env::var_os("DIRECTORY").unwrap()));
    }
    let is_large = std::env::args().any(|argument| argument == "10M");
    let mut sizes = if is_test() { vec![1_000, 10_000] } else { vec![100_000, 1_000_000] };
    sizes.extend(is_large.then_some(10_000_000));
    let lines = measure(&Scratch::new(), &sizes);
    print_line("events", COLUMNS.iter().map(|(name, _)| (*name).to_owned()));
    for (events, line) in sizes.iter().zip(&lines) {
        let cells = line.iter().enumerate().map(|(column, number)| shown_in(column, *number));
        print_line(&events.to_string(), cells);
    }
    let ends = lines[lines.len() - 1].iter().zip(&lines[0]);
    print_line("factor", ends.map(|(large, small)| format!("{:.2}", large / small)));
    print_line("goal", COLUMNS.iter().map(|(_, goal)| (*goal).to_owned()));
}
