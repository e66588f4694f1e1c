//! Process managers.

#[path = "../subjects/errands.rs"]
mod errands;
mod chance;
mod deadlines;
mod hands;
mod manager;
mod once;
mod scenario;
mod stores;
