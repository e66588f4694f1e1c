//! The contract suite itself: `MemoryStore` keeps it, and stores that are wrong in one way break one law.

mod broken;
mod decisions;
mod positions;
mod reads;
mod records;
mod repetitions;
mod waiting;

use std::sync::atomic::{AtomicU64, Ordering};

use annals::store::{FileStore, Limits, MemoryStore, Upkeep};
use annals::testing::contract;

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

#[test]
#[should_panic(expected = "HeadsAndVersions: The head and the version")]
fn a_check_panics_with_the_law_that_is_broken() {
    contract::check_seeds(
        |clock| broken::Broken::on(clock).head(|_, ()| Ok(annals::store::Head::default())),
        [],
    );
}
