//! A contender with its directory and the accounts that are written to it, whatever its type.

use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use crate::contender::{Contender, Mode};
use crate::embedded::Annals;
use crate::fjall::Fjall;
use crate::measure::{Cost, Scratch, Turn, Used, bytes_in, timed};
use crate::redb::Redb;
use crate::sqlite::{Queued, Sqlite};
use crate::workload::{Account, Commit, Digest};

pub const THREADS: usize = 16;

/// Is shown the type and the payload of each event.
pub type Look<'l> = &'l mut dyn FnMut(&str, &[u8]);

pub trait Peer {
    fn name(&self) -> &'static str;
    /// Removes all that it has, and begins anew.
    fn renew(&mut self);
    /// Makes commits for its account, and appends them one after the other on the clock.
    fn append(&mut self, commits: usize, events: u64) -> Cost;
    /// Makes commits of one event for each of its accounts, and appends them on a thread for each.
    fn append_side_by_side(&mut self, commits: usize) -> Cost;
    fn append_one(&mut self, commit: &Commit);
    fn close(&mut self) -> Cost;
    /// Opens it and reads a stream; what it appends from then on is durable.
    fn open(&mut self, stream: &str) -> Cost;
    fn replay(&self, look: Look<'_>);
    fn stream(&self, stream: &str, look: Look<'_>);
    /// Whether it holds what was written to its accounts, and nothing else.
    fn check(&self);
    fn bytes(&self) -> u64;
}

struct Kept<C> {
    store: Option<C>,
    path: PathBuf,
    mode: Mode,
    accounts: Vec<Account>,
}

/// All that are compared, in directories of their own.
pub fn peers(scratch: &Scratch, mode: Mode) -> Vec<Box<dyn Peer>> {
    vec![
        kept::<Annals>(scratch, mode, 1),
        kept::<Sqlite>(scratch, mode, 1),
        kept::<Redb>(scratch, mode, 1),
        kept::<Fjall>(scratch, mode, 1),
    ]
}

/// The same for writers side by side, and SQLite behind a queue.
pub fn shared_peers(scratch: &Scratch) -> Vec<Box<dyn Peer>> {
    vec![
        kept::<Annals>(scratch, Mode::Durable, THREADS),
        kept::<Sqlite>(scratch, Mode::Durable, THREADS),
        kept::<Queued>(scratch, Mode::Durable, THREADS),
        kept::<Redb>(scratch, Mode::Durable, THREADS),
        kept::<Fjall>(scratch, Mode::Durable, THREADS),
    ]
}

fn kept<'s, C: Contender + 's>(
    scratch: &Scratch,
    mode: Mode,
    accounts: usize,
) -> Box<dyn Peer + 's> {
    let path = scratch.fresh(C::NAME);
    let store = Some(C::open(&path, mode));
    let accounts = (0..accounts).map(|n| Account::new(&n.to_string())).collect();
    Box::new(Kept { store, path, mode, accounts })
}

/// Turns in which all do the same, each in its way, behind the limit.
pub fn turns<'t>(
    limit: impl FnMut() -> Cost + 't,
    peers: &'t mut [Box<dyn Peer>],
    work: impl Fn(&mut dyn Peer) -> Cost + Copy + 't,
) -> Vec<Turn<'t>> {
    let mut turns: Vec<Turn<'t>> = vec![("limit", Box::new(limit))];
    for peer in peers {
        turns.push((peer.name(), Box::new(move || work(&mut **peer))));
    }
    turns
}

/// Runs what each thread has, all at once.
pub fn side_by_side<T: Send>(work: Vec<Vec<T>>, append: impl Fn(T) + Sync) -> Cost {
    let begin = &Barrier::new(work.len() + 1);
    let append = &append;
    let (used, start) = thread::scope(|scope| {
        for commits in work {
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
    used.until_now(start)
}

impl<C: Contender> Kept<C> {
    fn store(&self) -> &C {
        self.store.as_ref().unwrap()
    }
}

fn prepared<C: Contender>(commits: &[Commit]) -> Vec<C::Commit> {
    commits.iter().map(C::prepare).collect()
}

impl<C: Contender> Peer for Kept<C> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn renew(&mut self) {
        self.store = None;
        Scratch::remove(&self.path);
        self.store = Some(C::open(&self.path, self.mode));
        self.accounts.iter_mut().for_each(|account| account.version = 0);
    }

    fn append(&mut self, commits: usize, events: u64) -> Cost {
        let commits = prepared::<C>(&self.accounts[0].commits(commits, events));
        timed(|| commits.into_iter().for_each(|commit| self.store().append(commit)))
    }

    fn append_side_by_side(&mut self, commits: usize) -> Cost {
        let accounts = self.accounts.iter_mut();
        let work = accounts.map(|account| prepared::<C>(&account.commits(commits, 1))).collect();
        side_by_side(work, |commit| self.store().append(commit))
    }

    fn append_one(&mut self, commit: &Commit) {
        self.store().append(C::prepare(commit));
    }

    fn close(&mut self) -> Cost {
        let store = self.store.take().unwrap();
        timed(|| store.close())
    }

    fn open(&mut self, stream: &str) -> Cost {
        let mut events = 0;
        let took = timed(|| {
            let store = C::open(&self.path, Mode::Durable);
            store.stream(stream, |_, _| events += 1);
            self.store = Some(store);
        });
        assert!(events > 0, "{}", C::NAME);
        took
    }

    fn replay(&self, look: Look<'_>) {
        self.store().replay(look);
    }

    fn stream(&self, stream: &str, look: Look<'_>) {
        self.store().stream(stream, look);
    }

    fn check(&self) {
        for account in &self.accounts {
            let mut found = Digest::default();
            self.store().stream(&account.stream, |_, payload| found.add(payload));
            assert_eq!(found.finish(), account.digest().finish(), "{}", C::NAME);
        }
        let mut all = Digest::default();
        self.store().replay(|_, payload| all.add(payload));
        let written: u64 = self.accounts.iter().map(|account| account.version).sum();
        assert_eq!(all.finish().0, written, "{}", C::NAME);
        if let [account] = &self.accounts[..] {
            assert_eq!(all.finish(), account.digest().finish(), "{}", C::NAME);
        }
    }

    fn bytes(&self) -> u64 {
        bytes_in(&self.path)
    }
}
