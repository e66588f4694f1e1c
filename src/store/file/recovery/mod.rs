//! Opening a store: finding out what the log holds, telling a torn tail from damage, and making sure of what is shown.

mod segments;
mod runs;
mod tail;
mod recover;

pub(super) use recover::{Recovered, recover};
pub(super) use segments::{name_segment, random_tag, write_header, write_store};
