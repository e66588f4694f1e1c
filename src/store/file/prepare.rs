//! Space for what comes: zeros behind the log, and the next segment's file.

use super::engine::Engine;
use super::fault::failed;
use super::space::Claim;
use crate::error::Error;
use crate::storage::{FileName, StorageFile};

/// How much space is prepared at a time.
const EXTENT_BYTES_MIN: u64 = 1 << 20;
const EXTENT_BYTES_MAX: u64 = 4 << 20;

/// Zeros are written in these steps. What is written at once is cached as one piece, and each commit then writes all pieces anew that
/// it touches: with steps of 64 KiB that is 60 KiB for the smallest commit.
const STEP: [u8; 4096] = [0; 4096];

impl Engine {
    /// Whether less than half an extent is left, and the segment may have more.
    pub(super) fn wants_space(&self) -> bool {
        let Ok((end, _)) = self.reader.heads.see() else { return false };
        let prepared = self.space.prepared();
        let extent = prepared.clamp(EXTENT_BYTES_MIN, EXTENT_BYTES_MAX);
        self.syncs()
            && prepared < self.options.segment_bytes.into()
            && u64::from(end.offset()) + extent / 2 > prepared
    }

    /// Fills the next extent with zeros.
    pub(super) fn prepare_space(&self) -> Result<(), Error> {
        let Some(claim) = self.claim_if(Self::wants_space) else { return Ok(()) };
        let from = claim.prepared();
        let to = from + from.clamp(EXTENT_BYTES_MIN, EXTENT_BYTES_MAX);
        let to = to.min(self.options.segment_bytes.into());
        self.sync_aside(|file| fill(file, from, to))?;
        claim.set_prepared(to);
        Ok(())
    }

    /// Has what is written by now on its way to disk while others go on writing, so that they wait less for the sync that
    /// comes then.
    pub(super) fn write_back(&self) -> Result<(), Error> {
        self.sync_aside(|_| Ok(()))
    }

    /// Changes the last segment and syncs it, on a handle of its own: what goes wrong with the leader's writes is reported
    /// on the leader's handle once, and must not be used up here.
    fn sync_aside(
        &self,
        change: impl FnOnce(&dyn StorageFile) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        let Some(segment) = self.reader.log.last() else { return Ok(()) };
        let name = FileName::Segment(segment.header.number);
        let file = self.workshop.storage.open(name).map_err(failed("opening", name))?;
        change(&*file).map_err(failed("extending", name))?;
        file.sync()
            .map_err(|source| self.reader.heads.forbid(format!("syncing {name} failed: {source}")))
    }

    /// Whether the segment is half full, and nothing is there to follow it.
    pub(super) fn wants_spare(&self) -> bool {
        let Ok((end, _)) = self.reader.heads.see() else { return false };
        end.offset() > self.options.segment_bytes / 2 && !self.space.has_spare()
    }

    /// Makes the file that becomes the next segment.
    pub(super) fn prepare_spare(&self) -> Result<(), Error> {
        let name = FileName::Spare;
        let Some(_claim) = self.claim_if(Self::wants_spare) else { return Ok(()) };
        let file = self.workshop.storage.create(name).map_err(failed("making", name))?;
        if self.syncs() {
            let to = EXTENT_BYTES_MIN.min(self.options.segment_bytes.into());
            fill(&*file, 0, to).map_err(failed("filling", name))?;
        }
        file.sync().map_err(failed("syncing", name))?;
        self.space.add_spare();
        Ok(())
    }

    /// The claim of the space, if something is to be done there, also once it is had.
    fn claim_if(&self, is_wanted: fn(&Self) -> bool) -> Option<Claim<'_>> {
        let claim = is_wanted(self).then(|| self.space.claim())?;
        (is_wanted(self) && self.reader.heads.check().is_ok()).then_some(claim)
    }
}

fn fill(file: &dyn StorageFile, from: u64, to: u64) -> std::io::Result<()> {
    let mut at = from;
    while at < to {
        // Up to the next multiple of a step first, then whole steps.
        let step = STEP.len() as u64 - at % STEP.len() as u64;
        let step = usize::try_from(step.min(to - at)).unwrap_or(STEP.len());
        file.write_all_at(at, &STEP[..step])?;
        at += step as u64;
    }
    Ok(())
}
