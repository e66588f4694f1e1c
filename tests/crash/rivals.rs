//! Failures that were seen in other event stores, each as a test: the bit that shortens a log, the sync that is tried again,
//! the setting that hides events, the read error that is taken for the end, the event that is seen too early.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use annals::storage::FileName;
use annals::store::{Batches, Durability, EventStore, Head, Interrupt, Query};
use annals::{Error, ErrorKind, Position};
use parking_lot::Mutex;

use crate::aftermath::{is_poisoned, judge};
use crate::author::Author;
use crate::disk::{Crash, Failure, Fault, Op, SimDisk};
use crate::golden::{self, Golden, filled};
use crate::oracle::{self, Trouble};
use crate::player::Player;
use crate::random::Random;
use crate::records::record_of;
use crate::report::Watch;
use crate::settings::{Settings, noon};

fn failing(of: Op, after: u64, lasting: bool) -> Option<Fault> {
    let failure = Failure::Error(std::io::ErrorKind::Other);
    Some(Fault { of: Some(of), after, lasting, failure })
}

fn exact(player: &Player, store: &annals::store::FileStore) {
    let all = player.log.commits().len();
    oracle::recovered(store, &player.log, all..=all).unwrap_or_else(|trouble| panic!("{trouble}"));
}

/// A store opened the log without a word, with three of ten events. The next append then stood where the fourth had been, and
/// the old events behind it came back.
#[test]
fn a_flipped_bit_in_the_middle_is_not_the_end_of_the_log() {
    let mut player = filled(10);
    assert!(player.close().is_none());
    let state = player.disk.state();
    let fourth = player.log.events_of(4).last().unwrap();
    let place = |file: &FileName| {
        let segment = state.bytes(*file).filter(|_| matches!(file, FileName::Segment(_)))?;
        Some((*file, record_of(segment, fourth)?.id.start))
    };
    let (segment, at) = state.files().iter().find_map(place).unwrap();
    let mut bytes = state.bytes(segment).unwrap().to_vec();
    bytes[at] ^= 1;
    let golden = Golden::of("flipped", player);
    let mut without_runs = golden.without_runs();
    without_runs.put(segment, bytes.clone());
    for damaged in [golden.with(segment, bytes.clone()), without_runs] {
        let disk = SimDisk::holding(damaged, 1);
        let error = match golden::open(&disk) {
            Err(error) => error,
            // What runs cover is verified when it is read.
            Ok(store) => match golden.ask(&store) {
                Err(Trouble::Error(error)) => error,
                other => panic!("{other:?}"),
            },
        };
        let ErrorKind::Damaged { file, offset } = error.kind() else { panic!("{error:?}") };
        assert_eq!(*file, segment.to_string());
        assert!(*offset <= at as u64 && *offset + 1024 > at as u64, "{offset} of {at}");
        assert_eq!(disk.state().bytes(segment).unwrap(), bytes, "nothing is changed");
    }
}

/// After a failed sync and a roll to the next segment, a store never opened again; without the roll, the next opening
/// committed what had been refused.
#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_the_store_opens_again() {
    let mut poisoned = 0;
    for after in 0..40 {
        let mut player = filled(6);
        let syncs = player.disk.ops_of(Op::Sync);
        player.disk.set_fault(failing(Op::Sync, syncs + after, false));
        let mut error = None;
        for _ in 0..30 {
            error = player.append().unwrap();
            if error.is_some() {
                break;
            }
        }
        let Some(error) = error else { continue };
        // What is synced may also be the next segment's file, without which the store goes on as it is.
        if *error.kind() == ErrorKind::Poisoned {
            poisoned += 1;
            is_poisoned(&mut player, false).unwrap();
        } else {
            assert_eq!(*error.kind(), ErrorKind::Store, "{error:?}");
        }
        judge(player, after).unwrap();
    }
    assert!(poisoned > 10, "only {poisoned} of the syncs were of the log");
}

/// Opened with smaller segments than it was written with, a store showed 59 of 100 events.
#[test]
fn settings_never_change_what_a_store_holds() {
    let mut player = filled(30);
    let mut random = Random::new(1);
    for round in 0..30 {
        assert!(player.close().is_none());
        player.settings = Settings {
            segment_bytes: *random.pick(&[256, 512, 1000, 4096, 1 << 20]),
            recent_bytes: *random.pick(&[256, 1024, 1 << 20]),
            ..Settings::some(&mut random)
        };
        let opened = player.open().unwrap();
        assert!(opened.is_none(), "round {round}: {opened:?}");
        exact(&player, player.store());
        assert!(player.append().unwrap().is_none());
    }
}

/// A read error in recovery was taken for the end of the log, and the rest was cut off.
#[test]
fn a_read_error_in_recovery_is_not_the_end_of_the_log() {
    for golden in [Golden::closed(), Golden::killed()] {
        let reads = {
            let disk = SimDisk::holding(golden.state.clone(), 1);
            let _store = golden::open(&disk).unwrap();
            disk.ops_of(Op::Read)
        };
        for after in 0..reads {
            for lasting in [false, true] {
                let disk = SimDisk::holding(golden.state.clone(), 1);
                disk.set_fault(failing(Op::Read, after, lasting));
                let opened = golden::open(&disk);
                disk.set_fault(None);
                if let Err(error) = &opened {
                    assert_eq!(*error.kind(), ErrorKind::Store, "read {after}: {error:?}");
                }
                let store = opened.or_else(|_| golden::open(&disk));
                let store = store.unwrap_or_else(|error| panic!("read {after}: {error:?}"));
                golden.ask(&store).unwrap_or_else(|trouble| panic!("read {after}: {trouble}"));
            }
        }
        println!("{reads} reads of the recovery of a {} store, each failing", golden.name);
    }
}

/// Events were visible before they were durable: a consumer's checkpoint outlived a power cut, and the events that came
/// next at those positions were skipped.
#[test]
fn what_is_only_buffered_is_shown_to_nobody_who_waits() {
    for seed in 0..50 {
        let settings = Settings { durability: Durability::Buffered, ..golden::settings() };
        let mut player = Player::new(SimDisk::new(seed), settings, Author::new(seed, true));
        assert!(player.open().unwrap().is_none());
        for _ in 0..5 {
            assert!(player.append().unwrap().is_none());
        }
        assert!(player.sync().unwrap().is_none());
        let synced = player.log.head();
        for _ in 0..5 {
            assert!(player.append().unwrap().is_none());
        }
        let head = player.store().head().unwrap();
        assert_eq!(head.acknowledged, player.log.head());
        let wait = player.store().wait(synced, std::time::Duration::ZERO, &Interrupt::new());
        let checkpoint = wait.unwrap();
        assert_eq!((checkpoint, head.durable), (head.durable, head.durable));
        let state = player.disk.state().after_losing_all();
        player.disk.freeze();
        let heir = SimDisk::holding(state, 1);
        let store = player.settings.open(&heir, &noon()).unwrap();
        let found = store.head().unwrap();
        assert!(found.durable >= checkpoint, "{checkpoint} was shown, {found:?} is left");
    }
}

/// Nobody sees an event before the sync that makes it durable is over, and no reader waits for that sync.
#[test]
fn readers_go_on_during_a_sync_and_see_nothing_of_what_is_being_synced() {
    let watch = Watch::begin();
    watch.next(|| "a reader waits for a sync".to_owned());
    let mut player = filled(6);
    let store = Arc::new(player.store.take().unwrap());
    let seen: Arc<Mutex<Vec<(Head, usize)>>> = Arc::default();
    let (reader, into) = (Arc::downgrade(&store), Arc::clone(&seen));
    player.disk.set_before_sync(Some(Arc::new(move || {
        let Some(store) = reader.upgrade() else { return };
        let read = thread::spawn(move || -> Result<(Head, usize), Error> {
            let head = store.head()?;
            let (mut events, mut versions) = (0, BTreeMap::new());
            for batch in Batches::new(&*store, Query::default()) {
                for event in batch?.iter() {
                    events += 1;
                    versions.insert(event.stream().to_stream_id(), event.version());
                }
            }
            for (stream, version) in versions {
                assert_eq!(store.version(&stream)?, version);
            }
            Ok((head, events))
        });
        into.lock().push(read.join().unwrap().unwrap());
    })));
    for _ in 0..20 {
        let before = player.log.head();
        let commit = player.author.commit(&player.log);
        let now = annals::Clock::now(&player.clock);
        let answer = store.append(commit.clone()).unwrap();
        player.log.accept(&commit, now, &answer).unwrap();
        let seen = std::mem::take(&mut *seen.lock());
        assert!(!seen.is_empty(), "an append syncs");
        // The first sync of an append is that of the log; what is synced after it may be the index.
        let (head, events) = seen[0];
        assert_eq!(Position::new(events as u64), head.acknowledged);
        assert_eq!((head.acknowledged, head.durable), (before, before));
    }
    player.disk.set_before_sync(None);
}

#[test]
fn a_store_has_one_writer_and_a_killed_one_leaves_no_lock() {
    let player = filled(3);
    let second = golden::open(&player.disk).map(drop).unwrap_err();
    assert_eq!(*second.kind(), ErrorKind::InUse);
    let killed = player.disk.state().after(Crash::Kill, &mut Random::new(1));
    let killed = SimDisk::holding(killed, 1);
    for _ in 0..100 {
        let store = golden::open(&killed).unwrap();
        assert_eq!(*golden::open(&killed).map(drop).unwrap_err().kind(), ErrorKind::InUse);
        exact(&player, &store);
        store.close().unwrap();
    }
}
