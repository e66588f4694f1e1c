//! A store on disk that another process writes to, for reading.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::address::Address;
use super::chase::Chase;
use super::file_store::{FileStore, hint_at_copying};
use super::options::FileOptions;
use super::pages::page;
use super::reader::Reader;
use super::view::{View, damaged_run};
use crate::error::{Error, ErrorKind};
use crate::event::Batch;
use crate::id::StreamId;
use crate::position::{Position, Version};
use crate::storage::{Directory, Storage};
use crate::store::commit::{AppendError, Appended, Commit};
use crate::store::event_store::{EventStore, Head};
use crate::store::identity::Identity;
use crate::store::interrupt::Interrupt;
use crate::store::query::Query;
use crate::store::statistics::Statistics;

/// Reads a store on disk while another process writes to it; or one that nobody writes to, such as a backup or a read-only medium.
///
/// It takes no lock and writes nothing, and a writer neither notices nor waits for it. It shows what is known to be synced, so
/// nothing that it has shown is ever lost, whatever becomes of the writer; there may be any number of followers.
/// [`guarantees`](crate::docs::guarantees#followers) says what it relies on. Its two heads are one.
///
/// It is an [`EventStore`] whose [`append`](EventStore::append) answers with the kind [`ReadOnly`](ErrorKind::ReadOnly), so
/// repositories, views and time travel work on it as on any other: `Annals::with_store(FileStore::follow("bank")?)`.
///
/// ```
/// use annals::store::{Commit, EventStore, Expected, FileStore, Interrupt};
/// use annals::{NewEvent, Position, id::EventType};
/// use std::time::Duration;
///
/// # let directory = std::env::temp_dir().join(format!("annals-doc-follower-{}", std::process::id()));
/// let store = FileStore::open(&directory)?;
/// let follower = FileStore::follow(&directory)?; // in this process or in another
/// let opened = NewEvent::new(EventType::new("Opened")?, &())?;
/// store.append(Commit::new().write("account/alice".parse()?, Expected::Empty, [opened]))?;
/// let (after, never) = (Position::START, Interrupt::new());
/// assert_eq!(follower.wait(after, Duration::from_secs(1), &never)?, Position::new(1));
/// # drop(store);
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Cost
///
/// Each call first looks for what is new, which costs three reads of a few bytes from the cache of the operating system if
/// there is nothing; what is new is read once, verified and indexed in memory. Of frames that are not synced, such as a
/// [buffered](super::Durability::Buffered) writer's, the headers are read once. Waiting does so every 2 ms. Memory is bounded as that of the writer, if
/// it is opened with the same [options](FileOptions).
pub struct Follower {
    identity: Identity,
    reader: Reader,
    /// Held by whoever looks for what is new.
    chase: Mutex<Chase>,
}

/// How often somebody who waits looks for what is new.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

impl FileStore {
    /// Opens the store in this directory for reading, beside a process that writes to it or without one. There has to be one.
    pub fn follow(path: impl AsRef<Path>) -> Result<Follower, Error> {
        Self::options().follow(path)
    }
}

impl FileOptions {
    /// Opens the store in this directory for reading, beside a process that writes to it or without one. There has to be one.
    /// Of the options, [`recent_bytes`](Self::recent_bytes), which should not be less than the writer's, and
    /// [`cache_bytes`](Self::cache_bytes) matter.
    pub fn follow(self, path: impl AsRef<Path>) -> Result<Follower, Error> {
        let path = path.as_ref();
        let directory = Directory::to_read(path).map_err(|source| {
            let is_nowhere = source.kind() == io::ErrorKind::NotFound;
            let error =
                if is_nowhere { Error::new(ErrorKind::NoStore) } else { Error::store(source) };
            error.detail(format!("reading the directory {}", path.display()))
        })?;
        self.follow_on(directory)
    }

    /// The same on a disk of your own, of which nothing is asked but to list, to open and to read.
    pub fn follow_on(self, storage: impl Storage) -> Result<Follower, Error> {
        let follow = || {
            let (mut chase, reader) = Chase::new(Arc::new(storage), self)?;
            chase.begin_anew(&reader)?;
            chase.catch_up(&reader)?;
            Ok(Follower { identity: chase.identity, reader, chase: Mutex::new(chase) })
        };
        follow().map_err(hint_at_copying)
    }
}

impl Follower {
    /// Shows everything that is new.
    fn catch_up(&self) -> Result<(), Error> {
        self.reader.heads.see()?;
        self.chase.lock().catch_up(&self.reader)
    }

    /// Looks into the log through the index. Should a part of the index turn out to be damaged, the writer may have made it again.
    fn look<T>(&self, look: impl Fn(&View<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.catch_up()?;
        match look(&self.reader.view()?) {
            Err(error) if damaged_run(&error).is_some() => {
                self.chase.lock().begin_anew(&self.reader)?;
                look(&self.reader.view()?)
            }
            done => done,
        }
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").finish_non_exhaustive()
    }
}

impl EventStore for Follower {
    fn identity(&self) -> Identity {
        self.identity
    }

    fn append(&self, _: Commit) -> Result<Appended, AppendError> {
        self.reader.heads.see()?;
        Err(Error::new(ErrorKind::ReadOnly).into())
    }

    fn read(&self, query: &Query) -> Result<(Batch, Option<Query>), Error> {
        self.look(|view| page(view, query, &self.reader.hints, Address::MIN))
    }

    fn version(&self, stream: &StreamId) -> Result<Version, Error> {
        let version = self.look(|view| view.version(stream, Address::MIN))?;
        Ok(version.unwrap_or(Version::ZERO))
    }

    fn head(&self) -> Result<Head, Error> {
        self.catch_up()?;
        Ok(self.reader.heads.see()?.1)
    }

    fn wait(
        &self,
        after: Position,
        timeout: Duration,
        interrupt: &Interrupt,
    ) -> Result<Position, Error> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            self.catch_up()?;
            let left = deadline.map_or(POLL_INTERVAL, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            let durable = self.reader.heads.wait(after, left.min(POLL_INTERVAL), interrupt)?;
            if durable > after || left.is_zero() || interrupt.is_raised() {
                return Ok(durable);
            }
        }
    }

    fn interrupt(&self, interrupt: &Interrupt) {
        self.reader.heads.interrupt(interrupt);
    }

    fn statistics(&self) -> Result<Statistics, Error> {
        self.reader.statistics()
    }

    fn close(&self) -> Result<(), Error> {
        self.reader.heads.close();
        Ok(())
    }
}
