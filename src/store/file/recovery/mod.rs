//! Opening a store: finding out what the log holds, telling a torn tail from damage, and making sure of what is shown.

mod segments;
mod runs;
mod replay;
mod tail;
mod recover;

pub(super) use recover::{Recovered, open_watermark, recover};
pub(super) use replay::Replay;
pub(super) use runs::{Runs, choose, confirm};
pub(super) use segments::{
    add_next, check_is_store, collect, confirm_mark, last_non_zero, list, name_segment, numbers,
    random_tag, read_identity, write_header, write_store,
};
