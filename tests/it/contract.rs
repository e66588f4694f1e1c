//! The contract suite itself: `MemoryStore` keeps it, and stores that are wrong in one way break one law.

mod broken;
mod decisions;
mod positions;
mod reads;
mod records;
mod repetitions;
mod waiting;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use annals::store::{
    AppendError, Appended, Commit, EventStore, FileStore, Follower, Head, Identity, Interrupt,
    Limits, MemoryStore, Query, Upkeep,
};
use annals::testing::contract;
use annals::{Batch, Error, Position, StreamId, Version};

use crate::directory::Directory;

#[test]
fn the_memory_store_keeps_every_law() {
    contract::check_seeds(|clock| MemoryStore::with(clock, Limits::default()), 0..20);
}

#[test]
fn the_file_store_keeps_every_law() {
    let (directory, next) = (Directory::new(), AtomicU64::new(0));
    contract::check(|clock| {
        let number = next.fetch_add(1, Ordering::Relaxed);
        FileStore::options().clock(clock).open(directory.path().join(number.to_string())).unwrap()
    });
}

#[test]
fn the_file_store_keeps_every_law_with_tiny_segments_and_runs() {
    let (directory, next) = (Directory::new(), AtomicU64::new(0));
    contract::check(|clock| {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let options = FileStore::options().clock(clock).segment_bytes(4096).recent_bytes(2048);
        let options = options.cache_bytes(64 << 10).upkeep(Upkeep::Inline);
        options.open(directory.path().join(number.to_string())).unwrap()
    });
}

/// A store to which one handle writes, and which another reads, as in another process.
#[derive(Debug)]
struct Followed {
    store: FileStore,
    follower: Follower,
}

impl EventStore for Followed {
    fn identity(&self) -> Identity {
        self.follower.identity()
    }

    fn append(&self, commit: Commit) -> Result<Appended, AppendError> {
        self.store.append(commit)
    }

    fn read(&self, query: &Query) -> Result<(Batch, Option<Query>), Error> {
        self.follower.read(query)
    }

    fn version(&self, stream: &StreamId) -> Result<Version, Error> {
        self.follower.version(stream)
    }

    fn head(&self) -> Result<Head, Error> {
        self.follower.head()
    }

    fn wait(
        &self,
        after: Position,
        timeout: Duration,
        interrupt: &Interrupt,
    ) -> Result<Position, Error> {
        self.follower.wait(after, timeout, interrupt)
    }

    fn interrupt(&self, interrupt: &Interrupt) {
        self.follower.interrupt(interrupt);
    }

    fn close(&self) -> Result<(), Error> {
        self.follower.close()?;
        self.store.close()
    }
}

#[test]
fn what_is_written_through_a_store_and_read_through_its_follower_keeps_every_law() {
    let (directory, next) = (Directory::new(), AtomicU64::new(0));
    contract::check(|clock| {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let path = directory.path().join(number.to_string());
        let options = FileStore::options().clock(clock).segment_bytes(8192).recent_bytes(64 << 10);
        let store = options.clone().upkeep(Upkeep::Inline).open(&path).unwrap();
        Followed { store, follower: options.follow(&path).unwrap() }
    });
}

#[test]
#[should_panic(expected = "HeadsAndVersions: The head and the version")]
fn a_check_panics_with_the_law_that_is_broken() {
    contract::check_seeds(|clock| broken::Broken::on(clock).head(|_, ()| Ok(Head::default())), []);
}
