//! Backups.

use annals::storage::FileName;
use annals::store::care;
use annals::{Error, Position};

use super::{CRASHES, Source, faults, is_damage, is_fair, judge, reading, seeds};
use crate::disk::{Moment, SimDisk, State};
use crate::golden;
use crate::oracle::{self, Complaint};
use crate::random::Random;
use crate::report::{self, caught};

fn backup(source: &Source, target: &SimDisk) -> Result<Result<care::BackedUp, Error>, Complaint> {
    reading(&source.golden.state, None, |disk| care::backup(disk, target.clone(), |_| {}))
}

/// What is left of a backup opens as a store that has so many commits of the source at least, or is refused as damaged if that
/// is none.
fn is_a_beginning(source: &Source, left: &State, least: usize) -> Result<(), Complaint> {
    let disk = SimDisk::holding(left.clone(), 1);
    let all = source.golden.log.commits().len();
    match golden::open(&disk) {
        Ok(store) => drop(oracle::recovered(&store, &source.golden.log, least..=all)?),
        Err(error) if least == 0 && is_damage(&error) => {}
        Err(error) => return Err(format!("what is left does not open: {error:?}")),
    }
    disk.freeze();
    Ok(())
}

/// What was answered with success is durable and whole.
fn is_whole(source: &Source, target: &SimDisk) -> Result<(), Complaint> {
    let left = target.state().after_losing_all();
    let store = |state: &State| state.bytes(FileName::Store).map(<[u8]>::to_vec);
    if store(&left) != store(&source.golden.state) {
        return Err("the backup is another store".to_owned());
    }
    let disk = SimDisk::holding(left.clone(), 1);
    let found = care::verify(disk, Position::START, |_| {}).map_err(|error| error.to_string())?;
    if !found.is_sound() || found.up_to != source.golden.log.head() {
        return Err(format!("the backup is not sound: {found:?}"));
    }
    Ok(source.golden.look_at(&left)?)
}

/// Makes the backup on what is left, is cut short once more, and makes it again.
fn make_again(source: &Source, left: State, random: &mut Random) -> Result<(), Complaint> {
    let target = SimDisk::holding(left, random.next());
    target.keep_moments();
    backup(source, &target)?.map_err(|error| format!("it cannot be made again: {error:?}"))?;
    is_whole(source, &target)?;
    let moments = target.moments();
    let crash = *random.pick(&CRASHES);
    let left = random.pick(&moments).state.after(crash, random);
    let target = SimDisk::holding(left, random.next());
    backup(source, &target)?.map_err(|error| format!("nor a third time: {error:?}"))?;
    is_whole(source, &target)
}

#[test]
fn a_backup_that_a_crash_cuts_short_is_a_beginning_and_can_be_made_again() {
    const TEST: &str =
        "backups::a_backup_that_a_crash_cuts_short_is_a_beginning_and_can_be_made_again";
    let mut images = 0;
    for seed in seeds(8) {
        let source = Source::of(seed);
        for (before, least) in source.targets() {
            let target = SimDisk::holding(before, seed);
            target.keep_moments();
            backup(&source, &target).unwrap().unwrap();
            for (number, Moment { op, state }) in target.moments().into_iter().enumerate() {
                for (nth, crash) in CRASHES.into_iter().enumerate() {
                    let case = format!("{least}-{op}-{nth}");
                    if report::is_left_out(&case) {
                        continue;
                    }
                    images += 1;
                    let mut random = Random::of(&[seed, least as u64, number as u64, nth as u64]);
                    let left = state.after(crash, &mut random);
                    let done = caught(|| {
                        is_a_beginning(&source, &left, least)?;
                        make_again(&source, left.clone(), &mut random)
                    });
                    judge(done.map_err(|text| format!("{crash:?}: {text}")), TEST, seed, &case);
                }
            }
        }
    }
    println!("{images} images of backups in the making");
}

#[test]
fn a_backup_onto_a_failing_disk_says_what_failed_and_can_be_made_again() {
    const TEST: &str =
        "backups::a_backup_onto_a_failing_disk_says_what_failed_and_can_be_made_again";
    let (mut cases, mut errors) = (0, 0);
    for seed in seeds(2) {
        let source = Source::of(seed);
        for (before, least) in source.targets() {
            let target = SimDisk::holding(before.clone(), seed);
            backup(&source, &target).unwrap().unwrap();
            for fault in faults(target.ops()) {
                let case = format!("{least}-{fault:?}").replace(' ', "");
                if report::is_left_out(&case) {
                    continue;
                }
                cases += 1;
                let done = caught(|| {
                    let mut random = Random::of(&[seed, least as u64, fault.after]);
                    let target = SimDisk::holding(before.clone(), seed);
                    target.set_fault(Some(fault));
                    let made = backup(&source, &target)?;
                    target.set_fault(None);
                    match made {
                        Ok(_) => return is_whole(&source, &target),
                        Err(error) => is_fair(&error)?,
                    }
                    errors += 1;
                    let crash = *random.pick(&CRASHES);
                    let left = target.state().after(crash, &mut random);
                    is_a_beginning(&source, &left, least)?;
                    make_again(&source, left, &mut random)?;
                    make_again(&source, target.state(), &mut random)
                });
                judge(done, TEST, seed, &case);
            }
        }
    }
    println!("{cases} backups onto a failing disk, {errors} of which report an error");
}
