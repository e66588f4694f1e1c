//! The contract suite itself: `MemoryStore` keeps it, and stores that are wrong in one way break one law.

mod broken;
mod decisions;
mod positions;
mod reads;
mod records;
mod repetitions;
mod waiting;

use annals::store::{Limits, MemoryStore};
use annals::testing::contract;

#[test]
fn the_memory_store_keeps_every_law() {
    contract::check_seeds(|clock| MemoryStore::with(clock, Limits::default()), 0..20);
}

#[test]
#[should_panic(expected = "HeadsAndVersions: The head and the version")]
fn a_check_panics_with_the_law_that_is_broken() {
    contract::check_seeds(
        |clock| broken::Broken::on(clock).head(|_, ()| Ok(annals::store::Head::default())),
        [],
    );
}
