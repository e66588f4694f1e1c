//! What followers make of stores that lack something: proof, an index, whole files.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use annals::id::EventType;
use annals::storage::{Directory, FileName, Storage};
use annals::store::{Commit, Durability, EventStore, Expected, FileStore, Query, Upkeep};
use annals::{ErrorKind, NewEvent, Position, Version};

use crate::directory::Directory as Temporary;
use crate::file_store::{files, killed, stream, tiny};
use crate::followers::{append, shows};
use crate::guarded::{Change, Guarded};

#[test]
fn without_a_watermark_a_follower_relies_on_what_frames_segments_and_runs_say() {
    let directory = Temporary::new();
    let store = tiny().open(directory.path()).unwrap();
    append(&store, 0..150);
    for without_runs in [false, true] {
        let copy = killed(directory.path());
        fs::remove_file(copy.path().join("watermark")).unwrap();
        if without_runs {
            files(copy.path(), "index").iter().for_each(|run| fs::remove_file(run).unwrap());
        }
        let follower = tiny().recent_bytes(1 << 20).follow(copy.path()).unwrap();
        // Each commit was a group of its own, so the last frame proves all but itself.
        shows(&follower, 149);
        let recovered = tiny().open(copy.path()).unwrap();
        shows(&follower, 150);
        append(&recovered, 150..160);
        shows(&follower, 160);
    }
}

#[test]
fn a_watermark_that_is_made_again_is_found_by_those_who_knew_the_old_one() {
    let directory = Temporary::new();
    append(&tiny().open(directory.path()).unwrap(), 0..10);
    let follower = tiny().follow(directory.path()).unwrap();
    shows(&follower, 10);
    fs::remove_file(directory.path().join("watermark")).unwrap();
    let store = tiny().open(directory.path()).unwrap();
    append(&store, 10..12);
    // The first look learns from the frames that the old one is behind.
    assert!(follower.head().unwrap().durable >= Position::new(11));
    shows(&follower, 12);
}

/// A directory whose watermark cannot be written.
fn unmarked(path: &Path) -> Guarded {
    Guarded::new(path, |change| match change {
        Change::Bytes(FileName::Watermark) => Err(io::ErrorKind::Other.into()),
        _ => Ok(()),
    })
}

#[test]
fn a_writer_that_cannot_write_its_watermark_is_followed_one_group_behind() {
    let directory = Temporary::new();
    let store = tiny().open_on(unmarked(directory.path())).unwrap();
    let follower = tiny().follow(directory.path()).unwrap();
    for number in 0..300 {
        append(&store, number..number + 1);
        let head = follower.head().unwrap().durable.get();
        assert!(head == number || head == number + 1, "{head} of {}", number + 1);
    }
    shows(&follower, follower.head().unwrap().durable.get());
}

#[test]
fn a_follower_that_has_looked_ahead_at_what_is_cut_off_looks_again() {
    let directory = Temporary::new();
    let options = || FileStore::options().upkeep(Upkeep::Inline);
    let buffered = options().durability(Durability::Buffered).open(directory.path()).unwrap();
    append(&buffered, 0..3);
    let copy = killed(directory.path());
    fs::remove_file(copy.path().join("watermark")).unwrap();
    let follower = FileStore::follow(copy.path()).unwrap();
    shows(&follower, 0);
    // The last of the frames that are not synced turns out to be torn, and is cut off; longer ones come in its place.
    let path = copy.path().join("0000000001.log");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let store = options().open_on(unmarked(copy.path())).unwrap();
    assert!(store.recovery().cut.is_some());
    let long = stream("a-name-that-is-longer-than-those-before-it");
    for _ in 0..3 {
        let event = NewEvent::new(EventType::new("Moved").unwrap(), "2").unwrap();
        store.append(Commit::new().write(long.clone(), Expected::Any, [event])).unwrap();
    }
    assert_eq!(follower.head().unwrap().durable, Position::new(4), "all but the last group");
    assert_eq!(follower.version(&long).unwrap(), Version::new(2));
}

#[test]
fn a_torn_slot_of_the_watermark_leaves_the_other() {
    let directory = Temporary::new();
    let store = FileStore::options().upkeep(Upkeep::Inline).open(directory.path()).unwrap();
    append(&store, 0..10);
    for torn in [0, 4096] {
        let copy = killed(directory.path());
        let watermark = copy.path().join("watermark");
        let follower = FileStore::follow(copy.path()).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&watermark).unwrap();
        file.write_all_at(&[0x55; 20], torn + 30).unwrap();
        // What was shown stays; and who opens now has the slot before, or the last frame's word for all but itself.
        shows(&follower, 10);
        let late = FileStore::follow(copy.path()).unwrap();
        let head = late.head().unwrap().durable.get();
        assert!((9..=10).contains(&head), "{head}");
        shows(&late, head);
        file.write_all_at(&[0x55; 20], 4096 - torn + 30).unwrap();
        shows(&FileStore::follow(copy.path()).unwrap(), 9);
    }
}

#[test]
fn damage_to_what_is_proven_is_named_and_what_lies_behind_is_nobodys_business() {
    let directory = Temporary::new();
    let store = FileStore::options().upkeep(Upkeep::Inline).open(directory.path()).unwrap();
    append(&store, 0..10);
    let segment = "0000000001.log";
    let end = usize::try_from(store.statistics().unwrap().log_bytes).unwrap();
    let copy = killed(directory.path());
    let path = copy.path().join(segment);
    let follower = FileStore::follow(copy.path()).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0x55; 100], end as u64).unwrap();
    shows(&follower, 10);
    shows(&FileStore::follow(copy.path()).unwrap(), 10);
    let mut bytes = fs::read(&path).unwrap();
    bytes[end - 5] ^= 1;
    fs::write(&path, bytes).unwrap();
    let refused = FileStore::follow(copy.path()).unwrap_err();
    assert!(
        matches!(refused.kind(), ErrorKind::Damaged { file, .. } if file == segment),
        "{refused}"
    );
    assert_eq!(refused.position(), Some(Position::new(10)));
    fs::remove_file(&path).unwrap();
    let refused = FileStore::follow(copy.path()).unwrap_err();
    let missing = ErrorKind::Damaged { file: segment.to_owned(), offset: 0 };
    assert_eq!(*refused.kind(), missing, "{refused}");
}

#[test]
fn runs_that_are_merged_while_a_follower_looks_for_them_are_looked_for_again() {
    let directory = Temporary::new();
    let store = tiny().open(directory.path()).unwrap();
    let plain = Directory::to_read(directory.path()).unwrap();
    let is_run = |name: &FileName| matches!(name, FileName::Run(..));
    let mut count = 0;
    let mut grow = |names: &mut Vec<FileName>| {
        append(&store, count..count + 1);
        count += 1;
        *names = plain.list().unwrap();
        names.iter().filter(|name| is_run(name)).count()
    };
    let (mut before, mut after) = (Vec::new(), Vec::new());
    while grow(&mut before) < 3 {}
    while grow(&mut after) > 1 {}
    assert!(!before.iter().any(|name| is_run(name) && after.contains(name)), "all are merged");
    let late = |times| {
        let guarded = Guarded::new(directory.path(), |_| Ok(())).listing(&before, times);
        tiny().recent_bytes(256).follow_on(guarded)
    };
    shows(&late(2).unwrap(), count);
    // Who is never shown the merged run cannot go on for ever.
    assert!(matches!(late(9).unwrap_err().kind(), ErrorKind::IndexBehind { .. }));
}

#[test]
fn a_damaged_run_is_named_until_the_writer_has_made_it_again() {
    let directory = Temporary::new();
    let store = tiny().cache_bytes(0).open(directory.path()).unwrap();
    append(&store, 0..300);
    let follower = tiny().cache_bytes(0).follow(directory.path()).unwrap();
    shows(&follower, 300);
    let runs = files(directory.path(), "index");
    let file = fs::OpenOptions::new().write(true).open(&runs[0]).unwrap();
    let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
    file.write_all_at(&vec![0xAA; length - 4096], 4096).unwrap();
    let of_stream = || follower.read(&Query::new(stream("1")));
    let refused = of_stream().unwrap_err();
    let name = runs[0].file_name().unwrap().to_str().unwrap();
    assert!(matches!(refused.kind(), ErrorKind::Damaged { file, .. } if file == name), "{refused}");
    assert_eq!(store.read(&Query::new(stream("1"))).unwrap().0.len(), 43, "and makes it again");
    assert_eq!(of_stream().unwrap().0.len(), 43);
    shows(&follower, 300);
}

#[test]
fn a_log_without_an_index_is_followed_as_far_as_memory_allows() {
    let directory = Temporary::new();
    let store = tiny().open(directory.path()).unwrap();
    append(&store, 0..200);
    let copy = killed(directory.path());
    files(copy.path(), "index").iter().for_each(|run| fs::remove_file(run).unwrap());
    let refused = tiny().follow(copy.path()).unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::IndexBehind { limit: 8 * 1024 });
    shows(&tiny().recent_bytes(1 << 20).follow(copy.path()).unwrap(), 200);
    tiny().open(copy.path()).unwrap().close().unwrap();
    shows(&tiny().follow(copy.path()).unwrap(), 200);
}

#[test]
fn a_follower_for_whom_the_index_is_behind_goes_on_once_it_is_made() {
    let directory = Temporary::new();
    // The writer makes runs of so much that the follower would have to hold too much in memory.
    let store = tiny().recent_bytes(64 << 10).open(directory.path()).unwrap();
    let follower = tiny().follow(directory.path()).unwrap();
    append(&store, 0..30);
    shows(&follower, 30);
    append(&store, 30..200);
    assert_eq!(*follower.head().unwrap_err().kind(), ErrorKind::IndexBehind { limit: 8 * 1024 });
    assert_eq!(follower.statistics().unwrap().events, 30);
    store.close().unwrap();
    shows(&follower, 200);
}
