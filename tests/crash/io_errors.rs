//! Every operation that a store asks of its disk fails once, or from some time on, in every way.

use std::io::ErrorKind as Io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use annals::ErrorKind;
use annals::store::Durability;
use parking_lot::Mutex;

use crate::aftermath::{is_fair, is_poisoned, judge, reads_go_on};
use crate::disk::{Failure, Fault, Op};
use crate::oracle::Complaint;
use crate::player::Player;
use crate::report::{self, Watch, caught};
use crate::settings::Settings;
use crate::workload;

/// How many steps a workload has that is to fail everywhere.
const STEPS: usize = 16;

const FAILURES: [Failure; 8] = [
    Failure::Error(Io::Other),
    Failure::Error(Io::StorageFull),
    Failure::Error(Io::QuotaExceeded),
    Failure::Error(Io::ReadOnlyFilesystem),
    Failure::Error(Io::Interrupted),
    Failure::Short,
    Failure::Nothing,
    Failure::PartThenError(Io::StorageFull),
];

/// What became of the runs.
#[derive(Debug, Default)]
struct Counts {
    runs: AtomicU64,
    errors: AtomicU64,
    poisoned: AtomicU64,
    failed_to_open: AtomicU64,
}

/// The player of a seed, every one of whose events can be told by its id.
fn player(seed: u64) -> Player {
    let mut player = workload::player(seed);
    player.author.gives_all_ids = true;
    let durability = if seed.is_multiple_of(2) { Durability::Buffered } else { Durability::Synced };
    player.settings =
        Settings { durability, segment_bytes: 1024, recent_bytes: 1024, ..player.settings };
    player
}

/// Plays a workload under a fault as a program would that opens its store again whenever it takes no more writes.
fn play(player: &mut Player, fault: Fault, counts: &Counts) -> Result<(), Complaint> {
    let reads_may_fail = fault.of.is_none_or(|of| matches!(of, Op::Read | Op::Open | Op::Len));
    let mut errors = 0;
    for _ in 0..STEPS {
        let opened = player.store.is_some();
        let answer = if opened { player.step()? } else { player.open()? };
        let Some(error) = answer else { continue };
        is_fair(&error)?;
        counts.errors.fetch_add(1, Ordering::Relaxed);
        errors += 1;
        if player.store.is_none() {
            counts.failed_to_open.fetch_add(1, Ordering::Relaxed);
        }
        reads_go_on(player, reads_may_fail)?;
        if opened && player.store.is_some() && *error.kind() == ErrorKind::Poisoned {
            counts.poisoned.fetch_add(1, Ordering::Relaxed);
            is_poisoned(player, reads_may_fail)?;
            player.close();
        }
        if errors > 4 {
            break;
        }
    }
    Ok(())
}

fn carry_out(seed: u64, fault: Fault, counts: &Counts) -> Result<(), Complaint> {
    counts.runs.fetch_add(1, Ordering::Relaxed);
    let mut player = player(seed);
    player.disk.set_fault(Some(fault));
    let errors = counts.errors.load(Ordering::Relaxed);
    play(&mut player, fault, counts)?;
    let harmless = fault.failure == Failure::Short;
    if harmless && report::threads() == 1 && counts.errors.load(Ordering::Relaxed) > errors {
        return Err("a short read or write is taken for an error".to_owned());
    }
    judge(player, seed)
}

/// Carries out all of these cases, on all processors.
fn carry_out_all(test: &str, seed: u64, faults: &[Fault]) -> Counts {
    let (counts, next, failure) = (Counts::default(), AtomicUsize::new(0), Mutex::new(None));
    thread::scope(|scope| {
        for _ in 0..report::threads() {
            scope.spawn(|| {
                let watch = Watch::begin();
                while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let case = format!("{fault:?}").replace(' ', "");
                    let command = || report::command(test, seed, &format!("'{case}'"));
                    if report::is_left_out(&case) || failure.lock().is_some() {
                        continue;
                    }
                    watch.next(command);
                    if let Err(complaint) = caught(|| carry_out(seed, *fault, &counts)) {
                        let repeat = command();
                        let text = format!("seed {seed}, {case}: {complaint}\nrepeat: {repeat}");
                        failure.lock().get_or_insert(text);
                    }
                }
            });
        }
    });
    if let Some(failure) = failure.into_inner() {
        panic!("{failure}");
    }
    counts
}

/// The player after the workload of this seed, on a disk that does nothing wrong.
fn without_faults(seed: u64) -> Player {
    let mut player = player(seed);
    for _ in 0..STEPS {
        let answer = if player.store.is_some() { player.step() } else { player.open() };
        assert!(matches!(answer, Ok(None)), "{answer:?}");
    }
    player
}

fn seeds() -> Vec<u64> {
    report::number("ANNALS_CRASH_SEED").map_or(vec![1, 2], |seed| vec![seed])
}

#[test]
fn every_operation_fails_in_every_way() {
    for seed in seeds() {
        let ops = without_faults(seed).disk.ops();
        let mut faults = Vec::new();
        for after in 0..ops {
            for failure in FAILURES {
                let fault = Fault { of: None, after, lasting: false, failure };
                faults.extend([fault, Fault { lasting: true, ..fault }]);
            }
        }
        let counts = carry_out_all("io_errors::every_operation_fails_in_every_way", seed, &faults);
        println!("seed {seed}, {ops} operations, each failing in {} ways: {counts:?}", 16);
    }
}

#[test]
fn every_kind_of_operation_fails_for_good() {
    let kinds = [
        Op::Open,
        Op::Create,
        Op::List,
        Op::Rename,
        Op::Remove,
        Op::SyncNames,
        Op::Read,
        Op::Write,
        Op::SetLen,
        Op::Len,
        Op::Sync,
    ];
    for seed in seeds() {
        let player = without_faults(seed);
        let mut faults = Vec::new();
        for kind in kinds {
            for after in 0..player.disk.ops_of(kind) {
                for failure in [Failure::Error(Io::Other), Failure::Error(Io::StorageFull)] {
                    faults.push(Fault { of: Some(kind), after, lasting: true, failure });
                }
            }
        }
        let test = "io_errors::every_kind_of_operation_fails_for_good";
        let counts = carry_out_all(test, seed, &faults);
        println!("seed {seed}, {} faults of one kind of operation: {counts:?}", faults.len());
    }
}
