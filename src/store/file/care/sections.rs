//! What is there of a store, before its log is read: segments, whatever says how far they were synced, and what is wrong with it.

use std::cmp::{Ordering, Reverse};
use std::collections::HashSet;
use std::sync::Arc;

use super::finding::Finding;
use super::search::learn_tag;
use crate::error::Error;
use crate::position::Position;
use crate::storage::{FileName, Storage, StorageFile};
use crate::store::file::address::Address;
use crate::store::file::beginning::{self, Kind, STORE_BYTES, StoreId, decode_store};
use crate::store::file::cache::Cache;
use crate::store::file::fault::failed;
use crate::store::file::frame::{FRAME_HEADER_BYTES, FrameHeader};
use crate::store::file::index::{Coverage, Run};
use crate::store::file::record::RECORD_BYTES_MIN;
use crate::store::file::recovery::{list, numbers};
use crate::store::file::scan::promised;
use crate::store::file::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::store::file::watermark::Watermark;
use crate::store::identity::Identity;

/// How long segments are taken to have been of which nothing else is known.
const SEGMENT_BYTES: u64 = 128 << 20;

/// A segment, or what is left of one.
pub(super) struct Section {
    pub(super) number: u32,
    pub(super) file: Arc<dyn StorageFile>,
    pub(super) length: u64,
    /// How long it can have been: as it is, or as its successor says or does not say.
    whole: u64,
    pub(super) tag: u64,
    /// What it says of itself, and what the chain of its frames begins with; `None` if that is damaged.
    pub(super) header: Option<(SegmentHeader, u32)>,
    /// The first position in it, as far as that is known.
    first: Position,
    /// The number in its name.
    named: u32,
}

impl Section {
    pub(super) fn start(&self) -> Address {
        Address::new(self.number, SEGMENT_HEADER_BYTES)
    }

    pub(super) fn name(&self) -> FileName {
        FileName::Segment(self.named)
    }
}

/// The parts of a store.
pub(super) struct Sections {
    pub(super) store: StoreId,
    /// Who the store is, if its file says so.
    pub(super) identity: Option<Identity>,
    /// Ascending by number.
    pub(super) all: Vec<Section>,
    /// Which segment is the first that is read, and the last position before it.
    pub(super) first: u32,
    pub(super) before: Position,
    /// The whole runs of this store, by where they begin, the longest first.
    runs: Vec<Arc<Run>>,
    /// How far the log is known to be synced, and the last position there as the watermark and the runs know it.
    pub(super) synced: Address,
    pub(super) head: Position,
    /// What is wrong with the files that are not the log's frames.
    pub(super) findings: Vec<Finding>,
    /// What is wrong with the index.
    pub(super) index_findings: Vec<Finding>,
    /// Whether each segment is known to be the one that its number says.
    pub(super) is_certain: bool,
}

impl Sections {
    pub(super) fn of(storage: &Arc<dyn Storage>) -> Result<Self, Error> {
        // The marks first: a writer that is at work may add to the log meanwhile.
        let (store, said) = identity(&**storage)?;
        let (identity, store_finding) =
            said.map_or_else(|finding| (None, Some(finding)), |one| (Some(one), None));
        let mut sections = Self {
            store,
            identity,
            all: Vec::new(),
            first: 1,
            before: Position::START,
            runs: Vec::new(),
            synced: Address::MIN,
            head: Position::START,
            findings: store_finding.into_iter().collect(),
            index_findings: Vec::new(),
            is_certain: true,
        };
        sections.read_watermark(&**storage)?;
        sections.read_runs(storage, &list(&**storage)?)?;
        // Listed anew: what a run covers that was made meanwhile has to be among them.
        for number in numbers(&list(&**storage)?) {
            sections.add(&**storage, number)?;
        }
        sections.put_in_order();
        sections.synced = sections.end()?;
        Ok(sections)
    }

    /// Puts the segments into the order of their positions, whatever they are called.
    fn put_in_order(&mut self) {
        // Of several that are the same, the one counts that says so, or else has its number in its name.
        self.all.sort_by_key(|one| (one.first, one.header.is_none(), one.named != one.number));
        let (mut tags, mut numbers) = (HashSet::new(), HashSet::new());
        let findings = &mut self.findings;
        self.all.retain(|one| {
            let is_new =
                tags.insert(one.tag) && (one.header.is_none() || numbers.insert(one.number));
            if !is_new {
                findings.push(Finding::new(one.name(), 0, "it is the copy of another segment"));
            }
            is_new
        });
        // Those that do not say which they are lie between those that do.
        let mut last: u32 = 0;
        for place in 0..self.all.len() {
            let behind = self.all[place..].iter().find(|one| one.header.is_some());
            let next = behind.map_or(u32::MAX, |one| one.number);
            let one = &mut self.all[place];
            let least = last.saturating_add(1);
            if one.header.is_none() && !(least..next).contains(&one.number) {
                one.number = least;
                self.is_certain = false;
            }
            last = one.number;
        }
        for place in 1..self.all.len() {
            let header = self.all[place].header;
            let says = header.map_or(SEGMENT_BYTES, |(header, _)| header.predecessor_length.into());
            let before = &mut self.all[place - 1];
            before.whole = before.whole.max(says);
        }
    }

    /// Leaves out the segments that hold no events after this position, as far as those behind them tell.
    pub(super) fn leave_out(&mut self, after: Position) {
        let begins =
            |section: &Section| section.header.map_or(Position::START, |(header, _)| header.first);
        let is_old = |two: &[Section]| (Position::new(2)..=after).contains(&begins(&two[1]));
        let old = self.all.windows(2).take_while(|two| is_old(two)).count();
        self.all.drain(..old);
        if old > 0 {
            self.first = self.all[0].number;
            self.before = Position::new(begins(&self.all[0]).get() - 1);
        }
    }

    /// How many bytes the segments have.
    pub(super) fn bytes(&self) -> u64 {
        self.all.iter().map(|section| section.length).sum()
    }

    /// How many bytes of log there are up to an address.
    pub(super) fn bytes_up_to(&self, end: Address) -> u64 {
        let length = |section: &Section| match section.number.cmp(&end.segment()) {
            Ordering::Less => section.length,
            Ordering::Equal => end.offset().into(),
            Ordering::Greater => 0,
        };
        self.all.iter().map(length).sum()
    }

    /// How many records there can be between two addresses at most, also in segments that are missing.
    pub(super) fn records_between(&self, from: Address, to: Address) -> u64 {
        let missing = self.all.iter().map(|section| section.whole).max();
        let missing = missing.unwrap_or(0).max(SEGMENT_BYTES);
        let before = |end: Address| {
            let whole = end.segment().saturating_sub(self.first);
            let there = self.all.iter().filter(|section| section.number < end.segment());
            let (count, bytes) = there.fold((0, 0), |(n, sum), one| (n + 1, sum + one.whole));
            let missing = u64::from(whole).saturating_sub(count).saturating_mul(missing);
            missing.saturating_add(bytes).saturating_add(end.offset().into())
        };
        before(to).saturating_sub(before(from)) / u64::from(RECORD_BYTES_MIN)
    }

    /// Up to where the log is known to be synced, also by its last segment.
    fn end(&self) -> Result<Address, Error> {
        let Some(last) = self.all.last() else { return Ok(self.synced) };
        let proven = self.synced.max(last.start());
        if proven.segment() != last.number {
            return Ok(proven);
        }
        let part = (proven.offset().into(), last.length);
        let promised = promised(&*last.file, last.name(), last.tag, part)?;
        Ok(proven.max(Address::new(last.number, promised)))
    }

    /// The runs that a recovery would choose, but for those that begin before what is read.
    pub(super) fn chosen_runs(&self) -> impl Iterator<Item = &Arc<Run>> {
        let start = self.all.first().map_or(Address::MIN, Section::start);
        let mut end = None;
        self.runs.iter().filter(move |run| {
            let Coverage { from, to, .. } = run.coverage;
            let is_next = end.map_or(from >= start, |end| from == end);
            end = if is_next { Some(to) } else { end };
            is_next
        })
    }

    /// Whether the log holds the frame that a run ends with. That a segment is missing is found elsewhere.
    pub(super) fn has_end_of(&self, run: &Run) -> Result<bool, Error> {
        let at = run.coverage.last_frame;
        let same = |section: &&Section| section.number == at.segment();
        let Some(section) = self.all.iter().find(same) else { return Ok(true) };
        let mut bytes = [0; FRAME_HEADER_BYTES as usize];
        let read = section.file.read_up_to(at.offset().into(), &mut bytes);
        let read = read.map_err(failed("reading", section.name()))?;
        let header = FrameHeader::decode(&bytes[..read], section.tag);
        Ok(header.is_ok_and(|(header, sum)| run.coverage.ends_with(&header, sum)))
    }

    fn read_watermark(&mut self, storage: &dyn Storage) -> Result<(), Error> {
        let name = FileName::Watermark;
        let Some(file) = open(storage, name)? else { return Ok(()) };
        let (_, mark) = Watermark::read(file, self.store).map_err(failed("reading", name))?;
        match mark {
            Some(mark) => (self.synced, self.head) = (mark.end, mark.position),
            None => self.findings.push(Finding::new(name, 0, "neither of its two slots is whole")),
        }
        Ok(())
    }

    fn read_runs(&mut self, storage: &Arc<dyn Storage>, names: &[FileName]) -> Result<(), Error> {
        let cache = Arc::new(Cache::new(0));
        for name in names.iter().filter(|name| matches!(name, FileName::Run(..))) {
            // One that is gone by now was merged into another.
            let Some(file) = open(&**storage, *name)? else { continue };
            match Run::open(*name, cache.adopt(file), self.store, Arc::clone(&cache))? {
                Ok(run) => {
                    self.synced = self.synced.max(run.coverage.to);
                    self.head = self.head.max(run.coverage.last);
                    self.runs.push(Arc::new(run));
                }
                Err(fault) => self.index_findings.push(Finding::new(name, 0, fault)),
            }
        }
        self.runs.sort_by_key(|run| (run.coverage.from, Reverse(run.coverage.to)));
        Ok(())
    }

    fn add(&mut self, storage: &dyn Storage, named: u32) -> Result<(), Error> {
        let name = FileName::Segment(named);
        let Some(file) = open(storage, name)? else {
            self.findings.push(Finding::new(name, 0, "it is not a plain file"));
            return Ok(());
        };
        // No address lies further on.
        let length = file.len().map_err(failed("measuring", name))?.min(u32::MAX.into());
        let mut bytes = vec![0; SEGMENT_HEADER_BYTES as usize];
        let read = file.read_up_to(0, &mut bytes).map_err(failed("reading", name))?;
        let (number, tag, first, header) = match SegmentHeader::decode(&bytes[..read], self.store) {
            Ok((header, chain)) => {
                if header.number != named {
                    let what = format!("it is segment {} of the log", header.number);
                    self.findings.push(Finding::new(name, 0, what));
                }
                (header.number, header.tag, header.first, Some((header, chain)))
            }
            Err(fault) => {
                self.findings.push(Finding::of_fault(name, 0, fault)?);
                let is_foreign =
                    beginning::decode(Kind::Segment, &bytes[..read]).is_ok_and(|store| {
                        store != self.store && SegmentHeader::decode(&bytes, store).is_ok()
                    });
                let tag = if is_foreign { None } else { learn_tag(&*file, name, length)? };
                let Some((tag, first)) = tag else { return Ok(()) };
                (named, tag, first, None)
            }
        };
        self.all.push(Section { number, file, length, whole: length, tag, header, first, named });
        Ok(())
    }
}

/// Who the store is: as its file says or, where that is damaged, its segments.
pub(super) fn identity(
    storage: &dyn Storage,
) -> Result<(StoreId, Result<Identity, Finding>), Error> {
    let name = FileName::Store;
    let what = match open(storage, name)? {
        Some(file) => {
            let mut bytes = vec![0; STORE_BYTES + 1];
            let read = file.read_up_to(0, &mut bytes).map_err(failed("reading", name))?;
            match decode_store(&bytes[..read]) {
                Ok(identity) => return Ok((identity.id.into_bytes(), Ok(identity))),
                Err(fault) => Finding::of_fault(name, 0, fault)?.what,
            }
        }
        None => "it is missing".to_owned(),
    };
    let finding = Finding::new(name, 0, what);
    for name in numbers(&list(storage)?).into_iter().map(FileName::Segment) {
        let Some(file) = open(storage, name)? else { continue };
        let mut bytes = vec![0; SEGMENT_HEADER_BYTES as usize];
        let read = file.read_up_to(0, &mut bytes).map_err(failed("reading", name))?;
        if let Ok(store) = beginning::decode(Kind::Segment, &bytes[..read])
            && SegmentHeader::decode(&bytes[..read], store).is_ok()
        {
            return Ok((store, Err(finding)));
        }
    }
    Ok((StoreId::default(), Err(finding)))
}

fn open(storage: &dyn Storage, name: FileName) -> Result<Option<Arc<dyn StorageFile>>, Error> {
    use std::io::ErrorKind::{InvalidInput, NotFound};
    match storage.open(name) {
        Ok(file) => Ok(Some(file)),
        Err(error) if matches!(error.kind(), NotFound | InvalidInput) => Ok(None),
        Err(error) => Err(failed("opening", name)(error)),
    }
}
