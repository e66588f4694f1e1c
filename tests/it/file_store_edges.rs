//! Where threads, owners, segments and failures of the store on disk meet: each test tells of a bug that once was there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use annals::id::{EventType, Tag};
use annals::storage::{Directory, FileName, Storage, StorageFile, StorageLock};
use annals::store::{
    Clause, Commit, Durability, EventStore, Expected, FileOptions, FileStore, Query, Upkeep,
};
use annals::{NewEvent, StreamId, Version};

use crate::directory::Directory as Temporary;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Op {
    Read,
    Write,
    Sync,
}

type Hook = Arc<dyn Fn(Op, FileName) -> io::Result<()> + Send + Sync>;

pub(crate) struct Hooked {
    inner: Directory,
    hook: Hook,
    flip: Arc<AtomicBool>,
}
struct HookedFile {
    inner: Arc<dyn StorageFile>,
    name: FileName,
    hook: Hook,
    flip: Arc<AtomicBool>,
}
impl std::fmt::Debug for Hooked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooked")
    }
}
impl std::fmt::Debug for HookedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HookedFile")
    }
}
impl Hooked {
    pub(crate) fn new(
        path: &Path,
        hook: impl Fn(Op, FileName) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { inner: Directory::new(path).unwrap(), hook: Arc::new(hook), flip: Arc::default() }
    }
    fn wrap(&self, inner: Arc<dyn StorageFile>, name: FileName) -> Arc<dyn StorageFile> {
        Arc::new(HookedFile {
            inner,
            name,
            hook: Arc::clone(&self.hook),
            flip: Arc::clone(&self.flip),
        })
    }
}
impl Storage for Hooked {
    fn open(&self, name: FileName) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.wrap(self.inner.open(name)?, name))
    }
    fn create(&self, name: FileName) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.wrap(self.inner.create(name)?, name))
    }
    fn list(&self) -> io::Result<Vec<FileName>> {
        self.inner.list()
    }
    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
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
impl StorageFile for HookedFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        (self.hook)(Op::Read, self.name)?;
        let read = self.inner.read_at(offset, into)?;
        if self.flip.load(SeqCst) && matches!(self.name, FileName::Run(..)) && read > 9 {
            into[9] ^= 1;
        }
        Ok(read)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        (self.hook)(Op::Write, self.name)?;
        self.inner.write_at(offset, bytes)
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.inner.set_len(length)
    }
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn sync(&self) -> io::Result<()> {
        (self.hook)(Op::Sync, self.name)?;
        self.inner.sync()
    }
}

fn stream(name: &str) -> StreamId {
    format!("account/{name}").parse().unwrap()
}
fn event(payload: &str) -> NewEvent {
    NewEvent::new(EventType::new("Moved").unwrap(), payload).unwrap()
}
fn commit(name: &str, payload: &str) -> Commit {
    Commit::new().write(stream(name), Expected::Any, [event(payload)])
}
fn inline() -> FileOptions {
    FileStore::options().upkeep(Upkeep::Inline)
}
fn runs(path: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(path).unwrap().map(|e| e.unwrap().path());
    paths.filter(|p| p.extension().is_some_and(|x| x == "index")).collect()
}
/// Runs something on a thread; `None` if it does not end in time.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (to, from) = mpsc::channel();
    thread::spawn(move || {
        let _ = to.send(work());
    });
    from.recv_timeout(Duration::from_secs(8)).ok()
}

#[test]
fn short_sessions_do_not_pile_up_runs() {
    let directory = Temporary::new();
    let path = directory.path().to_owned();
    for round in 0..200 {
        let store = inline().open(&path).unwrap();
        store.append(commit("a", &round.to_string())).unwrap();
        store.close().unwrap();
    }
    let count = runs(&path).len();
    assert!(count < 40, "{count} runs after 200 short sessions, each held open");
}

#[test]
fn an_empty_last_segment_does_not_make_a_wrong_run() {
    let directory = Temporary::new();
    let path = directory.path().to_owned();
    let store = inline().segment_bytes(4096).open(&path).unwrap();
    while !path.join("0000000002.log").exists() {
        store.append(commit("a", &"x".repeat(500))).unwrap();
    }
    store.close().unwrap();
    // As a crash right after the roll leaves it: see `guarantees`, "An empty last segment".
    fs::OpenOptions::new()
        .write(true)
        .open(path.join("0000000002.log"))
        .unwrap()
        .set_len(96)
        .unwrap();
    fs::remove_file(path.join("watermark")).unwrap();
    runs(&path).iter().for_each(|run| fs::remove_file(run).unwrap());
    inline().open(&path).unwrap().close().unwrap();
    let again = inline().open(&path);
    assert!(again.is_ok(), "{again:?}");
}

#[test]
fn appends_go_on_after_a_large_failed_write() {
    let directory = Temporary::new();
    let path = directory.path().to_owned();
    let full = Arc::new(AtomicBool::new(false));
    let is_full = Arc::clone(&full);
    let storage = Hooked::new(&path, move |op, name| match (op, name) {
        (Op::Write, FileName::Segment(_)) if is_full.swap(false, SeqCst) => {
            Err(io::ErrorKind::StorageFull.into())
        }
        _ => Ok(()),
    });
    let store = Arc::new(inline().recent_bytes(64).open_on(storage).unwrap());
    full.store(true, SeqCst);
    // With the default of 2 MiB it takes 16 MiB of refused appends (or one refused commit of that size).
    let refused = store.append(commit("a", &"x".repeat(1000)));
    assert!(refused.is_err());
    let store2 = Arc::clone(&store);
    let answer = in_time(move || store2.append(commit("a", "y")).is_ok());
    if answer.is_none() {
        std::mem::forget(store);
    }
    assert_eq!(answer, Some(true), "the append never returns");
}

#[test]
fn a_record_just_before_staged_frames_is_no_damage() {
    let directory = Temporary::new();
    let path = directory.path().to_owned();
    let armed = Arc::new(AtomicBool::new(false));
    let is_armed = Arc::clone(&armed);
    let (arrived, at_write) = mpsc::sync_channel(1);
    let (release, released) = mpsc::sync_channel::<()>(1);
    let released = parking_lot::Mutex::new(released);
    let storage = Hooked::new(&path, move |op, name| {
        if op == Op::Write && matches!(name, FileName::Segment(_)) && is_armed.swap(false, SeqCst) {
            arrived.send(()).unwrap();
            released.lock().recv().unwrap();
        }
        Ok(())
    });
    // No space is prepared under `Buffered`; under `Synced` it is the same while none is.
    let store = Arc::new(inline().durability(Durability::Buffered).open_on(storage).unwrap());
    armed.store(true, SeqCst);
    let append = |name: &'static str| {
        let store = Arc::clone(&store);
        let thread = thread::spawn(move || store.append(commit(name, "1")));
        thread::sleep(Duration::from_millis(100));
        thread
    };
    let first = append("a");
    at_write.recv().unwrap();
    let (second, third) = (append("b"), append("a"));
    release.send(()).unwrap();
    let answers = [first, second, third].map(|thread| thread.join().unwrap());
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

#[test]
fn what_is_written_is_not_answered_with_closed() {
    let directory = Temporary::new();
    let path = directory.path().to_owned();
    let armed = Arc::new(AtomicBool::new(false));
    let is_armed = Arc::clone(&armed);
    let (arrived, at_sync) = mpsc::sync_channel(1);
    let storage = Hooked::new(&path, move |op, name| {
        if op == Op::Sync
            && matches!(name, FileName::Segment(_) | FileName::Spare)
            && is_armed.swap(false, SeqCst)
        {
            arrived.send(()).unwrap();
            thread::sleep(Duration::from_millis(300));
        }
        Ok(())
    });
    let store = Arc::new(inline().open_on(storage).unwrap());
    armed.store(true, SeqCst);
    let other = Arc::clone(&store);
    let append = thread::spawn(move || other.append(commit("a", "1")));
    at_sync.recv().unwrap();
    store.close().unwrap();
    let answer = append.join().unwrap();
    let store = inline().open(&path).unwrap();
    assert_eq!(
        answer.is_ok(),
        store.version(&stream("a")).unwrap() == Version::new(1),
        "{answer:?}"
    );
}

#[test]
fn a_straggler_does_not_cut_the_log_of_the_next_owner() {
    let directory = Temporary::new();
    let path = directory.path().to_owned();
    let armed = Arc::new(AtomicBool::new(false));
    let is_armed = Arc::clone(&armed);
    let (arrived, at_read) = mpsc::sync_channel(1);
    let (release, released) = mpsc::sync_channel::<()>(1);
    let released = parking_lot::Mutex::new(released);
    let storage = Hooked::new(&path, move |op, name| {
        if op == Op::Read && matches!(name, FileName::Segment(_)) && is_armed.swap(false, SeqCst) {
            arrived.send(()).unwrap();
            released.lock().recv().unwrap();
        }
        Ok(())
    });
    let before = inline().open(&path).unwrap();
    before.append(commit("a", "1")).unwrap();
    before.close().unwrap();
    let first = Arc::new(inline().segment_bytes(4096).open_on(storage).unwrap());
    armed.store(true, SeqCst);
    let other = Arc::clone(&first);
    // Judges slowly (a read of the log, where the stream was written by another opening, that takes its time), and needs a new
    // segment.
    let straggler = thread::spawn(move || other.append(commit("a", &"x".repeat(5000))));
    at_read.recv().unwrap();
    first.close().unwrap();
    let second = inline().open(&path).unwrap();
    for n in 0..5 {
        second.append(commit("b", &n.to_string())).unwrap();
    }
    release.send(()).unwrap();
    let answer = straggler.join().unwrap();
    assert!(answer.is_err());
    // The second store acknowledged five events as durable.
    let _ = second.close();
    drop(second);
    let third = inline().open(&path).map(|store| store.version(&stream("b")).unwrap());
    assert!(matches!(third, Ok(version) if version == Version::new(5)), "{third:?}");
}

#[test]
fn a_leader_that_meets_a_damaged_run_does_not_lock_up_with_close() {
    let directory = Temporary::new();
    let path = directory.path().to_owned();
    let store = inline().open(&path).unwrap();
    for n in 0..3 {
        let mut all = Commit::new();
        for m in 0..1000 {
            all = all.write(stream(&format!("s{n}-{m}")), Expected::Any, [event("1")]);
        }
        store.append(all).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let armed = Arc::new(AtomicBool::new(false));
    let is_armed = Arc::clone(&armed);
    let (arrived, at_write) = mpsc::sync_channel(1);
    let (release, released) = mpsc::sync_channel::<()>(1);
    let released = parking_lot::Mutex::new(released);
    let storage = Hooked::new(&path, move |op, name| {
        if op == Op::Write && matches!(name, FileName::Segment(_)) && is_armed.swap(false, SeqCst) {
            arrived.send(()).unwrap();
            released.lock().recv().unwrap();
        }
        if op == Op::Write && name == FileName::RunDraft {
            thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    });
    let flip = Arc::clone(&storage.flip);
    let store = Arc::new(inline().cache_bytes(0).open_on(storage).unwrap());
    armed.store(true, SeqCst);
    let (done, all_done) = mpsc::channel();
    let spawn = |work: Box<dyn FnOnce(&FileStore) + Send>| {
        let (store, done) = (Arc::clone(&store), done.clone());
        thread::spawn(move || {
            work(&store);
            let _ = done.send(());
        });
    };
    spawn(Box::new(|store| {
        let _ = store.append(commit("x", "1"));
    }));
    at_write.recv().unwrap();
    spawn(Box::new(|store| {
        let mut many = Commit::new();
        for m in 0..300 {
            many = many.write(stream(&format!("s0-{m}")), Expected::Any, [event("2")]);
        }
        let _ = store.append(many);
    }));
    thread::sleep(Duration::from_millis(300));
    for n in 0..3 {
        for m in 0..1000 {
            store.version(&stream(&format!("s{n}-{m}"))).unwrap();
        }
    }
    spawn(Box::new(|store| {
        let _ = store.close();
    }));
    thread::sleep(Duration::from_millis(300));
    flip.store(true, SeqCst);
    release.send(()).unwrap();
    thread::sleep(Duration::from_millis(500));
    flip.store(false, SeqCst);
    let ended = (0..3).filter(|_| all_done.recv_timeout(Duration::from_secs(4)).is_ok()).count();
    std::mem::forget(store);
    assert_eq!(ended, 3, "threads that ended");
}

#[test]
fn a_missing_index_is_made_again_without_a_handle_for_each_run() {
    let directory = Temporary::new();
    let path = directory.path().to_owned();
    let store = inline().open(&path).unwrap();
    for n in 0..600 {
        store.append(commit("a", &n.to_string())).unwrap();
    }
    store.close().unwrap();
    drop(store);
    runs(&path).iter().for_each(|run| fs::remove_file(run).unwrap());
    // As 1.2 GB of log with the default of 2 MiB.
    let store = inline().recent_bytes(1).open(&path).unwrap();
    if let Ok(handles) = fs::read_dir("/proc/self/fd") {
        let target = |handle: io::Result<fs::DirEntry>| fs::read_link(handle.unwrap().path());
        let open = handles.filter_map(|handle| target(handle).ok());
        let open = open.filter(|file| file.starts_with(&path)).count();
        assert!((1..=64).contains(&open), "{open} handles");
    }
    drop(store);
}

#[test]
fn one_page_of_two_tags_that_never_meet_is_bounded() {
    let directory = Temporary::new();
    let store = inline().durability(Durability::Buffered).open(directory.path()).unwrap();
    let tagged = |number: u32| {
        let tag = Tag::new(if number.is_multiple_of(2) { "a" } else { "b" }).unwrap();
        event("1").with_tags(tag.into())
    };
    for from in (0..50_000).step_by(10_000) {
        let events = (from..from + 10_000).map(tagged);
        store.append(Commit::new().write(stream("a"), Expected::Any, events)).unwrap();
    }
    let both = Clause::new().tag(Tag::new("a").unwrap()).tag(Tag::new("b").unwrap());
    for query in [Query::new(both.clone()), Query::new(both).backwards()] {
        let (mut pages, mut next) = (0, Some(query));
        while let Some(query) = next {
            let (batch, rest) = store.read(&query).unwrap();
            assert!(batch.is_empty());
            (pages, next) = (pages + 1, rest);
        }
        assert!((10..40).contains(&pages), "{pages} pages looked through 50,000 events");
    }
}
