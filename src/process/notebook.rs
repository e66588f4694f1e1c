//! Where a manager takes its notes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ledger::{Ledger, Note};
use crate::aggregate::{Aggregate, Occasion};
use crate::backing::Backing;
use crate::clock::to_micros;
use crate::error::{Error, ErrorKind};
use crate::event::Metadata;
use crate::id::{Category, StreamId};
use crate::position::{Position, Version};
use crate::repository::{Binding, ExecuteError, Stage};
use crate::snapshot::SnapshotPlan;
use crate::store::{AppendError, Commit};

/// After how many notes a snapshot of what they come to is taken at the earliest.
const SNAPSHOT_EVERY: u64 = 500;

/// The ledger of a manager, with notes that are taken and not yet written.
pub(super) struct Notebook {
    binding: Binding<Ledger>,
    name: String,
    pub(super) stream: StreamId,
    stage: Stage<Ledger>,
    /// After how many notes a snapshot is taken: as many as things are open, so that snapshots cost each note the same, however many
    /// those are.
    spacing: Arc<AtomicU64>,
}

impl Notebook {
    pub(super) fn open(backing: &Arc<Backing>, name: &str) -> Result<Self, Error> {
        let category = Category::reserved(Ledger::TYPE);
        let mut binding = Binding::new(Arc::clone(backing), Arc::new(()), category)?;
        let mut plan = SnapshotPlan::new(binding.codec.histories());
        let spacing = Arc::new(AtomicU64::new(SNAPSHOT_EVERY));
        let wanted = Arc::clone(&spacing);
        plan.is_due =
            Arc::new(move |last, now| now.get() - last.get() >= wanted.load(Ordering::Relaxed));
        binding.snapshots = Some(plan);
        let stream = binding.stream(name)?;
        let stage = Stage::of(stream.clone(), binding.load(&stream)?);
        Ok(Self { binding, name: name.to_owned(), stream, stage, spacing })
    }

    /// Goes back to what is written.
    pub(super) fn reopen(&mut self) -> Result<(), Error> {
        self.stage = Stage::of(self.stream.clone(), self.binding.load(&self.stream)?);
        Ok(())
    }

    /// What the notes come to.
    pub(super) fn ledger(&self) -> &Ledger {
        self.stage.state()
    }

    /// Whether no note was ever written.
    pub(super) fn is_new(&self) -> bool {
        self.stage.stored_version() == Version::ZERO
    }

    /// How many notes are to be written.
    pub(super) fn unwritten(&self) -> usize {
        self.stage.len()
    }

    pub(super) fn take(&mut self, note: Note, metadata: Metadata) -> Result<(), Error> {
        let now = to_micros(self.binding.backing.clock.now());
        let occasion = Occasion { now, metadata: Arc::new(metadata) };
        let decided = self.stage.decide(&self.binding, &self.name, vec![note], &occasion, None);
        decided.map_err(|error| match error {
            ExecuteError::Store(error) => error,
            ExecuteError::Conflict(conflict) => Error::store(conflict),
            ExecuteError::Refused(never) => match never {},
        })
    }

    /// Writes what was taken, and tells where the last of it stands.
    pub(super) fn write(&mut self) -> Result<Option<Position>, Error> {
        let Some(last) = self.stage.len().checked_sub(1) else { return Ok(None) };
        let open = self.ledger().open() as u64;
        self.spacing.store(open.max(SNAPSHOT_EVERY), Ordering::Relaxed);
        let commit = self.stage.add_to(Commit::new())?;
        let appended = self.binding.backing.store.append(commit).map_err(|error| match error {
            AppendError::Store(error) => error,
            AppendError::Conflict(_) => Error::new(ErrorKind::InUse)
                .detail(format!("another manager named {} is at work", self.name)),
        })?;
        self.stage.written(&self.binding, &appended, last)?;
        self.stage.begin_again();
        Ok(Some(appended.last))
    }
}
