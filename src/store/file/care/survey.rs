//! Reading what can be read of a log, whatever else of it is damaged.

use std::sync::Arc;

use super::finding::Finding;
use super::search::{Found, Search};
use super::sections::{Section, Sections};
use crate::error::Error;
use crate::position::Position;
use crate::storage::FileName;
use crate::store::file::address::Address;
use crate::store::file::fault::Fault;
use crate::store::file::frame::FrameHeader;
use crate::store::file::record::Record;
use crate::store::file::scan::{Scan, Step, Tip};
use crate::store::file::segment::SEGMENT_HEADER_BYTES;

/// What a survey comes upon, in the order of the log.
pub(super) enum Piece<'p> {
    /// A record that is whole. Positions ascend; where one is left out, a finding tells of it before.
    Record(Address, &'p Record<'p>),
    /// Something is wrong.
    Finding(Finding),
    /// The log ends in an unfinished write: what was seen of the commit that was begun there last counts for nothing.
    Torn { at: Address },
    /// So many bytes of the log were read.
    Read(u64),
}

pub(super) type Visitor<'v> = &'v mut dyn FnMut(Piece<'_>) -> Result<(), Error>;

/// How much is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thoroughness {
    /// What is known to be synced. What lies behind that may be written to meanwhile.
    Proven,
    /// Also whole commits that lie behind an unfinished write.
    Everything,
}

/// Goes through a log. What cannot be read is passed over, and told.
pub(super) struct Survey<'s> {
    sections: &'s Sections,
    thoroughness: Thoroughness,
    /// The last position that was seen, and where its record ends.
    head: Position,
    end: Address,
    /// The last time of recording that was seen.
    time: i64,
    /// What the next frame or segment has to follow; `None` behind damage, where nobody knows.
    chain: Option<u32>,
    /// What was found since the last record: which positions are lost by it shows with the next one.
    pending: Vec<Finding>,
}

impl<'s> Survey<'s> {
    pub(super) fn new(sections: &'s Sections, thoroughness: Thoroughness) -> Self {
        Self {
            sections,
            thoroughness,
            head: sections.before,
            end: Address::new(sections.first, SEGMENT_HEADER_BYTES),
            time: i64::MIN,
            chain: None,
            pending: Vec::new(),
        }
    }

    /// Shows everything to a visitor. Returns the last position that the log once had beyond that, as far as it is known.
    pub(super) fn run(mut self, visit: Visitor<'_>) -> Result<Position, Error> {
        self.pending.extend(self.sections.findings.iter().cloned());
        let mut expected = self.sections.first;
        for (place, section) in self.sections.all.iter().enumerate() {
            if section.number > expected {
                self.chain = None;
                self.note(FileName::Segment(expected), 0, "the segment is missing");
            }
            expected = section.number.saturating_add(1);
            self.enter(section, place == 0);
            let next = self.sections.all.get(place + 1);
            self.section(section, next, visit)?;
        }
        if self.sections.synced.segment() >= expected || self.sections.all.is_empty() {
            self.note(FileName::Segment(expected), 0, "the segment is missing");
        }
        let synced = self.sections.synced.max(self.end);
        let head = Some(self.sections.head).filter(|head| *head > self.head);
        let known = head.filter(|head| self.can_come_next(*head, synced));
        if head != known {
            let what = "it tells of more events than there can have been";
            self.note(FileName::Watermark, 0, what);
        }
        let next = known.and_then(|head| head.checked_add(1));
        if next.is_some() && self.pending.is_empty() {
            let file = FileName::Segment(expected.saturating_sub(1));
            self.note(file, 0, "the log ends before what is known to have been synced");
        }
        self.tell_pending(next, visit)?;
        Ok(known.unwrap_or(Position::START))
    }

    fn note(&mut self, file: FileName, offset: u64, what: &str) {
        self.pending.push(Finding::new(file, offset, what));
    }

    /// Whether the events that would be lost before this position can have lain before this address.
    fn can_come_next(&self, position: Position, at: Address) -> bool {
        let lost = position.get().checked_sub(self.head.get().saturating_add(1));
        lost.is_some_and(|lost| lost <= self.sections.records_between(self.end, at))
    }

    /// Tells what was found since the last record, now that the next position is known.
    fn tell_pending(&mut self, next: Option<Position>, visit: Visitor<'_>) -> Result<(), Error> {
        let first = self.head.checked_add(1);
        let lost = first.zip(next).and_then(|(first, next)| {
            let last = Position::new(next.get().saturating_sub(1));
            (first <= last).then_some((first, last))
        });
        if lost.is_some() && self.pending.is_empty() {
            self.note(FileName::Store, 0, "positions are missing");
        }
        for mut finding in std::mem::take(&mut self.pending) {
            finding.lost = lost;
            visit(Piece::Finding(finding))?;
        }
        Ok(())
    }

    /// Holds what a segment says of itself and its predecessor against what was seen.
    fn enter(&mut self, section: &Section, is_first: bool) {
        let Some((header, chain)) = &section.header else {
            self.chain = None;
            return;
        };
        let follows = header.predecessor_chain == self.chain.unwrap_or(header.predecessor_chain)
            && (self.chain.is_none() || header.last_time == self.time)
            && self.head.checked_add(1).is_some_and(|next| {
                header.first == next || (self.chain.is_none() && header.first > next)
            });
        let name = FileName::Segment(section.number);
        if !follows && !is_first {
            self.note(name, 0, "the segment does not follow the one before it");
        }
        if is_first && header.number == 1 && header.first != Position::new(1) {
            self.note(name, 0, "the first segment does not begin at the first position");
        }
        self.chain = Some(*chain);
    }

    fn section(
        &mut self,
        section: &Section,
        next: Option<&Section>,
        visit: Visitor<'_>,
    ) -> Result<(), Error> {
        let length = length_of(section, next);
        let mut limit = length.min(section.length);
        let synced = self.sections.synced;
        if self.thoroughness == Thoroughness::Proven && synced.segment() == section.number {
            limit = limit.min(synced.offset().into());
        }
        let search = Search { file: &*section.file, name: section.name(), tag: section.tag, limit };
        let start = section.start();
        let first = section.header.map_or(Position::START, |(header, _)| header.first);
        let before = self.head.max(Position::new(first.get().saturating_sub(1)));
        let tip = Tip::at(start, before, self.chain.unwrap_or(0), self.time);
        let mut scan = Scan::new(Arc::clone(&section.file), section.tag, limit, tip);
        if self.chain.is_none() && !self.resume(&mut scan, &search, start.offset().into(), visit)? {
            return Ok(());
        }
        let mut resumed = None;
        loop {
            let mut seen = scan.tip.end.offset().into();
            let mut failed = Ok(());
            let before = scan.tip.end;
            let step = scan.next(|at, record| {
                seen = u64::from(at.offset()) + u64::from(record.length);
                if failed.is_ok() {
                    failed = self.show(at, record, visit);
                }
            });
            let (offset, fault) = match step? {
                Step::Frame { header, .. } => {
                    failed?;
                    self.chain = Some(scan.tip.chain);
                    visit(Piece::Read(header.length.into()))?;
                    continue;
                }
                Step::End => break,
                Step::Bad { offset, fault } => (offset, fault),
            };
            failed?;
            if next.is_none() && before >= synced {
                visit(Piece::Torn { at: before })?;
                if !self.resume_at_a_whole_frame(&mut scan, &search, before, fault)? {
                    return Ok(());
                }
                continue;
            }
            self.pending.push(Finding::of_fault(section.name(), offset, fault)?);
            let mut from = offset.max(seen);
            if resumed == Some(before) && from == u64::from(before.offset()) {
                // It was whole a moment ago: whoever changes the file meanwhile must not keep this here.
                from += 1;
            }
            if !self.resume(&mut scan, &search, from, visit)? {
                self.chain = None;
                return Ok(());
            }
            resumed = Some(scan.tip.end);
        }
        if section.length != length {
            let what = "its length is not the one that its successor names";
            self.note(section.name(), limit, what);
        }
        Ok(())
    }

    /// Where a scan stands that goes on at a frame, whatever came before it.
    fn tip_before(&self, frame: Address, header: &FrameHeader) -> Tip {
        Tip::at(frame, Position::new(header.first.get() - 1), header.chain, self.time)
    }

    fn show(&mut self, at: Address, record: &Record<'_>, visit: Visitor<'_>) -> Result<(), Error> {
        let position = record.event.position();
        if position <= self.head {
            // It was shown when its frame was looked at for the first time.
            return Ok(());
        }
        let is_next = position.get() == self.head.get() + 1;
        if !is_next && !self.can_come_next(position, at) {
            let (name, offset) = (FileName::Segment(at.segment()), at.offset().into());
            self.note(name, offset, "a record has an impossible position");
            return Ok(());
        }
        if !is_next || !self.pending.is_empty() {
            self.tell_pending(Some(position), visit)?;
        }
        (self.head, self.end) = (position, at.plus(record.length));
        self.time = record.event.recorded_micros();
        visit(Piece::Record(at, record))
    }

    /// Shows single records from an offset on, up to the next frame, where the scan goes on; false if there is none.
    fn resume(
        &mut self,
        scan: &mut Scan,
        search: &Search<'_>,
        from: u64,
        visit: Visitor<'_>,
    ) -> Result<bool, Error> {
        let number = scan.tip.end.segment();
        let mut at = from;
        loop {
            match search.next(at, self.head)? {
                None => return Ok(false),
                Some(Found::Frame(offset, header)) => {
                    scan.tip = self.tip_before(Address::new(number, offset), &header);
                    return Ok(true);
                }
                Some(Found::Record(offset, bytes)) => {
                    let record = Record::decode(&bytes, search.seed());
                    let Ok(record) = record else { return Ok(false) };
                    self.show(Address::new(number, offset), &record, visit)?;
                    at = u64::from(offset) + u64::from(record.length);
                }
            }
        }
    }

    /// Goes on at the next commit that is whole.
    fn resume_at_a_whole_frame(
        &mut self,
        scan: &mut Scan,
        search: &Search<'_>,
        end: Address,
        fault: Fault,
    ) -> Result<bool, Error> {
        let Some((offset, header)) = search.next_whole_frame(end.next().offset(), self.head)?
        else {
            return Ok(false);
        };
        self.pending.push(Finding::of_fault(search.name, end.offset().into(), fault)?);
        scan.tip = self.tip_before(Address::new(end.segment(), offset), &header);
        Ok(true)
    }
}

/// How long a segment has to be: as its successor says or, if that is not known, as it is.
fn length_of(section: &Section, next: Option<&Section>) -> u64 {
    let says = next.and_then(|next| next.header.as_ref()).filter(|(header, _)| {
        Some(header.number) == section.number.checked_add(1)
            && header.predecessor_length >= SEGMENT_HEADER_BYTES
    });
    says.map_or(section.length, |(header, _)| header.predecessor_length.into())
}
