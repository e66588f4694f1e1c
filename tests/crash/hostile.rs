//! Files that somebody has changed and given the right checksums: whatever they say, nothing panics, nothing hangs, and no
//! length that stands in them is believed before it is held against the file.

use annals::storage::FileName;
use annals::store::{Batches, Commit, Direction, EventStore, Expected, Query, care};
use annals::{Error, ErrorKind, NewEvent, Position};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::disk::{SimDisk, State};
use crate::golden::{self, Golden};
use crate::log::Fact;
use crate::records::{record_of, with_place};
use crate::repair::{relink, repair};
use crate::report::{self, Watch, caught};
use crate::settings::noon;
use crate::terms;

/// How many changes are tried, unless `ANNALS_CRASH_CASES` says otherwise.
const CASES: u32 = 5000;

/// A change to the bytes of a file; places are taken as fractions of its length.
#[derive(Debug, Clone)]
enum Change {
    Byte(u16, u8),
    Number32(u16, u32),
    Number64(u16, u64),
    /// So many bytes of another place of the file stand here.
    Copied(u16, u16, u8),
    Truncated(u16),
    Extended(u16, u8),
    Removed,
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..20_u64,
        Just(u64::MAX),
        Just(u64::MAX / 2),
        Just(u64::from(u32::MAX)),
        (0..64_u32).prop_map(|bit| 1 << bit),
        any::<u64>(),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<u16>;
    let low = |number: u64| u32::try_from(number & u64::from(u32::MAX)).unwrap();
    prop_oneof![
        4 => (place(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        4 => (place(), number()).prop_map(move |(at, number)| Change::Number32(at, low(number))),
        4 => (place(), number()).prop_map(|(at, number)| Change::Number64(at, number)),
        2 => (place(), place(), any::<u8>()).prop_map(|(at, from, n)| Change::Copied(at, from, n)),
        1 => place().prop_map(Change::Truncated),
        1 => (place(), any::<u8>()).prop_map(|(count, byte)| Change::Extended(count, byte)),
        1 => Just(Change::Removed),
    ]
}

/// Where in a file of this length a place lies; most places lie where headers are.
fn offset(place: u16, len: usize) -> usize {
    let place = usize::from(place);
    if len == 0 {
        return 0;
    }
    if place % 2 == 0 { (place / 2) % len.min(200) } else { (place / 2) % len }
}

fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    let end = (at + new.len()).min(bytes.len());
    let at = at.min(end);
    bytes[at..end].copy_from_slice(&new[..end - at]);
}

fn apply(state: &mut State, file: FileName, change: &Change) {
    let Some(mut bytes) = state.bytes(file).map(<[u8]>::to_vec) else { return };
    let len = bytes.len();
    match *change {
        Change::Byte(at, byte) => put(&mut bytes, offset(at, len), &[byte]),
        Change::Number32(at, number) => put(&mut bytes, offset(at, len), &number.to_le_bytes()),
        Change::Number64(at, number) => put(&mut bytes, offset(at, len), &number.to_le_bytes()),
        Change::Copied(at, from, count) => {
            let from = offset(from, len);
            let copied = bytes[from..(from + usize::from(count)).min(len)].to_vec();
            put(&mut bytes, offset(at, len), &copied);
        }
        Change::Truncated(at) => bytes.truncate(offset(at, len)),
        Change::Extended(count, byte) => bytes.resize(len + usize::from(count % 5000), byte),
        Change::Removed => return state.take(file),
    }
    repair(file, &mut bytes);
    state.put(file, bytes);
}

/// Does with the store whatever can be done, and follows it; only that it comes to an end is asked of it.
fn exercise(golden: &Golden, disk: &SimDisk) -> Result<(), Error> {
    let follower = golden::settings().options(&noon()).follow_on(disk.clone());
    let followed = follower.and_then(|follower| read(golden, &follower).map_or(Ok(()), Err));
    let store = golden::open(disk)?;
    let first_error = followed.err().or(read(golden, &store));
    for stream in &golden.terms.streams {
        let event = NewEvent::new(terms::event_type("Paid"), &1)?;
        let _ = store.append(Commit::new().write(stream.clone(), Expected::Any, [event]));
    }
    first_error.map_or_else(|| store.close(), Err)
}

/// Verifies, salvages, restores and backs up: each comes to an end, with whatever result. How many bytes were written.
fn care_for(disk: &SimDisk) -> usize {
    let all = Position::new(u64::MAX);
    let targets = [SimDisk::new(2), SimDisk::new(3), SimDisk::new(4)];
    let [salvaged, restored, copied] = targets.clone();
    let _ = care::verify(disk.clone(), Position::START, |_| {});
    let _ = care::salvage(disk.clone(), salvaged, |_| {});
    let _ = care::restore(disk.clone(), restored, all, |_| {});
    let _ = care::backup(disk.clone(), copied, |_| {});
    targets.iter().map(SimDisk::byte_len).sum()
}

/// Asks for all that can be asked for. The first error.
fn read(golden: &Golden, store: &dyn EventStore) -> Option<Error> {
    let mut first_error = None;
    let mut queries: Vec<Query> = golden.terms.filters.iter().cloned().map(Query::new).collect();
    queries.extend(queries.clone().into_iter().map(Query::backwards));
    for query in queries {
        // A lie about positions may make a read go round; an honest store of this size needs a few batches.
        for batch in Batches::new(store, query).take(1000) {
            match batch {
                Ok(batch) => batch.iter().for_each(|event| drop(event.metadata())),
                Err(error) => {
                    first_error.get_or_insert(error);
                    break;
                }
            }
        }
    }
    for stream in &golden.terms.streams {
        let _ = store.version(stream);
    }
    first_error
}

fn cases() -> u32 {
    report::number("ANNALS_CRASH_CASES").map_or(CASES, |cases| u32::try_from(cases).unwrap())
}

fn runner() -> TestRunner {
    let mut seed = [0; 32];
    let number = report::number("ANNALS_CRASH_SEED").unwrap_or(1);
    seed[..8].copy_from_slice(&number.to_le_bytes());
    let config = Config { cases: cases(), failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
}

fn attack(golden: &Golden, changes: &[(usize, Change)], linked: bool) -> Result<bool, String> {
    let files = golden.state.files();
    let mut state = golden.state.clone();
    for (file, change) in changes {
        apply(&mut state, files[file % files.len()], change);
    }
    if linked {
        relink(&mut state);
    }
    let bytes: usize = state.files().iter().map(|file| state.bytes(*file).unwrap().len()).sum();
    let disk = SimDisk::holding(state, 1);
    measured(bytes, || care_for(&disk))?;
    let mut outcome = Ok(());
    measured(bytes, || {
        outcome = exercise(golden, &disk);
        0
    })?;
    Ok(outcome.is_err())
}

/// Does something with files of so many bytes, and says how many it has written. What it holds in memory is bounded by both.
fn measured(bytes: usize, work: impl FnOnce() -> usize) -> Result<(), String> {
    let mut outcome = Ok(0);
    let measured = allocation_counter::measure(|| outcome = caught(|| Ok(work())));
    let bytes = bytes + outcome?;
    // Each of the reads may hold all of the log, and the simulated disk keeps copies; a length that was believed shows
    // as gigabytes.
    if measured.bytes_max > 16 * bytes as u64 + (16 << 20) {
        return Err(format!("{} bytes are held, the files have {bytes}", measured.bytes_max));
    }
    Ok(())
}

fn attack_all(golden: &Golden) {
    let watch = Watch::begin();
    let changes = proptest::collection::vec((any::<usize>(), change()), 1..5);
    let refused = std::cell::Cell::new(0);
    let outcome = runner().run(&(changes, any::<bool>()), |(changes, linked)| {
        watch.next(|| format!("{linked} {changes:?}"));
        match attack(golden, &changes, linked) {
            Ok(is_refused) => {
                refused.set(refused.get() + u32::from(is_refused));
                Ok(())
            }
            Err(complaint) => Err(TestCaseError::fail(complaint)),
        }
    });
    println!("{} hostile changes to a {} store: {} refused", cases(), golden.name, refused.get());
    if let Err(TestError::Fail(reason, (changes, linked))) = outcome {
        panic!("{reason}\nafter {changes:?} (linked: {linked}) to {:?}", golden.state.files());
    }
    outcome.unwrap();
}

/// What counts up on disk ends somewhere.
#[test]
fn a_watermark_with_the_last_number_there_is_can_be_followed() {
    let golden = Golden::closed();
    let mut bytes = golden.bytes(FileName::Watermark);
    for slot in [0, 4096] {
        bytes[slot + 24..slot + 32].copy_from_slice(&u64::MAX.to_le_bytes());
    }
    repair(FileName::Watermark, &mut bytes);
    let disk = SimDisk::holding(golden.with(FileName::Watermark, bytes), 1);
    caught(|| exercise(&golden, &disk).map_err(|error| format!("{error:?}"))).unwrap();
}

/// The last record of a segment gave itself a position behind those of the next segment. An index led to both, and nobody
/// held what was read of the one segment against what was read of the other: events came out of order.
#[test]
fn positions_that_go_back_from_one_segment_to_the_next_are_damage() {
    let golden = Golden::closed();
    let (file, head) = (FileName::Segment(1), golden.log.head());
    let mut bytes = golden.bytes(file);
    let place = |event: &Fact| record_of(&bytes, event).map(|record| record.numbers());
    let last = golden.log.events().iter().filter_map(place).max().unwrap();
    // A small position takes one byte.
    bytes[last] = u8::try_from(head.get()).unwrap();
    repair(file, &mut bytes);
    let store = golden::open(&SimDisk::holding(golden.with(file, bytes), 1)).unwrap();
    let mut reported = 0;
    for filter in &golden.terms.filters {
        for query in [Query::new(filter.clone()), Query::new(filter.clone()).backwards()] {
            let mut read = Vec::new();
            for batch in Batches::new(&store, query.clone()) {
                match batch {
                    Ok(batch) => read.extend(batch.iter().map(|event| event.position())),
                    Err(error) => {
                        assert!(matches!(error.kind(), ErrorKind::Damaged { .. }), "{error:?}");
                        reported += 1;
                        break;
                    }
                }
            }
            if query.direction() == Direction::Backwards {
                read.reverse();
            }
            assert!(read.is_sorted_by(|a, b| a < b), "{query:?} is answered with {read:?}");
        }
    }
    assert!(reported > 0, "nobody reads the record that lies");
}

/// What is missing in streams was added up until it was more than a number can hold.
#[test]
fn the_highest_versions_there_are_can_be_verified() {
    let golden = Golden::closed();
    let file = FileName::Segment(*golden.segments().last().unwrap());
    let mut bytes = golden.bytes(file);
    let is_there = |event: &&Fact| record_of(&golden.bytes(file), event).is_some();
    let mut streams = std::collections::HashSet::new();
    for event in golden.log.events().iter().filter(is_there) {
        if streams.insert(event.stream().to_string()) {
            let place = [event.commit().ordinal.into(), event.commit().count.into()];
            bytes = with_place(bytes, event, u64::MAX - 1, place);
        }
    }
    assert!(streams.len() > 1);
    repair(file, &mut bytes);
    let disk = SimDisk::holding(golden.with(file, bytes), 1);
    let verified =
        caught(|| care::verify(disk, Position::START, |_| {}).map_err(|e| format!("{e:?}")));
    assert!(!verified.unwrap().is_sound());
}

/// Gaps were made for all events that a commit was said to have.
#[test]
fn a_commit_that_is_said_to_be_large_is_not_filled_with_gaps() {
    let golden = Golden::closed();
    let file = FileName::Segment(*golden.segments().last().unwrap());
    let events = golden.log.events();
    for (event, count) in [(events.last().unwrap(), 1 << 31), (&events[events.len() - 2], 100)] {
        let mut bytes = with_place(golden.bytes(file), event, event.version().get(), [0, count]);
        repair(file, &mut bytes);
        let (disk, into) = (SimDisk::holding(golden.with(file, bytes), 1), SimDisk::new(2));
        measured(1 << 20, || {
            care::salvage(disk, into.clone(), |_| {}).unwrap();
            into.byte_len()
        })
        .unwrap();
        let verified = care::verify(into, Position::START, |_| {}).unwrap();
        assert!(verified.up_to >= golden.log.head());
        assert_eq!(
            verified.findings.iter().filter(|one| one.stream.is_none()).count(),
            0,
            "{verified:?}"
        );
    }
}

#[test]
fn no_closed_file_is_believed_that_lies() {
    attack_all(&Golden::closed());
}

#[test]
fn no_killed_file_is_believed_that_lies() {
    attack_all(&Golden::killed());
}
