//! Saving what is left of a damaged store, and taking a store back to an earlier position.

use std::sync::Arc;

use super::copy::{Copied, Copy};
use super::finding::Findings;
use super::lost::Lost;
use super::sections::Sections;
use super::survey::{Piece, Survey, Thoroughness};
use crate::error::Error;
use crate::position::Position;
use crate::progress::Progress;
use crate::storage::Storage;
use crate::store::file::recovery::{check_is_store, list};

/// Makes a new store, in an empty directory, of everything that can be read of a damaged one.
///
/// Positions, versions, times and ids stay what they were. Where events are lost, [gaps](crate::RecordedEvent::is_gap) stand:
/// each at its version in its stream, if the index or the other events of the commit tell which that was. A commit of which a part
/// is lost keeps the rest. What the damaged store has not proven to be synced is taken over if it is whole. Of a segment that is
/// there twice, one is read.
///
/// The damaged store is only read. The new one has an id of its own and names the other as its parent. Until it is complete, it is
/// empty or has no identity, and is then refused as damaged; if this is interrupted, remove what is there and begin anew.
pub fn salvage(
    damaged: impl Storage,
    into: impl Storage,
    mut progress: impl FnMut(Progress),
) -> Result<Copied, Error> {
    let storage: Arc<dyn Storage> = Arc::new(damaged);
    check_is_store(&list(&*storage)?)?;
    let sections = Sections::of(&storage)?;
    let mut reached = Progress::new(0, 2 * sections.bytes());
    let (lost, findings) = Lost::of(&sections, &mut |bytes| {
        reached.done = bytes;
        progress(reached);
    })?;
    let mut copy = Copy::begin(into, &sections, lost)?;
    let head = Survey::new(&sections, Thoroughness::Everything).run(&mut |piece| {
        match piece {
            Piece::Record(at, record) => copy.add(at, record)?,
            Piece::Finding(_) => {}
            Piece::Torn { at } => copy.drop_unfinished(at),
            Piece::Read(bytes) => {
                reached.add(bytes);
                progress(reached);
            }
        }
        Ok(())
    })?;
    copy.finish(head, findings)
}

/// Makes a new store, in an empty directory, of another (open, closed or a backup) as it was at a position: of the commits up to
/// there, as far as they are known to be synced.
///
/// Positions, versions, times and ids stay what they were; the new store has an id of its own and names the other as its parent.
/// A damaged store is refused. If this is interrupted, remove what is there and begin anew.
pub fn restore(
    store: impl Storage,
    into: impl Storage,
    up_to: Position,
    mut progress: impl FnMut(Progress),
) -> Result<Copied, Error> {
    let storage: Arc<dyn Storage> = Arc::new(store);
    let sections = Sections::of(&storage)?;
    let mut copy = Copy::begin(into, &sections, Lost::nothing(sections.store))?;
    let mut reached = Progress::new(0, sections.bytes());
    Survey::new(&sections, Thoroughness::Proven).run(&mut |piece| match piece {
        Piece::Record(at, record) => {
            let is_meant = record.event.commit_positions().1 <= up_to;
            if is_meant { copy.add(at, record) } else { Ok(()) }
        }
        Piece::Finding(finding) => Err(finding.into_error()),
        Piece::Torn { .. } => Ok(()),
        Piece::Read(bytes) => {
            reached.add(bytes);
            progress(reached);
            Ok(())
        }
    })?;
    copy.finish(Position::START, Findings::default())
}
