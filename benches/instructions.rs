//! How many instructions the hot paths take, which no other program on the machine can change.
//!
//! `cargo bench --bench instructions` counts with callgrind, a part of valgrind (`apt install valgrind`): each path runs a few times and
//! many times in programs of their own, and the difference, divided by the times that it ran more often, is what one run takes. Beside
//! it stands what it took in the last release. After a release, what is printed takes the place of [`LAST`].

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

#[path = "file_store/workload.rs"]
#[allow(dead_code, reason = "it is shared with another benchmark")]
mod workload;

use std::fs;
use std::path::PathBuf;
use std::process::{self, Command};

use annals::store::{Commit, EventStore, Expected, FileStore, MemoryStore, Query};
use annals::{Aggregate, Annals, Context, Version};
use serde::{Deserialize, Serialize};

use workload::{Event as Bare, buffered, each, metadata, new_event, stream};

/// The paths, what one run of each is, and what that took in the last release; 0 where there was none.
const LAST: [(&str, &str, u64); 9] = [
    ("append", "append an event to a file, buffered", 13_131),
    ("batch", "append 100 events to a file, buffered, an event", 4_062),
    ("memory", "append an event in memory", 13_062),
    ("execute", "execute a command in memory: load one event, decide, encode, append", 28_964),
    ("load", "load an aggregate in memory: read, decode and fold, an event", 1_081),
    ("replay", "read everything from a file, an event", 1_188),
    ("typed", "the same, and decode it by hand, an event", 5_964),
    ("stream", "load a stream of 100 from a file, and decode it by hand, an event", 8_233),
    ("version", "look up the version of a stream in a file", 54_454),
];

#[derive(Default)]
struct Counter(u64);

#[derive(Serialize, Deserialize)]
enum Counted {
    Added { amount: u64 },
}

impl Aggregate for Counter {
    const TYPE: &'static str = "counter";
    type Id = u64;
    type Event = Counted;
    type Command = u64;
    type Error = std::convert::Infallible;
    type Services = ();

    fn apply(&mut self, event: &Counted) {
        let Counted::Added { amount } = event;
        self.0 += amount;
    }

    fn handle(&self, events: u64, _: &Context<'_, Self>) -> Result<Vec<Counted>, Self::Error> {
        Ok((0..events).map(|amount| Counted::Added { amount }).collect())
    }
}

/// A directory that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let name = format!("annals-instructions-{}", process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A store with so many streams of 100 events, whose events lie far from one another.
fn scattered(scratch: &Scratch, streams: u64) -> FileStore {
    let store = buffered(&scratch.0);
    for version in 0..100 {
        let metadata = metadata();
        let expected = Expected::Exactly(Version::new(version));
        let commit = (0..streams).fold(Commit::new(), |commit, number| {
            let event = new_event(version * streams + number, &metadata);
            commit.write(stream(&number.to_string()), expected, [event])
        });
        store.append(commit).unwrap();
    }
    store.close().unwrap();
    FileStore::open(&scratch.0).unwrap()
}

/// Appends so many commits of so many events to one stream. All are copies of one that was made before.
fn append(store: &dyn EventStore, commits: u64, events: usize) {
    let event = new_event(1, &metadata());
    for number in 0..commits {
        let expected = Expected::Exactly(Version::new(number * events as u64));
        let events = std::iter::repeat_n(event.clone(), events);
        store.append(Commit::new().write(stream("alice"), expected, events)).unwrap();
    }
}

/// Runs a path so many times, and returns how many events that were.
fn run(path: &str, times: u64) -> u64 {
    let scratch = Scratch::new();
    let streams = 100;
    let annals = Annals::in_memory();
    let counters = annals.of::<Counter>().unwrap();
    match path {
        "append" => append(&buffered(&scratch.0), times, 1),
        "batch" => append(&buffered(&scratch.0), times.div_ceil(100), 100),
        "memory" => append(&MemoryStore::new(), times, 1),
        "execute" => (0..times).for_each(|id| {
            counters.execute(&(id % 1_000), 1).unwrap();
        }),
        "load" => {
            counters.execute(&1, 10_000).unwrap();
            for _ in 0..times.div_ceil(10_000) {
                assert_eq!(counters.load(&1).unwrap().state().0, 49_995_000);
            }
        }
        "replay" | "typed" => {
            let store = scattered(&scratch, streams);
            for _ in 0..times.div_ceil(10_000) {
                let (mut events, mut weight) = (0, 0);
                each(&store, Query::default(), |event| {
                    events += 1;
                    if path == "typed" {
                        weight += Bare::decode(event.event_type(), event.payload()).weight();
                    }
                });
                assert_eq!((events, weight > 0), (10_000, path == "typed"));
            }
        }
        "stream" => {
            let store = scattered(&scratch, streams);
            for number in 0..times.div_ceil(100) {
                let (mut events, query) = (0, Query::new(stream(&(number % streams).to_string())));
                each(&store, query, |event| {
                    events += Bare::decode(event.event_type(), event.payload()).weight().min(1);
                });
                assert_eq!(events, 100);
            }
        }
        "version" => {
            let store = scattered(&scratch, streams);
            for number in 0..times {
                let version = store.version(&stream(&(number % streams).to_string())).unwrap();
                assert_eq!(version, Version::new(100));
            }
        }
        path => panic!("{path}"),
    }
    times
}

/// The instructions of a program that runs a path so many times.
fn counted(path: &str, times: u64) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args(["--path", path, &times.to_string()])
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let line = said.lines().find_map(|line| line.split("Collected : ").nth(1));
    Some(line.unwrap().trim().parse().unwrap())
}

/// What one run takes: the middle one of three, for programs seed their hash maps anew.
fn measured(path: &str) -> Option<u64> {
    let (few, many) = (2_000, 12_000);
    let mut found = Vec::new();
    for _ in 0..3 {
        let (less, more) = (counted(path, few)?, counted(path, many)?);
        found.push(more.saturating_sub(less) / (many - few));
    }
    found.sort_unstable();
    Some(found[1])
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, path, times] = &arguments[..]
        && flag == "--path"
    {
        run(path, times.parse().unwrap());
        return;
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        // As a test: every path does what it should.
        LAST.iter().for_each(|(path, ..)| assert_eq!(run(path, 200), 200));
        return;
    }
    println!("{:<72}{:>12}{:>14}", "instructions", "now", "last release");
    for (path, what, last) in LAST {
        let Some(now) = measured(path) else {
            eprintln!("valgrind is not there: install it (apt install valgrind)");
            process::exit(1);
        };
        let before = if last == 0 {
            "-".to_owned()
        } else {
            format!("{last} ({:.2})", now as f64 / last as f64)
        };
        println!("{what:<72}{now:>12}{before:>14}");
    }
}
