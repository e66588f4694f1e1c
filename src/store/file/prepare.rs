//! Space for what comes: zeros behind the log, and the next segment's file.

use super::engine::Engine;
use super::fault::failed;
use super::space::Claim;
use crate::error::Error;
use crate::storage::{FileName, StorageFile};

/// How much space is prepared at a time.
const EXTENT_BYTES_MIN: u64 = 1 << 20;
const EXTENT_BYTES_MAX: u64 = 4 << 20;

/// How much is prepared behind so much, if no more is wanted than this.
fn extent_behind(prepared: u64, most: u64) -> u64 {
    (prepared + prepared.clamp(EXTENT_BYTES_MIN, EXTENT_BYTES_MAX)).min(most)
}

impl Engine {
    /// Up to where the last segment is written, if space is prepared behind it.
    fn written(&self) -> Option<u64> {
        let (end, _) = self.syncs().then(|| self.reader.heads.see())?.ok()?;
        Some(end.offset().into())
    }

    /// Whether less than half an extent is left, and the segment may have more.
    pub(super) fn wants_space(&self) -> bool {
        let prepared = self.space.prepared();
        let extent = prepared.clamp(EXTENT_BYTES_MIN, EXTENT_BYTES_MAX);
        prepared < self.space.room().into()
            && self.written().is_some_and(|end| end + extent / 2 > prepared)
    }

    /// Fills the next extent with zeros.
    pub(super) fn prepare_space(&self) -> Result<(), Error> {
        let Some(claim) = self.claim_if(Self::wants_space) else { return Ok(()) };
        let Some(segment) = self.reader.log.last() else { return Ok(()) };
        let name = FileName::Segment(segment.header.number);
        let (from, room) = (claim.prepared(), self.space.room().into());
        let to = extent_behind(from, room);
        let file = self.workshop.storage.fill(name, from..to).map_err(failed("extending", name))?;
        self.sync_on(&*file, name)?;
        claim.set_prepared(to);
        Ok(())
    }

    /// Syncs the last segment while others go on writing to it.
    pub(super) fn sync_aside(&self) -> Result<(), Error> {
        let Some(segment) = self.reader.log.last() else { return Ok(()) };
        let name = FileName::Segment(segment.header.number);
        let file = self.workshop.storage.open(name).map_err(failed("opening", name))?;
        self.sync_on(&*file, name)
    }

    /// Syncs the last segment on a handle of its own: what goes wrong with the leader's writes is reported on the leader's handle
    /// once, and must not be used up here.
    fn sync_on(&self, file: &dyn StorageFile, name: FileName) -> Result<(), Error> {
        file.sync()
            .map_err(|source| self.reader.heads.forbid(format!("syncing {name} failed: {source}")))
    }

    /// How long the next segment's file should be by now, and how long it becomes: it grows while the second half of this one is
    /// written. A store that is opened and not written to needs none.
    fn spare_due(&self) -> Option<(u64, u64)> {
        let (end, room) = (self.written()?, self.space.room());
        let written = end.saturating_sub(self.space.opened().max((room / 2).into()));
        if written == 0 {
            return None;
        }
        let whole = u64::from(self.space.next_room());
        let due = EXTENT_BYTES_MIN + whole * written / u64::from(room / 2).max(1);
        Some((due.min(whole), whole))
    }

    pub(super) fn wants_spare(&self) -> bool {
        self.spare_due().is_some_and(|(due, _)| self.space.spare() < due)
    }

    /// Makes the file that becomes the next segment, or a further part of it. Commits do not wait for what is written to another
    /// file than theirs.
    pub(super) fn prepare_spare(&self) -> Result<(), Error> {
        let Some(claim) = self.claim_if(Self::wants_spare) else { return Ok(()) };
        let Some((_, whole)) = self.spare_due() else { return Ok(()) };
        let (name, storage) = (FileName::Spare, &self.workshop.storage);
        let (from, to) = (claim.spare(), extent_behind(claim.spare(), whole));
        if from == 0 {
            storage.create(name).map_err(failed("making", name))?;
        }
        let filled = storage.fill(name, from..to).and_then(|file| file.sync());
        if let Err(source) = filled {
            // The disk may be full, and others have more need of the rest.
            let _ = storage.open(name).and_then(|file| file.set_len(from));
            return Err(failed("filling", name)(source));
        }
        claim.set_spare(to);
        Ok(())
    }

    /// The claim of the space, if something is to be done there, also once it is had.
    fn claim_if(&self, is_wanted: fn(&Self) -> bool) -> Option<Claim<'_>> {
        let claim = is_wanted(self).then(|| self.space.claim())?;
        (is_wanted(self) && self.reader.heads.check().is_ok()).then_some(claim)
    }
}
