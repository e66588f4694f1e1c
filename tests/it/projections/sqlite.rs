//! Views in SQLite.

use std::fs;
use std::sync::Mutex;
use std::time::Duration;

use annals::projection::{ErrorPolicy, Sqlite, SqliteReader, State};
use annals::rusqlite::{self, Connection};
use annals::{Annals, ErrorKind, Position};

use super::laws::deposit;
use super::subject::{Faults, Shown, Subject, change, refolded};
use crate::account::{Account, Event};
use crate::directory::Directory;

const SCHEMA: &str = "
    CREATE TABLE balances (account TEXT NOT NULL PRIMARY KEY, cents INTEGER NOT NULL);
    CREATE TABLE handled (number INTEGER NOT NULL PRIMARY KEY, position INTEGER NOT NULL);
";
const UNDO: &str = "DROP TABLE balances; DROP TABLE handled";

/// A database of its own.
pub(super) struct Own(Directory);

impl Default for Own {
    fn default() -> Self {
        Self(Directory::new())
    }
}

impl Own {
    fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !["-wal", "-shm", ".lock"].iter().any(|end| name.ends_with(end)))
            .collect();
        names.sort();
        names
    }
}

/// A database with other tables.
pub(super) struct Within(Directory);

impl Default for Within {
    fn default() -> Self {
        let directory = Directory::new();
        let database = Connection::open(directory.path().join("app.sqlite")).unwrap();
        database.execute_batch("CREATE TABLE other (x); INSERT INTO other VALUES (7)").unwrap();
        Self(directory)
    }
}

impl Within {
    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("app.sqlite")
    }
}

impl Drop for Within {
    /// What else is in the database is left alone.
    fn drop(&mut self) {
        let database = Connection::open(self.path()).unwrap();
        let other: i64 = database.query_row("SELECT x FROM other", [], |row| row.get(0)).unwrap();
        assert_eq!(other, 7);
    }
}

fn apply(
    tables: &mut Connection,
    id: &str,
    event: &Event,
    position: Position,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let add = "INSERT INTO balances VALUES (?1, ?2)
        ON CONFLICT DO UPDATE SET cents = cents + excluded.cents";
    tables.prepare_cached(add)?.execute((id, change(event)))?;
    let note = "INSERT INTO handled (position) VALUES (?1)";
    tables.prepare_cached(note)?.execute([i64::try_from(position.get())?])?;
    Ok(())
}

fn shown_in(tables: &Connection) -> Shown {
    let mut shown = Shown::default();
    let mut balances = tables.prepare("SELECT account, cents FROM balances").unwrap();
    let rows = balances.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    shown.balances.extend(rows.map(Result::unwrap));
    let mut handled = tables.prepare("SELECT position FROM handled ORDER BY number").unwrap();
    let rows = handled.query_map([], |row| row.get::<_, i64>(0)).unwrap();
    shown.handled.extend(rows.map(|row| u64::try_from(row.unwrap()).unwrap()));
    shown
}

macro_rules! subject {
    ($type:ty, $shows_old:literal, $self:ident => $keeper:expr) => {
        impl Subject for $type {
            type Keeper = Sqlite;
            const LASTS: bool = true;
            const SHOWS_OLD: bool = $shows_old;

            fn keeper(&$self) -> Sqlite {
                $keeper
            }

            fn handle(
                tables: &mut Connection,
                id: &str,
                event: &Event,
                position: Position,
            ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
                apply(tables, id, event, position)
            }

            fn shown(&self, reader: &SqliteReader) -> Shown {
                shown_in(&reader.connect().unwrap())
            }
        }
    };
}

subject!(Own, true, self => Sqlite::owned(self.0.path().join("view.sqlite"), SCHEMA));
subject!(Within, false, self => Sqlite::within(self.path(), SCHEMA, UNDO));

fn bank() -> Annals {
    let annals = Annals::in_memory();
    deposit(&annals.of::<Account>().unwrap(), ["alice", "bob", "alice", "cem"]);
    annals
}

#[test]
fn a_rebuild_that_is_interrupted_goes_on_where_it_was() {
    let (own, annals, faults) = (Own::default(), bank(), Faults::default());
    let open = || own.projection(&annals, &faults).open().unwrap();
    let projection = open();
    projection.run_until_caught_up().unwrap();
    let old = own.shown(&projection.reader());
    projection.rebuild().unwrap();
    faults.fail_at([3]);
    projection.wait_for(Position::new(5), Duration::from_secs(9)).unwrap_err();
    drop(projection);
    assert_eq!(own.files(), ["view.sqlite.v1", "view.sqlite.v2.new"]);

    let projection = open();
    let status = projection.status();
    assert_eq!((status.state, status.position), (State::Rebuilding, Position::new(4)));
    assert_eq!(status.rebuild.unwrap().done, 2);
    assert_eq!(own.shown(&projection.reader()), old);
    let from_elsewhere = SqliteReader::of(own.0.path().join("view.sqlite"));
    let held = from_elsewhere.connect().unwrap();
    assert_eq!(shown_in(&held), old);
    faults.fail_at([]);
    deposit(&annals.of::<Account>().unwrap(), ["alice"]);
    projection.run_until_caught_up().unwrap();
    assert_eq!(own.files(), ["view.sqlite.v1", "view.sqlite.v2"]);
    let new = own.shown(&projection.reader());
    assert_eq!(new, refolded(&annals, &[]));
    assert_eq!(shown_in(&from_elsewhere.connect().unwrap()), new);
    // Who has the old one open still sees that, whole.
    assert_eq!(shown_in(&held), old);

    projection.rebuild().unwrap();
    assert_eq!(own.files(), ["view.sqlite.v2", "view.sqlite.v3.new"]);
    projection.rebuild().unwrap();
    assert_eq!(own.files(), ["view.sqlite.v2", "view.sqlite.v3.new"]);
    drop(projection);
    // A third begins where the second was left.
    let projection = own.projection(&annals, &faults).start_over().open().unwrap();
    projection.run_until_caught_up().unwrap();
    assert_eq!(own.files(), ["view.sqlite.v2", "view.sqlite.v3"]);
    assert_eq!(own.shown(&projection.reader()), new);
}

#[test]
fn a_failed_rebuild_in_place_leaves_what_was_there() {
    let (within, annals, faults) = (Within::default(), bank(), Faults::default());
    let projection = within.projection(&annals, &faults).open().unwrap();
    projection.run_until_caught_up().unwrap();
    drop(projection);
    let broken = Sqlite::within(within.path(), SCHEMA, "DROP TABLE balances; DROP TABLE nothing");
    let projection = Within::view(&annals, &faults).kept_in(broken).open().unwrap();
    let error = projection.rebuild().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::ReadModel);
    assert!(error.to_string().contains("app.sqlite"), "{error}");
    assert_eq!(within.shown(&projection.reader()), refolded(&annals, &[]));
    deposit(&annals.of::<Account>().unwrap(), ["alice"]);
    projection.run_until_caught_up().unwrap();
    assert_eq!(within.shown(&projection.reader()), refolded(&annals, &[]));
}

#[test]
fn a_projection_of_the_same_name_in_the_same_database_is_found_out() {
    for policy in [ErrorPolicy::stop(), ErrorPolicy::park()] {
        let (within, annals, faults) = (Within::default(), bank(), Faults::default());
        let open = || within.projection(&annals, &faults).on_error(policy.clone()).open().unwrap();
        let (first, second) = (open(), open());
        first.run_until_caught_up().unwrap();
        // It is told where the view stands, and that somebody else is at work.
        second.run_until_caught_up().unwrap();
        let error = second.status().last_error.unwrap();
        assert_eq!(error.kind(), &ErrorKind::ReadModel);
        assert!(error.to_string().contains("of this name"), "{error}");
        // It is not the fault of an event.
        assert_eq!(second.parked(), []);
        assert_eq!(within.shown(&first.reader()), refolded(&annals, &[]));
        deposit(&annals.of::<Account>().unwrap(), ["dora"]);
        assert_eq!(second.run_until_caught_up().unwrap_err().kind(), &ErrorKind::ReadModel);
        second.resume();
        second.run_until_caught_up().unwrap();
        assert_eq!(within.shown(&first.reader()), refolded(&annals, &[]));
    }
}

#[test]
fn projections_of_several_names_share_a_database() {
    let (within, annals) = (Within::default(), bank());
    let count = |name: &str| {
        let table = name.to_owned();
        let view = annals.view(name).on::<Account>(move |tables: &mut Connection, _| {
            tables.execute(&format!("UPDATE {table} SET events = events + 1"), [])
        });
        let schema = format!("CREATE TABLE {name} (events INTEGER); INSERT INTO {name} VALUES (0)");
        let keeper = Sqlite::within(within.path(), schema, format!("DROP TABLE {name}"));
        view.kept_in(keeper).open().unwrap()
    };
    let (one, two) = (count("one"), count("two"));
    one.run_until_caught_up().unwrap();
    two.run_until_caught_up().unwrap();
    one.rebuild().unwrap();
    one.run_until_caught_up().unwrap();
    let tables = two.reader().connect().unwrap();
    let both: (i64, i64) = tables
        .query_row("SELECT one.events, two.events FROM one, two", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(both, (4, 4));
}

/// Whatever a handler does with the transaction, nothing is kept without its checkpoint.
#[test]
fn a_handler_that_ends_the_transaction_has_failed() {
    for end in ["ROLLBACK", "COMMIT", "COMMIT; BEGIN", "ROLLBACK; BEGIN"] {
        for is_told in [true, false] {
            let (within, annals) = (Within::default(), bank());
            let view = annals.view("accounts").on::<Account>(move |tables: &mut Connection, e| {
                apply(tables, e.id(), e.event(), e.position())?;
                let ended = match e.position().get() {
                    2 => tables.execute_batch(end),
                    _ => Ok(()),
                };
                if is_told { ended } else { Ok(()) }
                    .map_err(Box::<dyn std::error::Error + Send + Sync>::from)
            });
            let projection = view.kept_in(within.keeper()).open().unwrap();
            let error = projection.run_until_caught_up().unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::ReadModel | ErrorKind::View),
                "{end}: {error}"
            );
            let shown = within.shown(&projection.reader());
            assert!(shown == Shown::default() || shown.handled == [1], "{end}: {shown:?}");
        }
    }
}

#[test]
fn a_database_that_somebody_else_keeps_busy_is_tried_again() {
    let (within, annals, faults) = (Within::default(), bank(), Faults::default());
    let policy = ErrorPolicy::retry(1_000, Duration::from_millis(1))
        .at_most_every(Duration::from_millis(1))
        .then_park();
    let projection = within.projection(&annals, &faults).on_error(policy).open().unwrap();
    let other = Connection::open(within.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let behind = projection.wait_for(Position::new(4), Duration::from_millis(1)).unwrap_err();
    assert_eq!(behind.kind(), &ErrorKind::Behind { position: Position::START });
    let status = projection.status();
    assert_eq!(status.last_error.unwrap().kind(), &ErrorKind::ReadModel);
    assert!(status.errors > 0);
    other.execute_batch("COMMIT").unwrap();
    projection.run_until_caught_up().unwrap();
    assert_eq!(projection.parked(), []);
    assert_eq!(within.shown(&projection.reader()), refolded(&annals, &[]));
}

#[test]
fn what_cannot_be_a_database_of_a_projection_is_named() {
    let (directory, annals, faults) = (Directory::new(), bank(), Faults::default());
    let open = |keeper: Sqlite| Own::view(&annals, &faults).kept_in(keeper).open().unwrap_err();
    let nowhere = directory.path().join("no").join("view.sqlite");
    let error = open(Sqlite::within(&nowhere, SCHEMA, UNDO));
    assert_eq!(error.kind(), &ErrorKind::ReadModel);
    assert!(error.to_string().contains("view.sqlite"), "{error}");
    assert_eq!(open(Sqlite::owned(&nowhere, SCHEMA)).kind(), &ErrorKind::ReadModel);
    let error = SqliteReader::of(directory.path().join("view.sqlite")).connect().unwrap_err();
    assert!(error.to_string().contains("no view yet"), "{error}");

    let text = directory.path().join("text");
    fs::write(&text, "This is a text, and not a database at all.").unwrap();
    assert_eq!(open(Sqlite::within(&text, SCHEMA, UNDO)).kind(), &ErrorKind::ReadModel);
    for nothing in ["", ":memory:"] {
        let error = open(Sqlite::within(nothing, SCHEMA, UNDO));
        assert!(error.to_string().contains("no file"), "{error}");
    }
    let error = open(Sqlite::owned(directory.path().join("v"), "CREATE NONSENSE"));
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("NONSENSE"));

    // A checkpoint that annals has not written.
    let path = directory.path().join("odd.sqlite");
    let keeper = || Sqlite::within(&path, SCHEMA, UNDO);
    let projection = Own::view(&annals, &faults).kept_in(keeper()).open().unwrap();
    projection.run_until_caught_up().unwrap();
    drop(projection);
    let database = Connection::open(&path).unwrap();
    for odd in ["{}", "nonsense", "{\"position\":-1}"] {
        database.execute("UPDATE annals_checkpoints SET checkpoint = ?1", [odd]).unwrap();
        let error = open(keeper());
        assert_eq!(error.kind(), &ErrorKind::ReadModel);
        assert!(error.to_string().contains("odd.sqlite"), "{error}");
    }
}

/// A revision counts from the moment at which its tables are made, and not from its first event on.
#[test]
fn a_revision_that_has_handled_nothing_is_known_all_the_same() {
    for subject in [Sqlite::owned, |path, schema| Sqlite::within(path, schema, "DROP TABLE t")] {
        let (directory, annals) = (Directory::new(), Annals::in_memory());
        let path = directory.path().join("t.sqlite");
        let open = |revision: u64, column: &'static str| {
            let view = annals.view("t").on::<Account>(move |tables: &mut Connection, e| {
                tables.execute(&format!("INSERT INTO t ({column}) VALUES (?1)"), [e.id()])
            });
            let keeper = subject(path.clone(), format!("CREATE TABLE t ({column})"));
            view.kept_in(keeper).revision(revision)
        };
        open(1, "old").open().unwrap().run_until_caught_up().unwrap();
        let error = open(2, "new").open().unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Revision { kept: 1 });
        let projection = open(2, "new").start_over_if_changed().open().unwrap();
        deposit(&annals.of::<Account>().unwrap(), ["alice"]);
        projection.run_until_caught_up().unwrap();
    }
}

#[test]
fn a_view_of_another_store_shows_nothing_of_this_one() {
    let (own, other, annals, faults) =
        (Own::default(), bank(), Annals::in_memory(), Faults::default());
    own.projection(&other, &faults).open().unwrap().run_until_caught_up().unwrap();
    let projection = own.projection(&annals, &faults).start_over().open().unwrap();
    assert_eq!(projection.status().position, Position::START);
    deposit(&annals.of::<Account>().unwrap(), ["cem"]);
    projection.wait_for(Position::new(1), Duration::from_secs(9)).unwrap();
    assert_eq!(own.shown(&projection.reader()), refolded(&annals, &[]));
}

#[test]
fn a_database_of_its_own_is_had_by_one_projection_at_a_time() {
    let (own, annals, faults) = (Own::default(), bank(), Faults::default());
    let first = own.projection(&annals, &faults).open().unwrap();
    let error = own.projection(&annals, &faults).open().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::ReadModel);
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("has it open"));
    drop(first);
    own.projection(&annals, &faults).open().unwrap().run_until_caught_up().unwrap();
    let renamed = annals.view("renamed").on::<Account>(|_: &mut Connection, _| ());
    let error = renamed.kept_in(own.keeper()).open().unwrap_err();
    assert!(error.to_string().contains("\"accounts\""), "{error}");
}

/// Replaying moves no position, so positions alone do not tell two handles apart.
#[test]
fn two_handles_do_not_replay_the_same_event() {
    let (within, annals, faults) = (Within::default(), bank(), Faults::default());
    faults.fail_at([2]);
    let open = || within.projection(&annals, &faults).on_error(ErrorPolicy::park()).open().unwrap();
    let first = open();
    first.run_until_caught_up().unwrap();
    let second = open();
    faults.fail_at([]);
    assert_eq!(first.replay_parked().unwrap(), 1);
    // It finds out that there is nothing left to replay.
    assert_eq!((second.replay_parked().unwrap(), second.parked()), (0, vec![]));
    assert_eq!(within.shown(&first.reader()).handled, [1, 3, 4, 2]);
}

#[test]
fn files_beside_the_view_are_not_taken_for_it() {
    let (own, annals, faults) = (Own::default(), bank(), Faults::default());
    for odd in ["v07", "v+7", "20240131", "v20240131.bak", "v18446744073709551616", "x.v9"] {
        fs::write(own.0.path().join(format!("view.sqlite.{odd}")), "").unwrap();
    }
    let projection = own.projection(&annals, &faults).open().unwrap();
    projection.run_until_caught_up().unwrap();
    assert_eq!(own.shown(&projection.reader()), refolded(&annals, &[]));
    projection.rebuild().unwrap();
    projection.run_until_caught_up().unwrap();
    assert_eq!(own.shown(&projection.reader()), refolded(&annals, &[]));
    drop(projection);
    // A number behind which there is none is an error, and no panic.
    let last = format!("view.sqlite.v{}", u64::MAX);
    fs::rename(own.0.path().join("view.sqlite.v2"), own.0.path().join(last)).unwrap();
    let projection = own.projection(&annals, &faults).open().unwrap();
    assert_eq!(projection.rebuild().unwrap_err().kind(), &ErrorKind::ReadModel);
    projection.run_until_caught_up().unwrap();
}

#[test]
fn an_event_is_not_parked_for_a_full_database() {
    let (within, annals, faults) = (Within::default(), bank(), Faults::default());
    let view = annals.view("accounts").on::<Account>(|tables: &mut Connection, e| {
        tables.pragma_update(None, "max_page_count", 10)?;
        tables.execute(
            "INSERT INTO balances VALUES (?1 || ?2, zeroblob(100000))",
            (e.id(), position(e)),
        )
    });
    let projection = view.kept_in(within.keeper()).on_error(ErrorPolicy::park()).open().unwrap();
    let error = projection.run_until_caught_up().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::View);
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("full"), "{error}");
    assert_eq!(projection.parked(), []);
    drop(projection);
    within.projection(&annals, &faults).open().unwrap().run_until_caught_up().unwrap();
}

#[test]
fn every_connection_is_prepared() {
    let (own, annals) = (Own::default(), bank());
    // A temporary table belongs to a connection.
    let factor = "CREATE TEMP TABLE factor AS SELECT 2 AS n";
    let keeper = own.keeper().prepared_by(move |connection| connection.execute_batch(factor));
    let view = annals.view("accounts").on::<Account>(|tables: &mut Connection, e| {
        let add = "INSERT INTO handled (position) SELECT ?1 * n FROM factor";
        tables.execute(add, [position(e)])
    });
    let projection = view.kept_in(keeper).open().unwrap();
    projection.run_until_caught_up().unwrap();
    let tables = projection.reader().connect().unwrap();
    let last = "SELECT n * max(position) FROM handled, factor";
    let last: i64 = tables.query_row(last, [], |row| row.get(0)).unwrap();
    assert_eq!(last, 16);
}

fn position(e: &annals::RecordedEvent<'_>) -> i64 {
    i64::try_from(e.position().get()).unwrap()
}

/// Many threads read while the projection goes on and is rebuilt: what they see is always what some first events make.
#[test]
fn readers_see_whole_batches_also_while_the_view_is_rebuilt() {
    let (own, annals, faults) = (Own::default(), Annals::in_memory(), Faults::default());
    let accounts = annals.of::<Account>().unwrap();
    deposit(&accounts, ["alice"; 50]);
    let projection = own.projection(&annals, &faults).spawn().unwrap();
    projection.wait_for(Position::new(50), Duration::from_secs(30)).unwrap();
    let seen = Mutex::new(0);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let reader = projection.reader();
                let (seen, own) = (&seen, &own);
                scope.spawn(move || {
                    let mut last = 0;
                    while last < 150 {
                        let handled = own.shown(&reader).handled;
                        let expected: Vec<u64> = (1..=handled.len() as u64).collect();
                        assert_eq!(handled, expected);
                        assert!(handled.len() >= last, "it went back from {last}");
                        last = handled.len();
                        *seen.lock().unwrap() += 1;
                    }
                })
            })
            .collect();
        for round in 0..10 {
            deposit(&accounts, ["bob"; 10]);
            if round % 3 == 0 {
                projection.rebuild().unwrap();
            }
        }
        projection.wait_for(Position::new(150), Duration::from_secs(30)).unwrap();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    assert!(*seen.lock().unwrap() > 10);
    let deleted = projection.reader().connect().unwrap().execute("DELETE FROM handled", []);
    assert!(matches!(deleted, Err(rusqlite::Error::SqliteFailure(..))), "it is for reading");
}
