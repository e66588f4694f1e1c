//! One database, and the checkpoint in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, TransactionBehavior};

use crate::error::{Error, ErrorKind};
use crate::projection::checkpoint::Checkpoint;
use crate::projection::keep::Change;

/// Where the checkpoints are, one for each projection of the database.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS annals_checkpoints (
    projection TEXT NOT NULL PRIMARY KEY,
    checkpoint TEXT NOT NULL
)";

const READ: &str = "SELECT checkpoint FROM annals_checkpoints WHERE projection = ?1";

/// Replaces a checkpoint, if nobody else has replaced it.
const MOVE: &str =
    "UPDATE annals_checkpoints SET checkpoint = ?2 WHERE projection = ?1 AND checkpoint = ?3";

/// What a user does with each connection before it is used.
pub(super) type Prepare = Arc<dyn Fn(&Connection) -> rusqlite::Result<()> + Send + Sync>;

/// A database that a projection writes to.
#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    pub(super) path: PathBuf,
    name: String,
    /// The checkpoint that stands in the database.
    at: String,
    guard: Arc<Guard>,
}

/// Sees to it that a transaction is ended by nobody but who began it.
#[derive(Debug, Default)]
struct Guard {
    /// Whether others are at work, whose commits are refused.
    is_up: AtomicBool,
    /// Whether the transaction was rolled back meanwhile.
    is_broken: AtomicBool,
}

impl Database {
    /// Opens the database at this path for the projection of this start, and makes the tables if the projection is new there.
    pub(super) fn open(
        path: PathBuf,
        start: &Checkpoint,
        schema: &str,
        is_own: bool,
        prepare: &Prepare,
    ) -> Result<Self, Error> {
        if path.as_os_str().is_empty() || path == Path::new(":memory:") {
            let detail = "a database that has no file cannot be read by others";
            return Err(Error::new(ErrorKind::ReadModel).detail(detail));
        }
        let (name, json) = (start.projection.clone(), start.to_json()?);
        let guard = Arc::new(Guard::default());
        let open = || {
            // Without the flag for addresses: a path is a path.
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
            let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let mut connection = Connection::open_with_flags(&path, flags)?;
            if is_own {
                // Readers and the writer do not wait for one another. A power cut may cost the last transactions, with their
                // checkpoints; they are in the log.
                connection.pragma_update(None, "journal_mode", "WAL")?;
                connection.pragma_update(None, "synchronous", "NORMAL")?;
            }
            prepare(&connection)?;
            let begin = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            begin.execute_batch(TABLE)?;
            let kept = begin.query_row(READ, [&name], |row| row.get(0)).optional()?;
            let other = "SELECT projection FROM annals_checkpoints WHERE projection <> ?1";
            let other =
                begin.query_row(other, [&name], |row| row.get::<_, String>(0)).optional()?;
            if kept.is_none() && !(is_own && other.is_some()) {
                begin.execute_batch(schema)?;
                begin.execute("INSERT INTO annals_checkpoints VALUES (?1, ?2)", [&name, &json])?;
            }
            begin.commit()?;
            let (on_commit, on_rollback) = (Arc::clone(&guard), Arc::clone(&guard));
            connection.commit_hook(Some(move || on_commit.is_up.load(Ordering::Relaxed)))?;
            connection.rollback_hook(Some(move || {
                on_rollback.is_broken.store(true, Ordering::Relaxed);
            }))?;
            Ok((connection, kept, other))
        };
        let (connection, kept, other) = open().map_err(failed(&path))?;
        match other {
            Some(other) if is_own => Err(Error::new(ErrorKind::ReadModel)
                .detail(format!("{} is of the projection {other:?}", path.display()))),
            _ => Ok(Self { connection, path, name, at: kept.unwrap_or(json), guard }),
        }
    }

    /// The checkpoint that stands in it.
    pub(super) fn checkpoint(&self) -> Result<Checkpoint, Error> {
        parse(&self.at, &self.path)
    }

    /// Changes the view and replaces the checkpoint, both or neither.
    pub(super) fn keep(
        &mut self,
        checkpoint: &Checkpoint,
        change: Change<'_, Connection>,
    ) -> Result<(), Error> {
        let json = checkpoint.to_json()?;
        self.execute("BEGIN IMMEDIATE", [])?;
        self.guard.is_broken.store(false, Ordering::Relaxed);
        self.guard.is_up.store(true, Ordering::Relaxed);
        let changed = change(&mut self.connection).and_then(|()| self.replace_checkpoint(&json));
        self.guard.is_up.store(false, Ordering::Relaxed);
        let kept = changed.and_then(|()| self.execute("COMMIT", []).map(drop));
        match kept {
            Ok(()) => self.at = json,
            // If this fails, closing the database does the same.
            Err(_) if !self.connection.is_autocommit() => drop(self.execute("ROLLBACK", [])),
            Err(_) => {}
        }
        kept
    }

    /// Takes the tables out of the database, and makes them anew.
    pub(super) fn empty(
        &mut self,
        start: &Checkpoint,
        undo: &str,
        schema: &str,
    ) -> Result<(), Error> {
        let failed = failed(&self.path);
        self.keep(start, &mut |tables| {
            tables.execute_batch(undo).and_then(|()| tables.execute_batch(schema)).map_err(&failed)
        })
    }

    fn replace_checkpoint(&self, json: &str) -> Result<(), Error> {
        let broken = |detail: &str| Err(Error::new(ErrorKind::ReadModel).detail(detail));
        if self.guard.is_broken.load(Ordering::Relaxed) {
            return broken("a handler has ended the transaction that it was called in");
        }
        match self.execute(MOVE, [&self.name, json, &self.at])? {
            1 => Ok(()),
            _ => broken(
                "another process or thread runs a projection of this name in the same database",
            ),
        }
    }

    fn execute(&self, sql: &str, params: impl Params) -> Result<usize, Error> {
        let run = || self.connection.prepare_cached(sql)?.execute(params);
        run().map_err(failed(&self.path))
    }

    /// Closes the database, all of which is then in its file.
    pub(super) fn close(self) -> Result<(), Error> {
        self.connection.close().map_err(|(_, source)| failed(&self.path)(source))
    }
}

/// Opens a database for reading, and everything that goes with it, so that it does not matter if its names are removed.
pub(super) fn open_to_read(path: &Path, prepare: &Prepare) -> Result<Connection, Error> {
    let open = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        prepare(&connection)?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    };
    open().map_err(failed(path))
}

/// The checkpoint of a view that is only read.
pub(super) fn checkpoint_in(
    path: &Path,
    name: &str,
    prepare: &Prepare,
) -> Result<Checkpoint, Error> {
    let read = open_to_read(path, prepare)?.query_row(READ, [name], |row| row.get::<_, String>(0));
    parse(&read.map_err(failed(path))?, path)
}

fn parse(json: &str, path: &Path) -> Result<Checkpoint, Error> {
    let path = path.display().to_string();
    Checkpoint::from_json(json.as_bytes()).map_err(|error| error.also(&path))
}

pub(super) fn failed(path: &Path) -> impl Fn(rusqlite::Error) -> Error + use<> {
    let path = path.display().to_string();
    move |source| Error::new(ErrorKind::ReadModel).detail(path.clone()).caused_by(source)
}
