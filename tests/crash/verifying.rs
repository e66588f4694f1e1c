//! Stores that are damaged in all ways and then verified: whatever is answered wrong, or refused, is found before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use annals::store::care;
use annals::{ErrorKind, Position};

use crate::disk::SimDisk;
use crate::oracle::{self, Complaint};
use crate::random::Random;
use crate::report::{self, Watch, caught};
use crate::salvage::{Patient, damage, patients};

/// How many stores are damaged, unless `ANNALS_CRASH_CASES` says otherwise.
const CASES: u64 = 20_000;

#[derive(Debug, Default)]
struct Counts {
    /// Nothing was found, and every answer is exact.
    sound: AtomicU64,
    /// Something was found, and an answer is refused.
    refused: AtomicU64,
    /// Something was found that changes no answer.
    harmless: AtomicU64,
    /// The end of the log looks like an unfinished write, and nothing is left that knows better.
    torn: AtomicU64,
    /// It makes use of what only a newer version knows.
    unsupported: AtomicU64,
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
        match patient.golden.look_at(&damaged) {
            Ok(()) if !found.is_sound() => Ok(&counts.harmless),
            Ok(()) if found.up_to != patient.golden.log.head() => {
                Err(format!("all is well, and verified only up to {}", found.up_to))
            }
            Ok(()) => Ok(&counts.sound),
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
