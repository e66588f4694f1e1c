//! Stores that are salvaged or restored; and what is read for it.

use std::io::ErrorKind as Io;

use annals::storage::FileName;
use annals::store::{Events, Query, care};
use annals::{Error, Position};

use super::{CRASHES, Source, faults, is_damage, is_fair, judge, reading, seeds};
use crate::disk::{Failure, Fault, Moment, SimDisk, State};
use crate::golden;
use crate::log::Fact;
use crate::oracle::Complaint;
use crate::random::Random;
use crate::report::{self, caught};

/// Makes a store of another.
type Make = fn(SimDisk, SimDisk) -> Result<care::Copied, Error>;

/// What is salvaged, what is restored, and from what.
fn makers(seed: u64) -> [(&'static str, State, Make); 2] {
    let source = Source::of(seed).golden;
    let last = FileName::Segment(*source.segments().last().unwrap());
    let mut bytes = source.bytes(last);
    // In the first record: behind the headers of the segment and the frame.
    bytes[96 + 40 + 50] ^= 1;
    let salvage: Make = |from, into| care::salvage(from, into, |_| {});
    let restore: Make = |from, into| care::restore(from, into, Position::new(20), |_| {});
    [("salvage", source.with(last, bytes), salvage), ("restore", source.state, restore)]
}

/// What is in a store; nothing if it is refused as damaged.
fn contents(state: &State) -> Result<Option<Vec<Fact>>, Complaint> {
    let disk = SimDisk::holding(state.clone(), 1);
    let opened = golden::open(&disk);
    let contents = match &opened {
        Ok(store) => {
            let facts = Events::new(store, Query::default()).map(|event| event.map(Fact::from));
            Some(facts.collect::<Result<_, _>>().map_err(|error| format!("reading: {error:?}"))?)
        }
        Err(error) if is_damage(error) => None,
        Err(error) => return Err(format!("what is left is neither damaged nor empty: {error:?}")),
    };
    disk.freeze();
    Ok(contents)
}

/// Whether this is the same store. Gaps get new ids each time.
fn is_same(one: &[Fact], other: &[Fact]) -> bool {
    let mut both = one.iter().zip(other);
    one.len() == other.len() && both.all(|(a, b)| a == b || (a.is_gap() && b.is_gap()))
}

/// What is left is refused, or empty; or it is all of it.
fn is_nothing_or_all(left: &State, all: &[Fact]) -> Result<(), Complaint> {
    match contents(left)? {
        Some(part) if !part.is_empty() && !is_same(&part, all) => {
            Err(format!("{} of {} events are taken for a whole store", part.len(), all.len()))
        }
        _ => Ok(()),
    }
}

#[test]
fn a_store_that_was_not_wholly_salvaged_or_restored_is_never_taken_for_one() {
    const TEST: &str =
        "made_of_others::a_store_that_was_not_wholly_salvaged_or_restored_is_never_taken_for_one";
    let (mut images, mut cases, mut errors) = (0, 0, 0);
    for seed in seeds(2) {
        for (what, from, make) in makers(seed) {
            let target = SimDisk::new(seed);
            target.keep_moments();
            make(SimDisk::holding(from.clone(), 1), target.clone()).unwrap();
            let all = contents(&target.state().after_losing_all()).unwrap().unwrap();
            assert!(all.len() > 10, "{} events", all.len());
            let ops = target.ops();
            for Moment { op, state } in target.moments() {
                for (nth, crash) in CRASHES.into_iter().enumerate() {
                    let case = format!("{what}-{op}-{nth}");
                    if report::is_left_out(&case) {
                        continue;
                    }
                    images += 1;
                    let mut random = Random::of(&[seed, op, nth as u64]);
                    let left = state.after(crash, &mut random);
                    judge(caught(|| is_nothing_or_all(&left, &all)), TEST, seed, &case);
                }
            }
            for fault in faults(ops) {
                let case = format!("{what}-{fault:?}").replace(' ', "");
                if report::is_left_out(&case) {
                    continue;
                }
                cases += 1;
                let done = caught(|| {
                    let mut random = Random::of(&[seed, fault.after]);
                    let target = SimDisk::new(seed);
                    target.set_fault(Some(fault));
                    let made = reading(&from, None, |disk| make(disk, target.clone()))?;
                    if let Err(error) = &made {
                        is_fair(error)?;
                        errors += 1;
                    }
                    let left = target.state().after(*random.pick(&CRASHES), &mut random);
                    is_nothing_or_all(&left, &all)?;
                    let kept = contents(&target.state().after_losing_all())?;
                    if made.is_ok() && !kept.is_some_and(|kept| is_same(&kept, &all)) {
                        return Err("it reports success, and is not whole".to_owned());
                    }
                    is_nothing_or_all(&target.state(), &all)
                });
                judge(done, TEST, seed, &case);
            }
        }
    }
    println!("{images} images, and {cases} failing disks, of which {errors} are reported");
}

#[test]
fn a_disk_that_cannot_be_read_is_not_taken_for_damage() {
    const TEST: &str = "made_of_others::a_disk_that_cannot_be_read_is_not_taken_for_damage";
    type Read = fn(SimDisk) -> Result<bool, Error>;
    let ways: [(&str, Read); 4] = [
        ("verify", |disk| Ok(care::verify(disk, Position::START, |_| {})?.is_sound())),
        ("backup", |disk| care::backup(disk, SimDisk::new(1), |_| {}).map(|_| true)),
        ("salvage", |disk| Ok(care::salvage(disk, SimDisk::new(1), |_| {})?.findings.is_empty())),
        ("restore", |disk| {
            care::restore(disk, SimDisk::new(1), Position::new(20), |_| {}).map(|_| true)
        }),
    ];
    let mut cases = 0;
    for seed in seeds(2) {
        let source = Source::of(seed).golden;
        for (what, read) in ways {
            let disk = SimDisk::holding(source.state.clone(), 1);
            assert!(read(disk.clone()).unwrap(), "{what}");
            for after in 0..disk.ops() {
                for lasting in [false, true] {
                    let failure = Failure::Error(Io::Other);
                    let fault = Fault { of: None, after, lasting, failure };
                    let case = format!("{what}-{after}-{lasting}");
                    if report::is_left_out(&case) {
                        continue;
                    }
                    cases += 1;
                    let done = caught(|| match reading(&source.state, Some(fault), read)? {
                        Ok(true) => Err("it has not noticed".to_owned()),
                        Ok(false) => Err("it is taken for damage".to_owned()),
                        Err(error) => is_fair(&error),
                    });
                    judge(done, TEST, seed, &case);
                }
            }
        }
    }
    println!("{cases} disks that cannot be read");
}
