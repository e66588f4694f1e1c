//! Durable commits, alone and side by side, and large ones, beside a bare file that is written and synced.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use annals::store::{EventStore, FileStore};

use crate::measure::{Scale, Scratch, in_turns, length, logs, print_row, timed};
use crate::workload::{Account, buffered};

const THREADS: usize = 16;

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
pub(crate) fn appending(scratch: &Scratch, scale: &Scale, events: usize, goal: &str) {
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
pub(crate) fn threads(scratch: &Scratch, scale: &Scale) {
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
pub(crate) fn bulk(scratch: &Scratch, scale: &Scale) {
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
