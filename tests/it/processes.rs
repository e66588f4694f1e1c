//! Process managers.

#[path = "../subjects/errands.rs"]
mod errands;
mod chance;
mod deadlines;
mod hands;
mod manager;
mod once;
mod routes;
mod scenario;
mod stores;
