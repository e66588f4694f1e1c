//! annals beside SQLite, redb and fjall, and beside what the machine can do at most.
//!
//! `cargo run --release`, and which work: `single`, `batch`, `threads`, `bulk`, `read`; `--quick` does little of each, to show that
//! all give back what they were given. Every contender stores the same fields, makes a unique id for each event, and checks the
//! version of its stream in the same transaction. They take turns, and figures are parts of the limit's speed in the same turn.

mod contender;
mod embedded;
mod fjall;
mod limit;
mod measure;
mod redb;
mod sqlite;
mod values;
mod workload;

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use contender::{Contender, Mode};
use embedded::Annals;
use fjall::Fjall;
use limit::{Bare, CALLS, Known, Shared};
use measure::{
    Cost, Scratch, Used, bytes_in, in_turns, print_costs, print_machine, print_row, timed,
};
use redb::Redb;
use sqlite::{Queued, Sqlite};
use workload::{Account, Commit, Digest, Event, scattered};

/// How much is done.
struct Scale {
    blocks: usize,
    commits: usize,
    bulk_commits: usize,
    streams: u64,
    long: u64,
    rounds: usize,
}

const FULL: Scale =
    Scale { blocks: 40, commits: 64, bulk_commits: 200, streams: 10_000, long: 100_000, rounds: 7 };
const QUICK: Scale =
    Scale { blocks: 2, commits: 3, bulk_commits: 3, streams: 30, long: 2_000, rounds: 2 };

const THREADS: usize = 16;
/// How much space the limit has before it begins anew.
const SPACE: u64 = 16 << 20;

/// A contender with a stream that one thread appends to.
struct Writing<C: Contender> {
    store: Option<C>,
    account: Account,
    written: Digest,
}

impl<C: Contender> Writing<C> {
    fn new(scratch: &Scratch, mode: Mode) -> Self {
        let store = Some(C::open(&scratch.fresh(C::NAME), mode));
        Self { store, account: Account::new("alice"), written: Digest::default() }
    }

    fn store(&self) -> &C {
        self.store.as_ref().unwrap()
    }

    /// Makes commits, and appends them on the clock.
    fn append(&mut self, commits: usize, events: u64) -> Cost {
        let commits = self.account.commits(commits, events);
        commits.iter().for_each(|commit| self.written.add_commit(commit));
        let commits: Vec<C::Commit> = commits.iter().map(C::prepare).collect();
        timed(|| commits.into_iter().for_each(|commit| self.store().append(commit)))
    }

    fn check(&self) {
        let (mut all, mut stream) = (Digest::default(), Digest::default());
        self.store().replay(|_, payload| all.add(payload));
        self.store().stream(&self.account.stream, |_, payload| stream.add(payload));
        assert_eq!(all.finish(), self.written.finish(), "{}", C::NAME);
        assert_eq!(stream.finish(), self.written.finish(), "{}", C::NAME);
    }
}

/// As many bytes as a commit of so many events takes in the log of annals.
fn commit_bytes(scratch: &Scratch, events: u64) -> Vec<u8> {
    let mut account = Account::new("probe");
    let path = scratch.fresh("probe");
    let log = || {
        let files = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
        files
            .filter(|file| file.extension().is_some_and(|it| it == "log"))
            .map(|file| bytes_in(&file))
            .sum::<u64>()
    };
    let lengths = [0, 40].map(|commits| {
        let store = Annals::open(&path, Mode::Durable);
        account
            .commits(commits, events)
            .iter()
            .for_each(|commit| store.append(Annals::prepare(commit)));
        store.close();
        log()
    });
    vec![0xA5; ((lengths[1] - lengths[0]) / 40) as usize]
}

/// Durable commits of so many events, one after the other.
fn durable(scratch: &Scratch, scale: &Scale, what: &str, events: u64) {
    let bytes = commit_bytes(scratch, events);
    let bare = Bare::prepared(&scratch.fresh("bare"), SPACE);
    let mut annals = Writing::<Annals>::new(scratch, Mode::Durable);
    let mut sqlite = Writing::<Sqlite>::new(scratch, Mode::Durable);
    let mut redb = Writing::<Redb>::new(scratch, Mode::Durable);
    let mut fjall = Writing::<Fjall>::new(scratch, Mode::Durable);
    CALLS.take();
    let write = || {
        bare.write(&bytes);
        bare.sync();
    };
    let taken = in_turns(
        scale.blocks,
        scale.commits as f64,
        vec![
            ("limit", Box::new(|| timed(|| (0..scale.commits).for_each(|_| write())))),
            (Annals::NAME, Box::new(|| annals.append(scale.commits, events))),
            (Sqlite::NAME, Box::new(|| sqlite.append(scale.commits, events))),
            (Redb::NAME, Box::new(|| redb.append(scale.commits, events))),
            (Fjall::NAME, Box::new(|| fjall.append(scale.commits, events))),
        ],
    );
    print_row(what, &taken);
    print_calls((scale.blocks * scale.commits) as f64);
    print_costs(&taken);
    annals.check();
    sqlite.check();
    redb.check();
    fjall.check();
}

/// What the limit called, a piece of work.
fn print_calls(pieces: f64) {
    let [writes, syncs, reads] = CALLS.take().map(|calls| calls as f64 / pieces);
    println!("    the limit makes {writes:.3} writes, {syncs:.3} syncs, {reads:.4} reads for each");
}

/// Threads that append side by side, each to a stream of its own.
struct Crowd {
    accounts: Vec<Account>,
}

impl Crowd {
    fn new() -> Self {
        Self { accounts: (0..THREADS).map(|n| Account::new(&n.to_string())).collect() }
    }

    fn append<T: Send>(
        &mut self,
        commits: usize,
        prepare: impl Fn(&Commit) -> T,
        append: impl Fn(T) + Sync,
    ) -> Cost {
        let begin = Barrier::new(THREADS + 1);
        let commits = self.accounts.iter_mut().map(|account| account.commits(commits, 1));
        let commits: Vec<Vec<T>> =
            commits.map(|commits| commits.iter().map(&prepare).collect()).collect();
        let (begin, append) = (&begin, &append);
        let start = thread::scope(|scope| {
            for commits in commits {
                scope.spawn(move || {
                    begin.wait();
                    commits.into_iter().for_each(append);
                });
            }
            // Taken before the last one is let go.
            let start = (Used::now(), Instant::now());
            begin.wait();
            start
        });
        start.0.until_now(start.1)
    }

    fn check<C: Contender>(&self, store: &C) {
        let mut events = 0;
        store.replay(|_, _| events += 1);
        assert_eq!(
            events,
            self.accounts.iter().map(|account| account.version).sum::<u64>(),
            "{}",
            C::NAME
        );
    }
}

fn threads(scratch: &Scratch, scale: &Scale) {
    // Longer blocks: at the end of one, threads run out of others to share a sync with.
    let commits = 4 * scale.commits;
    let bytes = commit_bytes(scratch, 1);
    let shared = Shared::new(Bare::prepared(&scratch.fresh("bare"), SPACE));
    let annals = Annals::open(&scratch.fresh(Annals::NAME), Mode::Durable);
    let sqlite = Sqlite::open(&scratch.fresh(Sqlite::NAME), Mode::Durable);
    let queued = Queued::open(&scratch.fresh("queued"));
    let redb = Redb::open(&scratch.fresh(Redb::NAME), Mode::Durable);
    let fjall = Fjall::open(&scratch.fresh(Fjall::NAME), Mode::Durable);
    let mut crowds: Vec<Crowd> = (0..6).map(|_| Crowd::new()).collect();
    let [bare, a, s, q, r, f] = &mut crowds[..] else { unreachable!() };
    CALLS.take();
    let taken = in_turns(
        scale.blocks.div_ceil(2),
        (commits * THREADS) as f64,
        vec![
            ("limit", Box::new(|| bare.append(commits, |_| (), |()| shared.append(&bytes)))),
            (
                Annals::NAME,
                Box::new(|| a.append(commits, Annals::prepare, |commit| annals.append(commit))),
            ),
            (
                Sqlite::NAME,
                Box::new(|| s.append(commits, Sqlite::prepare, |commit| sqlite.append(commit))),
            ),
            (
                "with a queue",
                Box::new(|| q.append(commits, Sqlite::prepare, |commit| queued.append(commit))),
            ),
            (
                Redb::NAME,
                Box::new(|| r.append(commits, Redb::prepare, |commit| redb.append(commit))),
            ),
            (
                Fjall::NAME,
                Box::new(|| f.append(commits, Fjall::prepare, |commit| fjall.append(commit))),
            ),
        ],
    );
    print_row("durable, 16 threads, one event a commit", &taken);
    print_calls((scale.blocks.div_ceil(2) * commits * THREADS) as f64);
    print_costs(&taken);
    a.check(&annals);
    s.check(&sqlite);
    r.check(&redb);
    f.check(&fjall);
}

/// Loads in large commits, with one sync at the end, up to where it is closed.
fn load<C: Contender>(scratch: &Scratch, commits: usize) -> Cost {
    let mut writing = Writing::<C>::new(scratch, Mode::Bulk);
    let took = writing.append(commits, 1_000);
    let store = writing.store.take().unwrap();
    let took = took + timed(|| store.close());
    writing.store = Some(C::open(&scratch.path().join(C::NAME), Mode::Bulk));
    writing.check();
    took
}

fn bulk(scratch: &Scratch, scale: &Scale) {
    let (commits, bytes) = (scale.bulk_commits, commit_bytes(scratch, 1_000));
    CALLS.take();
    let limit = || {
        let bare = Bare::growing(&scratch.fresh("bare"));
        timed(|| {
            (0..commits).for_each(|_| bare.write(&bytes));
            bare.sync();
        })
    };
    let taken = in_turns(
        scale.rounds,
        commits as f64 * 1_000.0,
        vec![
            ("limit", Box::new(limit)),
            (Annals::NAME, Box::new(|| load::<Annals>(scratch, commits))),
            (Sqlite::NAME, Box::new(|| load::<Sqlite>(scratch, commits))),
            (Redb::NAME, Box::new(|| load::<Redb>(scratch, commits))),
            (Fjall::NAME, Box::new(|| load::<Fjall>(scratch, commits))),
        ],
    );
    print_row("bulk load, 1,000 events a commit, an event", &taken);
    print_calls(scale.rounds as f64 * commits as f64 * 1_000.0);
    print_costs(&taken);
}

/// A store with all events of [`scattered`].
fn filled<C: Contender>(scratch: &Scratch, scale: &Scale) -> C {
    let path = scratch.fresh(C::NAME);
    let store = C::open(&path, Mode::Bulk);
    let mut events = 0;
    scattered(scale.streams, scale.long, |commit| {
        events += commit.events() as u64;
        store.append(C::prepare(&commit));
    });
    store.close();
    let bytes = bytes_in(&path);
    let start = Instant::now();
    let store = C::open(&path, Mode::Durable);
    let mut found = 0;
    store.stream("account/000007", |_, _| found += 1);
    let took = start.elapsed();
    assert_eq!(found, 100);
    println!(
        "    {:<14} {:.1} bytes on disk an event; opens and reads a stream in {:.2?}",
        C::NAME,
        bytes as f64 / events as f64,
        took
    );
    store
}

/// A turn that reads, and has to come upon all of this weight.
fn reading<'t>(
    weight: u64,
    read: impl Fn(&mut dyn FnMut(&str, &[u8])) + 't,
) -> Box<dyn FnMut() -> Cost + 't> {
    Box::new(move || {
        let mut found = 0;
        let took =
            timed(|| read(&mut |kind, payload| found += Event::decode(kind, payload).weight()));
        assert_eq!(found, weight);
        took
    })
}

fn read(scratch: &Scratch, scale: &Scale) {
    let known =
        Known::write(&scratch.fresh("known"), |each| scattered(scale.streams, scale.long, each));
    let annals = filled::<Annals>(scratch, scale);
    let sqlite = filled::<Sqlite>(scratch, scale);
    let redb = filled::<Redb>(scratch, scale);
    let fjall = filled::<Fjall>(scratch, scale);
    let mut digests = [(); 5].map(|()| Digest::default());
    known.replay(|_, payload| digests[0].add(payload));
    annals.replay(|_, payload| digests[1].add(payload));
    sqlite.replay(|_, payload| digests[2].add(payload));
    redb.replay(|_, payload| digests[3].add(payload));
    fjall.replay(|_, payload| digests[4].add(payload));
    assert!(digests.windows(2).all(|two| two[0].finish() == two[1].finish()));
    let weight = |read: &dyn Fn(&mut dyn FnMut(&str, &[u8]))| {
        let mut weight = 0;
        read(&mut |kind, payload| weight += Event::decode(kind, payload).weight());
        weight
    };
    CALLS.take();
    let all = weight(&|look| known.replay(look));
    print_calls(known.len() as f64);
    let taken = in_turns(
        scale.rounds,
        known.len() as f64,
        vec![
            ("limit", reading(all, |look| known.replay(look))),
            (Annals::NAME, reading(all, |look| annals.replay(look))),
            (Sqlite::NAME, reading(all, |look| sqlite.replay(look))),
            (Redb::NAME, reading(all, |look| redb.replay(look))),
            (Fjall::NAME, reading(all, |look| fjall.replay(look))),
        ],
    );
    print_row("replay everything, typed, an event", &taken);
    views(scale, &known, &annals, all);
    let some: Vec<String> = (0..scale.streams.min(50))
        .map(|n| format!("account/{:06}", n * 7_919 % scale.streams))
        .collect();
    let of_some = weight(&|look| some.iter().for_each(|name| known.stream(name, &mut *look)));
    let taken = in_turns(
        scale.blocks,
        some.len() as f64,
        vec![
            (
                "limit",
                reading(of_some, |look| {
                    some.iter().for_each(|name| known.stream(name, &mut *look))
                }),
            ),
            (
                Annals::NAME,
                reading(of_some, |look| {
                    some.iter().for_each(|name| annals.stream(name, &mut *look))
                }),
            ),
            (
                Sqlite::NAME,
                reading(of_some, |look| {
                    some.iter().for_each(|name| sqlite.stream(name, &mut *look))
                }),
            ),
            (
                Redb::NAME,
                reading(of_some, |look| some.iter().for_each(|name| redb.stream(name, &mut *look))),
            ),
            (
                Fjall::NAME,
                reading(of_some, |look| {
                    some.iter().for_each(|name| fjall.stream(name, &mut *look))
                }),
            ),
        ],
    );
    print_row("load a stream of 100, typed", &taken);
    let long = weight(&|look| known.dense_stream("account/long", look));
    let taken = in_turns(
        scale.rounds,
        1.0,
        vec![
            ("limit", reading(long, |look| known.dense_stream("account/long", look))),
            (Annals::NAME, reading(long, |look| annals.stream("account/long", look))),
            (Sqlite::NAME, reading(long, |look| sqlite.stream("account/long", look))),
            (Redb::NAME, reading(long, |look| redb.stream("account/long", look))),
            (Fjall::NAME, reading(long, |look| fjall.stream("account/long", look))),
        ],
    );
    print_row(&format!("load one stream of {}, typed", scale.long), &taken);
}

/// Everything through a view, with its checks and types, on one thread and on all.
fn views(scale: &Scale, known: &Known, annals: &Annals, weight: u64) {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    for (what, threads) in [("one thread", 1), ("all threads", threads)] {
        let part = known.len().div_ceil(threads);
        let limit = || {
            let look = |first: usize| {
                let mut found = 0;
                let part = (first, known.len().min(first + part));
                known.replay_part(part, |kind, payload| {
                    found += Event::decode(kind, payload).weight()
                });
                found
            };
            let mut found = 0;
            let cost = timed(|| {
                thread::scope(|scope| {
                    let parts = (0..known.len()).step_by(part);
                    let parts: Vec<_> =
                        parts.map(|first| scope.spawn(move || look(first))).collect();
                    found = parts.into_iter().map(|part| part.join().unwrap()).sum();
                });
            });
            assert_eq!(found, weight);
            cost
        };
        let view = || {
            let mut found = 0;
            let cost = timed(|| found = annals.weight(threads));
            assert_eq!(found, weight);
            cost
        };
        let turns: Vec<measure::Turn<'_>> =
            vec![("limit", Box::new(limit)), (Annals::NAME, Box::new(view))];
        let taken = in_turns(scale.rounds, known.len() as f64, turns);
        print_row(&format!("a view of everything, {what}, an event"), &taken);
    }
}

fn main() {
    let asked: Vec<String> =
        std::env::args().skip(1).filter(|name| !name.starts_with("--")).collect();
    let scale = if std::env::args().any(|name| name == "--quick") { QUICK } else { FULL };
    let is_wanted = |part: &str| asked.is_empty() || asked.iter().any(|name| name == part);
    let scratch = Scratch::new();
    print_machine(scratch.path());
    for (name, settings) in [
        (Annals::NAME, Annals::SETTINGS),
        (Sqlite::NAME, Sqlite::SETTINGS),
        (Redb::NAME, Redb::SETTINGS),
        (Fjall::NAME, Fjall::SETTINGS),
    ] {
        println!("{name}: {settings}");
    }
    println!(
        "| work | limit | parts of the limit's speed: medians (95 % intervals) |\n|---|---|---|"
    );
    if is_wanted("single") {
        durable(&scratch, &scale, "durable, one event a commit", 1);
    }
    if is_wanted("batch") {
        durable(&scratch, &scale, "durable, 100 events a commit", 100);
    }
    if is_wanted("threads") {
        threads(&scratch, &scale);
    }
    if is_wanted("bulk") {
        bulk(&scratch, &scale);
    }
    if is_wanted("read") {
        read(&scratch, &scale);
    }
}
