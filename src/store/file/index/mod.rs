//! The index: where in the log the events of a stream, a category, a type, a tag, a correlation or an id are.
//!
//! Everything here can be made again from the log. Hashes stand for names, so what is found is a candidate: the record
//! decides.

mod terms;
mod place;
mod tally;
mod noted;
mod recent;
mod blocks;
mod leaf;
mod filter;
mod run;
mod run_writer;
mod cursor;
mod wanted;
mod check;

pub(super) use check::{Ought, Sum};
pub(super) use cursor::{Cursor, Part, Search, Sought, Sources, TermCursor};
pub(super) use place::Place;
pub(super) use recent::{AlreadyHashed, Latest, Recent};
pub(super) use run::{Coverage, Run};
pub(super) use run_writer::{Workshop, to_be_merged};
pub(super) use terms::{Hash, Terms};
pub(super) use wanted::{cursor_for, cursor_for_id};
