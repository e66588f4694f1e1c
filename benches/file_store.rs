//! What the store on disk costs, beside what the disk and the processor themselves take for the same bytes.
//!
//! `cargo bench --bench file_store` prints a table; then come a few of criterion's own measurements. Whatever is compared is
//! measured in one run, in turns of many short rounds; *share* is the speed of annals as a part of the limit's: the
//! median of all rounds, and that of the best. A name given as an argument picks a part: `append`, `batch`, `threads`, `bulk`,
//! `replay`, `stream`, `open`, `space`.
//!
//! With `ANNALS_BENCH_LARGE=1` in the environment, opening is measured with 5,000,000 events, too.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use annals::id::{CorrelationId, EventId, EventType};
use annals::store::{Batches, Commit, Durability, EventStore, Expected, FileStore, Query};
use annals::{Metadata, NewEvent, Position, RecordedEvent, StreamId, Version};
use criterion::Criterion;
use serde::{Deserialize, Serialize};

// ---------------------------------------------------------------------------------------------------- what is stored

/// What both events hold: 163 bytes of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Movement {
    cents: u64,
    currency: String,
    reference: String,
    counterparty: String,
    booked_on: String,
    note: String,
}

#[derive(Debug, Clone)]
enum Event {
    Deposited(Movement),
    Withdrawn(Movement),
}

impl Event {
    /// Decodes what is stored under a type's name.
    fn decode(name: &str, payload: &[u8]) -> Self {
        let movement = serde_json::from_slice(payload).unwrap();
        match name {
            "Deposited" => Self::Deposited(movement),
            "Withdrawn" => Self::Withdrawn(movement),
            name => panic!("{name}"),
        }
    }

    /// Something that takes all of it.
    fn weight(&self) -> u64 {
        let (Self::Deposited(m) | Self::Withdrawn(m)) = self;
        let texts = [&m.currency, &m.reference, &m.counterparty, &m.booked_on, &m.note];
        m.cents + texts.iter().map(|text| text.len() as u64).sum::<u64>()
    }
}

fn name_of(number: u64) -> &'static str {
    if number.is_multiple_of(3) { "Withdrawn" } else { "Deposited" }
}

/// The envelope that the events of a commit share.
fn metadata() -> Arc<Metadata> {
    let metadata = Metadata::new().with_actor("teller 7").with_header("branch", "Ulm");
    let metadata = metadata.with_correlation(CorrelationId::random());
    metadata.with_causation(EventId::random()).into()
}

fn new_event(number: u64, metadata: &Arc<Metadata>) -> NewEvent {
    let movement = Movement {
        cents: 10_000 + number % 90_000,
        currency: "EUR".to_owned(),
        reference: format!("INV-2024-A{:07}", number % 1_000_000),
        counterparty: "DE89370400440532013000".to_owned(),
        booked_on: "2024-05-17".to_owned(),
        note: "membership fees, in full".to_owned(),
    };
    let event = NewEvent::new(EventType::new(name_of(number)).unwrap(), &movement).unwrap();
    assert_eq!(event.payload().len(), 163, "the payload that the figures are about");
    event.with_metadata(Arc::clone(metadata))
}

fn stream(name: &str) -> StreamId {
    format!("account/{name}").parse().unwrap()
}

/// What a read gave: how many events, and the checksum of all their payloads, in order.
#[derive(Debug, Clone, PartialEq)]
struct Digest {
    events: u64,
    payloads: u32,
}

/// What was written, collected while it is.
#[derive(Clone, Default)]
struct Written {
    events: u64,
    payloads: crc32fast::Hasher,
}

impl Written {
    fn add(&mut self, payload: &[u8]) {
        self.events += 1;
        self.payloads.update(payload);
    }

    fn digest(&self) -> Digest {
        Digest { events: self.events, payloads: self.payloads.clone().finalize() }
    }
}

fn each(store: &FileStore, query: Query, mut look: impl FnMut(&RecordedEvent<'_>)) {
    for batch in Batches::new(store, query) {
        batch.unwrap().iter().for_each(|event| look(&event));
    }
}

fn digest(store: &FileStore, query: Query) -> Digest {
    let mut read = Written::default();
    each(store, query, |event| read.add(event.payload()));
    read.digest()
}

/// One stream, and what its writer knows of it.
struct Account {
    stream: StreamId,
    written: Written,
}

impl Account {
    fn new(name: &str) -> Self {
        Self { stream: stream(name), written: Written::default() }
    }

    /// Commits of so many events each, made ahead.
    fn events(&mut self, commits: usize, each: usize) -> Vec<Vec<NewEvent>> {
        let commit = |_| {
            let metadata = metadata();
            let event = |_| {
                let event = new_event(self.written.events, &metadata);
                self.written.add(event.payload());
                event
            };
            (0..each).map(event).collect()
        };
        (0..commits).map(commit).collect()
    }

    /// Appends them one after the other, each with the version checked.
    fn append(&self, store: &FileStore, commits: Vec<Vec<NewEvent>>) {
        let events: usize = commits.iter().map(Vec::len).sum();
        let mut version = Version::new(self.written.events - events as u64);
        for events in commits {
            let expected = Expected::Exactly(version);
            let commit = Commit::new().write(self.stream.clone(), expected, events);
            version = store.append(commit).unwrap().versions[0].1;
        }
    }

    fn check(&self, store: &FileStore) {
        assert_eq!(store.version(&self.stream).unwrap().get(), self.written.events);
        let query = Query::new(self.stream.clone());
        assert_eq!(digest(store, query), self.written.digest());
    }
}

// ---------------------------------------------------------------------------------------------------- the measuring

/// How much is done.
struct Scale {
    rounds: usize,
    /// Rounds of durable commits, and how many commits are in one.
    durable_rounds: usize,
    commits: usize,
    bulk_events: u64,
    streams: u64,
    space_events: u64,
    small_events: u64,
}

const FULL: Scale = Scale {
    rounds: 25,
    durable_rounds: 100,
    commits: 16,
    bulk_events: 100_000,
    streams: 10_000,
    space_events: 100_000,
    small_events: 50_000,
};

/// For a run as a test.
const QUICK: Scale = Scale {
    rounds: 1,
    durable_rounds: 1,
    commits: 2,
    bulk_events: 2_000,
    streams: 20,
    space_events: 2_000,
    small_events: 5_000,
};

const PARTS: [&str; 8] =
    ["append", "batch", "threads", "bulk", "replay", "stream", "open", "space"];
const LARGE_EVENTS: u64 = 5_000_000;
const STREAM_EVENTS: u64 = 100;
const THREADS: usize = 16;

/// A directory that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let name = format!("file-store-{}", process::id());
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    /// A path at which nothing is.
    fn fresh(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        fs::create_dir_all(&self.0).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// The seconds that one piece of work takes, round by round.
#[derive(Debug, Clone)]
struct Taken(Vec<f64>);

impl Taken {
    fn median(&self) -> f64 {
        median(self.0.clone())
    }

    fn best(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// How many times as long another takes: the median of the rounds, for a disk is now fast and now slow, and of the best.
    fn times_in(&self, other: &Self) -> [f64; 2] {
        let rounds = other.0.iter().zip(&self.0).map(|(other, own)| other / own);
        [median(rounds.collect()), other.best() / self.best()]
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Lets the contenders take turns. Each measures itself, and takes what it needs before and after out of account.
fn in_turns<const N: usize>(
    rounds: usize,
    pieces: f64,
    mut contenders: [&mut dyn FnMut() -> Duration; N],
) -> [Taken; N] {
    let mut times = [const { Vec::new() }; N];
    for _ in 0..rounds {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            times.push(contender().as_secs_f64() / pieces);
        }
    }
    times.map(Taken)
}

fn print_head() {
    println!("{:<44}{:>21}{:>23}{:>16}  goal", "time (median, best)", "annals", "limit", "share");
}

fn print_row(what: &str, annals: &Taken, limit: &Taken, goal: &str) {
    let share = annals.times_in(limit);
    println!(
        "{what:<44}{} {}  {} {}   {:5.2} {:5.2}  {goal}",
        shown(annals.median()),
        shown(annals.best()),
        shown(limit.median()),
        shown(limit.best()),
        share[0],
        share[1],
    );
}

fn shown(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:7.0} ns", s * 1e9),
        s if s < 1e-3 => format!("{:7.1} µs", s * 1e6),
        s => format!("{:7.2} ms", s * 1e3),
    }
}

fn logs(directory: &Path) -> Vec<PathBuf> {
    let mut logs = files(directory);
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.sort();
    logs
}

fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn length(paths: &[PathBuf]) -> u64 {
    paths.iter().filter_map(|path| fs::metadata(path).ok()).map(|file| file.len()).sum()
}

// ---------------------------------------------------------------------------------------------------- appending

/// A file of zeros, made as the store makes space, and written to as the disk allows it.
struct Bare {
    file: File,
    at: u64,
    length: u64,
}

impl Bare {
    fn new(path: &Path, length: u64) -> Self {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(path).unwrap();
        for step in 0..length.div_ceil(4096) {
            file.write_all_at(&[0; 4096], step * 4096).unwrap();
        }
        file.sync_all().unwrap();
        Self { file, at: 0, length }
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.at + bytes.len() as u64 > self.length {
            self.at = 0;
        }
        self.file.write_all_at(bytes, self.at).unwrap();
        self.at += bytes.len() as u64;
        self.file.sync_data().unwrap();
    }
}

/// As many bytes as a commit of so many events takes in the log.
fn commit_bytes(scratch: &Scratch, events: usize) -> Vec<u8> {
    let directory = scratch.fresh("probe");
    let mut account = Account::new("probe");
    let mut lengths = [0; 2];
    for (length_then, commits) in lengths.iter_mut().zip([0, 40]) {
        let store = FileStore::open(&directory).unwrap();
        let commits = account.events(commits, events);
        account.append(&store, commits);
        store.close().unwrap();
        *length_then = length(&logs(&directory));
    }
    vec![0xA5; usize::try_from((lengths[1] - lengths[0]) / 40).unwrap()]
}

/// Durable commits of so many events, one after the other.
fn appending(scratch: &Scratch, scale: &Scale, events: usize, goal: &str) {
    let bytes = commit_bytes(scratch, events);
    let store = FileStore::open(scratch.fresh("appending")).unwrap();
    let mut bare = Bare::new(&scratch.fresh("bare"), 8 << 20);
    let mut account = Account::new("alice");
    let [annals, limit] = in_turns(
        scale.durable_rounds,
        scale.commits as f64,
        [
            &mut || {
                let commits = account.events(scale.commits, events);
                timed(|| account.append(&store, commits))
            },
            &mut || timed(|| (0..scale.commits).for_each(|_| bare.append(&bytes))),
        ],
    );
    account.check(&store);
    let what = format!("durable commit of {events} ({} B)", bytes.len());
    print_row(&what, &annals, &limit, goal);
}

/// Many threads, each with a stream of its own, one event a commit.
fn threads(scratch: &Scratch, scale: &Scale) {
    // Longer rounds: at the end of one, threads run out of others to share a sync with.
    let commits_each = 4 * scale.commits;
    let bytes = commit_bytes(scratch, 1).repeat(THREADS);
    let store = FileStore::open(scratch.fresh("threads")).unwrap();
    let mut bare = Bare::new(&scratch.fresh("bare"), 8 << 20);
    let mut alone = Account::new("alone");
    let mut accounts: Vec<_> = (0..THREADS).map(|n| Account::new(&n.to_string())).collect();
    let [one, many, limit] = in_turns(
        scale.durable_rounds.div_ceil(4),
        commits_each as f64,
        [
            &mut || {
                let commits = alone.events(commits_each, 1);
                timed(|| alone.append(&store, commits))
            },
            &mut || side_by_side(&store, &mut accounts, commits_each),
            &mut || timed(|| (0..commits_each).for_each(|_| bare.append(&bytes))),
        ],
    );
    accounts.iter().chain([&alone]).for_each(|account| account.check(&store));
    print_row("16 threads, one durable commit each", &many, &limit, "");
    let [middle, best] = many.times_in(&one).map(|times| times * THREADS as f64);
    println!(
        "  16 threads commit {middle:.2} (median), {best:.2} (best) times as often as one; goal 6"
    );
}

fn side_by_side(store: &FileStore, accounts: &mut [Account], commits: usize) -> Duration {
    let begin = Barrier::new(accounts.len() + 1);
    let start = thread::scope(|scope| {
        for account in accounts {
            let commits = account.events(commits, 1);
            let begin = &begin;
            scope.spawn(move || {
                begin.wait();
                account.append(store, commits);
            });
        }
        begin.wait();
        Instant::now()
    });
    start.elapsed()
}

/// Many events in large commits, durable at the end.
fn bulk(scratch: &Scratch, scale: &Scale) {
    let mut size = 0;
    let commits = usize::try_from(scale.bulk_events / 1_000).unwrap();
    let bytes = commit_bytes(scratch, 1_000);
    let [annals, limit] = in_turns(
        scale.rounds.div_ceil(2),
        scale.bulk_events as f64,
        [
            &mut || {
                let directory = scratch.fresh("bulk");
                let mut account = Account::new("alice");
                let commits = account.events(commits, 1_000);
                let store = buffered(&directory);
                let took = timed(|| {
                    account.append(&store, commits);
                    store.close().unwrap();
                });
                size = length(&logs(&directory));
                account.check(&FileStore::open(&directory).unwrap());
                took
            },
            &mut || {
                let mut options = OpenOptions::new();
                let path = scratch.fresh("bulk").with_extension("bare");
                let file = options.write(true).create(true).truncate(true).open(&path).unwrap();
                timed(|| {
                    for commit in 0..commits {
                        file.write_all_at(&bytes, (commit * bytes.len()) as u64).unwrap();
                    }
                    file.sync_data().unwrap();
                })
            },
        ],
    );
    let what = format!("bulk load, an event of {} B", size / scale.bulk_events);
    print_row(&what, &annals, &limit, "");
    println!("  {:.0} thousand events a second at best", 1e-3 / annals.best());
}

fn buffered(directory: &Path) -> FileStore {
    FileStore::options().durability(Durability::Buffered).open(directory).unwrap()
}

// ---------------------------------------------------------------------------------------------------- reading

/// A store in which each of many streams is scattered over all of the log, and one has as many events as there are streams.
fn scattered(directory: &Path, streams: u64) -> FileStore {
    let store = buffered(directory);
    let names: Vec<StreamId> = (0..streams).map(|n| stream(&format!("{n:05}"))).collect();
    let (long, mut number) = (stream("long"), 0);
    let mut event = |metadata: &Arc<Metadata>| {
        number += 1;
        [new_event(number, metadata)]
    };
    for _ in 0..STREAM_EVENTS {
        for names in names.chunks(usize::try_from(STREAM_EVENTS).unwrap()) {
            let metadata = metadata();
            let writes = names.iter().chain([&long]);
            let commit = writes.fold(Commit::new(), |commit, name| {
                commit.write(name.clone(), Expected::Any, event(&metadata))
            });
            store.append(commit).unwrap();
        }
    }
    store.sync().unwrap();
    store
}

/// Where a record lies, and its payload in it.
#[derive(Clone, Copy)]
struct Extent {
    log: usize,
    start: u64,
    payload: u64,
    end: u64,
    name: &'static str,
}

/// The log without annals: files, and known places in them.
struct Known {
    files: Vec<File>,
    extents: Vec<Extent>,
    streams: HashMap<String, Vec<usize>>,
}

impl Known {
    /// Finds each payload in the files, behind the one before it.
    fn of(store: &FileStore, directory: &Path) -> Self {
        let paths = logs(directory);
        let files = paths.iter().map(|path| File::open(path).unwrap()).collect();
        let mut known = Self { files, extents: Vec::new(), streams: HashMap::new() };
        let (mut log, mut bytes, mut at) = (0, fs::read(&paths[0]).unwrap(), 0);
        each(store, Query::default(), |event| {
            let payload = event.payload();
            let found = loop {
                let mut windows = bytes[at..].windows(payload.len());
                if let Some(found) = windows.position(|window| window == payload) {
                    break at + found;
                }
                (log, at) = (log + 1, 0);
                bytes = fs::read(&paths[log]).unwrap();
            };
            let end = found + payload.len();
            let name = if event.event_type() == "Deposited" { "Deposited" } else { "Withdrawn" };
            let (start, payload) = (at as u64, found as u64);
            let of_stream = known.streams.entry(event.stream().to_string()).or_default();
            of_stream.push(known.extents.len());
            known.extents.push(Extent { log, start, payload, end: end as u64, name });
            at = end;
        });
        known
    }

    /// Reads all of the log in large pieces, sums the bytes of each record, and hands on the payloads.
    fn replay(&self, mut look: impl FnMut(&str, &[u8])) {
        let mut chunk = vec![0; 256 << 10];
        let mut rest = &self.extents[..];
        while let Some(first) = rest.first() {
            let read = self.files[first.log].read_at(&mut chunk, first.start).unwrap() as u64;
            let end = first.start + read;
            let whole = rest.partition_point(|it| it.log == first.log && it.end <= end);
            for extent in &rest[..whole] {
                look_at(extent, &chunk, first.start, &mut look);
            }
            rest = &rest[whole..];
        }
    }

    /// Reads the records of a stream, each where it is known to lie.
    fn stream(&self, name: &str, mut look: impl FnMut(&str, &[u8])) {
        let mut bytes = vec![0; 4096];
        for extent in self.streams[name].iter().map(|number| &self.extents[*number]) {
            let length = usize::try_from(extent.end - extent.start).unwrap();
            self.files[extent.log].read_exact_at(&mut bytes[..length], extent.start).unwrap();
            look_at(extent, &bytes, extent.start, &mut look);
        }
    }
}

fn look_at(extent: &Extent, bytes: &[u8], from: u64, look: &mut impl FnMut(&str, &[u8])) {
    let within = |at: u64| usize::try_from(at - from).unwrap();
    black_box(crc32fast::hash(&bytes[within(extent.start)..within(extent.end)]));
    look(extent.name, &bytes[within(extent.payload)..within(extent.end)]);
}

fn reading(scratch: &Scratch, scale: &Scale) {
    let directory = scratch.fresh("reading");
    let store = scattered(&directory, scale.streams);
    let known = Known::of(&store, &directory);
    let mut bare = Written::default();
    known.replay(|_, payload| bare.add(payload));
    assert_eq!(digest(&store, Query::default()), bare.digest());
    assert_eq!(store.head().unwrap().durable, Position::new(bare.events));
    if is_wanted("replay") {
        replay(scale, &store, &known);
    }
    if is_wanted("stream") {
        streams(scale, &store, &known);
    }
}

fn replay(scale: &Scale, store: &FileStore, known: &Known) {
    let rounds = scale.rounds.div_ceil(4);
    let all = known.extents.len() as f64;
    let (mut bytes, mut bare_bytes, mut weight, mut bare_weight) = (0, 0, 0, 0);
    let [annals, limit, annals_decoded, limit_decoded] = in_turns(
        rounds,
        all,
        [
            &mut || {
                let look = |event: &RecordedEvent<'_>| bytes += event.payload().len();
                timed(|| each(store, Query::default(), look))
            },
            &mut || timed(|| known.replay(|_, payload| bare_bytes += payload.len())),
            &mut || {
                timed(|| {
                    each(store, Query::default(), |event| {
                        weight += Event::decode(event.event_type(), event.payload()).weight();
                    });
                })
            },
            &mut || {
                timed(|| {
                    known.replay(|name, payload| {
                        bare_weight += Event::decode(name, payload).weight();
                    });
                })
            },
        ],
    );
    assert_eq!((bytes, weight), (bare_bytes, bare_weight));
    print_row("replay, an event", &annals, &limit, "");
    print_row("replay and decode, an event", &annals_decoded, &limit_decoded, "");
}

fn streams(scale: &Scale, store: &FileStore, known: &Known) {
    // One far from the other, so that what was read of one is of no use for the next.
    let scattered = (0..scale.streams).map(|n| n * 7_919 % scale.streams);
    let some: Vec<StreamId> = scattered.map(|n| stream(&format!("{n:05}"))).collect();
    let long = [stream("long")];
    for (what, rounds, in_a_round, names) in [
        ("load a stream of 100, an event", scale.rounds, 20, &some[..]),
        ("load a stream of 10,000, an event", scale.rounds, 1, &long[..]),
    ] {
        let loaded = |first: usize| (0..in_a_round).map(move |n| &names[(first + n) % names.len()]);
        let [mut turn, mut bare_turn] = [0; 2];
        let (mut weight, mut bare_weight) = (0, 0);
        let events = known.streams[names[0].as_str()].len() * in_a_round;
        let [annals, limit] = in_turns(
            rounds,
            events as f64,
            [
                &mut || {
                    turn += in_a_round;
                    timed(|| {
                        for name in loaded(turn) {
                            each(store, Query::new(name.clone()), |event| {
                                let event = Event::decode(event.event_type(), event.payload());
                                weight += event.weight();
                            });
                        }
                    })
                },
                &mut || {
                    bare_turn += in_a_round;
                    timed(|| {
                        for name in loaded(bare_turn) {
                            known.stream(name.as_str(), |name, payload| {
                                bare_weight += Event::decode(name, payload).weight();
                            });
                        }
                    })
                },
            ],
        );
        assert_eq!(weight, bare_weight);
        print_row(what, &annals, &limit, "");
    }
}

// ---------------------------------------------------------------------------------------------------- opening

/// The directory that a child process is to open.
const OPEN: &str = "ANNALS_BENCH_OPEN";

/// Opens a store, reads an event, and says how long both took, what memory they took, and how far the log goes.
fn open_as_child(directory: &Path) {
    let before = resident_bytes();
    let start = Instant::now();
    let store = FileStore::open(directory).unwrap();
    let last = Query::new(stream("00007")).backwards().limit(NonZeroU64::MIN);
    assert_eq!(store.read(&last).unwrap().0.len(), 1);
    let took = start.elapsed();
    let bytes = resident_bytes().saturating_sub(before);
    println!("{} {bytes} {}", took.as_nanos(), store.head().unwrap().durable.get());
    // The store's thread may be at work still. It is not waited for, as if the process had been killed.
    process::exit(0);
}

fn resident_bytes() -> u64 {
    const PAGE_BYTES: u64 = 4096;
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE_BYTES
}

/// Opens a copy of a directory in a process of its own: how long that took, and how much memory.
fn open(scratch: &Scratch, directory: &Path, events: u64) -> (Duration, u64) {
    let copy = scratch.fresh("copy");
    copy_store(directory, &copy);
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.env(OPEN, &copy).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut numbers = text.split_whitespace().map(|number| number.parse::<u64>().unwrap());
    let (nanos, bytes) = (numbers.next().unwrap(), numbers.next().unwrap());
    assert_eq!(numbers.next(), Some(events));
    (Duration::from_nanos(nanos), bytes)
}

/// Copies what changes in place, and links the rest.
fn copy_store(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let last = logs(from).pop();
    for path in files(from) {
        let name = path.file_name().unwrap();
        let (is_lock, is_mark) = (name == "lock", name == "watermark");
        if is_mark || last.as_ref() == Some(&path) {
            fs::copy(&path, to.join(name)).unwrap();
        } else if !is_lock {
            fs::hard_link(&path, to.join(name)).unwrap();
        }
    }
}

/// A store with so many events, of which the last thousands were commits of their own; and how it lay there while it was
/// open, as a killed process leaves it.
fn opened(scratch: &Scratch, events: u64, name: &str) -> [PathBuf; 2] {
    const STREAMS: u64 = 1_000;
    let [closed, killed] =
        ["closed", "killed"].map(|state| scratch.fresh(&format!("{name}-{state}")));
    let single = 3_000.min(events * 2 / 5);
    let commits = |store: &FileStore, numbers: std::ops::Range<u64>, each: usize| {
        for first in numbers.step_by(each) {
            let (metadata, mut commit) = (metadata(), Commit::new());
            for number in first..first + each as u64 {
                let name = stream(&format!("{:05}", number % STREAMS));
                commit = commit.write(name, Expected::Any, [new_event(number, &metadata)]);
            }
            store.append(commit).unwrap();
        }
    };
    let store = buffered(&closed);
    commits(&store, 0..events - single, 1_000.min(usize::try_from(events - single).unwrap()));
    commits(&store, events - single..events, 1);
    store.sync().unwrap();
    wait_until_idle(&closed);
    copy_store(&closed, &killed);
    store.close().unwrap();
    [closed, killed]
}

/// Waits until nothing changes in a directory any more.
fn wait_until_idle(directory: &Path) {
    let look = || {
        let mut found = files(directory);
        found.sort();
        (length(&found), found)
    };
    let mut before = look();
    loop {
        thread::sleep(Duration::from_millis(300));
        let now = look();
        if now == before {
            return;
        }
        before = now;
    }
}

fn opening(scratch: &Scratch, scale: &Scale) {
    let is_large = std::env::var_os("ANNALS_BENCH_LARGE").is_some_and(|value| value == "1");
    let mut sizes = vec![scale.small_events];
    sizes.extend(is_large.then_some(LARGE_EVENTS));
    let stores: Vec<(u64, [PathBuf; 2])> = sizes
        .iter()
        .map(|events| (*events, opened(scratch, *events, &events.to_string())))
        .collect();
    for (place, state) in ["after a clean close", "after a kill"].into_iter().enumerate() {
        let mut found = vec![(Vec::new(), 0); stores.len()];
        for _ in 0..scale.rounds.div_ceil(2) {
            for ((events, directories), (times, most)) in stores.iter().zip(&mut found) {
                let (took, bytes) = open(scratch, &directories[place], *events);
                times.push(took.as_secs_f64());
                *most = bytes.max(*most);
            }
        }
        for ((events, _), (times, most)) in stores.iter().zip(&mut found) {
            times.sort_by(f64::total_cmp);
            println!(
                "open {state}, {events} events: {}, best {}; {:.1} MiB of memory at most",
                shown(times[times.len() / 2]).trim(),
                shown(times[0]).trim(),
                *most as f64 / f64::from(1 << 20),
            );
        }
        if let [(small, small_bytes), (large, large_bytes)] = &found[..] {
            println!(
                "  {:.2} (medians), {:.2} (best) times as long, goal 3; {:.1} MiB more memory, goal 64",
                large[large.len() / 2] / small[small.len() / 2],
                large[0] / small[0],
                (*large_bytes as f64 - *small_bytes as f64) / f64::from(1 << 20),
            );
        }
    }
}

// ---------------------------------------------------------------------------------------------------- space

/// The bytes that are the user's own: what no store could do without.
fn own_bytes(event: &RecordedEvent<'_>) -> u64 {
    let metadata = event.metadata();
    let headers: usize = metadata.headers().map(|(name, value)| name.len() + value.len()).sum();
    let texts = event.stream().as_str().len()
        + event.event_type().len()
        + event.tags().map(str::len).sum::<usize>()
        + event.actor().map_or(0, str::len)
        + headers
        + event.payload().len();
    let ids = 1 + u64::from(event.correlation().is_some()) + u64::from(event.causation().is_some());
    let times = 1 + u64::from(event.occurred_at().is_some());
    texts as u64 + 16 * ids + 8 * times
}

fn space(scratch: &Scratch, scale: &Scale) {
    for (each_commit, goal) in [(1_000_usize, 60), (1, 130)] {
        let directory = scratch.fresh("space");
        let store = buffered(&directory);
        let mut accounts: Vec<Account> =
            (0..100).map(|n| Account::new(&format!("{n:05}"))).collect();
        for turn in 0..usize::try_from(scale.space_events).unwrap() / each_commit {
            let account = &mut accounts[turn % 100];
            let commits = account.events(1, each_commit);
            account.append(&store, commits);
        }
        accounts.iter().for_each(|account| account.check(&store));
        let (mut own, mut events) = (0, 0_u64);
        each(&store, Query::default(), |event| {
            own += own_bytes(event);
            events += 1;
        });
        assert_eq!(events, scale.space_events);
        store.close().unwrap();
        let (log, all) = (length(&logs(&directory)), length(&files(&directory)));
        let an_event = |bytes: u64| bytes as f64 / events as f64;
        println!(
            "space, commits of {each_commit}: {:.1} bytes an event beside {:.1} of its own, goal {goal} \
             (log {:.1}, index and others {:.1})",
            an_event(all - own),
            an_event(own),
            an_event(log - own),
            an_event(all - log),
        );
    }
}

// ---------------------------------------------------------------------------------------------------- the run

fn is_test() -> bool {
    let is = |name: &str| std::env::args().any(|argument| argument == name);
    is("--test") || !is("--bench")
}

/// Whether a part was asked for, or none in particular.
fn is_wanted(part: &str) -> bool {
    let asked = std::env::args().skip(1).find(|name| PARTS.contains(&name.as_str()));
    asked.is_none_or(|asked| asked == part)
}

fn print_table(scratch: &Scratch, scale: &Scale) {
    print_head();
    if is_wanted("append") {
        appending(scratch, scale, 1, "0.85");
    }
    if is_wanted("batch") {
        appending(scratch, scale, 100, "");
    }
    if is_wanted("threads") {
        threads(scratch, scale);
    }
    if is_wanted("bulk") {
        bulk(scratch, scale);
    }
    if is_wanted("replay") || is_wanted("stream") {
        reading(scratch, scale);
    }
    if is_wanted("open") {
        opening(scratch, scale);
    }
    if is_wanted("space") {
        space(scratch, scale);
    }
}

/// The same things, one by one, with criterion's statistics.
fn criterion(c: &mut Criterion, scratch: &Scratch) {
    let mut group = c.benchmark_group("file store");
    let mut account = Account::new("alice");
    let store = FileStore::open(scratch.fresh("criterion")).unwrap();
    group.sample_size(20).bench_function("durable commit of 1", |b| {
        b.iter(|| {
            let commits = account.events(1, 1);
            account.append(&store, commits);
        });
    });
    let store = scattered(&scratch.fresh("criterion-reading"), 100);
    group.bench_function("replay of 10,100", |b| b.iter(|| digest(&store, Query::default())));
    let name = stream("00007");
    group.bench_function("load a stream of 100", |b| {
        b.iter(|| digest(&store, Query::new(name.clone())));
    });
    group.bench_function("version of a stream", |b| b.iter(|| store.version(&name).unwrap()));
    group.finish();
}

fn main() {
    if let Some(directory) = std::env::var_os(OPEN) {
        return open_as_child(Path::new(&directory));
    }
    let scratch = Scratch::new();
    print_table(&scratch, if is_test() { &QUICK } else { &FULL });
    let mut c = Criterion::default().configure_from_args();
    criterion(&mut c, &scratch);
    c.final_summary();
}
