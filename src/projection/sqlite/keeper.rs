//! The keeper of views in SQLite.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode};

use super::database::{Database, Prepare, checkpoint_in, open_to_read};
use super::place::{self, Place, files, numbered, unfinished};
use crate::error::{Error, ErrorKind};
use crate::projection::checkpoint::Checkpoint;
use crate::projection::keep::{Change, Keep, Standing};
use crate::storage::paths::{self, FileLock};

/// Keeps a view in tables of a SQLite database, and the checkpoint beside them in the same transaction: each event is applied exactly
/// once, whenever the process is killed.
///
/// Handlers get the [`Connection`], within a transaction that is not theirs to end. What they change before one of them fails is undone.
///
/// # Whose database
///
/// | | [`owned`](Self::owned) | [`within`](Self::within) |
/// |---|---|---|
/// | the database | is the projection's alone | is yours, and has other tables too |
/// | a rebuild | fills a second file and then swaps the two | empties the tables and fills them in place |
/// | meanwhile, readers see | the old view | a view that grows |
/// | a query joins the view with your tables | by `ATTACH` | as it is |
///
/// Somebody else who writes to your database, or reads from it for long, may make the projection wait for longer than SQLite does: give it
/// a policy that [retries](crate::projection::ErrorPolicy::retry), and let your database have a write-ahead log (`journal_mode = WAL`).
///
/// Choose `owned`, unless queries join the view with tables that are not part of it.
///
/// ```
/// # use annals::{Aggregate, Annals, Context};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Default)] struct Counter { total: u64 }
/// # #[derive(Serialize, Deserialize)] enum Counted { Added { amount: u32 } }
/// # impl Aggregate for Counter {
/// #   const TYPE: &'static str = "counter";
/// #   type Id = str; type Event = Counted; type Command = u32; type Services = ();
/// #   type Error = std::convert::Infallible;
/// #   fn apply(&mut self, event: &Counted) { let Counted::Added { amount } = event; self.total += u64::from(*amount); }
/// #   fn handle(&self, amount: u32, _: &Context<'_, Self>) -> Result<Vec<Counted>, Self::Error> {
/// #       Ok(vec![Counted::Added { amount }])
/// #   }
/// # }
/// use annals::projection::Sqlite;
/// use annals::rusqlite::Connection;
///
/// # let folder = std::env::temp_dir().join(format!("annals-doc-sqlite-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let annals = Annals::in_memory();
/// annals.of::<Counter>()?.execute("visits", 3)?;
///
/// let schema = "CREATE TABLE counters (name TEXT PRIMARY KEY, total INTEGER NOT NULL)";
/// let counters = annals
///     .view::<Connection>("counters")
///     .on::<Counter>(|tables, e| {
///         let Counted::Added { amount } = e.event();
///         let add = "INSERT INTO counters VALUES (?1, ?2)
///             ON CONFLICT DO UPDATE SET total = total + excluded.total";
///         tables.prepare_cached(add)?.execute((e.id(), amount))
///     })
///     .kept_in(Sqlite::owned(folder.join("counters.sqlite"), schema))
///     .open()?;
/// counters.run_until_caught_up()?;
///
/// let tables = counters.reader().connect()?;
/// let total: u32 = tables.query_row("SELECT total FROM counters", [], |row| row.get(0))?;
/// assert_eq!(total, 3);
/// # drop((tables, counters));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sqlite {
    place: Place,
    prepare: Prepare,
    /// Makes the tables.
    schema: String,
    database: Option<Database>,
    /// Of a database of its own: that nobody else works at it.
    lock: Option<FileLock>,
}

impl Sqlite {
    /// A database of the projection's own. Its files lie at this path with `.v1`, `.v2` and so on behind it, in a folder that has to be there; the
    /// tables are made by these statements. [`reader`](super::super::Projection::reader) opens it for queries.
    ///
    /// One projection at a time has it open, in this process or another. After a rebuild the file that was read before stays until the next
    /// one begins.
    pub fn owned(path: impl AsRef<Path>, schema: impl Into<String>) -> Self {
        Self::new(Place::Own { path: path.as_ref().to_owned() }, schema.into())
    }

    /// Tables in the database at this path, which may have other tables, and other projections. They are made by the statements of
    /// `schema` when the projection begins there, and taken away by those of `undo` when it starts over, before they are made again:
    /// `CREATE TABLE …` and `DROP TABLE …`; or nothing and `DELETE FROM …` where you make the tables.
    pub fn within(
        path: impl AsRef<Path>,
        schema: impl Into<String>,
        undo: impl Into<String>,
    ) -> Self {
        let (path, undo) = (path.as_ref().to_owned(), undo.into());
        Self::new(Place::Shared { path, undo }, schema.into())
    }

    fn new(place: Place, schema: String) -> Self {
        Self { place, schema, prepare: Arc::new(|_| Ok(())), database: None, lock: None }
    }

    /// Does this with each connection before it is used, those of readers among them: what is a matter of connections in SQLite, such as
    /// functions of your own, `foreign_keys` or a longer `busy_timeout` than five seconds.
    pub fn prepared_by(
        mut self,
        prepare: impl Fn(&Connection) -> rusqlite::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.prepare = Arc::new(prepare);
        self
    }

    fn database(&mut self) -> Result<&mut Database, Error> {
        let missing = || Error::new(ErrorKind::ReadModel).detail("it has not been opened");
        self.database.as_mut().ok_or_else(missing)
    }

    /// Opens the database that is written to.
    fn open(&mut self, start: &Checkpoint) -> Result<&mut Database, Error> {
        let (path, is_own) = match &self.place {
            Place::Shared { path, .. } => (path.clone(), false),
            Place::Own { path } => {
                if self.lock.is_none() {
                    let lock = FileLock::take(&paths::with_suffix(path, ".lock"));
                    self.lock = Some(lock.map_err(failed(path))?);
                }
                let files = files(path).map_err(failed(path))?;
                let current = || numbered(path, files.newest().unwrap_or(1));
                (files.new.map_or_else(current, |new| unfinished(path, new)), true)
            }
        };
        Ok(self.database.insert(Database::open(path, start, &self.schema, is_own, &self.prepare)?))
    }

    fn standing(&mut self) -> Result<Standing, Error> {
        let mut checkpoint = self.database()?.checkpoint()?;
        let mut old = None;
        if let Place::Own { path } = &self.place {
            let files = files(path).map_err(failed(path))?;
            checkpoint.is_rebuilding = files.new.is_some();
            if let (Some(newest), true) = (files.newest(), checkpoint.is_rebuilding) {
                let (newest, name) = (numbered(path, newest), &checkpoint.projection);
                old = Some(checkpoint_in(&newest, name, &self.prepare)?);
            }
        }
        Ok(Standing { checkpoint, old })
    }
}

impl Keep for Sqlite {
    type View = Connection;
    type Reader = SqliteReader;

    fn reader(&self) -> SqliteReader {
        SqliteReader { place: self.place.clone(), prepare: Arc::clone(&self.prepare) }
    }

    fn recover(&mut self, start: &Checkpoint) -> Result<Standing, Error> {
        // What a transaction had changed is gone with the connection.
        self.database = None;
        self.open(start)?;
        self.standing()
    }

    fn keep(
        &mut self,
        checkpoint: &Checkpoint,
        change: Change<'_, Connection>,
    ) -> Result<(), Error> {
        self.database()?.keep(checkpoint, change)
    }

    fn start_over(&mut self, start: &Checkpoint) -> Result<Standing, Error> {
        match self.place.clone() {
            Place::Shared { undo, .. } => {
                let schema = self.schema.clone();
                self.database()?.empty(start, &undo, &schema)?;
            }
            Place::Own { path } => {
                self.database = None;
                let number = make_way(&path).map_err(failed(&path))?;
                let new = unfinished(&path, number);
                self.database =
                    Some(Database::open(new, start, &self.schema, true, &self.prepare)?);
            }
        }
        self.standing()
    }

    fn finish(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        self.database()?.keep(checkpoint, &mut |_| Ok(()))?;
        let Place::Own { path } = self.place.clone() else { return Ok(()) };
        let new = files(&path).map_err(failed(&path))?.new;
        if let (Some(number), Some(database)) = (new, self.database.take()) {
            let (from, to) = (unfinished(&path, number), numbered(&path, number));
            database.close()?;
            // Crash here, and before: the file is found unfinished, as far as it is.
            swap(&from, &to).map_err(failed(&path))?;
        }
        self.open(checkpoint).map(drop)
    }

    fn is_own(error: &Error) -> bool {
        let source = std::error::Error::source(error);
        let code = source.and_then(|source| source.downcast_ref::<rusqlite::Error>());
        matches!(
            code.and_then(rusqlite::Error::sqlite_error_code),
            Some(
                ErrorCode::DiskFull
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::DatabaseCorrupt
                    | ErrorCode::NotADatabase
                    | ErrorCode::OutOfMemory
                    | ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::ReadOnly
                    | ErrorCode::CannotOpen
            )
        )
    }
}

/// Removes what is neither read nor of use, and gives the number for a new file.
fn make_way(path: &Path) -> io::Result<u64> {
    let files = files(path)?;
    if let Some(new) = files.new {
        place::remove(&unfinished(path, new))?;
    }
    let newest = files.newest();
    for old in files.finished.into_iter().filter(|number| Some(*number) != newest) {
        place::remove(&numbered(path, old))?;
    }
    let next = newest.unwrap_or(0).checked_add(1);
    next.ok_or_else(|| io::Error::other("there is no number left for another file"))
}

/// Gives a database that is closed its name, under which readers find it.
fn swap(from: &Path, to: &Path) -> io::Result<()> {
    if paths::len(&place::log_of(from))? > 0 {
        return Err(io::Error::other("somebody else has the new database open"));
    }
    // What a file of this name has left must not become part of it.
    place::remove(to)?;
    paths::rename(from, to)
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let path: PathBuf = path.to_owned();
    move |source| {
        Error::new(ErrorKind::ReadModel).detail(path.display().to_string()).caused_by(source)
    }
}

/// Opens a view that is kept in [`Sqlite`] for queries, on any thread.
#[derive(Clone)]
pub struct SqliteReader {
    place: Place,
    prepare: Prepare,
}

impl SqliteReader {
    /// The view that the projection keeps at this path in files of its [own](Sqlite::owned); for another process than the one that
    /// runs it.
    pub fn of(path: impl AsRef<Path>) -> Self {
        Sqlite::owned(path, "").reader()
    }

    /// A connection for reading. A view that the projection owns is read as it is now; a connection that is open when a rebuild ends
    /// goes on showing the old view, so open one for each use, or a new one now and then.
    pub fn connect(&self) -> Result<Connection, Error> {
        let path = match &self.place {
            Place::Shared { path, .. } => return open_to_read(path, &self.prepare),
            Place::Own { path } => path,
        };
        let newest = || files(path).map(|files| files.newest()).map_err(failed(path));
        let mut number = newest()?.ok_or_else(|| {
            let detail = format!("there is no view yet at {}", path.display());
            Error::new(ErrorKind::ReadModel).detail(detail)
        })?;
        loop {
            let opened = open_to_read(&numbered(path, number), &self.prepare);
            // If it was removed in between, two rebuilds have come since, and there is a newer one.
            match newest()? {
                Some(newer) if newer > number => number = newer,
                _ => return opened,
            }
        }
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("place", &self.place).finish_non_exhaustive()
    }
}

impl fmt::Debug for SqliteReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteReader").field("place", &self.place).finish_non_exhaustive()
    }
}
