//! Where the log ends: the tail of the last segment, and whether it is torn or damaged.

use std::sync::Arc;

use super::segments::last_non_zero;
use crate::error::Error;
use crate::position::Position;
use crate::storage::{FileName, Storage, StorageFile};
use crate::store::file::address::Address;
use crate::store::file::fault::{Fault, failed};
use crate::store::file::report::CutTail;
use crate::store::file::scan::promised;

/// What lies behind the last frame.
pub(super) struct Tail<'t> {
    pub(super) storage: &'t Arc<dyn Storage>,
    pub(super) file: &'t Arc<dyn StorageFile>,
    pub(super) tag: u64,
    /// Where the last whole frame that follows the others ends.
    pub(super) end: Address,
    pub(super) head: Position,
    /// Where exactly a fault shows, and which.
    pub(super) fault: Option<(u64, Fault)>,
}

/// How many torn tails are kept aside.
const SAVED_MAX: usize = 4;

impl Tail<'_> {
    fn name(&self) -> FileName {
        FileName::Segment(self.end.segment())
    }

    /// Decides between a clean end (`None`), a torn tail, which is cut off, and damage, which is an error. `proven` is how
    /// far the log was synced, as far as is known already, and who says so.
    pub(super) fn settle(
        &self,
        proven: Address,
        witness: &'static str,
    ) -> Result<Option<CutTail>, Error> {
        if let Some((offset, fault @ Fault::Unknown { .. })) = self.fault.clone() {
            return Err(fault.at(self.name(), offset));
        }
        if proven > self.end {
            return Err(self.damage(witness));
        }
        let end = self.end.offset();
        let Some(last) = last_non_zero(&**self.file, self.name(), end.into())? else {
            return Ok(None);
        };
        if promised(&**self.file, self.name(), self.tag, (end.into(), last + 1))? > end {
            return Err(self.damage("a later frame was built after this was synced"));
        }
        let cut = CutTail {
            file: self.name().to_string(),
            offset: end.into(),
            bytes: last + 1 - u64::from(end),
            saved_as: self.save_aside(last + 1).map(|name| name.to_string()),
        };
        self.file.set_len(end.into()).map_err(failed("cutting", self.name()))?;
        self.file.sync().map_err(failed("syncing", self.name()))?;
        Ok(Some(cut))
    }

    fn damage(&self, why: &'static str) -> Error {
        let (offset, fault) =
            self.fault.clone().unwrap_or((self.end.offset().into(), Fault::Short));
        let detail = format!(
            "{fault}; it is no torn tail, because {why}; this position is the first affected"
        );
        let position = Position::new(self.head.get().saturating_add(1));
        fault.at(self.name(), offset).detail(detail).at_position(position)
    }

    /// Copies what is to be cut off into a file of its own, if that can be done: on a full disk it can not.
    fn save_aside(&self, to: u64) -> Option<FileName> {
        let name = FileName::Torn(self.end.segment(), self.end.offset());
        let copy = || -> std::io::Result<()> {
            let into = self.storage.create(name)?;
            self.file.copy_to(&*into, self.end.offset().into()..to)?;
            into.sync()
        };
        if copy().is_err() {
            // A part of a copy is of no use.
            let _ = self.storage.remove(name);
            return None;
        }
        self.forget_old_copies();
        Some(name)
    }

    fn forget_old_copies(&self) {
        let Ok(names) = self.storage.list() else { return };
        let is_copy = |name: &FileName| matches!(name, FileName::Torn(..));
        let mut copies: Vec<FileName> = names.into_iter().filter(is_copy).collect();
        copies.sort_unstable();
        for old in copies.iter().rev().skip(SAVED_MAX) {
            let _ = self.storage.remove(*old);
        }
    }
}

/// Writes a part of the log again that may never have reached the disk, although it can be read: what a failed sync has
/// given up is still shown by the system, but will not be written by it.
pub(super) fn rewrite(
    file: &dyn StorageFile,
    name: FileName,
    at: u64,
    bytes: &[u8],
) -> Result<(), Error> {
    // An error that a former process left behind is reported once more here, and is of no interest any more.
    let _ = file.sync();
    file.write_all_at(at, bytes).map_err(failed("writing", name))?;
    file.sync().map_err(failed("syncing", name))
}
