//! The disk itself: it forgets what it may forget, and nothing else.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;

use annals::storage::{FileName, Storage, StorageFile};

use super::{Crash, Failure, Fault, Op, SimDisk, State};
use crate::random::Random;

const LOG: FileName = FileName::Segment(1);

/// A disk with one durable file of eight bytes `a`, and a handle to it.
fn disk() -> (SimDisk, Arc<dyn StorageFile>) {
    let disk = SimDisk::new(1);
    let file = disk.create(LOG).unwrap();
    file.write_at(0, b"aaaaaaaa").unwrap();
    file.sync().unwrap();
    disk.sync_names().unwrap();
    (disk, file)
}

/// What the file may hold after a power cut.
fn cuts(disk: &SimDisk) -> BTreeSet<Option<Vec<u8>>> {
    let state = disk.state();
    let cut = |seed| state.after(Crash::Cut, &mut Random::new(seed));
    (0..2000).map(|seed| cut(seed).bytes(LOG).map(<[u8]>::to_vec)).collect()
}

fn read(disk: &SimDisk) -> Vec<u8> {
    disk.state().bytes(LOG).unwrap().to_vec()
}

fn fault(of: Op, failure: Failure) -> Option<Fault> {
    Some(Fault { of: Some(of), after: 0, lasting: true, failure })
}

#[test]
fn what_was_synced_survives_every_cut() {
    let (disk, _file) = disk();
    assert_eq!(cuts(&disk), BTreeSet::from([Some(b"aaaaaaaa".to_vec())]));
}

#[test]
fn an_unsynced_write_is_kept_in_any_part_and_nothing_else_changes() {
    let (disk, file) = disk();
    file.write_at(6, b"bbbb").unwrap();
    let cuts = cuts(&disk);
    for whole in [&b"aaaaaaaa"[..], b"aaaaaabb", b"aaaaaabbbb", b"aaaaaaaa\0\0", b"aaaaaaab"] {
        assert!(cuts.contains(&Some(whole.to_vec())), "{whole:?} never happens");
    }
    for cut in cuts.into_iter().flatten() {
        assert!(cut.starts_with(b"aaaaaa") && [8, 10].contains(&cut.len()), "{cut:?}");
        assert!(cut[6..8].iter().all(|byte| b"ab".contains(byte)), "{cut:?}");
        assert!(cut[8..].iter().all(|byte| b"b\0".contains(byte)), "{cut:?}");
    }
}

#[test]
fn a_length_and_the_bytes_there_are_kept_apart_from_each_other() {
    let (disk, file) = disk();
    file.set_len(2).unwrap();
    file.write_at(2, b"cc").unwrap();
    let cuts = cuts(&disk);
    for whole in [&b"aaaaaaaa"[..], b"aa", b"aacc", b"aa\0\0", b"aaccaaaa"] {
        assert!(cuts.contains(&Some(whole.to_vec())), "{whole:?} never happens");
    }
    file.sync().unwrap();
    assert_eq!(self::cuts(&disk), BTreeSet::from([Some(b"aacc".to_vec())]));
}

#[test]
fn a_killed_process_leaves_its_writes_visible_and_not_durable() {
    let (disk, file) = disk();
    file.write_at(0, b"bb").unwrap();
    let killed = SimDisk::holding(disk.state().after(Crash::Kill, &mut Random::new(1)), 1);
    assert_eq!(read(&killed), b"bbaaaaaa");
    assert!(cuts(&killed).contains(&Some(b"aaaaaaaa".to_vec())));
    assert_eq!(killed.state().after_losing_all().bytes(LOG).unwrap(), b"aaaaaaaa");
}

#[test]
fn names_that_were_not_synced_may_be_lost() {
    let disk = SimDisk::new(1);
    let file = disk.create(FileName::Spare).unwrap();
    file.write_at(0, b"x").unwrap();
    file.sync().unwrap();
    disk.rename(FileName::Spare, LOG).unwrap();
    assert_eq!(cuts(&disk), BTreeSet::from([None, Some(b"x".to_vec())]));
    disk.sync_names().unwrap();
    assert_eq!(cuts(&disk), BTreeSet::from([Some(b"x".to_vec())]));
    disk.remove(LOG).unwrap();
    assert_eq!(cuts(&disk), BTreeSet::from([None, Some(b"x".to_vec())]));
    let mut byte = [0];
    assert_eq!(file.read_at(0, &mut byte).unwrap(), 1, "an open file goes on being readable");
}

#[test]
fn a_failed_sync_gives_up_what_was_pending_and_is_reported_once_to_each_handle() {
    let (disk, file) = disk();
    let other = disk.open(LOG).unwrap();
    file.write_at(0, b"bb").unwrap();
    disk.set_fault(fault(Op::Sync, Failure::Error(ErrorKind::Other)));
    assert!(file.sync().is_err());
    disk.set_fault(None);
    assert!(disk.open(LOG).unwrap().sync().is_ok(), "opened after the failure");
    assert!(other.sync().is_err());
    file.write_at(4, b"cc").unwrap();
    assert!(file.sync().is_ok() && other.sync().is_ok());
    assert_eq!(read(&disk), b"bbaaccaa");
    assert_eq!(cuts(&disk), BTreeSet::from([Some(b"aaaaccaa".to_vec())]));
}

#[test]
fn what_was_given_up_is_visible_until_the_power_fails() {
    let (disk, file) = disk();
    file.write_at(0, b"bb").unwrap();
    let given_up = disk.state().after(Crash::GivenUp, &mut Random::new(1));
    let given_up = SimDisk::holding(given_up, 1);
    given_up.open(LOG).unwrap().sync().unwrap();
    assert_eq!(read(&given_up), b"bbaaaaaa");
    assert_eq!(cuts(&given_up), BTreeSet::from([Some(b"aaaaaaaa".to_vec())]));
}

#[test]
fn faults_strike_where_they_are_told_to() {
    let (disk, file) = disk();
    disk.set_fault(fault(Op::Write, Failure::Short));
    assert_eq!(file.write_at(0, b"bbb").unwrap(), 2);
    disk.set_fault(fault(Op::Write, Failure::PartThenError(ErrorKind::Other)));
    assert_eq!(file.write_at(4, b"cc").unwrap_err().kind(), ErrorKind::Other);
    disk.set_fault(fault(Op::Write, Failure::Error(ErrorKind::QuotaExceeded)));
    assert_eq!(file.write_at(4, b"dd").unwrap_err().kind(), ErrorKind::QuotaExceeded);
    assert_eq!(read(&disk), b"bbaacaaa");
    let once = Fault {
        of: None,
        after: disk.ops() + 1,
        lasting: false,
        failure: Failure::Error(ErrorKind::Other),
    };
    disk.set_fault(Some(once));
    assert!(file.len().is_ok() && file.len().is_err() && file.len().is_ok());
}

#[test]
fn a_full_disk_takes_what_there_is_room_for() {
    let (disk, file) = disk();
    disk.set_capacity(10);
    assert_eq!(file.write_at(8, b"bbb").unwrap(), 2);
    assert_eq!(file.write_at(10, b"b").unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.write_at(0, b"c").unwrap(), 1, "what exists can be written over");
    assert_eq!(file.set_len(11).unwrap_err().kind(), ErrorKind::StorageFull);
    file.set_len(1).unwrap();
    assert_eq!(file.write_at(1, b"dddddddddd").unwrap(), 9);
}

#[test]
fn there_is_one_lock_and_a_frozen_process_does_nothing() {
    let (disk, file) = disk();
    let lock = disk.lock().unwrap();
    assert_eq!(disk.lock().unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(lock);
    let _lock = disk.lock().unwrap();
    disk.freeze();
    assert!(file.write_at(0, b"x").is_err() && disk.remove(LOG).is_err());
    assert_eq!(read(&disk), b"aaaaaaaa");
    assert!(SimDisk::holding(disk.state(), 1).lock().is_ok());
}

#[test]
fn a_moment_is_kept_before_every_change() {
    let (disk, file) = disk();
    disk.keep_moments();
    file.write_at(0, b"b").unwrap();
    file.len().unwrap();
    file.sync().unwrap();
    let moments = disk.moments();
    let first_byte = |state: &State| state.bytes(LOG).unwrap()[0];
    let seen: Vec<u8> = moments.iter().map(|moment| first_byte(&moment.state)).collect();
    assert_eq!(seen, b"abb");
    let ops: Vec<u64> = moments.iter().map(|moment| moment.op - moments[0].op).collect();
    assert_eq!(ops, [0, 2, 3]);
}
