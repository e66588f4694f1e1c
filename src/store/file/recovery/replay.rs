//! Reading the log behind the index runs: verifying all of it, and indexing it.

use std::sync::Arc;

use crate::error::Error;
use crate::position::Position;
use crate::storage::FileName;
use crate::store::file::address::Address;
use crate::store::file::fault::Fault;
use crate::store::file::frame::FrameHeader;
use crate::store::file::index::{Coverage, Part, Recent, Run, Sources, Terms, Workshop};
use crate::store::file::log::{Log, Segment};
use crate::store::file::scan::{Scan, Step, Tip};
use crate::store::file::segment::SEGMENT_HEADER_BYTES;

/// The log up to a tip that moves on, and its index.
pub(crate) struct Replay<'r> {
    pub(crate) log: &'r Log,
    pub(crate) sources: Sources,
    pub(crate) tip: Tip,
    /// How many events were read.
    pub(super) events: u64,
}

impl<'r> Replay<'r> {
    /// Goes on from a tip up to which the log is indexed.
    pub(crate) fn from(log: &'r Log, sources: Sources, tip: Tip) -> Self {
        Self { log, sources, tip, events: 0 }
    }

    /// Begins behind these runs.
    pub(crate) fn behind(log: &'r Log, terms: Terms, runs: Vec<Arc<Run>>) -> Self {
        let start = log.start();
        let first = log.first().expect("a store has a segment");
        let before = Position::new(first.header.first.get().saturating_sub(1));
        let (time, chain) = (first.header.last_time, first.chain);
        let mut tip = Tip::at(start, before, chain, time);
        if let Some(Coverage { to, last, last_chain, last_time, last_frame, .. }) =
            runs.last().map(|run| run.coverage)
        {
            tip = Tip { last_frame, ..Tip::at(to, last, last_chain, last_time) };
        }
        let recents = vec![Part::behind(tip.end, tip.head, Recent::new(terms))];
        Self::from(log, Sources { runs, recents }, tip)
    }

    /// Goes on in the next segment, which has to say of this one what was found.
    fn enter(&mut self, next: &Segment) -> Result<(), Error> {
        let (header, name) = (&next.header, FileName::Segment(next.header.number));
        let follows = header.predecessor_chain == self.tip.chain
            && header.predecessor_length == self.tip.end.offset()
            && header.last_time == self.tip.time
            && Some(header.first) == self.tip.head.checked_add(1);
        if !follows {
            return Err(Fault::Wrong("the segment does not follow the one before it").at(name, 0));
        }
        self.tip.end = Address::new(header.number, SEGMENT_HEADER_BYTES);
        self.tip.chain = next.chain;
        Ok(())
    }

    /// Goes on up to the segment of this number, and through each as far as `limit` says. `each` hears of every frame once it is
    /// indexed. Says what is wrong with the last segment, and at which offset, if not all of it is frames that follow one another.
    pub(super) fn segments(
        &mut self,
        last: u32,
        limit: impl Fn(&Segment) -> u64,
        mut each: impl FnMut(&mut Self, &FrameHeader, &[u8]),
    ) -> Result<Option<(u64, Fault)>, Error> {
        loop {
            let segment = self.segment(self.tip.end.segment())?;
            let number = segment.header.number;
            match self.frames(&segment, limit(&segment), &mut each)? {
                fault if number == last => return Ok(fault),
                Some(fault) => return Err(self.damage(fault)),
                None => self.enter(&self.segment(number + 1)?)?,
            }
        }
    }

    fn segment(&self, number: u32) -> Result<Segment, Error> {
        self.log.segment(number).ok_or_else(|| {
            let what = Fault::Wrong("the segment is missing, but an index run covers it");
            what.at(FileName::Segment(number), 0)
        })
    }

    fn frames(
        &mut self,
        segment: &Segment,
        limit: u64,
        each: &mut impl FnMut(&mut Self, &FrameHeader, &[u8]),
    ) -> Result<Option<(u64, Fault)>, Error> {
        let file = self.log.file(segment.header.number)?.file;
        let mut scan = Scan::new(file, segment.header.tag, limit, self.tip);
        loop {
            let recent = Arc::clone(&self.sources.growing().recent);
            let mut recent = recent.write();
            let events = &mut self.events;
            let step = scan.next(|address, record| {
                recent.add(&record.event, (address, record.length));
                *events += 1;
            })?;
            match step {
                Step::Frame { header, bytes, tip } => {
                    drop(recent);
                    self.tip = tip;
                    each(self, &header, bytes);
                }
                Step::End => return Ok(None),
                Step::Bad { offset, fault } => {
                    // Records before the bad one of its frame may have been seen.
                    recent.truncate(self.tip.end);
                    return Ok(Some((offset, fault)));
                }
            }
        }
    }

    /// The error that says that the log is damaged, although it was synced there.
    fn damage(&self, (offset, fault): (u64, Fault)) -> Error {
        let position = Position::new(self.tip.head.get().saturating_add(1));
        fault.at(FileName::Segment(self.tip.end.segment()), offset).at_position(position)
    }

    /// Goes on up to an address that is not before the tip, and up to which the log is known to be synced. `each` comes behind
    /// every frame.
    pub(crate) fn up_to(
        &mut self,
        end: Address,
        mut each: impl FnMut(&mut Self),
    ) -> Result<(), Error> {
        let log = self.log;
        let limit = |segment: &Segment| log.limit(segment.header.number, end).into();
        let fault = self.segments(end.segment(), limit, |replay, _, _| each(replay))?;
        fault.map_or(Ok(()), |fault| Err(self.damage(fault)))
    }

    /// Makes a run of what was collected since the last, all of which has to be synced. If that fails it stays in memory, and
    /// is tried again with the next.
    pub(crate) fn make_run(&mut self, workshop: &Workshop) -> Result<(), Error> {
        let part = self.sources.growing();
        self.sources.settle(self.tip.coverage(part.from, part.first));
        while let Some((part, coverage)) = self.sources.settled() {
            let run = workshop.run_of(&part.recent, coverage)?;
            self.sources.runs.push(Arc::new(run));
            self.sources.recents.remove(0);
            // What cannot be merged now is merged later.
            let _ = workshop.merge_all(&mut self.sources.runs);
        }
        Ok(())
    }
}
