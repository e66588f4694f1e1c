//! SQLite: one table, indexed by stream and by id.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use uuid::Uuid;

use crate::contender::{Contender, Mode, Setting};
use crate::workload::Commit;

/// One connection, which threads take turns with.
pub struct Sqlite {
    connection: Mutex<Connection>,
    path: PathBuf,
    mode: Mode,
}

const FILE: &str = "events.sqlite";
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY, stream TEXT NOT NULL, version INTEGER NOT NULL, id BLOB NOT NULL, type TEXT NOT NULL,
    schema INTEGER NOT NULL, recorded_at INTEGER NOT NULL, ordinal INTEGER NOT NULL, count INTEGER NOT NULL,
    correlation BLOB, causation BLOB, actor TEXT, headers TEXT NOT NULL, payload BLOB NOT NULL) STRICT;
  CREATE UNIQUE INDEX IF NOT EXISTS by_stream ON events (stream, version);
  CREATE UNIQUE INDEX IF NOT EXISTS by_id ON events (id);";

fn connect(directory: &Path, mode: Mode) -> Connection {
    std::fs::create_dir_all(directory).unwrap();
    let connection = Connection::open(directory.join(FILE)).unwrap();
    let synchronous = if mode == Mode::Bulk { "OFF" } else { "FULL" };
    for (name, value) in [
        ("journal_mode", "WAL"),
        ("synchronous", synchronous),
        ("mmap_size", "2147418112"),
        ("cache_size", "-65536"),
    ] {
        connection.pragma_update(None, name, value).unwrap();
    }
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch(SCHEMA).unwrap();
    connection
}

/// Checks the versions and inserts the events of a commit.
fn insert(transaction: &Transaction<'_>, commit: &Commit) {
    let prepare = |sql| transaction.prepare_cached(sql).unwrap();
    let mut last =
        prepare("SELECT version FROM events WHERE stream = ? ORDER BY version DESC LIMIT 1");
    let mut add =
        prepare("INSERT INTO events VALUES (NULL, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?)");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64;
    let (count, mut ordinal, context) = (commit.events() as i64, 0_i64, &commit.context);
    let headers = format!(r#"{{"branch":"{}"}}"#, context.branch);
    for write in &commit.writes {
        let version: Option<i64> =
            last.query_row([&write.stream], |row| row.get(0)).optional().unwrap();
        let expected = write.expected as i64;
        assert_eq!(version.unwrap_or(0), expected);
        for (version, fact) in (expected + 1..).zip(&write.facts) {
            let (id, correlation) = (Uuid::now_v7(), context.correlation.as_bytes());
            let causation = context.causation.as_bytes();
            let row = params![
                write.stream,
                version,
                id.as_bytes(),
                fact.kind,
                now,
                ordinal,
                count,
                correlation,
                causation,
                context.actor,
                headers,
                fact.payload
            ];
            add.execute(row).unwrap();
            ordinal += 1;
        }
    }
}

fn commit(connection: &mut Connection, commits: &[Commit]) {
    let behavior = TransactionBehavior::Immediate;
    let transaction = connection.transaction_with_behavior(behavior).unwrap();
    commits.iter().for_each(|commit| insert(&transaction, commit));
    transaction.commit().unwrap();
}

impl Sqlite {
    fn show(&self, sql: &str, stream: &[&str], mut look: impl FnMut(&str, &[u8])) {
        let connection = self.connection.lock().unwrap();
        let mut statement = connection.prepare_cached(sql).unwrap();
        let mut rows = statement.query(rusqlite::params_from_iter(stream)).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let (kind, payload) = (row.get_ref(0).unwrap(), row.get_ref(1).unwrap());
            look(kind.as_str().unwrap(), payload.as_blob().unwrap());
        }
    }
}

impl Contender for Sqlite {
    const NAME: &'static str = "SQLite";
    const SETTINGS: &'static [Setting] = &[
        ("journal_mode WAL", "https://sqlite.org/wal.html"),
        ("synchronous FULL", "https://sqlite.org/pragma.html#pragma_synchronous"),
        ("mmap_size 2 GiB, the most it takes", "https://sqlite.org/pragma.html#pragma_mmap_size"),
        ("cache_size 64 MiB", "https://sqlite.org/pragma.html#pragma_cache_size"),
        (
            "cached statements",
            "https://docs.rs/rusqlite/0.43.0/rusqlite/struct.Connection.html#method.prepare_cached",
        ),
        ("threads take turns with one connection", "https://sqlite.org/wal.html#concurrency"),
        ("bulk: synchronous OFF", "https://sqlite.org/pragma.html#pragma_synchronous"),
        (
            "and a synced checkpoint at the end",
            "https://sqlite.org/pragma.html#pragma_wal_checkpoint",
        ),
    ];
    type Commit = Commit;

    fn open(directory: &Path, mode: Mode) -> Self {
        let connection = Mutex::new(connect(directory, mode));
        Self { connection, path: directory.join(FILE), mode }
    }

    fn prepare(commit: &Commit) -> Commit {
        commit.clone()
    }

    fn append(&self, new: Commit) {
        commit(&mut self.connection.lock().unwrap(), &[new]);
    }

    fn replay(&self, look: impl FnMut(&str, &[u8])) {
        self.show("SELECT type, payload FROM events ORDER BY position", &[], look);
    }

    fn stream(&self, stream: &str, look: impl FnMut(&str, &[u8])) {
        self.show(
            "SELECT type, payload FROM events WHERE stream = ? ORDER BY version",
            &[stream],
            look,
        );
    }

    fn close(self) {
        let connection = self.connection.into_inner().unwrap();
        if self.mode == Mode::Bulk {
            connection.pragma_update(None, "synchronous", "FULL").unwrap();
        }
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        connection.close().map_err(|(_, error)| error).unwrap();
        if self.mode == Mode::Bulk {
            // The last checkpoint syncs only if it finds something to do, and earlier ones did not sync.
            File::open(self.path).unwrap().sync_all().unwrap();
        }
    }
}

/// A commit, and who waits for it.
type Waiting = (Commit, Sender<()>);

/// SQLite behind a queue that is written by hand: one thread writes all that wait, together.
pub struct Queued {
    queue: Option<Sender<Waiting>>,
    writer: Option<JoinHandle<()>>,
    reader: Sqlite,
}

fn write_all(mut connection: Connection, queue: &Receiver<Waiting>) {
    let mut last = 0;
    while let Ok(first) = queue.recv() {
        let waiting = collect(first, queue, last);
        last = waiting.len();
        let (commits, answers): (Vec<Commit>, Vec<Sender<()>>) = waiting.into_iter().unzip();
        commit(&mut connection, &commits);
        answers.iter().for_each(|answer| answer.send(()).unwrap());
    }
}

/// Takes what waits, once those are back who were answered last.
fn collect(first: Waiting, queue: &Receiver<Waiting>, last: usize) -> Vec<Waiting> {
    let (mut waiting, mut patience) = (vec![first], 32);
    loop {
        let before = waiting.len();
        waiting.extend(queue.try_iter());
        if waiting.len() >= last || patience == 0 {
            return waiting;
        }
        if waiting.len() == before {
            patience -= 1;
        }
        thread::yield_now();
    }
}

impl Contender for Queued {
    const NAME: &'static str = "SQLite, queued";
    const SETTINGS: &'static [Setting] = &[(
        "as SQLite, and one thread writes all that waits for it in one transaction",
        "https://sqlite.org/faq.html#q19",
    )];
    type Commit = Commit;

    fn open(directory: &Path, mode: Mode) -> Self {
        let connection = connect(directory, mode);
        let (sender, queue) = channel();
        let writer = Some(thread::spawn(move || write_all(connection, &queue)));
        Self { queue: Some(sender), writer, reader: Sqlite::open(directory, mode) }
    }

    fn prepare(commit: &Commit) -> Commit {
        commit.clone()
    }

    fn append(&self, commit: Commit) {
        let (answer, answered) = channel();
        self.queue.as_ref().unwrap().send((commit, answer)).unwrap();
        answered.recv().unwrap();
    }

    fn replay(&self, look: impl FnMut(&str, &[u8])) {
        self.reader.replay(look);
    }

    fn stream(&self, stream: &str, look: impl FnMut(&str, &[u8])) {
        self.reader.stream(stream, look);
    }

    fn close(self) {}
}

impl Queued {
    fn end(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            writer.join().unwrap();
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.end();
    }
}
