//! Projections: views that are kept up to date, in memory and in SQLite.

mod subject;
mod laws;
mod chance;
mod threads;
mod at_least_once;
mod checkpoints;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "sqlite")]
mod view_laws;
