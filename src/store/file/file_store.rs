//! The store on disk.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use super::address::Address;
use super::cache::Cache;
use super::engine::Engine;
use super::options::FileOptions;
use super::pages::page;
use super::recovery::recover;
use super::report::RecoveryReport;
use crate::clock::to_micros;
use crate::error::{Error, ErrorKind, caught};
use crate::event::{Batch, RecordedEvent};
use crate::id::StreamId;
use crate::position::{Position, Version};
use crate::storage::{Directory, Storage, StorageLock};
use crate::store::commit::{AppendError, Appended, Commit};
use crate::store::event_store::{EventStore, Head};
use crate::store::identity::Identity;
use crate::store::interrupt::Interrupt;
use crate::store::query::Query;
use crate::store::statistics::Statistics;
use crate::trace;

/// Keeps events in a directory: a durable log that names its damage.
///
/// What it promises, and what that rests on, says [`guarantees`](crate::docs::guarantees); how it lies on disk,
/// [`format`](crate::docs::format).
///
/// One process at a time writes to a store; within it, the handle is shared between threads as it is (or in an `Arc`). When
/// it is dropped the store is closed as by [`close`](EventStore::close), but nobody hears of an error.
///
/// ```
/// use annals::store::{Commit, EventStore, Expected, FileStore};
/// use annals::{NewEvent, Position, StreamId, id::EventType};
///
/// # let directory = std::env::temp_dir().join(format!("annals-doc-{}", std::process::id()));
/// let store = FileStore::open(&directory)?;
/// let alice: StreamId = "account/alice".parse()?;
/// let opened = NewEvent::new(EventType::new("Opened")?, &())?;
/// store.append(Commit::new().write(alice.clone(), Expected::Empty, [opened]))?;
/// store.close()?;
///
/// let store = FileStore::open(&directory)?;
/// assert!(store.recovery().clean);
/// assert_eq!(store.head()?.durable, Position::new(1));
/// # drop(store);
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Cost
///
/// An append costs one write and one sync, shared with all that queue at the same time. A read costs a look into the index and
/// reads of the log, near ones taken together; it never waits for a writer's disk. Opening costs what was written since the
/// last index run, at most a few MiB. Memory is bounded by [the cache](FileOptions::cache_bytes) and
/// [the index of recent events](FileOptions::recent_bytes).
#[derive(Debug)]
pub struct FileStore {
    engine: Arc<Engine>,
    worker: Mutex<Option<Worker>>,
}

/// The store's thread. It ends once nobody can tell it any more that something is due.
#[derive(Debug)]
struct Worker {
    due: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl FileStore {
    /// Opens the store in this directory for writing, with the default options; makes both if they are not there.
    ///
    /// An error of the kind [`InUse`](ErrorKind::InUse) if somebody has it open.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::options().open(path)
    }

    /// Says more about how a store is opened.
    pub fn options() -> FileOptions {
        FileOptions::default()
    }

    pub(super) fn open_with(
        storage: Arc<dyn Storage>,
        options: FileOptions,
    ) -> Result<Self, Error> {
        let span = trace::span!(
            "recover",
            position = tracing::field::Empty,
            clean = tracing::field::Empty,
        );
        let lock = lock(&*storage)?;
        let cache = Arc::new(Cache::new(options.cache_bytes));
        let recovered = recover(storage, cache, options.recent_bytes, options.encoding)
            .map_err(hint_at_copying)?;
        span.record("position", recovered.tip.head.get());
        span.record("clean", recovered.report.clean);
        let engine = Arc::new(Engine::new(recovered, options, lock));
        let worker = engine.has_thread().then(|| start(&engine)).transpose()?;
        let store = Self { engine, worker: Mutex::new(worker) };
        store.look_after();
        Ok(store)
    }

    /// What opening the store found and did.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.engine.report
    }

    /// Makes everything durable that was acknowledged, and tells the durable head. Under
    /// [`Synced`](super::Durability::Synced) everything is already.
    pub fn sync(&self) -> Result<Position, Error> {
        self.engine.sync()
    }

    /// Writes commits of another store, which have their places already: they follow what is there.
    pub(super) fn adopt(&self, commits: &[Vec<RecordedEvent<'_>>]) -> Result<(), Error> {
        self.engine.adopt(commits)?;
        self.look_after();
        Ok(())
    }

    /// Sees to it that what is due is done.
    fn look_after(&self) {
        // A forked child leaves everything to its parent.
        if self.engine.check_process().is_err() || !self.engine.is_due() {
            return;
        }
        if !self.engine.has_thread() {
            return self.engine.keep_up();
        }
        if let Some(worker) = &*self.worker.lock() {
            // If it was told already and has not begun yet, once is enough.
            let _ = worker.due.try_send(());
        }
    }

    fn stop_worker(&self) {
        let worker = self.worker.lock().take();
        if let Some(Worker { due, thread }) = worker {
            drop(due);
            // It has nothing to say; a panic of it does no harm to the log.
            let _ = thread.join();
        }
    }
}

impl FileOptions {
    /// Opens the store in this directory for writing, and makes both if they are not there.
    pub fn open(self, path: impl AsRef<Path>) -> Result<FileStore, Error> {
        let path = path.as_ref();
        let directory = Directory::new(path).map_err(|source| {
            Error::store(source).detail(format!("making the directory {}", path.display()))
        })?;
        self.open_on(directory)
    }

    /// Opens the store on a disk of your own.
    pub fn open_on(self, storage: impl Storage) -> Result<FileStore, Error> {
        FileStore::open_with(Arc::new(storage), self)
    }
}

/// Takes the lock of a directory. Whoever does not get it is told who has it.
pub(super) fn lock(storage: &dyn Storage) -> Result<Box<dyn StorageLock>, Error> {
    storage.lock().map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => {
            let holder = source.to_string();
            let by = if holder.is_empty() { "somebody".to_owned() } else { holder };
            Error::new(ErrorKind::InUse).detail(format!("by {by}"))
        }
        _ => Error::store(source).detail("locking the directory"),
    })
}

/// Damage that shows when a store is opened may be due to how its directory was copied.
pub(super) fn hint_at_copying(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Damaged { .. } => error.also(
            "if this is a copy of a store that was in use, make it with `store::care::backup`",
        ),
        _ => error,
    }
}

fn start(engine: &Arc<Engine>) -> Result<Worker, Error> {
    let (engine, (due, told)) = (Arc::clone(engine), sync_channel(1));
    let work = move || told.iter().for_each(|()| engine.keep_up());
    let thread = thread::Builder::new().name("annals".to_owned()).spawn(work);
    let thread = thread.map_err(|source| Error::store(source).detail("starting a thread"))?;
    Ok(Worker { due, thread })
}

impl EventStore for FileStore {
    fn identity(&self) -> Identity {
        self.engine.identity
    }

    fn append(&self, commit: Commit) -> Result<Appended, AppendError> {
        let span = commit.span();
        commit.check(&self.engine.options.limits)?;
        let now = to_micros(self.engine.options.clock.now());
        let mut has_led = false;
        let answer = self.engine.append(commit, now, &mut has_led);
        // Once for a group is enough.
        if has_led {
            self.look_after();
        }
        if let Ok(appended) = &answer {
            span.record("position", appended.last.get());
        }
        answer
    }

    fn read(&self, query: &Query) -> Result<(Batch, Option<Query>), Error> {
        self.engine.look(|view| page(view, query, &self.engine.reader.hints, Address::MIN))
    }

    fn version(&self, stream: &StreamId) -> Result<Version, Error> {
        let version = self.engine.look(|view| view.version(stream, Address::MIN))?;
        Ok(version.unwrap_or(Version::ZERO))
    }

    fn head(&self) -> Result<Head, Error> {
        Ok(self.engine.reader.heads.see()?.1)
    }

    fn wait(
        &self,
        after: Position,
        timeout: Duration,
        interrupt: &Interrupt,
    ) -> Result<Position, Error> {
        self.engine.reader.heads.wait(after, timeout, interrupt)
    }

    fn interrupt(&self, interrupt: &Interrupt) {
        self.engine.reader.heads.interrupt(interrupt);
    }

    fn statistics(&self) -> Result<Statistics, Error> {
        self.engine.reader.statistics().map(|statistics| self.engine.counters.with(statistics))
    }

    fn close(&self) -> Result<(), Error> {
        let engine = &*self.engine;
        if !engine.reader.heads.close() {
            return Ok(());
        }
        // A forked child leaves everything to its parent, whose threads it does not have.
        if engine.check_process().is_err() {
            return Ok(());
        }
        self.stop_worker();
        let shut = || engine.writer.lock().shut(engine.shared());
        // What the index lacks is made up for by the next opening.
        let _ = engine.complete_index();
        let closed = engine.groups.exclusively(shut);
        *engine.lock.write() = None;
        closed
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        // There is nobody to tell; and were this to panic while another panic drops the store, the program would be aborted.
        let _ = caught(|| self.close());
    }
}
