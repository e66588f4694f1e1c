//! The end of the log: staging commits, writing them, making them durable, and beginning the next segment.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::address::Address;
use super::beginning::StoreId;
use super::counters::Counters;
use super::fault::failed;
use super::frame::{FRAME_HEADER_BYTES, FrameBuilder};
use super::heads::Heads;
use super::index::{Coverage, Recent};
use super::log::{Log, Segment};
use super::options::Durability;
use super::record;
use super::recovery::{name_segment, random_tag, write_header};
use super::scan::Tip;
use super::segment::{Rooms, SEGMENT_HEADER_BYTES, SegmentHeader, seed};
use super::space::{Claim, Space};
use super::watermark::{Mark, Watermark};
use crate::error::{Error, ErrorKind};
use crate::event::{CommitPlace, MetadataEncoder, Placement, RecordedEvent};
use crate::id::{EventId, FreshEventIds};
use crate::position::{Position, Version};
use crate::storage::{FileName, Storage, StorageFile};
use crate::store::commit::{Appended, Commit};
use crate::store::event_store::Head;
use crate::trace;

/// Where frames go. Only one thread has it at a time.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) store: StoreId,
    pub(super) durability: Durability,
    pub(super) rooms: Rooms,
    pub(super) segment: Segment,
    pub(super) file: Arc<dyn StorageFile>,
    pub(super) watermark: Watermark,
    /// Where the written log ends.
    pub(super) tip: Tip,
    /// Up to where the segment is synced, and the last position there.
    pub(super) synced: (u32, Position),
    /// What is staged behind the tip.
    pub(super) staged: Staged,
}

/// Frames that are built and not written.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) builder: FrameBuilder,
    /// Where the log will end with them.
    pub(super) tip: Tip,
    /// What the ids of the next commit are made of: drawn once for a group.
    pub(super) random: u128,
}

/// What a writer shares with those who read and those who prepare.
#[derive(Clone, Copy)]
pub(super) struct Shared<'s> {
    pub(super) log: &'s Log,
    pub(super) heads: &'s Heads,
    pub(super) space: &'s Space,
    pub(super) counters: &'s Counters,
}

/// Why a commit was not staged.
pub(super) enum NotStaged {
    /// It needs a new segment, and the frames before it are to be written first.
    NoRoom,
    /// Its time lies before the last.
    Refused(Error),
}

/// No record, apart from its payload, metadata, type and tags, takes more.
const RECORD_EXTRA_BYTES: u64 = 2048;
/// What is larger than this is not put into one frame.
const FRAME_BYTES_MAX: u64 = 1 << 31;

impl Writer {
    /// The frames that are staged, and the address they will have.
    pub(super) fn staged_bytes(&self) -> (Address, &[u8]) {
        (self.tip.end, &self.staged.builder.bytes)
    }

    /// Builds the frame of a commit behind those that are staged, and indexes it. `versions` are those that its streams have
    /// before it.
    pub(super) fn stage(
        &mut self,
        commit: &Commit,
        versions: &[Version],
        now: DateTime<Utc>,
        recent: &mut Recent,
    ) -> Result<Appended, NotStaged> {
        let last = DateTime::from_timestamp_micros(self.staged.tip.time);
        let recorded_at = commit.time_of_recording(now, last).map_err(NotStaged::Refused)?;
        let first = self.next_position();
        let mut appended = Appended {
            first,
            last: first,
            versions: Vec::with_capacity(commit.writes().len()),
            ids: Vec::with_capacity(commit.events().count()),
            recorded_at,
            already_there: false,
        };
        let fresh = FreshEventIds::made_of(recorded_at, self.staged.random);
        // Far enough for no two commits of a group to have an id in common.
        self.staged.random = self.staged.random.wrapping_add(1 << 33);
        let start = self.begin_frame();
        self.build(commit, (versions, fresh), &mut appended, recent);
        self.end_frame(start, (appended.last, recorded_at), recent)?;
        Ok(appended)
    }

    /// Builds the frame of a commit that has its places already: they follow what is staged.
    pub(super) fn adopt(
        &mut self,
        events: &[RecordedEvent<'_>],
        recent: &mut Recent,
    ) -> Result<(), NotStaged> {
        let Some(last) = events.last() else { return Ok(()) };
        let start = self.begin_frame();
        events.iter().for_each(|event| self.add_record(event, recent));
        self.end_frame(start, (last.position(), last.recorded_at()), recent)
    }

    fn begin_frame(&mut self) -> usize {
        self.staged.builder.begin();
        self.staged.builder.bytes.len() - FRAME_HEADER_BYTES as usize
    }

    fn add_record(&mut self, event: &RecordedEvent<'_>, recent: &mut Recent) {
        let (seed, builder) = (seed(self.segment.header.tag), &mut self.staged.builder);
        let at = u32::try_from(builder.bytes.len()).expect("the size was checked");
        let sum = record::encode(&mut builder.bytes, seed, event);
        builder.add(sum);
        let length = u32::try_from(builder.bytes.len()).expect("the size was checked") - at;
        recent.add(event, (self.tip.end.plus(at), length));
    }

    /// Completes the frame that was begun at this place of what is staged. If the segment has no room for it, it is forgotten.
    fn end_frame(
        &mut self,
        start: usize,
        (last, recorded_at): (Position, DateTime<Utc>),
        recent: &mut Recent,
    ) -> Result<(), NotStaged> {
        let frame = self.staged.tip.end;
        let length = self.staged.builder.bytes.len() - start;
        let end = u64::from(frame.offset()) + length as u64;
        let is_alone = frame.offset() == SEGMENT_HEADER_BYTES;
        let (room, _) = self.rooms.of(&self.segment.header);
        if end > room.into() && !is_alone {
            self.staged.builder.bytes.truncate(start);
            recent.truncate(frame);
            return Err(NotStaged::NoRoom);
        }
        let (tag, first) = (self.segment.header.tag, self.next_position());
        let chain = self.staged.builder.finish(tag, first, self.synced.0, self.staged.tip.chain);
        let end = frame.plus(u32::try_from(length).expect("the size was checked"));
        let tip = Tip::at(end, last, chain, recorded_at.timestamp_micros());
        self.staged.tip = Tip { last_frame: frame, ..tip };
        Ok(())
    }

    fn next_position(&self) -> Position {
        Position::new(self.staged.tip.head.get() + 1)
    }

    fn build(
        &mut self,
        commit: &Commit,
        (versions, mut fresh): (&[Version], FreshEventIds),
        appended: &mut Appended,
        recent: &mut Recent,
    ) {
        let count = u32::try_from(commit.events().count()).expect("the size was checked");
        let mut position = appended.first.get();
        let mut ordinal = 0;
        let mut metadata = MetadataEncoder::default();
        for (write, version) in commit.writes().iter().zip(versions) {
            let mut version = version.get();
            let mut placement = Placement {
                stream: write.stream.clone(),
                version: Version::ZERO,
                position: Position::START,
                recorded_at: appended.recorded_at,
                id: EventId::new(Uuid::nil()),
                commit: CommitPlace { ordinal: 0, count },
            };
            for event in &write.events {
                version += 1;
                placement.version = Version::new(version);
                placement.position = Position::new(position);
                placement.id = event.id().unwrap_or_else(|| fresh.take());
                placement.commit.ordinal = ordinal;
                let metadata = metadata.encode(event.metadata());
                self.add_record(&RecordedEvent::placed(&placement, event, metadata), recent);
                appended.ids.push(placement.id);
                appended.last = placement.position;
                (position, ordinal) = (position + 1, ordinal + 1);
            }
            appended.versions.push((write.stream.clone(), Version::new(version)));
        }
    }

    /// Writes what is staged, makes it as durable as was asked for, and shows it. On an error nothing is staged any more:
    /// either nothing was written, or the store is poisoned.
    pub(super) fn commit(
        &mut self,
        shared: Shared<'_>,
        recent: &parking_lot::RwLock<Recent>,
    ) -> Result<(), Error> {
        if self.staged.builder.bytes.is_empty() {
            return Ok(());
        }
        let done = self.write(shared).and_then(|()| match self.durability {
            Durability::Synced => self.sync(shared, self.staged.tip),
            Durability::Buffered => {
                self.show(shared, self.staged.tip);
                Ok(())
            }
        });
        self.staged.builder.clear();
        if done.is_err() {
            self.staged.tip = self.tip;
            recent.write().truncate(self.tip.end);
        }
        done
    }

    fn name(&self) -> FileName {
        FileName::Segment(self.segment.header.number)
    }

    fn write(&mut self, shared: Shared<'_>) -> Result<(), Error> {
        shared.heads.check()?;
        let start = u64::from(self.tip.end.offset());
        let prepared = shared.space.prepared();
        let end = self.staged.builder.fill_page(start, prepared);
        let bytes = &self.staged.builder.bytes;
        // Behind the prepared space the file grows; nobody else may make it grow meanwhile.
        let claim = (end > prepared).then(|| shared.space.claim());
        match self.file.write_all_at(start, bytes).map_err(failed("writing", self.name())) {
            Ok(()) => {
                // Crash here: a torn tail, or whole frames whose callers have no answer.
                if let Some(claim) = claim {
                    claim.set_prepared(end.max(claim.prepared()));
                }
                Ok(())
            }
            Err(error) => {
                let claim = claim.unwrap_or_else(|| shared.space.claim());
                match self.undo(start, end, claim.prepared()) {
                    // Durable: that nothing was written.
                    Ok(()) => Err(error),
                    Err(undo) => Err(shared.heads.forbid(format!("{error}; and then: {undo}"))),
                }
            }
        }
    }

    /// Overwrites what a failed write may have left with zeros, and gives back the space by which the file grew.
    fn undo(&self, start: u64, end: u64, prepared: u64) -> std::io::Result<()> {
        let length = self.file.len()?;
        if length > prepared.max(start) {
            self.file.set_len(prepared.max(start))?;
        }
        self.file.write_zeros(start..end.min(prepared))?;
        self.file.sync()
    }

    /// Syncs the segment, in which everything up to the given tip is written. A failure poisons the store: nobody knows then
    /// what is on disk.
    fn sync(&mut self, shared: Shared<'_>, tip: Tip) -> Result<(), Error> {
        let began = Instant::now();
        let _span = trace::span!("sync", position = tip.head.get());
        if let Err(source) = self.file.sync() {
            return Err(shared.heads.forbid(format!("syncing {} failed: {source}", self.name())));
        }
        shared.counters.add_sync(began.elapsed());
        // Somebody else may have learnt that the disk fails, and have used up the one report of it.
        if let Some(poison) = shared.heads.poison() {
            return Err(poison);
        }
        // Durable: all frames up to the tip.
        self.synced = (tip.end.offset(), tip.head);
        // Readers wake while the watermark is written; callers have their answers after that.
        self.show(shared, tip);
        // It is as well if this fails: the watermark is then a little behind.
        let _ = self.watermark.write(self.mark((tip.end, tip.head), false));
        Ok(())
    }

    /// Takes note of what somebody else has synced, on a handle of its own. A leader whose sync has failed may have used up the
    /// report of it; but whoever has the turn now finds the store poisoned then.
    pub(super) fn note_synced(
        &mut self,
        covered: &Coverage,
        shared: Shared<'_>,
    ) -> Result<(), Error> {
        if let Some(poison) = shared.heads.poison() {
            return Err(poison);
        }
        // Else the segment has a successor, and was synced before that was begun.
        if covered.to.segment() == self.tip.end.segment() && covered.last > self.synced.1 {
            self.synced = (covered.to.offset(), covered.last);
            self.show(shared, self.tip);
            let _ = self.watermark.write(self.mark((covered.to, covered.last), false));
        }
        Ok(())
    }

    fn mark(&self, (end, position): (Address, Position), is_shut: bool) -> Mark {
        Mark { tag: self.segment.header.tag, end, position, is_shut }
    }

    /// Shows the log up to this tip, and that it is durable as far as it is synced.
    fn show(&mut self, shared: Shared<'_>, tip: Tip) {
        self.tip = tip;
        let head = Head { acknowledged: self.tip.head, durable: self.synced.1 };
        shared.heads.publish(self.tip.end, head);
    }

    /// Makes durable what is acknowledged.
    pub(super) fn sync_all(&mut self, shared: Shared<'_>) -> Result<Position, Error> {
        if let Some(poison) = shared.heads.poison() {
            return Err(poison);
        }
        if self.synced.1 < self.tip.head {
            self.sync(shared, self.tip)?;
        }
        Ok(self.synced.1)
    }

    /// Seals the segment and begins the next one.
    pub(super) fn roll(&mut self, shared: Shared<'_>) -> Result<(), Error> {
        shared.heads.check()?;
        self.sync_all(shared)?;
        let claim = shared.space.claim();
        let end = self.tip.end.offset();
        let sealed = self.file.set_len(end.into()).and_then(|()| self.file.sync());
        if let Err(source) = sealed {
            return Err(shared.heads.forbid(format!("sealing {} failed: {source}", self.name())));
        }
        claim.set_prepared(end.into());
        // Crash here: the segment is the last one still.
        let header = SegmentHeader {
            number: self.segment.header.number + 1,
            tag: random_tag(&*self.storage),
            first: Position::new(self.tip.head.get() + 1),
            predecessor_length: end,
            predecessor_chain: self.tip.chain,
            last_time: self.tip.time,
        };
        let (spare, length) = self.spare(&claim)?;
        write_header(&*spare, &header, self.store)?;
        // Crash here: the spare file is thrown away.
        if let Err(error) = name_segment(&self.storage, header.number) {
            return Err(shared.heads.forbid(error.to_string()));
        }
        // Durable: an empty segment.
        let (_, chain) = header.encode(self.store);
        self.segment = Segment { header, chain, length: None };
        self.file = spare;
        self.tip.end = Address::new(header.number, SEGMENT_HEADER_BYTES);
        self.tip.chain = chain;
        self.staged.tip = self.tip;
        self.synced = (SEGMENT_HEADER_BYTES, self.tip.head);
        claim.begin(self.rooms.of(&header), length.max(SEGMENT_HEADER_BYTES.into()));
        shared.log.add(self.segment);
        let _ = self.watermark.write(self.mark((self.tip.end, self.tip.head), false));
        Ok(())
    }

    /// The file that was made ahead, or else one that is made now, and how much of it is zeros.
    fn spare(&self, claim: &Claim<'_>) -> Result<(Arc<dyn StorageFile>, u64), Error> {
        let (name, length) = (FileName::Spare, claim.spare());
        claim.set_spare(0);
        match (length > 0).then(|| self.storage.open(name)) {
            Some(Ok(file)) => Ok((file, length)),
            _ => Ok((self.storage.create(name).map_err(failed("making", name))?, 0)),
        }
    }

    /// Leaves the log as a closed store has it: synced, without prepared space, and with a mark that says so.
    pub(super) fn shut(&mut self, shared: Shared<'_>) -> Result<(), Error> {
        self.sync_all(shared)?;
        let (name, claim) = (self.name(), shared.space.claim());
        let end = self.tip.end.offset().into();
        if claim.prepared() > end {
            self.file.set_len(end).map_err(failed("cutting", name))?;
            self.file.sync().map_err(failed("syncing", name))?;
            claim.set_prepared(end);
        }
        if claim.spare() > 0 {
            claim.set_spare(0);
            // It does no harm, and whoever opens the store next removes it.
            let _ = self.storage.remove(FileName::Spare);
        }
        let mark = self.mark((self.tip.end, self.tip.head), true);
        let watermark = FileName::Watermark;
        self.watermark.write(mark).map_err(failed("writing", watermark))?;
        self.watermark.sync().map_err(failed("syncing", watermark))
    }
}

/// Limits can be raised beyond what a frame can hold.
pub(super) fn check_size(commit: &Commit) -> Result<(), Error> {
    let size = |payload: usize, metadata: usize| (payload + metadata) as u64 + RECORD_EXTRA_BYTES;
    let bytes: u64 = commit
        .events()
        .map(|(_, event)| {
            let metadata = event.metadata();
            let headers = metadata.headers().map(|(name, value)| name.len() + value.len() + 8);
            let actor = metadata.actor().map_or(0, str::len);
            let tags: usize = event.tags().iter().map(|tag| tag.len() + 1).sum();
            size(event.payload().len(), headers.sum::<usize>() + actor + tags)
        })
        .sum();
    if bytes + u64::from(SEGMENT_HEADER_BYTES) > FRAME_BYTES_MAX {
        let number = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        let (limit, actual) = (number(FRAME_BYTES_MAX), number(bytes));
        return Err(Error::new(ErrorKind::TooLarge { limit, actual }).detail("bytes of a frame"));
    }
    Ok(())
}
