//! The same seed gives the same operations on the disk, byte for byte: whatever was seen once can be seen again.

use crate::disk::{Crash, SimDisk, Traced};
use crate::random::Random;
use crate::workload;

/// The trace of a workload, of the recovery from its crash, and of what follows.
fn trace(seed: u64) -> Vec<Traced> {
    let mut player = workload::player(seed);
    player.author.gives_all_ids = true;
    player.disk.keep_trace();
    workload::play(&mut player, 40).unwrap();
    let mut trace = player.disk.trace();
    let mut random = Random::new(seed);
    let state = player.disk.state().after(Crash::Cut, &mut random);
    player.disk.freeze();
    let mut heir = player.heir(SimDisk::holding(state, seed));
    heir.disk.keep_trace();
    workload::play(&mut heir, 10).unwrap();
    trace.extend(heir.disk.trace());
    trace
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let mut operations = 0;
    for seed in 0..20 {
        let (first, second) = (trace(seed), trace(seed));
        let difference = first.iter().zip(&second).position(|(first, second)| first != second);
        let at = difference.map(|at| (at, &first[at], &second[at]));
        assert!(at.is_none(), "seed {seed}: {at:?}");
        assert_eq!(first.len(), second.len(), "seed {seed}");
        operations += first.len();
    }
    println!("{operations} operations, each the same twice");
}
