//! Verifying a store.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::finding::{Finding, Findings};
use super::sections::Sections;
use super::survey::{Piece, Survey, Thoroughness};
use crate::error::Error;
use crate::event::{GAP, RecordedEvent};
use crate::position::{Position, Version};
use crate::progress::Progress;
use crate::storage::{Directory, FileName, Storage};
use crate::store::file::address::Address;
use crate::store::file::fault::failed;
use crate::store::file::index::{Ought, Place, Run, Sum, Terms};
use crate::store::file::record::Record;

/// Verifies a store on disk: every checksum, the chain of frames, the laws of positions, versions and times, and the index against
/// the log. It changes nothing, and may run beside a writer.
///
/// ```
/// use annals::store::care::Verify;
/// # use annals::store::{Commit, EventStore, Expected, FileStore};
/// # use annals::{NewEvent, id::EventType};
///
/// # let directory = std::env::temp_dir().join(format!("annals-doc-verify-{}", std::process::id()));
/// # let store = FileStore::open(&directory)?;
/// # let opened = NewEvent::new(EventType::new("Opened")?, &())?;
/// # store.append(Commit::new().write("account/alice".parse()?, Expected::Any, [opened]))?;
/// let found = Verify::new().run(&directory, |progress| {
///     println!("{} of {} bytes", progress.done, progress.total);
/// })?;
/// for finding in found.findings.iter() {
///     println!("{finding}");
/// }
/// assert!(found.is_sound());
/// # store.close()?;
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Cost
///
/// It reads every file once, in large pieces, and takes about 64 MiB of memory. The versions of more than a million streams
/// take further passes over the log, one for about each million.
#[derive(Debug, Clone, Default)]
#[must_use = "nothing is verified before `run`"]
pub struct Verify {
    after: Position,
}

/// What verifying a store found.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Verification {
    /// Up to where the log was verified: as far as it was known to be synced.
    pub up_to: Position,
    /// How many events were read.
    pub events: u64,
    /// How many of them are [gaps](RecordedEvent::is_gap), which were lost before and are known to be.
    pub gaps: u64,
    /// What is wrong.
    pub findings: Findings,
}

impl Verification {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

impl Verify {
    /// Verifies everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Verifies only what is new: the segments that hold events after this position, and the parts of the index that are about them
    /// alone. Pass [`Verification::up_to`] of the last time.
    pub fn after(mut self, position: Position) -> Self {
        self.after = position;
        self
    }

    /// Verifies the store in this directory.
    pub fn run(
        self,
        directory: impl AsRef<Path>,
        progress: impl FnMut(Progress),
    ) -> Result<Verification, Error> {
        self.run_on(Directory::to_read(directory), progress)
    }

    /// Verifies the store on this storage.
    pub fn run_on(
        self,
        storage: impl Storage,
        mut progress: impl FnMut(Progress),
    ) -> Result<Verification, Error> {
        let storage: Arc<dyn Storage> = Arc::new(storage);
        let mut sections = Sections::of(&storage)?;
        sections.leave_out(self.after);
        let bytes = sections.all.iter().map(|section| section.length).sum();
        let mut audit = Audit::of(&mut sections, Progress::new(0, bytes), &mut progress);
        audit.check_runs()?;
        let mut next = Some(Share { from: 0, below: u64::MAX });
        while let Some(share) = next {
            audit.versions = Versions { share, ..Versions::default() };
            Survey::new(&sections, Thoroughness::Proven).run(&mut |piece| audit.see(piece))?;
            audit.is_first_pass = false;
            let below = audit.versions.share.below;
            next = (below < u64::MAX).then_some(Share { from: below, below: u64::MAX });
        }
        Ok(audit.finish())
    }
}

/// The streams whose hash lies in a range.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    from: u64,
    below: u64,
}

/// The versions of streams, as far as they were seen.
#[derive(Default)]
struct Versions {
    share: Share,
    /// By two hashes of the stream's name, which no other stream shares but by an accident that nobody lives to see.
    last: HashMap<(u64, u64), Version>,
}

const STREAMS_MAX: usize = 1 << 20;
"""
