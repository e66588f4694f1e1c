//! Moving history: a store's events as lines of JSON, out of any store and into any other.
//!
//! [`export`] writes what a query asks for, one event a line. [`Import`] reads it back, either as a copy that is the same
//! in everything, or behind what a store holds already. Both know nothing of a store but its
//! [port](crate::store::EventStore), and take the same little memory however long the history is.
//!
//! ```
//! use annals::store::{Batches, Commit, Durability, EventStore, Expected, FileStore, MemoryStore, Query};
//! use annals::transfer::{Import, export};
//! use annals::{NewEvent, id::EventType};
//!
//! let store = MemoryStore::new();
//! let deposited = NewEvent::new(EventType::new("Deposited")?, &serde_json::json!({ "cents": 5 }))?;
//! store.append(Commit::new().write("account/alice".parse()?, Expected::Empty, [deposited]))?;
//!
//! let mut lines = Vec::new();
//! export(&store, Query::default(), &mut lines, |_| {})?;
//!
//! # let directory = std::env::temp_dir().join(format!("annals-doc-transfer-{}", std::process::id()));
//! let copy = FileStore::options().durability(Durability::Buffered).open(&directory)?;
//! let report = Import::copy().run(&copy, &lines[..], |_| {})?;
//! copy.sync()?;
//! assert_eq!((report.written, report.already_there), (1, 0));
//!
//! let mut again = Vec::new();
//! export(&copy, Query::default(), &mut again, |_| {})?;
//! assert_eq!(again, lines);
//! # drop(copy);
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The format
//!
//! Each line is a JSON object; it is broken here for the eye alone.
//!
//! ```
//! # let lines = r#"
//! {"position":1,"stream":"account/alice","version":1,"commit":{"ordinal":0,"count":1},
//!  "id":"018df4b4-1b80-7000-8000-000000000001","type":"Deposited","schema":1,
//!  "recorded_at":"2024-02-29T12:00:00.000000Z","occurred_at":"2024-02-29T11:59:58.250000Z",
//!  "correlation":"6e0c1f5a-90a2-4a0e-a5b3-3f6b5b0f6e11","causation":"018df4b4-1b80-7000-8000-000000000000",
//!  "actor":"ann","headers":{"ip":"192.0.2.7"},"tags":["plan:basic"],"payload":{"cents":5}}
//! # "#.trim().replace("\n ", "");
//! # let store = annals::store::MemoryStore::new();
//! # annals::transfer::Import::copy().run(&store, lines.as_bytes(), |_| {})?;
//! # let mut again = Vec::new();
//! # annals::transfer::export(&store, annals::store::Query::default(), &mut again, |_| {})?;
//! # assert_eq!(String::from_utf8(again)?.trim(), lines);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * `commit` is the event's place in its commit: `count` lines in a row, numbered by `ordinal` from 0, were written together.
//! * Times are as in RFC 3339, in UTC and with microseconds. (Years beyond 9999 have a sign and more digits.)
//! * `occurred_at`, `correlation`, `causation`, `actor`, `headers` and `tags` are left out where there is nothing to say.
//! * `payload` is the JSON that was stored, byte for byte. A payload that was stored with line breaks between its parts
//!   would break the line; in its place stands `payload_text`, the same bytes as a JSON string (in `jq`:
//!   `if has("payload") then .payload else (.payload_text | fromjson) end`).
//! * A payload [in binary](crate::Encoding::Binary) stands in `payload_binary`, each byte as two hexadecimal digits, and is binary again where
//!   it is imported, whatever the store's own encoding.
//! * A reader passes over blank lines, and takes the payload as it stands in the line, so what another tool formats anew is stored anew. Other fields may
//!   come in any order; one that it does not know is refused, lest anything be lost in silence.
//!
//! The same history gives the same bytes. A file that was cut off within a commit is refused at its end; one that was cut
//! off between two commits is a shorter history, so compare its last position with the store's head.

mod line;
mod export;
mod lines;
mod pending;
mod import;

pub use export::export;
pub use import::{Import, ImportReport};
