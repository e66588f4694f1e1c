//! Views in SQLite.

mod place;
mod database;
mod keeper;

pub use keeper::{Sqlite, SqliteReader};
