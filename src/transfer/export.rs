//! Out of a store.

use std::io::Write;

use super::line;
use crate::error::{Error, ErrorKind};
use crate::position::Position;
use crate::progress::Progress;
use crate::store::{EventStore, Query};

/// Writes the events that a query asks for, in its order, as [lines of JSON](crate::transfer). `Query::default()` asks for all.
///
/// Progress is told in positions: those that were gone through, of those that the query and the head leave. What is recorded
/// after the first event was read is not part of it. What leaves out parts of a commit can be looked at, and not imported.
pub fn export(
    store: &dyn EventStore,
    query: Query,
    mut into: impl Write,
    mut progress: impl FnMut(Progress),
) -> Result<(), Error> {
    let head = store.head()?.acknowledged;
    let up_to = query.positions().1.map_or(head, |up_to| up_to.min(head));
    let query = query.up_to(up_to);
    let (total, mut lines, mut next) = (width(&query), Vec::new(), Some(query));
    while let Some(query) = next {
        let (batch, rest) = store.read(&query)?;
        lines.clear();
        batch.iter().try_for_each(|event| line::write(&event, &mut lines))?;
        into.write_all(&lines).map_err(failed)?;
        progress(Progress::new(total - rest.as_ref().map_or(0, width).min(total), total));
        next = rest;
    }
    into.flush().map_err(failed)
}

/// How many positions a query spans.
fn width(query: &Query) -> u64 {
    let (after, up_to) = query.positions();
    up_to.map_or(0, Position::get).saturating_sub(after.get())
}

fn failed(source: std::io::Error) -> Error {
    Error::new(ErrorKind::Transfer).detail("writing lines").caused_by(source)
}
