//! Copying a store while it is in use.

use std::sync::Arc;

use super::sections::{Section, Sections, identity};
use crate::error::{Error, ErrorKind};
use crate::position::Position;
use crate::progress::Progress;
use crate::storage::{FileName, Storage, StorageFile};
use crate::store::file::address::Address;
use crate::store::file::beginning::StoreId;
use crate::store::file::fault::{Fault, failed, find};
use crate::store::file::file_store::lock;
use crate::store::file::recovery::{
    last_non_zero, list, name_segment, open_watermark, write_store,
};
use crate::store::file::scan::{Scan, Step, Tip};
use crate::store::file::segment::SEGMENT_HEADER_BYTES;
use crate::store::file::watermark::{Mark, Watermark};

/// What a backup came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackedUp {
    /// Everything up to this position is in the backup.
    pub up_to: Position,
    /// How many bytes of the log were written now.
    pub bytes: u64,
}

/// Makes a backup of a store, which may be in use, or brings an earlier one up to date.
///
/// The backup is the same store, as far as it was synced when this was called. It opens as one, and a
/// [follower](crate::store::FileStore::follow) reads it as it is. Of an earlier backup in the directory only what is new is
/// written; one that was written to as a store is left alone, with an error of the kind [`Occupied`](ErrorKind::Occupied), and so
/// is the store's own directory. Meanwhile the backup is locked as a store that is open. All of the
/// log that is read is verified: a damaged store is refused, and the earlier backup stays what it was. If this is
/// interrupted, run it again; an earlier backup opens meanwhile with at least what it had.
///
/// What is new in the last segment of an earlier backup is synced there in as many steps as the store took for it, so that no
/// crash leaves less than was there before; all else in one step for each segment.
pub fn backup(
    store: impl Storage,
    into: impl Storage,
    mut progress: impl FnMut(Progress),
) -> Result<BackedUp, Error> {
    let source: Arc<dyn Storage> = Arc::new(store);
    let sections = Sections::of(&source)?;
    // Without a watermark the log itself has to tell how far it goes.
    let watermark = FileName::Watermark.to_string();
    if let Some(finding) = sections.findings.iter().find(|finding| finding.file != watermark) {
        return Err(finding.clone().into_error());
    }
    let target: Arc<dyn Storage> = Arc::new(into);
    if source.place().is_some_and(|place| target.place() == Some(place)) {
        return Err(Error::new(ErrorKind::Occupied).detail("by the store itself"));
    }
    let _lock = lock(&*target)?;
    let copied = list(&*target)?;
    let (there, said) = identity(&*target)?;
    if there != sections.store && there != StoreId::default() {
        return Err(Error::new(ErrorKind::Occupied).detail("by another store"));
    }
    let (watermark, mark) = open_watermark(&*target, sections.store)?;
    let end = sections.synced;
    if let Some(mark) = mark.filter(|mark| mark.end > end) {
        let (reaches, head) = (mark.position, sections.head);
        let detail = format!(
            "by a backup that reaches position {reaches}, beyond the store's {head}: keep it, and see \
             whether an older copy stands in the store's place, or the backup was written to"
        );
        return Err(Error::new(ErrorKind::Occupied).detail(detail));
    }
    let mut copy = Copying {
        source,
        target,
        end,
        watermark,
        mark,
        is_new: said.is_err(),
        tip: Tip::at(Address::MIN, Position::START, 0, i64::MIN),
        written: 0,
    };
    let mut reached = Progress::new(0, sections.bytes_up_to(copy.end));
    for (place, section) in sections.all.iter().enumerate() {
        let next = sections.all.get(place + 1).filter(|next| next.start() <= copy.end);
        let is_sealed =
            next.filter(|next| copied.contains(&next.name()) && copied.contains(&section.name()));
        if let Some((header, _)) = is_sealed.and_then(|next| next.header) {
            // It is there as a whole: whoever named the next had synced it.
            let before = Position::new(header.first.get().saturating_sub(1));
            copy.tip = Tip::at(section.start(), before, header.predecessor_chain, header.last_time);
        } else {
            copy.segment(section, next.is_some(), &copied, &mut |bytes| {
                reached.add(bytes);
                progress(reached);
            })?;
        }
    }
    if copy.tip.end != copy.end {
        let what = Fault::Wrong("the log ends before what is known to have been synced");
        return Err(what.at(FileName::Segment(copy.end.segment()), copy.end.offset().into()));
    }
    copy.index(&sections, &copied)?;
    copy.mark(&sections)?;
    if copy.is_new {
        let identity = sections.identity.expect("there is no finding about it");
        write_store(&copy.target, &identity)?;
    }
    Ok(BackedUp { up_to: copy.tip.head, bytes: copy.written })
}

/// A backup at work.
struct Copying {
    source: Arc<dyn Storage>,
    target: Arc<dyn Storage>,
    /// Where the backup is to end.
    end: Address,
    /// How far an earlier one is known to be synced.
    watermark: Watermark,
    mark: Option<Mark>,
    /// Whether there is none that says who it is, and so none that opens.
    is_new: bool,
    tip: Tip,
    written: u64,
}

/// How much is collected before it is written.
const BATCH_BYTES: usize = 1 << 20;

impl Copying {
    /// Brings a segment of the backup up to date, and syncs it.
    fn segment(
        &mut self,
        section: &Section,
        is_followed: bool,
        copied: &[FileName],
        read: &mut dyn FnMut(u64),
    ) -> Result<(), Error> {
        let name = section.name();
        let is_there = copied.contains(&name);
        let into = if is_there { name } else { FileName::Spare };
        let file = if is_there { self.target.open(into) } else { self.target.create(into) };
        let file = file.map_err(failed("opening", into))?;
        let limit = if is_followed { section.length } else { self.end.offset().into() };
        if is_there && last_non_zero(&*file, name, limit)?.is_some() {
            return Err(written_to());
        }
        let mut header = vec![0; SEGMENT_HEADER_BYTES as usize];
        section.file.read_exact_at(0, &mut header).map_err(failed("reading", name))?;
        let (says, chain) = section.header.ok_or_else(|| Fault::Short.at(name, 0))?;
        let is_first = self.tip.end == Address::MIN;
        if !is_first && (says.predecessor_chain, says.last_time) != (self.tip.chain, self.tip.time)
        {
            let what = Fault::Wrong("the segment does not follow the one before it");
            return Err(what.at(name, 0));
        }
        (self.tip.end, self.tip.chain) = (section.start(), chain);
        let is_marked = |mark: &Mark| is_there && mark.tag == section.tag;
        let synced = self.mark.filter(is_marked).map_or(0, |mark| mark.end.offset().into());
        let mut part = Part { file: &*file, name: into, at: 0, bytes: header, synced };
        // Nobody opens what has no identity, or not the name of a segment.
        let is_shown = is_there && !self.is_new;
        let mut scan = Scan::new(Arc::clone(&section.file), section.tag, limit, self.tip);
        loop {
            match scan.next(|_, _| {})? {
                Step::Frame { bytes, header, .. } => {
                    // What the frame says to be synced has to be, here too, before the frame can be found.
                    if is_shown && u64::from(header.synced) > part.synced {
                        self.written += part.put()?;
                        part.sync()?;
                    }
                    part.bytes.extend_from_slice(bytes);
                    read(header.length.into());
                }
                Step::End => break,
                Step::Bad { offset, fault } => return Err(fault.at(name, offset)),
            }
            if part.bytes.len() >= BATCH_BYTES {
                self.written += part.put()?;
            }
        }
        self.written += part.put()?;
        self.tip = scan.tip;
        file.set_len(part.at).map_err(failed("cutting", into))?;
        part.sync()?;
        if is_there { Ok(()) } else { name_segment(&self.target, section.number) }
    }

    /// Copies the runs that the backup covers, and removes those that the store has no more.
    fn index(&self, sections: &Sections, copied: &[FileName]) -> Result<(), Error> {
        let mut kept = Vec::new();
        for run in sections.chosen_runs().filter(|run| run.coverage.to <= self.end) {
            kept.push(run.name);
            if !copied.contains(&run.name) {
                self.whole_file(run.name)?;
            }
        }
        let is_old = |name: &&FileName| matches!(name, FileName::Run(..)) && !kept.contains(name);
        for old in copied.iter().filter(is_old) {
            self.target.remove(*old).map_err(failed("removing", *old))?;
        }
        Ok(())
    }

    fn whole_file(&self, name: FileName) -> Result<(), Error> {
        let draft = FileName::RunDraft;
        // The store may have merged it into another meanwhile; the backup makes it anew when it is opened.
        let Some(from) = find(&*self.source, name)? else { return Ok(()) };
        let into = self.target.create(draft).map_err(failed("making", draft))?;
        from.copy_to(&*into, 0..u64::MAX).map_err(failed("copying", name))?;
        into.sync().map_err(failed("syncing", draft))?;
        self.target.rename(draft, name).map_err(failed("renaming", draft))?;
        self.target.sync_names().map_err(failed("syncing the name of", name))
    }

    /// Writes down how far the backup goes.
    fn mark(&mut self, sections: &Sections) -> Result<(), Error> {
        let name = FileName::Watermark;
        let last = sections.all.iter().find(|section| section.number == self.end.segment());
        let tag = last.map_or(0, |section| section.tag);
        let mark = Mark { tag, end: self.end, position: self.tip.head, is_shut: true };
        let written = self.watermark.write(mark).and_then(|()| self.watermark.sync());
        written.map_err(failed("writing", name))?;
        self.target.sync_names().map_err(failed("syncing the name of", name))
    }
}

fn written_to() -> Error {
    Error::new(ErrorKind::Occupied).detail("by a backup that was written to")
}

/// A part of a segment that is to be in the backup.
struct Part<'f> {
    file: &'f dyn StorageFile,
    name: FileName,
    at: u64,
    bytes: Vec<u8>,
    /// Up to where it is synced. What can be read behind that may be what a failed sync has given up, and is written again.
    synced: u64,
}

impl Part<'_> {
    /// Writes what is not there yet, and says how much that was. What is there has to be the same, or space that was prepared.
    fn put(&mut self) -> Result<u64, Error> {
        let mut there = vec![0; self.bytes.len()];
        let read =
            self.file.read_up_to(self.at, &mut there).map_err(failed("reading", self.name))?;
        if self.bytes.iter().zip(&there[..read]).any(|(new, old)| *old != 0 && old != new) {
            return Err(written_to());
        }
        let known = self.synced.saturating_sub(self.at).min(self.bytes.len() as u64);
        let rest = &self.bytes[usize::try_from(known).expect("at most a length")..];
        self.file.write_all_at(self.at + known, rest).map_err(failed("writing", self.name))?;
        let written = rest.len() as u64;
        self.at += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(written)
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.synced = self.synced.max(self.at);
        self.file.sync().map_err(failed("syncing", self.name))
    }
}
