//! The keeper of views in SQLite.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::database::{Database, open_to_read, position_in};
use super::place::{self, Place, files, numbered, unfinished};
use crate::error::{Error, ErrorKind};
use crate::position::Position;
use crate::projection::checkpoint::Checkpoint;
use crate::projection::keep::{Change, Keep, Standing};
use crate::storage::paths;

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
#[derive(Debug)]
pub struct Sqlite {
    place: Place,
    /// Makes the tables.
    schema: String,
    name: String,
    database: Option<Database>,
}

impl Sqlite {
    /// A database of the projection's own. Its files lie at this path with a number behind it, in a folder that has to be there; the
    /// tables are made by these statements. [`reader`](super::super::Projection::reader) opens it for queries.
    ///
    /// After a rebuild the file that was read before stays until the next one begins.
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
        Self { place, schema, name: String::new(), database: None }
    }

    fn database(&mut self) -> Result<&mut Database, Error> {
        let missing = || Error::new(ErrorKind::ReadModel).detail("it has not been opened");
        self.database.as_mut().ok_or_else(missing)
    }

    /// Opens the database that is written to.
    fn open(&mut self) -> Result<&mut Database, Error> {
        let (path, is_own) = match &self.place {
            Place::Shared { path, .. } => (path.clone(), false),
            Place::Own { path } => {
                let files = files(path).map_err(failed(path))?;
                let current = || numbered(path, files.newest().unwrap_or(1));
                (files.new.map_or_else(current, |new| unfinished(path, new)), true)
            }
        };
        Ok(self.database.insert(Database::open(path, &self.name, &self.schema, is_own)?))
    }

    fn standing(&mut self) -> Result<Standing, Error> {
        let checkpoint = self.database()?.checkpoint()?;
        let here = checkpoint.as_ref().map_or(Position::START, |checkpoint| checkpoint.position);
        let (shown, is_rebuilding) = match &self.place {
            Place::Shared { .. } => (here, checkpoint.as_ref().is_some_and(|it| it.is_rebuilding)),
            Place::Own { path } => {
                let files = files(path).map_err(failed(path))?;
                match files.newest().filter(|_| files.new.is_some()) {
                    Some(newest) => (position_in(&numbered(path, newest), &self.name)?, true),
                    None => (here, files.new.is_some()),
                }
            }
        };
        Ok(Standing { checkpoint, shown, is_rebuilding })
    }
}

impl Keep for Sqlite {
    type View = Connection;
    type Reader = SqliteReader;

    fn reader(&self) -> SqliteReader {
        SqliteReader { place: self.place.clone() }
    }

    fn recover(&mut self, name: &str) -> Result<Standing, Error> {
        name.clone_into(&mut self.name);
        // What a transaction had changed is gone with the connection.
        self.database = None;
        self.open()?;
        self.standing()
    }

    fn keep(
        &mut self,
        checkpoint: &Checkpoint,
        change: Change<'_, Connection>,
    ) -> Result<(), Error> {
        self.database()?.keep(Some(checkpoint), change)
    }

    fn start_over(&mut self) -> Result<Standing, Error> {
        match self.place.clone() {
            Place::Shared { undo, .. } => {
                let schema = self.schema.clone();
                self.database()?.empty(&undo, &schema)?;
                let (checkpoint, shown) = (None, Position::START);
                Ok(Standing { checkpoint, shown, is_rebuilding: true })
            }
            Place::Own { path } => {
                self.database = None;
                let number = make_way(&path).map_err(failed(&path))?;
                let new = unfinished(&path, number);
                self.database = Some(Database::open(new, &self.name, &self.schema, true)?);
                self.standing()
            }
        }
    }

    fn finish(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        self.database()?.keep(Some(checkpoint), &mut |_| Ok(()))?;
        let Place::Own { path } = self.place.clone() else { return Ok(()) };
        let new = files(&path).map_err(failed(&path))?.new;
        if let (Some(number), Some(database)) = (new, self.database.take()) {
            let (from, to) = (unfinished(&path, number), numbered(&path, number));
            database.close()?;
            // Crash here, and before: the file is found unfinished, as far as it is.
            swap(&from, &to).map_err(failed(&path))?;
        }
        self.open().map(drop)
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
    Ok(newest.unwrap_or(0) + 1)
}

/// Gives a database that is closed its name, under which readers find it.
fn swap(from: &Path, to: &Path) -> io::Result<()> {
    if paths::read(&place::log_of(from))?.is_some_and(|log| !log.is_empty()) {
        return Err(io::Error::other("somebody else has the new database open"));
    }
    paths::rename(from, to)
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let path: PathBuf = path.to_owned();
    move |source| {
        Error::new(ErrorKind::ReadModel).detail(path.display().to_string()).caused_by(source)
    }
}

/// Opens a view that is kept in [`Sqlite`] for queries, on any thread.
#[derive(Debug, Clone)]
pub struct SqliteReader {
    place: Place,
}

impl SqliteReader {
    /// The view that the projection keeps at this path in files of its [own](Sqlite::owned); for another process than the one that
    /// runs it.
    pub fn of(path: impl AsRef<Path>) -> Self {
        Self { place: Place::Own { path: path.as_ref().to_owned() } }
    }

    /// A connection for reading. A view that the projection owns is read as it is now; a connection that is open when a rebuild ends
    /// goes on showing the old view, so open one for each use, or a new one now and then.
    pub fn connect(&self) -> Result<Connection, Error> {
        let path = match &self.place {
            Place::Shared { path, .. } => return open_to_read(path),
            Place::Own { path } => path,
        };
        loop {
            let newest = files(path).map_err(failed(path))?.newest().ok_or_else(|| {
                let detail = format!("there is no view yet at {}", path.display());
                Error::new(ErrorKind::ReadModel).detail(detail)
            })?;
            let newest = numbered(path, newest);
            let opened = open_to_read(&newest);
            // If it was removed in between, two rebuilds have come since, and there is a newer one.
            if paths::exists(&newest) {
                return opened;
            }
        }
    }
}
