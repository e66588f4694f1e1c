//! Stores that are damaged in all ways and then verified: whatever is answered wrong, or refused, is found before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use annals::storage::FileName;
use annals::store::{FileStore, care};
use annals::{ErrorKind, Position};

use crate::disk::{SimDisk, State};
use crate::golden::Golden;
use crate::oracle::{self, Complaint};
use crate::random::Random;
use crate::repair::repair;
use crate::report::{self, Watch, caught};
use crate::salvage::{Patient, damage, patients};

/// How many parts of the index are changed.
const LIES: u64 = 8_000;

/// How many stores are damaged, unless `ANNALS_CRASH_CASES` says otherwise.
const CASES: u64 = 20_000;

#[derive(Debug, Default)]
struct Counts {
    /// Nothing was found, and every answer is exact.
    sound: AtomicU64,
    /// The same, but that of the last commit nothing says whether it was synced.
    unproven: AtomicU64,
    /// Something was found, and an answer is refused.
    refused: AtomicU64,
    /// Something was found that changes no answer.
    harmless: AtomicU64,
    /// The end of the log looks like an unfinished write, and nothing is left that knows better.
    torn: AtomicU64,
    /// It makes use of what only a newer version knows.
    unsupported: AtomicU64,
}

/// Whether a run is not what it was, and none is missing: behind one that is, others are of no use.
fn has_damaged_run(patient: &Patient, damaged: &State) -> bool {
    let golden = &patient.golden;
    let runs = golden.runs();
    let is_damaged = |run: &FileName| damaged.bytes(*run) != golden.state.bytes(*run);
    runs.iter().all(|run| damaged.bytes(*run).is_some()) && runs.iter().any(is_damaged)
}

fn suffer(patient: &Patient, seed: u64, counts: &Counts) -> Result<(), Complaint> {
    let mut random = Random::of(&[seed, 0x5EE2]);
    let mut damaged = patient.golden.state.clone();
    let done: Vec<_> =
        (0..1 + random.below(3)).map(|_| damage(&mut damaged, &mut random)).collect();
    let counted = caught(|| {
        let disk = SimDisk::holding(damaged.clone(), seed);
        let verified = care::verify(disk.clone(), Position::START, |_| {});
        for file in damaged.files() {
            if disk.state().bytes(file) != damaged.bytes(file) {
                return Err(format!("verifying has changed {file}"));
            }
        }
        let found = match verified {
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported { .. }) => {
                return Ok(&counts.unsupported);
            }
            verified => verified.map_err(|error| format!("verifying: {error:?}"))?,
        };
        let log = &patient.golden.log;
        let before_last = Position::new(log.events_of(log.commits().len() - 1).len() as u64);
        match patient.golden.look_at(&damaged) {
            Ok(()) if !found.is_sound() => Ok(&counts.harmless),
            Ok(()) if has_damaged_run(patient, &damaged) => {
                Err("a part of the index is damaged, and nothing is found".to_owned())
            }
            Ok(()) if found.up_to == patient.golden.log.head() => Ok(&counts.sound),
            // The last commit itself says only of those before it that they were synced.
            Ok(()) if found.up_to >= before_last && !patient.is_proven(&damaged) => {
                Ok(&counts.unproven)
            }
            Ok(()) => Err(format!("all is well, and verified only up to {}", found.up_to)),
            Err(_) if !found.is_sound() => Ok(&counts.refused),
            Err(trouble) if patient.is_proven(&damaged) => {
                Err(format!("nothing is found, and yet: {trouble}"))
            }
            Err(_) => {
                patient.golden.look(&damaged, |golden, store| {
                    let all = golden.log.commits().len();
                    let left = oracle::recovered(store, &golden.log, 0..=all)?;
                    oracle::every_answer(store, golden.log.events_of(left), &golden.terms)
                })?;
                Ok(&counts.torn)
            }
        }
    });
    let count = counted.map_err(|complaint| format!("{complaint}\nafter {done:#?}"))?;
    count.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

#[test]
fn whatever_is_answered_wrong_or_refused_is_found_by_verifying() {
    const TEST: &str = "verifying::whatever_is_answered_wrong_or_refused_is_found_by_verifying";
    let cases = report::number("ANNALS_CRASH_CASES").unwrap_or(CASES);
    let first = report::number("ANNALS_CRASH_SEED").unwrap_or(1);
    let (patients, counts, next) = (patients(), Counts::default(), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..report::threads() {
            scope.spawn(|| {
                let watch = Watch::begin();
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= cases {
                        break;
                    }
                    let seed = first + nth;
                    let patient = &patients[usize::try_from(seed % 4).unwrap()];
                    let command =
                        || format!("ANNALS_CRASH_CASES=1 {}", report::command(TEST, seed, "''"));
                    watch.next(command);
                    if let Err(complaint) = suffer(patient, seed, &counts) {
                        let name = patient.golden.name;
                        panic!("a {name} store, {complaint}\nrepeat: {}", command());
                    }
                }
            });
        }
    });
    println!("{cases} damaged stores were verified: {counts:?}");
}

#[test]
fn a_lie_in_the_index_is_found_by_verifying_or_changes_no_answer() {
    const TEST: &str = "verifying::a_lie_in_the_index_is_found_by_verifying_or_changes_no_answer";
    let lies = report::number("ANNALS_CRASH_CASES").unwrap_or(LIES);
    let first = report::number("ANNALS_CRASH_SEED").unwrap_or(1);
    let mut found = 0;
    let mut patients = patients();
    patients.retain(|patient| !patient.golden.runs().is_empty());
    for seed in first..first + lies {
        let mut random = Random::of(&[seed, 0x11E5]);
        let golden = &patients[random.index(patients.len())].golden;
        let file = *random.pick(&golden.runs());
        let mut bytes = golden.bytes(file);
        // Most of a small run is empty; what matters stands where something stands.
        let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        let at = *random.pick(&used);
        bytes[at] ^= 1 << random.below(8);
        repair(file, &mut bytes);
        let state = golden.with(file, bytes);
        let disk = SimDisk::holding(state.clone(), seed);
        let verified = care::verify(disk, Position::START, |_| {});
        let is_sound = verified.is_ok_and(|verified| verified.is_sound());
        found += u64::from(!is_sound);
        let ask = |golden: &Golden, store: &FileStore| {
            golden.ask(store)?;
            oracle::some_answers(store, golden.log.events(), &golden.terms, 60, &mut random)
        };
        if is_sound && let Err(trouble) = caught(|| Ok(golden.look(&state, ask)?)) {
            let repeat = format!("ANNALS_CRASH_CASES=1 {}", report::command(TEST, seed, "''"));
            panic!("a {} store, {file} at {at}: {trouble}\nrepeat: {repeat}", golden.name);
        }
    }
    println!("{lies} lies in the index, {found} of which are found");
}

#[test]
fn a_store_of_which_only_the_identity_is_left_is_not_sound() {
    let golden = &patients()[0].golden;
    let mut state = golden.without_runs_and_watermark();
    golden.segments().into_iter().for_each(|number| state.take(FileName::Segment(number)));
    let found = care::verify(SimDisk::holding(state, 1), Position::START, |_| {}).unwrap();
    let files: Vec<_> = found.findings.iter().map(|finding| finding.file.as_str()).collect();
    assert_eq!(files, ["0000000001.log"], "{found:?}");
}
