//! redb: events by position, and two tables that lead there.

use std::path::Path;

use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};

use crate::contender::{Contender, Mode, Setting};
use crate::values::{decode, place};
use crate::workload::Commit;

const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
const STREAMS: TableDefinition<'_, (&str, u64), u64> = TableDefinition::new("streams");
const IDS: TableDefinition<'_, u128, u64> = TableDefinition::new("ids");

pub struct Redb {
    database: Database,
    mode: Mode,
}

fn insert(transaction: &WriteTransaction, commit: &Commit) {
    let mut events = transaction.open_table(EVENTS).unwrap();
    let streams = std::cell::RefCell::new(transaction.open_table(STREAMS).unwrap());
    let mut ids = transaction.open_table(IDS).unwrap();
    let last = events.last().unwrap().map_or(0, |(position, _)| position.value());
    let check = |write: &crate::workload::Write| {
        let streams = streams.borrow();
        let mut range = streams.range((&*write.stream, 0)..=(&*write.stream, u64::MAX)).unwrap();
        let last = range.next_back().map_or(0, |last| last.unwrap().0.value().1);
        assert_eq!(last, write.expected);
    };
    place(commit, last, check, |event| {
        let key = (&*event.write.stream, event.version);
        streams.borrow_mut().insert(key, event.position).unwrap();
        assert!(ids.insert(event.id.as_u128(), event.position).unwrap().is_none());
        events.insert(event.position, &*event.value).unwrap();
    });
}

impl Contender for Redb {
    const NAME: &'static str = "redb";
    const SETTINGS: &'static [Setting] = &[
        ("Durability::Immediate", "https://docs.rs/redb/4.6.0/redb/enum.Durability.html"),
        (
            "cache 1 GiB, as by default",
            "https://docs.rs/redb/4.6.0/redb/struct.Builder.html#method.set_cache_size",
        ),
        (
            "bulk: Durability::None, and an immediate commit at the end",
            "https://docs.rs/redb/4.6.0/redb/enum.Durability.html",
        ),
    ];
    type Commit = Commit;

    fn open(directory: &Path, mode: Mode) -> Self {
        std::fs::create_dir_all(directory).unwrap();
        let database = Database::create(directory.join("events.redb")).unwrap();
        Self { database, mode }
    }

    fn prepare(commit: &Commit) -> Commit {
        commit.clone()
    }

    fn append(&self, commit: Commit) {
        let mut transaction = self.database.begin_write().unwrap();
        if self.mode == Mode::Bulk {
            transaction.set_durability(Durability::None).unwrap();
        }
        insert(&transaction, &commit);
        transaction.commit().unwrap();
    }

    fn replay(&self, mut look: impl FnMut(&str, &[u8])) {
        let events = self.database.begin_read().unwrap().open_table(EVENTS).unwrap();
        for event in events.iter().unwrap() {
            let (_, value) = event.unwrap();
            let (kind, payload) = decode(value.value());
            look(kind, payload);
        }
    }

    fn stream(&self, stream: &str, mut look: impl FnMut(&str, &[u8])) {
        let transaction = self.database.begin_read().unwrap();
        let events = transaction.open_table(EVENTS).unwrap();
        let streams = transaction.open_table(STREAMS).unwrap();
        for entry in streams.range((stream, 0)..=(stream, u64::MAX)).unwrap() {
            let value = events.get(entry.unwrap().1.value()).unwrap().unwrap();
            let (kind, payload) = decode(value.value());
            look(kind, payload);
        }
    }

    fn close(self) {
        if self.mode == Mode::Bulk {
            self.database.begin_write().unwrap().commit().unwrap();
        }
        self.database.close().unwrap();
    }
}
