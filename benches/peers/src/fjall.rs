//! fjall: events by position, and two keyspaces that lead there.

use std::path::Path;
use std::sync::Mutex;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::contender::{Contender, Mode, Setting};
use crate::values::{decode, place};
use crate::workload::{Commit, Write};

/// As redb has it by default.
const CACHE_BYTES: u64 = 1 << 30;

pub struct Fjall {
    database: Database,
    events: Keyspace,
    streams: Keyspace,
    ids: Keyspace,
    /// The last position. Whoever holds it checks and writes.
    last: Mutex<u64>,
    mode: Mode,
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(*bytes.last_chunk().unwrap())
}

fn stream_key(stream: &str, version: Option<u64>) -> Vec<u8> {
    let mut key = [stream.as_bytes(), b"\0"].concat();
    key.extend(version.into_iter().flat_map(u64::to_be_bytes));
    key
}

impl Fjall {
    fn check(&self, write: &Write) {
        let last = self.streams.prefix(stream_key(&write.stream, None)).next_back();
        assert_eq!(last.map_or(0, |last| number(&last.key().unwrap())), write.expected);
    }
}

impl Contender for Fjall {
    const NAME: &'static str = "fjall";
    const SETTINGS: &'static [Setting] = &[
        ("one batch a commit", "https://docs.rs/fjall/3.1.13/fjall/struct.OwnedWriteBatch.html"),
        (
            "then persist(SyncData), outside the writers' lock",
            "https://docs.rs/fjall/3.1.13/fjall/enum.PersistMode.html",
        ),
        (
            "cache_size 1 GiB",
            "https://docs.rs/fjall/3.1.13/fjall/struct.DatabaseBuilder.html#method.cache_size",
        ),
        (
            "bulk: memtables are flushed at the end, then persist(SyncAll)",
            "https://docs.rs/fjall/3.1.13/fjall/struct.Database.html#method.persist",
        ),
    ];
    type Commit = Commit;

    fn open(directory: &Path, mode: Mode) -> Self {
        let database = Database::builder(directory).cache_size(CACHE_BYTES).open().unwrap();
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default).unwrap();
        let (events, streams, ids) = (keyspace("events"), keyspace("streams"), keyspace("ids"));
        let last = events.last_key_value().map_or(0, |last| number(&last.key().unwrap()));
        Self { database, events, streams, ids, last: Mutex::new(last), mode }
    }

    fn prepare(commit: &Commit) -> Commit {
        commit.clone()
    }

    fn append(&self, commit: Commit) {
        let mut last = self.last.lock().unwrap();
        let mut batch = self.database.batch();
        place(
            &commit,
            *last,
            |write| self.check(write),
            |event| {
                let (position, id) = (event.position.to_be_bytes(), event.id.as_bytes());
                assert!(!self.ids.contains_key(id).unwrap());
                let key = stream_key(&event.write.stream, Some(event.version));
                batch.insert(&self.streams, key, position);
                batch.insert(&self.ids, id, position);
                batch.insert(&self.events, position, event.value);
            },
        );
        batch.commit().unwrap();
        *last += commit.events() as u64;
        drop(last);
        if self.mode == Mode::Durable {
            self.database.persist(PersistMode::SyncData).unwrap();
        }
    }

    fn replay(&self, mut look: impl FnMut(&str, &[u8])) {
        for event in self.events.iter() {
            let value = event.value().unwrap();
            let (kind, payload) = decode(&value);
            look(kind, payload);
        }
    }

    fn stream(&self, stream: &str, mut look: impl FnMut(&str, &[u8])) {
        for entry in self.streams.prefix(stream_key(stream, None)) {
            let value = self.events.get(entry.value().unwrap()).unwrap().unwrap();
            let (kind, payload) = decode(&value);
            look(kind, payload);
        }
    }

    fn close(self) {
        if self.mode == Mode::Bulk {
            for keyspace in [&self.events, &self.streams, &self.ids] {
                keyspace.rotate_memtable_and_wait().unwrap();
            }
        }
        self.database.persist(PersistMode::SyncAll).unwrap();
    }
}
