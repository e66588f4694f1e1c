//! Snapshots in a file: there or not there, and never others.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use annals::chrono::{DateTime, Utc};
use annals::id::EventId;
use annals::snapshot::{FileSnapshots, Snapshot, SnapshotStore};
use annals::storage::{FileName, Storage, StorageFile, StorageLock};
use annals::store::FileStore;
use annals::uuid::Uuid;
use annals::{Annals, At, Error, ErrorKind, Position, StreamId, Version};

use crate::account::{Account, Command};
use crate::directory::Directory;

/// The snapshot of a stream at a version; its position is ten times, its time a thousand times the version.
fn snapshot(stream: &str, fingerprint: u64, version: u64) -> Snapshot {
    Snapshot {
        stream: stream_id(stream),
        version: Version::new(version),
        position: Position::new(version * 10),
        recorded_at: time(version * 1000),
        event_id: EventId::new(Uuid::from_u128(version.into())),
        fingerprint,
        state: format!("{{\"of\":\"{stream}\",\"at\":{version}}}").into_bytes(),
    }
}

fn stream_id(stream: &str) -> StreamId {
    format!("account/{stream}").parse().unwrap()
}

fn time(micros: u64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros.try_into().unwrap()).unwrap()
}

/// The version of what is found, which is as it was saved.
fn newest(
    snapshots: &FileSnapshots,
    stream: &str,
    fingerprint: u64,
    within: Option<At>,
) -> Option<u64> {
    let found = snapshots.newest(&stream_id(stream), fingerprint, within).unwrap()?;
    let version = found.version.get();
    assert_eq!(found, snapshot(stream, fingerprint, version));
    Some(version)
}

fn file_of(directory: &Directory) -> PathBuf {
    directory.path().join("snapshots")
}

fn file_bytes(directory: &Directory) -> u64 {
    fs::metadata(file_of(directory)).unwrap().len()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn snapshots_survive_reopening() {
    let directory = Directory::new();
    let snapshots = FileSnapshots::open(directory.path()).unwrap();
    assert_eq!(newest(&snapshots, "alice", 1, None), None);
    for (stream, fingerprint, version) in
        [("alice", 1, 200), ("alice", 1, 100), ("alice", 2, 300), ("bob", 1, 7), ("bob", 1, 7)]
    {
        snapshots.save(snapshot(stream, fingerprint, version)).unwrap();
    }
    let check = |snapshots: &FileSnapshots| {
        assert_eq!(newest(snapshots, "alice", 1, None), Some(200));
        assert_eq!(newest(snapshots, "alice", 2, None), Some(300));
        assert_eq!(newest(snapshots, "alice", 3, None), None);
        assert_eq!(newest(snapshots, "bob", 1, None), Some(7));
        assert_eq!(newest(snapshots, "carol", 1, None), None);
    };
    check(&snapshots);
    drop(snapshots);
    check(&FileSnapshots::open(directory.path()).unwrap());
}

#[test]
fn the_newest_within_a_point_in_history_is_found() {
    let directory = Directory::new();
    let snapshots = FileSnapshots::open(directory.path()).unwrap();
    for version in [10, 20, 30] {
        snapshots.save(snapshot("alice", 1, version)).unwrap();
    }
    drop(snapshots);
    let snapshots = FileSnapshots::open(directory.path()).unwrap();
    for (version, expected) in
        [(9, None), (10, Some(10)), (19, Some(10)), (20, Some(20)), (99, Some(30))]
    {
        for at in [
            At::Version(Version::new(version)),
            At::Position(Position::new(version * 10)),
            At::Time(time(version * 1000)),
        ] {
            assert_eq!(newest(&snapshots, "alice", 1, Some(at)), expected, "{at:?}");
        }
    }
}

#[test]
fn opening_changes_nothing() {
    let directory = Directory::new();
    fs::write(file_of(&directory), "something else").unwrap();
    let snapshots = FileSnapshots::open(directory.path()).unwrap();
    assert_eq!(fs::read(file_of(&directory)).unwrap(), b"something else");
    assert_eq!(newest(&snapshots, "alice", 1, None), None);
    assert_eq!(fs::read(file_of(&directory)).unwrap(), b"something else", "nor does looking");
    snapshots.save(snapshot("alice", 1, 1)).unwrap();
    assert_eq!(newest(&snapshots, "alice", 1, None), Some(1));
}

#[test]
fn a_few_streams_with_many_snapshots_take_a_small_file() {
    let directory = Directory::new();
    let snapshots = FileSnapshots::open(directory.path()).unwrap();
    let mut longest = 0;
    for count in 0..100_000 {
        snapshots.save(snapshot(&format!("s{}", count % 10), 1, count / 10 + 1)).unwrap();
        if count % 500 == 0 {
            longest = file_bytes(&directory).max(longest);
        }
    }
    assert!(longest < (1 << 20) + 1000, "{longest} bytes");
    drop(snapshots);
    let snapshots = FileSnapshots::open(directory.path()).unwrap();
    for stream in 0..10 {
        let stream = format!("s{stream}");
        assert_eq!(newest(&snapshots, &stream, 1, None), Some(10_000));
        let back = newest(&snapshots, &stream, 1, Some(At::Version(Version::new(5_000))));
        assert!(back.is_some(), "time travel finds one further back");
    }
}

#[test]
fn of_many_streams_those_stay_that_were_saved_last() {
    let directory = Directory::new();
    let bytes_max = 1 << 20;
    let snapshots = FileSnapshots::open(directory.path()).unwrap().with_bytes_max(bytes_max);
    let mut longest = 0;
    for count in 1..=100_000 {
        snapshots.save(snapshot(&format!("s{count}"), 1, count)).unwrap();
        if count % 1000 == 0 {
            snapshots.save(snapshot("evergreen", 1, count)).unwrap();
            longest = file_bytes(&directory).max(longest);
        }
    }
    assert!(longest <= 2 * bytes_max + 1000, "{longest} bytes");
    let reopened = FileSnapshots::open(directory.path()).unwrap().with_bytes_max(bytes_max);
    for snapshots in [&snapshots, &reopened] {
        for count in 95_000..=100_000 {
            assert_eq!(newest(snapshots, &format!("s{count}"), 1, None), Some(count));
        }
        assert_eq!(newest(snapshots, "evergreen", 1, None), Some(100_000));
        assert_eq!(newest(snapshots, "s1", 1, None), None);
    }
}

#[test]
fn one_large_stream_keeps_its_newest_snapshot() {
    let directory = Directory::new();
    let snapshots = FileSnapshots::open(directory.path()).unwrap().with_bytes_max(10_000);
    let save = |version: u64, bytes: usize| {
        let large = Snapshot { state: vec![b'x'; bytes], ..snapshot("alice", 1, version) };
        snapshots.save(large).unwrap();
        let found = snapshots.newest(&stream_id("alice"), 1, None).unwrap();
        assert!(file_bytes(&directory) <= 30_000);
        found.unwrap().version.get()
    };
    for version in 1..=100 {
        assert_eq!(save(version, 6000), version);
    }
    assert_eq!(save(101, 9900), 101);
    assert_eq!(save(102, 10_001), 101, "a larger one is not kept");
}

#[test]
fn what_is_damaged_is_not_there_and_nothing_else_ever_is() {
    let directory = Directory::new();
    let file = file_of(&directory);
    let saved = [("alice", 1, 10), ("bob", 1, 20), ("alice", 1, 30)];
    let snapshots = FileSnapshots::open(directory.path()).unwrap();
    let mut ends = vec![];
    for (stream, fingerprint, version) in saved {
        snapshots.save(snapshot(stream, fingerprint, version)).unwrap();
        ends.push(usize::try_from(file_bytes(&directory)).unwrap());
    }
    drop(snapshots);
    let whole = fs::read(&file).unwrap();
    // Whatever is found is verified by `newest`; how much is found depends on how much lies before the damage.
    let check = |bytes: &[u8], sound: usize, what: &str| {
        fs::write(&file, bytes).unwrap();
        let snapshots = FileSnapshots::open(directory.path()).unwrap();
        let left = ends.iter().filter(|end| **end <= sound).count();
        let alice = [None, Some(10), Some(10), Some(30)][left];
        let bob = [None, None, Some(20), Some(20)][left];
        assert_eq!(newest(&snapshots, "alice", 1, None), alice, "{what}");
        assert_eq!(newest(&snapshots, "bob", 1, None), bob, "{what}");
        // What is saved next is found by the next opening.
        snapshots.save(snapshot("carol", 1, 1)).unwrap();
        let reopened = FileSnapshots::open(directory.path()).unwrap();
        assert_eq!(newest(&reopened, "carol", 1, None), Some(1), "{what}");
        assert_eq!(newest(&reopened, "alice", 1, None), alice, "{what}");
        assert_eq!(newest(&reopened, "bob", 1, None), bob, "{what}");
    };
    for length in 0..=whole.len() {
        let sound = if length < 40 { 0 } else { length };
        check(&whole[..length], sound, &format!("cut at {length}"));
        let mut zeros = whole[..length].to_vec();
        zeros.resize(whole.len() + 100, 0);
        check(&zeros, sound, &format!("zeros from {length}"));
    }
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let sound = if bit / 8 < 40 { 0 } else { bit / 8 };
        check(&flipped, sound, &format!("bit {bit}"));
    }
}

#[test]
fn damage_that_comes_while_the_file_is_open_makes_an_older_snapshot_the_newest() {
    let directory = Directory::new();
    let snapshots = FileSnapshots::open(directory.path()).unwrap();
    snapshots.save(snapshot("alice", 1, 1)).unwrap();
    let first_end = usize::try_from(file_bytes(&directory)).unwrap();
    snapshots.save(snapshot("alice", 1, 2)).unwrap();
    let whole = fs::read(file_of(&directory)).unwrap();
    for bit in first_end * 8..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(file_of(&directory), flipped).unwrap();
        assert_eq!(newest(&snapshots, "alice", 1, None), Some(1), "bit {bit}");
    }
    fs::write(file_of(&directory), []).unwrap();
    assert_eq!(newest(&snapshots, "alice", 1, None), None);
    fs::write(file_of(&directory), &whole).unwrap();
    assert_eq!(newest(&snapshots, "alice", 1, None), Some(2));
}

#[test]
fn a_draft_that_was_left_behind_is_ignored() {
    let directory = Directory::new();
    let draft = directory.path().join("snapshots.draft");
    let snapshots = FileSnapshots::open(directory.path()).unwrap();
    snapshots.save(snapshot("alice", 1, 1)).unwrap();
    fs::copy(file_of(&directory), &draft).unwrap();
    snapshots.save(snapshot("alice", 1, 2)).unwrap();
    drop(snapshots);
    let snapshots = FileSnapshots::open(directory.path()).unwrap();
    assert_eq!(newest(&snapshots, "alice", 1, None), Some(2));
    snapshots.forget(&stream_id("bob")).unwrap();
    assert!(!draft.exists());
    assert_eq!(newest(&snapshots, "alice", 1, None), Some(2));
}

#[test]
fn what_is_forgotten_has_left_the_file() {
    let directory = Directory::new();
    let snapshots = FileSnapshots::open(directory.path()).unwrap();
    for version in 1..=50 {
        snapshots.save(snapshot("alice", version % 2, version)).unwrap();
        snapshots.save(snapshot("bob", 1, version)).unwrap();
    }
    assert!(contains(&fs::read(file_of(&directory)).unwrap(), "alice"));
    snapshots.forget(&stream_id("alice")).unwrap();
    let bytes = fs::read(file_of(&directory)).unwrap();
    assert!(!contains(&bytes, "alice") && contains(&bytes, "bob"));
    let reopened = FileSnapshots::open(directory.path()).unwrap();
    for snapshots in [&snapshots, &reopened] {
        assert_eq!(newest(snapshots, "alice", 0, None), None);
        assert_eq!(newest(snapshots, "alice", 1, None), None);
        assert_eq!(newest(snapshots, "bob", 1, None), Some(50));
    }
    snapshots.save(snapshot("alice", 1, 51)).unwrap();
    assert_eq!(newest(&snapshots, "alice", 1, None), Some(51));
}

/// A directory whose files can be full, and whose renames can fail.
#[derive(Debug)]
struct Faulty {
    inner: annals::storage::Directory,
    faults: Arc<Faults>,
}

#[derive(Debug)]
struct Faults {
    /// Nothing is written behind this offset of a file.
    length_max: AtomicU64,
    no_rename: AtomicBool,
    no_read: AtomicBool,
}

#[derive(Debug)]
struct FaultyFile(Arc<dyn StorageFile>, Arc<Faults>);

impl Faulty {
    fn new(directory: &Directory) -> (Self, Arc<Faults>) {
        let inner = annals::storage::Directory::new(directory.path()).unwrap();
        let faults = Arc::new(Faults {
            length_max: AtomicU64::new(u64::MAX),
            no_rename: AtomicBool::new(false),
            no_read: AtomicBool::new(false),
        });
        (Self { inner, faults: Arc::clone(&faults) }, faults)
    }
}

impl Storage for Faulty {
    fn open(&self, name: FileName) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(FaultyFile(self.inner.open(name)?, Arc::clone(&self.faults))))
    }
    fn create(&self, name: FileName) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(FaultyFile(self.inner.create(name)?, Arc::clone(&self.faults))))
    }
    fn list(&self) -> io::Result<Vec<FileName>> {
        self.inner.list()
    }
    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
        if self.faults.no_rename.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.inner.rename(from, to)
    }
    fn remove(&self, name: FileName) -> io::Result<()> {
        self.inner.remove(name)
    }
    fn sync_names(&self) -> io::Result<()> {
        self.inner.sync_names()
    }
    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        self.inner.lock()
    }
}

impl StorageFile for FaultyFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        if self.1.no_read.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Other.into());
        }
        self.0.read_at(offset, into)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let room = self.1.length_max.load(Ordering::Relaxed).saturating_sub(offset);
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write_at(offset, &bytes[..room])
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

fn kind(result: Result<(), Error>) -> ErrorKind {
    result.unwrap_err().kind().clone()
}

#[test]
fn on_a_full_disk_a_snapshot_is_not_kept_and_the_others_are() {
    let directory = Directory::new();
    let (storage, faults) = Faulty::new(&directory);
    let snapshots = FileSnapshots::open_on(storage);
    faults.length_max.store(20, Ordering::Relaxed);
    assert_eq!(kind(snapshots.save(snapshot("alice", 1, 1))), ErrorKind::StorageFull);
    faults.length_max.store(u64::MAX, Ordering::Relaxed);
    snapshots.save(snapshot("alice", 1, 1)).unwrap();
    let full = file_bytes(&directory);
    for room in [0, 1, 50] {
        faults.length_max.store(full + room, Ordering::Relaxed);
        assert_eq!(kind(snapshots.save(snapshot("bob", 1, 2))), ErrorKind::StorageFull);
        assert_eq!(file_bytes(&directory), full, "what was begun is cut off");
        assert_eq!(newest(&snapshots, "alice", 1, None), Some(1));
        assert_eq!(newest(&snapshots, "bob", 1, None), None);
    }
    faults.length_max.store(60, Ordering::Relaxed);
    assert_eq!(kind(snapshots.forget(&stream_id("bob"))), ErrorKind::StorageFull);
    assert!(
        !directory.path().join("snapshots.draft").exists(),
        "a draft takes no room for nothing"
    );
    assert_eq!(newest(&snapshots, "alice", 1, None), Some(1));
    faults.length_max.store(u64::MAX, Ordering::Relaxed);
    snapshots.save(snapshot("bob", 1, 2)).unwrap();
    drop(snapshots);
    let snapshots = FileSnapshots::open(directory.path()).unwrap();
    assert_eq!(newest(&snapshots, "alice", 1, None), Some(1));
    assert_eq!(newest(&snapshots, "bob", 1, None), Some(2));
}

#[test]
fn a_file_that_cannot_be_written_anew_does_not_grow() {
    let directory = Directory::new();
    let (storage, faults) = Faulty::new(&directory);
    let snapshots = FileSnapshots::open_on(storage).with_bytes_max(10_000);
    faults.no_rename.store(true, Ordering::Relaxed);
    let mut failures = 0;
    for version in 1..=1000 {
        failures += u32::from(snapshots.save(snapshot("alice", 1, version)).is_err());
    }
    assert!(file_bytes(&directory) <= 20_000 && (1..10).contains(&failures), "{failures} failures");
    let last = newest(&snapshots, "alice", 1, None).unwrap();
    assert!(last < 1000, "saving pauses");
    assert_eq!(kind(snapshots.forget(&stream_id("alice"))), ErrorKind::Store);
    assert_eq!(newest(&snapshots, "alice", 1, None), None, "it is forgotten, if not for good");
    faults.no_rename.store(false, Ordering::Relaxed);
    snapshots.forget(&stream_id("alice")).unwrap();
    assert_eq!(file_bytes(&directory), 40);
    snapshots.save(snapshot("alice", 1, 1001)).unwrap();
    assert_eq!(newest(&snapshots, "alice", 1, None), Some(1001));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_for_as_long_as_that_lasts() {
    let directory = Directory::new();
    FileSnapshots::open(directory.path()).unwrap().save(snapshot("alice", 1, 1)).unwrap();
    let (storage, faults) = Faulty::new(&directory);
    let snapshots = FileSnapshots::open_on(storage);
    for _ in 0..2 {
        faults.no_read.store(true, Ordering::Relaxed);
        assert!(snapshots.newest(&stream_id("alice"), 1, None).is_err());
        faults.no_read.store(false, Ordering::Relaxed);
        assert_eq!(newest(&snapshots, "alice", 1, None), Some(1));
    }
}

#[test]
fn threads_share_a_handle() {
    let directory = Directory::new();
    let snapshots = FileSnapshots::open(directory.path()).unwrap().with_bytes_max(20_000);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (snapshots, stream) = (&snapshots, format!("s{thread}"));
            scope.spawn(move || {
                for version in 1..=1000 {
                    snapshots.save(snapshot(&stream, 1, version)).unwrap();
                    assert_eq!(newest(snapshots, &stream, 1, None), Some(version));
                }
            });
        }
    });
}

#[test]
fn a_store_on_disk_and_its_snapshots_share_a_directory() {
    let directory = Directory::new();
    let open = || {
        let snapshots = FileSnapshots::open(directory.path()).unwrap();
        let store = FileStore::open(directory.path()).unwrap();
        Annals::builder().snapshots(snapshots).with_store(store)
    };
    let annals = open();
    let accounts = annals.of::<Account>().unwrap().snapshot_every(3);
    for cents in 1..=10 {
        accounts.execute("alice", Command::Deposit(cents)).unwrap();
        accounts.execute("bob", Command::Deposit(1)).unwrap();
    }
    annals.close().unwrap();
    let bytes = fs::read(file_of(&directory)).unwrap();
    assert!(contains(&bytes, "account/alice"));
    // The state of a snapshot is altered, checksum and all, to see that it is used.
    let text = br#"{"owner":"","cents":45,"closed":false}"#;
    let at = bytes.windows(text.len()).position(|window| window == text).unwrap();
    let mut altered = bytes.clone();
    altered[at + 20..at + 22].copy_from_slice(b"95");
    let (start, end) = (at - 58 - "account/alice".len(), at + text.len());
    let sum = crc32(&altered[start + 4..end]);
    altered[start..start + 4].copy_from_slice(&sum.to_le_bytes());
    for (bytes, expected) in [(altered, 105), (bytes, 55), (vec![], 55)] {
        fs::write(file_of(&directory), bytes).unwrap();
        let annals = open();
        let accounts = annals.of::<Account>().unwrap().snapshot_every(3);
        let alice = accounts.load("alice").unwrap();
        assert_eq!((alice.state().cents, alice.version()), (expected, Version::new(10)));
        assert_eq!(accounts.load("bob").unwrap().state().cents, 10);
        assert_eq!(accounts.load_at("alice", Version::new(4)).unwrap().state().cents, 10);
        annals.close().unwrap();
    }
}

/// CRC-32, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg());
    let sum = bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step));
    !sum
}
