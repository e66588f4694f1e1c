//! What a store takes on disk: space that is prepared before anything is written to it, and nothing that is of no use.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use annals::storage::{Directory, FileName, Storage};
use annals::store::{EventStore, Events, FileStore, Query, Upkeep};

use crate::directory::Directory as Temporary;
use crate::file_store::{commit, killed, tiny};
use crate::file_store_edges::{Hooked, Op};

const MIB: u64 = 1 << 20;

/// The lengths of all files that hold the log, or are to.
fn lengths(directory: &Path) -> BTreeMap<String, u64> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let file = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len())
    };
    entries.map(file).filter(|(name, _)| name.ends_with(".log") || name == "spare").collect()
}

#[test]
fn zeros_are_written_between_any_two_offsets_and_nowhere_else() {
    let temporary = Temporary::new();
    let directory = Directory::new(temporary.path()).unwrap();
    let path = temporary.path().join(FileName::Spare.to_string());
    for from in [0, 1, 4095, 4096, 5000] {
        for more in [0, 1, 100, 4096, 8191, 300_000, MIB] {
            let before = vec![7; usize::try_from(from).unwrap()];
            fs::write(&path, &before).unwrap();
            directory.fill(FileName::Spare, from..from + more).unwrap().sync().unwrap();
            let found = fs::read(&path).unwrap();
            assert_eq!(found.len() as u64, from + more);
            assert!(found.starts_with(&before), "from {from} on");
            assert!(found[before.len()..].iter().all(|byte| *byte == 0), "{from} and {more}");
        }
    }
}

#[test]
fn segments_grow_with_the_log_and_the_next_one_is_there_when_it_is_needed() {
    let temporary = Temporary::new();
    let options = || FileStore::options().segment_bytes(3 << 19).upkeep(Upkeep::Inline);
    let store = options().open(temporary.path()).unwrap();
    let (text, mut commits) = ("x".repeat(50_000), 0);
    let mut append = |until: &dyn Fn(&BTreeMap<String, u64>) -> bool| {
        while !until(&lengths(temporary.path())) {
            store.append(commit("a", &format!("{commits}{text}"))).unwrap();
            commits += 1;
        }
    };
    append(&|files| files.contains_key("spare"));
    let files = lengths(temporary.path());
    let first = FileName::Segment(1).to_string();
    assert_eq!(files.get(&first), Some(&MIB), "prepared from end to end: {files:?}");
    append(&|files| files.contains_key(&FileName::Segment(10).to_string()));
    append(&|files| files.contains_key("spare"));
    let files = lengths(temporary.path());
    for number in 1..10 {
        // Twice as long would be more than the options say.
        let most = if number <= 4 { MIB } else { 3 * MIB / 2 };
        let length = files[&FileName::Segment(number).to_string()];
        // A sealed segment ends where its last commit does.
        assert!(length <= most && length > most - 60_000, "{number}: {files:?}");
    }
    let last = FileName::Segment(10).to_string();
    assert_eq!(files[&last], 3 * MIB / 2, "it was filled before: {files:?}");

    let copy = killed(temporary.path());
    store.close().unwrap();
    let files = lengths(temporary.path());
    assert!(!files.contains_key("spare"));
    assert!(files[&last] < MIB, "{files:?}");
    for directory in [temporary.path(), copy.path()] {
        let store = options().open(directory).unwrap();
        assert!(!lengths(directory).contains_key("spare"));
        let events: Vec<_> = Events::new(&store, Query::default()).map(Result::unwrap).collect();
        assert_eq!(events.len(), commits);
        let last: String = events[commits - 1].decode().unwrap();
        assert_eq!(last, format!("{}{text}", commits - 1));
    }
}

#[test]
fn a_merge_that_fails_leaves_nothing_behind() {
    let temporary = Temporary::new();
    let failed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&failed);
    let storage = Hooked::new(temporary.path(), move |op, name| match (op, name) {
        (Op::Sync, FileName::MergeDraft) => {
            count.fetch_add(1, SeqCst);
            Err(io::Error::other("no"))
        }
        _ => Ok(()),
    });
    let store = tiny().open_on(storage).unwrap();
    for number in 0..300 {
        store.append(commit("a", &number.to_string())).unwrap();
    }
    assert!(failed.load(SeqCst) > 0, "runs were to be merged");
    let draft = temporary.path().join(FileName::MergeDraft.to_string());
    assert!(!draft.exists());
    store.close().unwrap();
}

/// As on a disk that is full: what was written of the next piece is given back, and commits need no spare file.
#[test]
fn a_spare_file_that_cannot_be_filled_gives_its_last_piece_back() {
    let temporary = Temporary::new();
    let (writes, is_full) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, full) = (Arc::clone(&writes), Arc::clone(&is_full));
    let storage = Hooked::new(temporary.path(), move |op, name| {
        // A mebibyte is written page by page, and half of the next one.
        let is_asked = op == Op::Write && name == FileName::Spare && full.load(SeqCst);
        if is_asked && count.fetch_add(1, SeqCst) >= 256 + 128 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    });
    let store = FileStore::options().upkeep(Upkeep::Inline).open_on(storage).unwrap();
    let (text, mut commits) = ("x".repeat(50_000), 0);
    let mut append = |until: &dyn Fn(&BTreeMap<String, u64>) -> bool| {
        while !until(&lengths(temporary.path())) {
            store.append(commit("a", &format!("{commits}{text}"))).unwrap();
            commits += 1;
        }
    };
    // The fifth segment is the first that is filled in more than one piece.
    append(&|files| files.contains_key(&FileName::Segment(4).to_string()));
    is_full.store(true, SeqCst);
    append(&|_| writes.load(SeqCst) > 256 + 128);
    assert_eq!(lengths(temporary.path())["spare"], MIB);
    is_full.store(false, SeqCst);
    append(&|files| files.contains_key(&FileName::Segment(6).to_string()));
    let events = Events::new(&store, Query::default());
    assert_eq!(events.map(Result::unwrap).count(), commits);
    store.close().unwrap();
}
