//! One database, and the checkpoint in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, TransactionBehavior};

use crate::error::{Error, ErrorKind};
use crate::position::Position;
use crate::projection::checkpoint::Checkpoint;
use crate::projection::keep::Change;

/// Where the checkpoints are, one for each projection of the database.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS annals_checkpoints (
    projection TEXT NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL,
    checkpoint TEXT NOT NULL -- empty before the first
)";

const READ: &str = "SELECT position, checkpoint FROM annals_checkpoints WHERE projection = ?1";

/// Moves a checkpoint, if nobody else has moved it.
const MOVE: &str = "UPDATE annals_checkpoints SET position = ?2, checkpoint = ?3
    WHERE projection = ?1 AND position = ?4";

/// A database that a projection writes to.
#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    pub(super) path: PathBuf,
    name: String,
    /// The position in the checkpoint that stands in the database.
    at: i64,
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
    /// Opens the database at this path for the projection of this name, and makes the tables if the projection is new there.
    pub(super) fn open(
        path: PathBuf,
        name: &str,
        schema: &str,
        is_own: bool,
    ) -> Result<Self, Error> {
        let guard = Arc::new(Guard::default());
        let open = || {
            // Without the flag for addresses: a path is a path.
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
            let mut connection =
                Connection::open_with_flags(&path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
            if is_own {
                // Readers and the writer do not wait for one another. A power cut may cost the last transactions, with their
                // checkpoints; they are in the log.
                connection.pragma_update(None, "journal_mode", "WAL")?;
                connection.pragma_update(None, "synchronous", "NORMAL")?;
            }
            let begin = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            begin.execute_batch(TABLE)?;
            let at = begin.query_row(READ, [name], |row| row.get(0)).optional()?;
            if at.is_none() {
                begin.execute_batch(schema)?;
                begin.execute("INSERT INTO annals_checkpoints VALUES (?1, 0, '')", [name])?;
            }
            begin.commit()?;
            let (on_commit, on_rollback) = (Arc::clone(&guard), Arc::clone(&guard));
            connection.commit_hook(Some(move || on_commit.is_up.load(Ordering::Relaxed)))?;
            connection.rollback_hook(Some(move || {
                on_rollback.is_broken.store(true, Ordering::Relaxed)
            }))?;
            Ok((connection, at.unwrap_or(0)))
        };
        let (connection, at) = open().map_err(failed(&path))?;
        Ok(Self { connection, path, name: name.to_owned(), at, guard })
    }

    /// The checkpoint, if there is one.
    pub(super) fn checkpoint(&self) -> Result<Option<Checkpoint>, Error> {
        let read = self.connection.query_row(READ, [&self.name], |row| row.get::<_, String>(1));
        let json = read.map_err(failed(&self.path))?;
        if json.is_empty() {
            return Ok(None);
        }
        let checkpoint = Checkpoint::from_json(json.as_bytes());
        checkpoint.map(Some).map_err(|error| error.also(&self.path.display().to_string()))
    }

    /// Changes the view and moves the checkpoint, both or neither; without a checkpoint, before the first event.
    pub(super) fn keep(
        &mut self,
        checkpoint: Option<&Checkpoint>,
        change: Change<'_, Connection>,
    ) -> Result<(), Error> {
        self.execute("BEGIN IMMEDIATE", [])?;
        self.guard.is_broken.store(false, Ordering::Relaxed);
        self.guard.is_up.store(true, Ordering::Relaxed);
        let changed = change(&mut self.connection).and_then(|()| self.move_to(checkpoint));
        self.guard.is_up.store(false, Ordering::Relaxed);
        let kept = changed.and_then(|at| self.execute("COMMIT", []).map(|_| at));
        match kept {
            Ok(at) => self.at = at,
            // If this fails, closing the database does the same.
            Err(_) if !self.connection.is_autocommit() => drop(self.execute("ROLLBACK", [])),
            Err(_) => {}
        }
        kept.map(drop)
    }

    /// Takes the tables out of the database, and makes them anew.
    pub(super) fn empty(&mut self, undo: &str, schema: &str) -> Result<(), Error> {
        let failed = failed(&self.path);
        self.keep(None, &mut |tables| {
            tables.execute_batch(undo).and_then(|()| tables.execute_batch(schema)).map_err(&failed)
        })
    }

    /// Moves the checkpoint within the transaction that is open, and gives its new position.
    fn move_to(&self, checkpoint: Option<&Checkpoint>) -> Result<i64, Error> {
        let broken = |detail: &str| Err(Error::new(ErrorKind::ReadModel).detail(detail));
        if self.guard.is_broken.load(Ordering::Relaxed) {
            return broken("a handler has ended the transaction that it was called in");
        }
        let position = checkpoint.map_or(Position::START, |checkpoint| checkpoint.position);
        let position = i64::try_from(position.get()).unwrap_or(i64::MAX);
        let json = checkpoint.map_or(Ok(String::new()), Checkpoint::to_json)?;
        match self.execute(MOVE, (&self.name, position, json, self.at))? {
            1 => Ok(position),
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
pub(super) fn open_to_read(path: &Path) -> Result<Connection, Error> {
    let open = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    };
    open().map_err(failed(path))
}

/// How far a finished view is.
pub(super) fn position_in(path: &Path, name: &str) -> Result<Position, Error> {
    let read = open_to_read(path)?.query_row(READ, [name], |row| row.get::<_, i64>(0)).optional();
    let position = read.map_err(failed(path))?.unwrap_or(0);
    Ok(Position::new(u64::try_from(position).unwrap_or(0)))
}

pub(super) fn failed(path: &Path) -> impl Fn(rusqlite::Error) -> Error + use<> {
    let path = path.display().to_string();
    move |source| Error::new(ErrorKind::ReadModel).detail(path.clone()).caused_by(source)
}
