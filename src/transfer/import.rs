//! Into a store.

use std::io::BufRead;

use super::lines::{Lines, at_line};
use super::pending::{Mode, Pending};
use crate::error::Error;
use crate::position::Position;
use crate::progress::Progress;
use crate::store::{EventStore, Limits};

/// Brings [lines of JSON](crate::transfer) into a store, commit by commit.
///
/// What stands there already is recognised by its ids and passed over, so an import that was interrupted is run again
/// from the beginning, with the same result. At the first line that cannot be, it ends with an error of the kind
/// [`Line`](crate::ErrorKind::Line): the commits before it are written, and nothing of its own.
///
/// One commit is in memory at a time. A store that syncs each append is slow to fill; open it with
/// [`Buffered`](crate::store::Durability::Buffered), and call [`FileStore::sync`](crate::store::FileStore::sync) at the
/// end, as the [module's example](crate::transfer) does.
#[derive(Debug, Clone)]
#[must_use = "nothing is imported before `run`"]
pub struct Import {
    mode: Mode,
    limits: Limits,
}

/// What an import came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ImportReport {
    /// How many events were written.
    pub written: u64,
    /// How many events stood in the store already.
    pub already_there: u64,
}

impl Import {
    /// Makes the store a copy: it keeps positions, versions, times, ids and commits as they are in the lines.
    ///
    /// The store is empty, or holds the beginning of the same history, be it from an import that was interrupted or from an
    /// earlier export; the lines begin at position 1, or anywhere up to one behind its head. All of it is refused that is not
    /// the history of a store: a hole in the positions or versions, a time that goes back, a commit that is not whole.
    pub fn copy() -> Self {
        Self { mode: Mode::Copy, limits: Limits::default() }
    }

    /// Appends the history behind what the store holds of its own.
    ///
    /// Its commits get new positions and versions, and are recorded now, in the order of the lines; ids, content and the
    /// borders of commits stay. When an event was recorded becomes the time at which it occurred, unless it has one. Positions
    /// and versions of the lines do not matter, so a part of a history will do, as long as its commits are whole.
    pub fn append() -> Self {
        Self { mode: Mode::Append, limits: Limits::default() }
    }

    /// How large things may be, and with that how much memory a line and a commit may take; the default limits unless said
    /// otherwise. The store's own are held to as well.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Reads all lines and writes what they tell of. Progress is told in events after each commit; how many there will be is
    /// not known.
    pub fn run(
        &self,
        store: &dyn EventStore,
        from: impl BufRead,
        mut progress: impl FnMut(Progress),
    ) -> Result<ImportReport, Error> {
        let mut lines = Lines::new(from, &self.limits);
        let (mut report, mut before, mut pending) = (ImportReport::default(), None, None);
        while let Some((number, line)) = lines.next()? {
            if self.mode == Mode::Copy {
                follow(store, before, (number, line.position))?;
                before = Some(line.position);
            }
            let open = pending.get_or_insert_with(|| Pending::begin(number, &line));
            open.add(number, &line, self.mode, &self.limits)?;
            if !line.commit.is_last() {
                continue;
            }
            let was_there = open.write(store, self.mode)?;
            pending = None;
            let counted = if was_there { &mut report.already_there } else { &mut report.written };
            *counted += u64::from(line.commit.count);
            let events = report.written + report.already_there;
            progress(Progress::new(events, events));
        }
        match pending {
            None => Ok(report),
            Some(_) => Err(at_line(lines.number).detail("the lines end within a commit")),
        }
    }
}

/// The first line repeats what the store holds, or goes on behind it; each other follows the one before.
fn follow(
    store: &dyn EventStore,
    before: Option<Position>,
    (number, position): (u64, Position),
) -> Result<(), Error> {
    let refuse = |expected: String| {
        let detail = format!("position {position} stands where {expected}");
        Err(at_line(number).detail(detail))
    };
    match before {
        Some(before) if before.checked_add(1) == Some(position) => Ok(()),
        Some(before) => refuse(format!("the one after {before} belongs")),
        None => {
            let head = store.head()?.acknowledged;
            if position > Position::START && position.get() - 1 <= head.get() {
                return Ok(());
            }
            refuse(format!("one from 1 up to the one after the store's head, {head}, belongs"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Encoding, NewEvent, Tags};
    use crate::id::{EventType, StreamId, Tag};
    use crate::position::SchemaVersion;
    use crate::store::{Commit, Events, Expected, MemoryStore, Query};
    use crate::transfer::export;

    #[test]
    fn what_annals_reserves_for_itself_is_moved_too() {
        let (source, copied, appended) =
            (MemoryStore::new(), MemoryStore::new(), MemoryStore::new());
        let reserved = EventType::stored("$noted").unwrap();
        let event =
            NewEvent::of_valid(reserved, SchemaVersion::FIRST, Encoding::Json, b"null".to_vec());
        let event = event.with_tags(Tags::from(Tag::stored("$mark").unwrap()));
        let stream = StreamId::stored("$annals/1").unwrap();
        source.append(Commit::new().write(stream, Expected::Any, [event])).unwrap();
        let mut lines = Vec::new();
        export(&source, Query::default(), &mut lines, |_| {}).unwrap();
        for (import, store) in [(Import::copy(), &copied), (Import::append(), &appended)] {
            import.run(store, &lines[..], |_| {}).unwrap();
            let event = Events::new(store, Query::default()).next().unwrap().unwrap();
            assert_eq!((event.stream().as_str(), event.event_type()), ("$annals/1", "$noted"));
            assert!(event.tags().eq(["$mark"]));
        }
    }
}
