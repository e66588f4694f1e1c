//! What follows the log and works on what comes, driven by its holder or on a thread of its own: the part that projections and process
//! managers have in common.

mod state;
mod step;
mod board;
mod core;
mod handle;

pub(crate) use board::{Board, Goal};
pub(crate) use handle::Runner;
pub use state::{Lag, State};
pub(crate) use step::{Step, Work};
