//! Backups, salvaging and restoring that are cut short everywhere, by a crash or a failing disk: what is left is never taken for
//! more than it is, the store that is read stays what it was, and a backup that is made again is whole.

use std::error::Error as _;
use std::io::ErrorKind as Io;

use annals::storage::FileName;
use annals::store::{Events, Query, care};
use annals::{Error, ErrorKind, Position};

use crate::author::Author;
use crate::disk::{Crash, Failure, Fault, Moment, SimDisk, State};
use crate::golden::{self, Golden};
use crate::log::Fact;
use crate::oracle::{self, Complaint};
use crate::player::Player;
use crate::random::Random;
use crate::report::{self, caught};
use crate::settings::Settings;

const FAILURES: [Failure; 6] = [
    Failure::Error(Io::Other),
    Failure::Error(Io::StorageFull),
    Failure::Error(Io::Interrupted),
    Failure::Short,
    Failure::PartThenError(Io::StorageFull),
    Failure::AllThenError(Io::Other),
];

const CRASHES: [Crash; 8] = [
    Crash::Kill,
    Crash::GivenUp,
    Crash::Cut,
    Crash::Cut,
    Crash::Cut,
    Crash::Cut,
    Crash::Cut,
    Crash::Cut,
];

/// How many commits the store has when the earlier backup is made, and after that.
const COMMITS: [usize; 2] = [8, 9];

/// A store, and what a backup of it held at an earlier time.
struct Source {
    golden: Golden,
    earlier: State,
}

impl Source {
    fn of(seed: u64) -> Self {
        // In every second pair of sources everything lies in one segment.
        let segment_bytes = if seed % 4 < 2 { 1536 } else { 1 << 16 };
        let settings = Settings { segment_bytes, ..golden::settings() };
        let mut player = Player::new(SimDisk::new(seed), settings, Author::new(seed, true));
        assert!(player.open().unwrap().is_none());
        for _ in 0..COMMITS[0] {
            assert!(player.append().unwrap().is_none());
        }
        assert!(player.close().is_none());
        let target = SimDisk::new(seed);
        care::backup(SimDisk::holding(player.disk.state(), seed), target.clone(), |_| {}).unwrap();
        assert!(player.open().unwrap().is_none());
        for _ in 0..COMMITS[1] {
            assert!(player.append().unwrap().is_none());
        }
        if seed.is_multiple_of(2) {
            assert!(player.close().is_none());
        }
        Self { golden: Golden::of("source", player), earlier: target.state() }
    }

    /// What a backup begins with, and how many commits are in that.
    fn targets(&self) -> [(State, usize); 2] {
        [(State::default(), 0), (self.earlier.clone(), COMMITS[0])]
    }
}

/// Reads what is on a disk for something else, and holds that it stays as it is.
fn reading<T>(
    state: &State,
    fault: Option<Fault>,
    act: impl FnOnce(SimDisk) -> Result<T, Error>,
) -> Result<Result<T, Error>, Complaint> {
    let disk = SimDisk::holding(state.clone(), 1);
    disk.set_fault(fault);
    let done = act(disk.clone());
    for file in state.files() {
        if disk.state().bytes(file) != state.bytes(file) {
            return Err(format!("{file} of what is only read was changed"));
        }
    }
    Ok(done)
}

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

fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Damaged { .. })
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

fn seeds(count: u64) -> std::ops::Range<u64> {
    let first = report::number("ANNALS_CRASH_SEED");
    first.map_or(1..1 + count, |seed| seed..seed + 1)
}

/// Fails with the command that repeats the case.
#[track_caller]
fn judge(done: Result<(), Complaint>, test: &str, seed: u64, case: &str) {
    if let Err(complaint) = done {
        let repeat = report::command(&format!("cut_short::{test}"), seed, &format!("'{case}'"));
        panic!("seed {seed}, {case}: {complaint}\nrepeat: {repeat}");
    }
}

#[test]
fn a_backup_that_a_crash_cuts_short_is_a_beginning_and_can_be_made_again() {
    const TEST: &str = "a_backup_that_a_crash_cuts_short_is_a_beginning_and_can_be_made_again";
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

/// All ways in which each of so many operations can fail.
fn faults(ops: u64) -> impl Iterator<Item = Fault> {
    let at = |after| {
        FAILURES.into_iter().flat_map(move |failure| {
            [false, true].map(|lasting| Fault { of: None, after, lasting, failure })
        })
    };
    (0..ops).flat_map(at)
}

/// An error says what failed: the operation, and the file or the directory.
fn is_fair(error: &Error) -> Result<(), Complaint> {
    let text = error.to_string();
    let is_named = ["log", "index", "store", "watermark", "spare", "draft", "directory"]
        .iter()
        .any(|name| text.contains(name));
    let failed =
        matches!(error.kind(), ErrorKind::Store | ErrorKind::StorageFull | ErrorKind::Poisoned);
    let says_why = error.source().is_some() || text.contains("told to fail");
    if failed && is_named && says_why {
        return Ok(());
    }
    Err(format!("it does not say what failed: {error:?}"))
}

#[test]
fn a_backup_onto_a_failing_disk_says_what_failed_and_can_be_made_again() {
    const TEST: &str = "a_backup_onto_a_failing_disk_says_what_failed_and_can_be_made_again";
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
                    let mut random = Random::of(&[seed, least as u64, cases]);
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
    const TEST: &str = "a_store_that_was_not_wholly_salvaged_or_restored_is_never_taken_for_one";
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
                    let mut random = Random::of(&[seed, cases]);
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
    const TEST: &str = "a_disk_that_cannot_be_read_is_not_taken_for_damage";
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
