//! What grows with the log: the same things done on stores of 100,000 and of 1,000,000 events, and how many times as much they take.
//!
//! `cargo bench --bench growth` prints a line for each size, and below them the factor from the smallest to the largest. Nothing
//! but a replay may grow with the log, apart from a logarithm: a condition that is judged and a tag that is searched for take at
//! most twice as long. With the argument `10M`, a store of 10,000,000 events comes third; it takes 4 GB of disk for a while.
//!
//! As a test, it does all of it with 1,000 and 10,000 events, and holds each answer against what was written.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

#[path = "file_store/measure.rs"]
#[allow(dead_code, reason = "shared with another benchmark")]
mod measure;
#[path = "file_store/open.rs"]
#[allow(dead_code, reason = "shared with another benchmark")]
mod open;
#[path = "file_store/workload.rs"]
#[allow(dead_code, reason = "shared with another benchmark")]
mod workload;

use std::num::NonZeroU64;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use annals::id::{CorrelationId, EventType, Tag};
use annals::store::{
    AppendError, Clause, Commit, Conflict, EventStore, Expected, FileStore, Filter, Query,
};
use annals::uuid::Uuid;
use annals::{Metadata, NewEvent, Position, StreamId, Tags, Version};

use crate::measure::{Scratch, files, is_test, length, median, peak_bytes, shown, timed};
use crate::open::{OPEN, copy_store, open, open_as_child, wait_until_idle};
use crate::workload::{buffered, each, metadata, new_event, stream};

/// The number of events that a child process is to work with. Each size has a process of its own, for the peak of its memory.
const EVENTS: &str = "ANNALS_BENCH_EVENTS";

const COMMIT_EVENTS: u64 = 1_000;
const STREAM_EVENTS: u64 = 100;
const CORRELATED: u64 = 10;
/// One of so many events has the rare type, and another one the rare tag.
const RARITY: u64 = 10_000;
const RARE_TYPE_AT: u64 = 500;
const RARE_TAG_AT: u64 = 700;
/// A page of a search for a tag: as many events as the smallest store has with it.
const PAGE: NonZeroU64 = NonZeroU64::new(10).unwrap();
/// What a killed process has written since it last wrote its index.
const SINGLE_COMMITS: u64 = 3_000;

fn event_type(name: &str) -> EventType {
    EventType::new(name).unwrap()
}

fn tag(name: &str) -> Tag {
    Tag::new(name).unwrap()
}

/// What is written as a store's event with a number, from 0; its position is one higher.
struct Plan {
    events: u64,
}

impl Plan {
    /// There are more streams in a larger store, and each is scattered over all of it.
    fn stream_number(&self, number: u64) -> u64 {
        let streams = self.events / STREAM_EVENTS;
        number / COMMIT_EVENTS.div_ceil(streams) % streams
    }

    fn has_rare_tag(number: u64) -> bool {
        number % RARITY == RARE_TAG_AT
    }

    fn has_rare_type(number: u64) -> bool {
        number % RARITY == RARE_TYPE_AT
    }

    fn type_name(number: u64) -> &'static str {
        match number {
            number if Self::has_rare_type(number) => "Frozen",
            number if number.is_multiple_of(3) => "Withdrawn",
            _ => "Deposited",
        }
    }

    /// An id as good as random, which is known again.
    fn correlation(number: u64) -> CorrelationId {
        const SPREAD: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;
        Uuid::from_u128((u128::from(number / CORRELATED) + 1).wrapping_mul(SPREAD)).into()
    }

    fn metadata(number: u64) -> Arc<Metadata> {
        Metadata::clone(&metadata()).with_correlation(Self::correlation(number)).into()
    }

    fn event(number: u64, metadata: &Arc<Metadata>) -> NewEvent {
        let payload = new_event(number, metadata).payload().to_vec();
        let event_type = event_type(Self::type_name(number));
        let rare = Self::has_rare_tag(number).then_some("audited:yes");
        let tags = Tags::of(["currency:EUR"].into_iter().chain(rare)).unwrap();
        let event = NewEvent::from_json(event_type, payload).unwrap();
        event.with_metadata(Arc::clone(metadata)).with_tags(tags)
    }

    fn commit(&self, first: u64) -> Commit {
        let mut writes: Vec<(u64, Vec<NewEvent>)> = Vec::new();
        let mut metadata = Self::metadata(first);
        for number in first..first + COMMIT_EVENTS {
            if number.is_multiple_of(CORRELATED) {
                metadata = Self::metadata(number);
            }
            let (stream, event) = (self.stream_number(number), Self::event(number, &metadata));
            match writes.last_mut().filter(|(last, _)| *last == stream) {
                Some((_, events)) => events.push(event),
                None => writes.push((stream, vec![event])),
            }
        }
        writes.into_iter().fold(Commit::new(), |commit, (stream, events)| {
            commit.write(name(stream), Expected::Any, events)
        })
    }

    fn load(&self, directory: &Path) {
        let store = buffered(directory);
        for first in (0..self.events).step_by(usize::try_from(COMMIT_EVENTS).unwrap()) {
            store.append(self.commit(first)).unwrap();
        }
        store.close().unwrap();
    }

    /// Holds an answer against what was written.
    fn check(&self, store: &FileStore, query: Query, is_meant: impl Fn(u64) -> bool) {
        let mut expected = (0..self.events).filter(|number| is_meant(*number));
        each(store, query.up_to(Position::new(self.events)), |event| {
            let number = expected.next().unwrap();
            let written = Self::event(number, &Self::metadata(number));
            assert_eq!(event.position(), Position::new(number + 1));
            assert_eq!(event.payload(), written.payload());
            assert_eq!(event.event_type(), written.event_type().as_str());
            assert!(event.tags().eq(written.tags().iter()));
            assert!(event.stream() == name(self.stream_number(number)));
            assert_eq!(event.correlation(), Some(Self::correlation(number)));
        });
        assert_eq!(expected.next(), None);
    }

    fn check_all(&self, store: &FileStore) {
        let of_type = |name: &str| Clause::new().event_type(event_type(name));
        self.check(store, Query::default(), |_| true);
        self.check(store, Query::new(tag("currency:EUR")), |_| true);
        self.check(store, Query::new(of_type("Frozen")), Self::has_rare_type);
        self.check(store, Query::new(of_type("Deposited")), |number| {
            Self::type_name(number) == "Deposited"
        });
        self.check(store, Query::new(both_common_and_rare()), Self::has_rare_tag);
        for stream in 0..self.events / STREAM_EVENTS {
            let is_of_it = |number: u64| self.stream_number(number) == stream;
            self.check(store, Query::new(name(stream)), is_of_it);
        }
    }
}

fn name(stream_number: u64) -> StreamId {
    stream(&format!("{stream_number:05}"))
}

fn both_common_and_rare() -> Filter {
    Clause::new().event_type(event_type("Deposited")).tag(tag("audited:yes")).into()
}

/// The median of what one call takes, in seconds, of calls with numbers from 0.
fn median_of(rounds: u64, mut call: impl FnMut(u64)) -> f64 {
    median((0..rounds).map(|round| timed(|| call(round)).as_secs_f64()).collect())
}

/// Whoever appends one event after the other, and knows where the stream stands.
struct Writer<'s> {
    store: &'s FileStore,
    stream: StreamId,
    version: Version,
}

impl<'s> Writer<'s> {
    fn new(store: &'s FileStore) -> Self {
        Self { store, stream: stream("own"), version: Version::ZERO }
    }

    /// The seconds that it takes to append an event which has nothing that is searched for.
    fn append(&mut self, require: impl Fn(Commit) -> Commit) -> f64 {
        let event = NewEvent::from_json(event_type("Noted"), new_event(0, &metadata()).payload());
        let expected = Expected::Exactly(self.version);
        let commit = Commit::new().write(self.stream.clone(), expected, [event.unwrap()]);
        let commit = require(commit);
        let took = timed(|| self.version = self.store.append(commit).unwrap().versions[0].1);
        took.as_secs_f64()
    }

    fn refused(&self, filter: Filter) -> Position {
        let event = new_event(0, &metadata());
        let commit = Commit::new().write(self.stream.clone(), Expected::Any, [event]);
        match self.store.append(commit.require_none(filter, Position::START)) {
            Err(AppendError::Conflict(Conflict::Event { position, .. })) => position,
            other => panic!("{other:?}"),
        }
    }
}

/// An append, and what it takes more with a condition that is judged: an absent tag in all of the log; a rare tag of a common type,
/// after what the writer has read.
fn appends(plan: &Plan, store: &FileStore, rounds: u64) -> [f64; 3] {
    let mut writer = Writer::new(store);
    let last_rare = (0..plan.events).rev().find(|number| Plan::has_rare_tag(*number)).unwrap();
    let last_rare = Position::new(last_rare + 1);
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        times[0].push(writer.append(|commit| commit));
        times[1]
            .push(writer.append(|commit| commit.require_none(tag("audited:no"), Position::START)));
        times[2]
            .push(writer.append(|commit| commit.require_none(both_common_and_rare(), last_rare)));
    }
    assert_eq!(writer.refused(both_common_and_rare()), Position::new(RARE_TAG_AT + 1));
    assert_eq!(store.version(&writer.stream).unwrap().get(), 3 * rounds);
    let [plain, absent, both] = times.map(median);
    [plain, absent - plain, both - plain]
}

/// A stream, what belongs together, a page with a rare tag.
fn reads(plan: &Plan, store: &FileStore, rounds: u64) -> [f64; 3] {
    // One far from the other, so that what was read of one is of no use for the next.
    let far = |round: u64, from: u64| round * 7_919 % from;
    let count = |query: Query| {
        let mut events = 0;
        each(store, query, |_| events += 1);
        events
    };
    let load = median_of(rounds, |round| {
        let stream = name(far(round, plan.events / STREAM_EVENTS));
        assert_eq!(count(Query::new(stream)), STREAM_EVENTS);
    });
    let correlated = median_of(rounds, |round| {
        let number = far(round, plan.events / CORRELATED) * CORRELATED;
        let clause = Clause::new().correlation(Plan::correlation(number));
        assert_eq!(count(Query::new(clause)), CORRELATED);
    });
    let there = plan.events.div_ceil(RARITY).min(PAGE.get());
    let page = Query::new(tag("audited:yes")).limit(PAGE);
    let page = median_of(rounds, |_| assert_eq!(count(page.clone()), there));
    [load, correlated, page]
}

const COLUMNS: [(&str, &str); 10] = [
    ("append", ""),
    ("absent tag", "2"),
    ("rare+common", "2"),
    ("stream", ""),
    ("correlation", ""),
    ("rare tag", "2"),
    ("open closed", ""),
    ("open killed", ""),
    ("peak memory", ""),
    ("disk/event", ""),
];

/// What all of it takes with so many events, in the order of the columns.
fn work(events: u64) -> [f64; COLUMNS.len()] {
    let before = peak_bytes();
    let (plan, scratch) = (Plan { events }, Scratch::new());
    let [closed, killed] = ["closed", "killed"].map(|state| scratch.fresh(state));
    plan.load(&closed);
    let disk = length(&files(&closed)) as f64 / events as f64;
    let (rounds, opened) = if is_test() { (5, 1) } else { (SINGLE_COMMITS / 3, 9) };
    let store = buffered(&closed);
    let [load, correlated, page] = reads(&plan, &store, rounds);
    let [append, absent, both] = appends(&plan, &store, rounds);
    let memory = (peak_bytes() - before) as f64;
    if is_test() {
        plan.check_all(&store);
    }
    store.sync().unwrap();
    let head = store.head().unwrap().durable.get();
    wait_until_idle(&closed);
    copy_store(&closed, &killed);
    store.close().unwrap();
    let opened = |directory| {
        let opens = (0..opened).map(|_| open(&scratch, directory, head).0.as_secs_f64());
        median(opens.collect())
    };
    let (closed, killed) = (opened(&closed), opened(&killed));
    [append, absent, both, load, correlated, page, closed, killed, memory, disk]
}

/// Has a process of its own do the work.
fn work_as_child(events: u64) -> Vec<f64> {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let child = child.args(std::env::args().skip(1)).env(EVENTS, events.to_string());
    let output = child.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "with {events} events");
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

fn shown_in(column: usize, number: f64) -> String {
    match COLUMNS[column].0 {
        "peak memory" => format!("{:.1} MiB", number / f64::from(1 << 20)),
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
    if let Ok(events) = std::env::var(EVENTS) {
        return println!("{}", work(events.parse().unwrap()).map(|it| it.to_string()).join(" "));
    }
    let is_large = std::env::args().any(|argument| argument == "10M");
    let mut sizes = if is_test() { vec![1_000, 10_000] } else { vec![100_000, 1_000_000] };
    sizes.extend(is_large.then_some(10_000_000));
    print_line("events", COLUMNS.iter().map(|(name, _)| (*name).to_owned()));
    let mut lines = Vec::new();
    for events in sizes {
        let line = work_as_child(events);
        let cells = line.iter().enumerate().map(|(column, number)| shown_in(column, *number));
        print_line(&events.to_string(), cells);
        lines.push(line);
    }
    let (smallest, largest) = (&lines[0], &lines[lines.len() - 1]);
    let factors =
        largest.iter().zip(smallest).map(|(large, small)| format!("{:.2}", large / small));
    print_line("factor", factors);
    print_line("goal", COLUMNS.iter().map(|(_, goal)| (*goal).to_owned()));
}
