//! The checker of the laws of views: a right view passes, and each wrong one is rejected for the law that it breaks.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use annals::projection::{Memory, MemoryReader, Sqlite, SqliteReader};
use annals::rusqlite::{self, Connection};
use annals::testing::{BrokenLaws, ViewLaw, ViewLaws};
use annals::view::ViewBuilder;
use annals::{Annals, Recorded};

use super::subject::{Shown, change};
use crate::account::{Account, Command};
use crate::directory::Directory;

const SCHEMA: &str = "CREATE TABLE lines (
    position INTEGER NOT NULL PRIMARY KEY, account TEXT NOT NULL, cents INTEGER NOT NULL)";

const ADD: &str = "INSERT OR IGNORE INTO lines VALUES (?1, ?2, ?3)";

fn position(e: &Recorded<'_, Account>) -> i64 {
    i64::try_from(e.position().get()).unwrap()
}

fn add(tables: &Connection, e: &Recorded<'_, Account>, cents: i64) -> rusqlite::Result<usize> {
    tables.execute(ADD, (position(e), e.id(), cents))
}

/// A line of a ledger for each event: handled twice, it stands there once.
fn right(annals: &Annals, _: &SqliteReader) -> ViewBuilder<Connection> {
    annals
        .view("ledger")
        .on::<Account>(|tables: &mut Connection, e| add(tables, e, change(e.event())))
}

/// Asks the store for the balance: it is that of today.
fn asks_the_store(annals: &Annals, _: &SqliteReader) -> ViewBuilder<Connection> {
    let accounts = annals.of::<Account>().unwrap();
    annals.view("ledger").on::<Account>(move |tables: &mut Connection, e| {
        let cents = accounts.load(e.id()).unwrap().state().cents;
        add(tables, e, i64::try_from(cents).unwrap())
    })
}

/// Looks at the view through another connection: it sees what was kept before.
fn looks_at_what_is_kept(annals: &Annals, reader: &SqliteReader) -> ViewBuilder<Connection> {
    let reader = reader.clone();
    annals.view("ledger").on::<Account>(move |tables: &mut Connection, e| {
        let kept = reader.connect().unwrap();
        let lines: i64 = kept.query_row("SELECT count(*) FROM lines", [], |row| row.get(0))?;
        add(tables, e, change(e.event()) + 100 * lines)
    })
}

/// Remembers the event before, in the process.
fn remembers_beside_the_view(annals: &Annals, _: &SqliteReader) -> ViewBuilder<Connection> {
    let before = AtomicI64::new(0);
    annals.view("ledger").on::<Account>(move |tables: &mut Connection, e| {
        add(tables, e, position(e) - before.swap(position(e), Ordering::SeqCst))
    })
}

/// Adds each time it is asked to.
fn adds_each_time(annals: &Annals, _: &SqliteReader) -> ViewBuilder<Connection> {
    annals.view("ledger").on::<Account>(|tables: &mut Connection, e| {
        let sum =
            "INSERT INTO lines VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET cents = cents + ?3";
        tables.execute(sum, (position(e), e.id(), change(e.event())))
    })
}

fn shown_in(reader: &SqliteReader) -> Vec<(i64, String, i64)> {
    let tables = reader.connect().unwrap();
    let mut lines = tables.prepare("SELECT * FROM lines ORDER BY position").unwrap();
    let rows = lines.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn history(annals: &Annals, step: usize) -> Result<(), Failure> {
    let accounts = annals.of::<Account>()?;
    accounts.execute(["alice", "bob", "cem"][step % 3], Command::Deposit(3 + step as u64))?;
    if step % 4 == 3 {
        accounts.execute("alice", Command::Withdraw(1))?;
    }
    Ok(())
}

fn broken_by(view: fn(&Annals, &SqliteReader) -> ViewBuilder<Connection>) -> Vec<ViewLaw> {
    let directory = Directory::new();
    let keeper = |place: usize| Sqlite::owned(directory.path().join(place.to_string()), SCHEMA);
    // The place that the view is kept in is the last one that a keeper was made for.
    let last = Arc::new(std::sync::Mutex::new(0));
    let its_last = Arc::clone(&last);
    let laws = ViewLaws::new(
        |annals| {
            let reader = SqliteReader::of(directory.path().join(last.lock().unwrap().to_string()));
            view(annals, &reader)
        },
        |place| {
            *its_last.lock().unwrap() = place;
            keeper(place)
        },
        shown_in,
    );
    match laws.may_repeat().check(8, history) {
        Ok(()) => Vec::new(),
        Err(error) => {
            let broken = error.downcast::<BrokenLaws>().unwrap();
            assert!(broken.to_string().contains("it shows"), "{broken}");
            broken.laws()
        }
    }
}

#[test]
fn a_right_view_keeps_the_laws_and_each_wrong_one_breaks_one_of_them() {
    assert_eq!(broken_by(right), []);
    assert_eq!(broken_by(asks_the_store), [ViewLaw::Rebuild]);
    assert_eq!(broken_by(looks_at_what_is_kept), [ViewLaw::BatchSize]);
    assert_eq!(broken_by(remembers_beside_the_view), [ViewLaw::Resume]);
    assert_eq!(broken_by(adds_each_time), [ViewLaw::Repetition]);
}

#[test]
fn a_view_in_memory_keeps_the_laws_but_may_not_be_repeated_if_it_adds() {
    let laws = || {
        ViewLaws::new(
            |annals: &Annals| {
                annals.view("accounts").on::<Account>(|shown: &mut Shown, e| {
                    shown.apply(e.id(), e.event(), e.position());
                })
            },
            |_| Memory::new(),
            |reader: &MemoryReader<Shown>| reader.view().clone(),
        )
    };
    laws().check(12, history).unwrap();
    let broken = laws().may_repeat().check(12, history).unwrap_err();
    let broken = broken.downcast::<BrokenLaws>().unwrap();
    assert_eq!(broken.laws(), [ViewLaw::Repetition]);
}

#[test]
fn whatever_goes_wrong_in_a_check_is_told() {
    let laws =
        |fails: bool| {
            ViewLaws::new(
                move |annals: &Annals| {
                    annals.view("accounts").on::<Account>(move |_: &mut u64, _| {
                        if fails { Err("no good") } else { Ok(()) }
                    })
                },
                |_| Memory::new(),
                |reader: &MemoryReader<u64>| *reader.view(),
            )
        };
    let error = laws(true).check(1, history).unwrap_err();
    assert_eq!(error.downcast::<annals::Error>().unwrap().kind(), &annals::ErrorKind::View);
    let nothing = laws(false).check(3, |_, _| Ok(())).unwrap_err();
    assert!(nothing.to_string().contains("concerns the view"), "{nothing}");
    let steps = Cell::new(0);
    let error = laws(false).check(3, |_, step| {
        steps.set(step);
        if step == 1 { Err("no history".into()) } else { Ok(()) }
    });
    assert_eq!((error.unwrap_err().to_string(), steps.get()), ("no history".into(), 1));
}
