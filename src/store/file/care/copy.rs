//! Making a store from what is read of another.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::finding::Findings;
use super::lost::Lost;
use super::sections::Sections;
use crate::error::{Error, ErrorKind};
use crate::event::{CommitPlace, GAP, RecordedEvent};
use crate::id::FreshEventIds;
use crate::payload::Encoding;
use crate::position::{Position, Version};
use crate::storage::{FileName, Storage};
use crate::store::event_store::EventStore;
use crate::store::file::address::Address;
use crate::store::file::beginning::StoreId;
use crate::store::file::fault::failed;
use crate::store::file::file_store::FileStore;
use crate::store::file::options::{Durability, FileOptions, Upkeep};
use crate::store::file::record::Record;
use crate::store::file::recovery::{list, write_store};
use crate::store::identity::Identity;

/// How much is collected before it is written.
const BATCH_BYTES: usize = 1 << 20;
/// For more lost events than this behind one another, no gaps are made: so many are rather a lie than a loss.
const LOST_MAX: u64 = 1 << 24;
/// How many gaps stand behind one another in a commit at most.
const GAPS_MAX: u64 = 1000;

/// A store that is being made. Until it is whole it has no file that says who it is, so that nobody takes it for one that is.
pub(super) struct Copy {
    storage: Arc<dyn Storage>,
    parent: StoreId,
    store: FileStore,
    /// Where lost events stood.
    lost: Lost,
    batch: Vec<Vec<RecordedEvent<'static>>>,
    batch_bytes: usize,
    /// The last position that was collected, and the time of recording there.
    head: Position,
    time: DateTime<Utc>,
    events: u64,
    gaps: u64,
    /// What was read of a commit, and where the first record of that lay.
    commit: Vec<RecordedEvent<'static>>,
    commit_at: Address,
}

/// What became of a store that was made from another.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Copied {
    /// Who the new store is.
    pub identity: Identity,
    /// Its last position.
    pub head: Position,
    /// How many events it has.
    pub events: u64,
    /// How many positions are [gaps](crate::RecordedEvent::is_gap), because their events are lost.
    pub gaps: u64,
    /// What was wrong with the other, and what is lost by that.
    pub findings: Findings,
}

impl Copy {
    /// Begins a store on a storage in which there is none, as a copy of the one with these sections.
    pub(super) fn begin(
        storage: impl Storage,
        sections: &Sections,
        lost: Lost,
    ) -> Result<Self, Error> {
        let storage: Arc<dyn Storage> = Arc::new(storage);
        let names = list(&*storage)?;
        if !names.is_empty() {
            return Err(Error::new(ErrorKind::Occupied).detail(format!("by {}", names[0])));
        }
        let encoding = sections.identity.map_or(Encoding::Json, |identity| identity.encoding);
        let options = FileOptions::default()
            .encoding(encoding)
            .durability(Durability::Buffered)
            .upkeep(Upkeep::Inline);
        let store = FileStore::open_with(Arc::clone(&storage), options)?;
        storage.remove(FileName::Store).map_err(failed("removing", FileName::Store))?;
        storage.sync_names().map_err(failed("syncing the names beside", FileName::Store))?;
        Ok(Self {
            storage,
            parent: sections.store,
            store,
            lost,
            batch: Vec::new(),
            batch_bytes: 0,
            head: Position::START,
            time: DateTime::UNIX_EPOCH,
            events: 0,
            gaps: 0,
            commit: Vec::new(),
            commit_at: Address::MIN,
        })
    }

    /// Adds a record. Positions that were left out before it become gaps.
    pub(super) fn add(&mut self, at: Address, record: &Record<'_>) -> Result<(), Error> {
        let (first, _) = record.event.commit_positions();
        let position = record.event.position();
        let goes_on = self.commit.last().is_some_and(|before| {
            first == before.commit_positions().0
                && position.get() - before.position().get() <= GAPS_MAX
        });
        if !goes_on {
            self.end_commit(position)?;
            self.commit_at = at;
        }
        self.commit.push(record.event.clone().into_owned());
        Ok(())
    }

    /// Forgets what was read of a commit from this address on, if that is not all of it.
    pub(super) fn drop_unfinished(&mut self, at: Address) {
        let end = self.commit.first().map(|event| event.commit_positions().1);
        if self.commit_at >= at && self.commit.last().map(RecordedEvent::position) < end {
            self.commit.clear();
        }
    }

    /// Writes what was read of a commit, which is followed by this position. What a record says of the size of its commit may be
    /// a lie: so many gaps at most are made in the commit for it.
    fn end_commit(&mut self, end: Position) -> Result<(), Error> {
        let records = std::mem::take(&mut self.commit);
        let Some((first, last)) = records.first().map(RecordedEvent::commit_positions) else {
            return Ok(());
        };
        let least = records[0].position().get().saturating_sub(GAPS_MAX);
        self.fill_up_to(first.max(Position::new(least)))?;
        self.time = records[0].recorded_at();
        let mut events: Vec<RecordedEvent<'static>> = Vec::with_capacity(records.len());
        for record in records {
            let between = in_between(events.last(), &record);
            self.put_gaps(record.position(), between, &mut events);
            self.lost.pass(&record);
            self.head = record.position();
            self.events += 1;
            events.push(record);
        }
        let most = Position::new(self.head.get().saturating_add(1 + GAPS_MAX));
        self.put_gaps(next(last).min(end).min(most), None, &mut events);
        self.put(events)
    }

    /// Fills everything before this position with gaps.
    fn fill_up_to(&mut self, end: Position) -> Result<(), Error> {
        if end.get().saturating_sub(self.head.get()) > LOST_MAX {
            let kind = ErrorKind::Damaged { file: FileName::Store.to_string(), offset: 0 };
            let detail = format!("no gaps are made for the events from {} to {end}", self.head);
            return Err(Error::new(kind).detail(detail));
        }
        while next(self.head) < end {
            // A commit of its own for each: which belonged together nobody knows, and a commit names each stream once.
            let mut gap = Vec::new();
            self.put_gaps(next(next(self.head)), None, &mut gap);
            self.put(gap)?;
        }
        Ok(())
    }

    /// Adds gaps for the positions before this one: in the stream, and behind the version, that they lie between, if there is one.
    fn put_gaps(
        &mut self,
        end: Position,
        between: Option<(String, Version)>,
        into: &mut Vec<RecordedEvent<'static>>,
    ) {
        let mut ids = FreshEventIds::at(self.time);
        let start = self.head.get();
        while next(self.head) < end {
            let position = next(self.head);
            let in_commit = || {
                let (stream, before) = between.as_ref()?;
                let version = before.get() + position.get() - start;
                Some((stream.clone(), Version::new(version)))
            };
            let nobody_knows = || (format!("{GAP}/{position}"), Version::new(1));
            let known = self.lost.was_in(position).or_else(in_commit);
            let (stream, version) = known.unwrap_or_else(nobody_knows);
            into.push(RecordedEvent::gap(stream, version, position, self.time, ids.take()));
            self.head = position;
            self.gaps += 1;
        }
    }

    fn put(&mut self, events: Vec<RecordedEvent<'static>>) -> Result<(), Error> {
        let count = u32::try_from(events.len()).expect("a commit, or so many gaps");
        let place = |(ordinal, event): (u32, RecordedEvent<'static>)| {
            event.placed_in_commit(CommitPlace { ordinal, count })
        };
        let events: Vec<_> = (0..).zip(events).map(place).collect();
        self.batch_bytes += events.iter().map(|event| event.payload().len() + 128).sum::<usize>();
        self.batch.push(events);
        if self.batch_bytes >= BATCH_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), Error> {
        self.store.adopt(&self.batch)?;
        self.batch.clear();
        self.batch_bytes = 0;
        Ok(())
    }

    /// Completes the store, of which this was found to be wrong. It goes up to `head` at least: what is missing up to there becomes gaps.
    pub(super) fn finish(
        mut self,
        head: Position,
        mut findings: Findings,
    ) -> Result<Copied, Error> {
        self.end_commit(Position::new(u64::MAX))?;
        self.fill_up_to(next(head))?;
        self.write()?;
        self.store.close()?;
        let parent = Some((Uuid::from_bytes(self.parent), self.head));
        let identity = Identity { parent, ..self.store.identity() };
        write_store(&self.storage, &identity)?;
        self.lost.ends().for_each(|finding| findings.add(finding));
        let Self { head, events, gaps, .. } = self;
        Ok(Copied { identity, head, events, gaps, findings })
    }
}

fn next(position: Position) -> Position {
    Position::new(position.get().saturating_add(1))
}

/// Behind which version of which stream the events between two of a commit stood, if the two leave only that.
fn in_between(
    before: Option<&RecordedEvent<'static>>,
    behind: &RecordedEvent<'static>,
) -> Option<(String, Version)> {
    let before = before.filter(|before| before.stream() == behind.stream())?;
    let positions = behind.position().get() - before.position().get();
    let versions = behind.version().get().checked_sub(before.version().get());
    (versions == Some(positions)).then(|| (before.stream().to_string(), before.version()))
}
