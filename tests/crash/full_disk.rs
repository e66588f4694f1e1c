//! The disk is full at every size: reads go on, nothing is poisoned, and when there is room the store goes on.

use annals::ErrorKind;

use crate::aftermath::{judge, reads_go_on};
use crate::oracle::Complaint;
use crate::player::Player;
use crate::report::{self, Watch, caught};
use crate::workload;

const STEPS: usize = 30;
/// How far apart the sizes are that are tried. It has no divisor in common with the sizes of blocks.
const BYTES_APART: usize = 61;

/// What became of the runs.
#[derive(Debug, Default)]
struct Counts {
    runs: usize,
    refused: usize,
    failed_to_open: usize,
}

/// Plays until the end, or until a store cannot be opened any more.
fn play(player: &mut Player, counts: &mut Counts) -> Result<(), Complaint> {
    for _ in 0..STEPS {
        let answer = if player.store.is_some() { player.step()? } else { player.open()? };
        let Some(error) = answer else { continue };
        if *error.kind() != ErrorKind::StorageFull {
            return Err(format!("that the disk is full is reported as {error:?}"));
        }
        counts.refused += 1;
        reads_go_on(player, false)?;
        if player.store.is_none() {
            counts.failed_to_open += 1;
            return Ok(());
        }
    }
    Ok(())
}

/// Makes room under an open store: it has to go on by itself.
fn make_room(player: &mut Player) -> Result<(), Complaint> {
    player.disk.set_capacity(usize::MAX);
    if player.store.is_none() {
        return Ok(());
    }
    for _ in 0..3 {
        if let Some(error) = player.append()? {
            return Err(format!("there is room again, and an append is answered with {error:?}"));
        }
    }
    Ok(())
}

fn carry_out(seed: u64, capacity: usize, counts: &mut Counts) -> Result<(), Complaint> {
    counts.runs += 1;
    let mut player = workload::player(seed);
    player.author.gives_all_ids = true;
    player.disk.set_capacity(capacity);
    play(&mut player, counts)?;
    make_room(&mut player)?;
    judge(player, seed)
}

#[test]
fn a_full_disk_costs_nothing_but_the_commits_it_has_no_room_for() {
    let test = "full_disk::a_full_disk_costs_nothing_but_the_commits_it_has_no_room_for";
    let watch = Watch::begin();
    for seed in report::number("ANNALS_CRASH_SEED").map_or(vec![1, 2, 3], |seed| vec![seed]) {
        let mut player = workload::player(seed);
        workload::play(&mut player, STEPS).unwrap();
        let full = player.disk.byte_len() + 2 * BYTES_APART;
        let mut counts = Counts::default();
        for capacity in (0..full).step_by(BYTES_APART) {
            let case = capacity.to_string();
            if report::is_left_out(&case) {
                continue;
            }
            let command = || report::command(test, seed, &case);
            watch.next(command);
            if let Err(complaint) = caught(|| carry_out(seed, capacity, &mut counts)) {
                let repeat = command();
                panic!("seed {seed}, {capacity} bytes: {complaint}\nrepeat: {repeat}");
            }
        }
        println!("seed {seed}, up to {full} bytes: {counts:?}");
    }
}
