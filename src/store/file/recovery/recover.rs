//! The way from a directory to a store that can be written to.

use std::sync::Arc;

use super::tail::{Tail, rewrite};
use super::{runs, segments};
use crate::error::Error;
use crate::position::Position;
use crate::storage::{FileName, Storage, StorageFile};
use crate::store::file::address::Address;
use crate::store::file::beginning::StoreId;
use crate::store::file::cache::Cache;
use crate::store::file::fault::{Fault, failed};
use crate::store::file::index::{Coverage, Part, Run, Sources, Terms, Workshop};
use crate::store::file::log::{Log, Segment};
use crate::store::file::report::RecoveryReport;
use crate::store::file::scan::{Scan, Step, Tip};
use crate::store::file::segment::SEGMENT_HEADER_BYTES;
use crate::store::file::watermark::{Mark, Watermark};

/// A store that is ready to be written to.
pub(in crate::store::file) struct Recovered {
    pub(in crate::store::file) workshop: Workshop,
    pub(in crate::store::file) log: Log,
    pub(in crate::store::file) terms: Terms,
    pub(in crate::store::file) sources: Sources,
    pub(in crate::store::file) tip: Tip,
    /// The last segment.
    pub(in crate::store::file) segment: Segment,
    pub(in crate::store::file) file: Arc<dyn StorageFile>,
    /// How long its file is.
    pub(in crate::store::file) file_length: u64,
    pub(in crate::store::file) watermark: Watermark,
    pub(in crate::store::file) report: RecoveryReport,
}

/// How far the log is known to have been synced, and who says so.
#[derive(Clone, Copy)]
struct Proven {
    to: Address,
    witness: &'static str,
}

impl Proven {
    fn or(self, to: Address, witness: &'static str) -> Self {
        if to > self.to { Self { to, witness } } else { self }
    }
}

/// Opens the store of a directory, of which this process has the lock; makes one if there is none. Indexes what no run
/// covers, in parts of `recent_bytes` of log.
pub(in crate::store::file) fn recover(
    storage: Arc<dyn Storage>,
    cache: Arc<Cache>,
    recent_bytes: u32,
) -> Result<Recovered, Error> {
    let names = storage.list().map_err(failed("listing the directory of", FileName::Store))?;
    let (store, is_new) = segments::identity(&storage, &names)?;
    let names = if is_new {
        storage.list().map_err(failed("listing the directory of", FileName::Store))?
    } else {
        names
    };
    // A name that the last process saw may not be durable yet; nothing may be built on it before, not even another name.
    storage.sync_names().map_err(failed("syncing the directory of", FileName::Store))?;
    let log = Log::new(Arc::clone(&storage), Arc::clone(&cache));
    segments::collect(&storage, &names, store, &log)?;
    let (watermark, mark) = read_watermark(&storage, store, &log)?;
    let chosen = runs::choose(&storage, &names, store, &cache, &log)?;
    if let Some(last) = chosen.kept.last() {
        runs::confirm(&log, last)?;
    }
    let mut proven = Proven { to: log.start(), witness: "" };
    proven = proven.or(chosen.proven, "an index run covers it, and runs are made of synced log");
    if let Some(mark) = mark {
        proven = proven.or(mark.end, "the watermark says that it was synced");
    }
    let workshop = Workshop { storage, store, cache };
    let mut replay = Replay::new(&workshop, &log, chosen.kept, recent_bytes);
    let unproven = replay.all_segments(&mut proven)?;
    let (segment, file, tip) = replay.last()?;
    let tail = Tail {
        storage: &workshop.storage,
        file: &file,
        tag: segment.header.tag,
        end: tip.end,
        head: tip.head,
        fault: replay.fault.take(),
    };
    // From here on something is changed.
    let cut = tail.settle(proven.to, proven.witness)?;
    let name = FileName::Segment(segment.header.number);
    if !unproven.is_empty() {
        let at = u64::from(tip.end.offset()) - unproven.len() as u64;
        rewrite(&*file, name, at, &unproven)?;
    }
    let file_length = file.len().map_err(failed("measuring", name))?;
    let report = RecoveryReport {
        clean: is_new || mark.is_some_and(|mark| mark.is_shut && mark.end == tip.end),
        replayed_events: replay.events,
        cut,
        rewritten_bytes: unproven.len() as u64,
        removed_runs: remove_useless(&*workshop.storage, &names, chosen.useless, &replay.sources),
    };
    let sources = replay.sources;
    let terms = Terms::of_store(store);
    let mut recovered = Recovered {
        workshop,
        terms,
        sources,
        tip,
        segment,
        file,
        file_length,
        watermark,
        report,
        log,
    };
    if mark.is_none_or(|mark| mark.end != tip.end) {
        recovered.mark();
    }
    Ok(recovered)
}

impl Recovered {
    /// Writes down that everything is synced now. It is as well if that fails.
    fn mark(&mut self) {
        let (tag, end, position) = (self.segment.header.tag, self.tip.end, self.tip.head);
        let mark = Mark { tag, end, position, is_shut: false };
        let _ = self.watermark.write(mark).and_then(|()| self.watermark.sync());
    }
}

fn read_watermark(
    storage: &Arc<dyn Storage>,
    store: StoreId,
    log: &Log,
) -> Result<(Watermark, Option<Mark>), Error> {
    let name = FileName::Watermark;
    let file = match storage.open(name) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            storage.create(name).and_then(|file| storage.sync_names().map(|()| file))
        }
        other => other,
    };
    let file = file.map_err(failed("opening", name))?;
    let (watermark, mark) = Watermark::read(file, store).map_err(failed("reading", name))?;
    if let Some(mark) = mark {
        let Some(segment) = log.segment(mark.end.segment()) else {
            let what =
                Fault::Wrong("the segment is missing, but the watermark says that it was synced");
            return Err(what
                .at(FileName::Segment(mark.end.segment()), 0)
                .at_position(mark.position));
        };
        if segment.header.tag != mark.tag {
            let what = Fault::Wrong("it is not the segment of which the watermark tells");
            return Err(what
                .at(FileName::Segment(mark.end.segment()), 0)
                .at_position(mark.position));
        }
    }
    Ok((watermark, mark))
}

/// Removes what is of no use, as far as that can be done, and says which runs were. A run that was made again in the meantime
/// may have the name of one that was of no use, and stays.
fn remove_useless(
    storage: &dyn Storage,
    names: &[FileName],
    runs: Vec<(FileName, String)>,
    sources: &Sources,
) -> Vec<String> {
    for name in names.iter().filter(|name| name.is_unfinished()) {
        let _ = storage.remove(*name);
    }
    for (name, _) in &runs {
        if !sources.runs.iter().any(|run| run.name == *name) {
            let _ = storage.remove(*name);
        }
    }
    runs.into_iter().map(|(name, reason)| format!("{name}: {reason}")).collect()
}

/// Reads the log behind the runs again, and indexes it.
struct Replay<'r> {
    workshop: &'r Workshop,
    log: &'r Log,
    terms: Terms,
    recent_bytes: u32,
    sources: Sources,
    tip: Tip,
    events: u64,
    fault: Option<(u64, Fault)>,
}

impl<'r> Replay<'r> {
    fn new(workshop: &'r Workshop, log: &'r Log, runs: Vec<Arc<Run>>, recent_bytes: u32) -> Self {
        let start = log.start();
        let first = log.first().expect("a store has a segment");
        let before = Position::new(first.header.first.get().saturating_sub(1));
        let (time, chain) = (first.header.last_time, first.chain);
        let mut tip = Tip {
            end: start,
            head: before,
            chain,
            time,
            last_frame: start,
            last_end: start,
            last_chain: chain,
        };
        if let Some(Coverage { to, last, last_chain, last_time, last_frame, .. }) =
            runs.last().map(|run| run.coverage)
        {
            let (end, head, chain, time) = (to, last, last_chain, last_time);
            tip = Tip { end, head, chain, time, last_frame, last_end: end, last_chain: chain };
        }
        let terms = Terms::of_store(workshop.store);
        let recents = vec![Part::behind(tip.end, tip.head, terms)];
        let sources = Sources { runs, recents };
        Self { workshop, log, terms, recent_bytes, sources, tip, events: 0, fault: None }
    }

    /// Replays all segments, and returns the bytes at the end of the last that nothing proves to be synced.
    fn all_segments(&mut self, proven: &mut Proven) -> Result<Vec<u8>, Error> {
        loop {
            let number = self.tip.end.segment();
            let segment = self.log.segment(number).ok_or_else(|| {
                let what = Fault::Wrong("the segment is missing, but an index run covers it");
                what.at(FileName::Segment(number), 0)
            })?;
            let unproven = self.segment(&segment, proven)?;
            let Some(next) = self.log.segment(number + 1) else { return Ok(unproven) };
            self.enter(&next)?;
        }
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

    fn segment(&mut self, segment: &Segment, proven: &mut Proven) -> Result<Vec<u8>, Error> {
        let number = segment.header.number;
        let name = FileName::Segment(number);
        let file = self.log.file(number)?.file;
        let limit = match segment.length {
            Some(length) => length.into(),
            None => file.len().map_err(failed("measuring", name))?,
        };
        let mut scan = Scan::new(file, segment.header.tag, limit, self.tip);
        let (mut tail, mut tail_at) = (Vec::new(), self.tip.end.offset());
        if segment.length.is_some() {
            *proven = proven.or(Address::new(number + 1, 0), "a later segment exists");
        }
        loop {
            let recent = Arc::clone(&self.sources.growing().recent);
            let mut recent = recent.write();
            let events = &mut self.events;
            let step = scan.next(|address, record| {
                recent.add(&record.event, (address, record.length));
                *events += 1;
            })?;
            match step {
                Step::Frame { header, bytes } => {
                    let end = Address::new(number, header.synced);
                    *proven = proven.or(end, "a later frame was built after this was synced");
                    tail.extend_from_slice(bytes);
                    let start = Address::new(number, tail_at).number();
                    let known = proven.to.number().saturating_sub(start).min(tail.len() as u64);
                    tail.drain(..usize::try_from(known).expect("at most a length"));
                    tail_at += u32::try_from(known).expect("it lies in a segment");
                }
                Step::End => break,
                Step::Bad { offset, fault } if segment.length.is_some() => {
                    let position = Position::new(scan.tip.head.get().saturating_add(1));
                    return Err(fault.at(name, offset).at_position(position));
                }
                Step::Bad { offset, fault } => {
                    // Records before the bad one of its frame may have been seen.
                    recent.truncate(scan.tip.end);
                    self.fault = Some((offset, fault));
                    break;
                }
            }
            drop(recent);
            self.tip = scan.tip;
            self.write_run_if_due(proven.to);
        }
        self.tip = scan.tip;
        Ok(tail)
    }

    /// Makes a run of what was collected, once it is enough and known to be synced; if that fails it stays in memory.
    fn write_run_if_due(&mut self, proven: Address) {
        let part = self.sources.growing();
        let collected = part.recent.read().log_bytes();
        if collected < self.recent_bytes.into() || self.tip.last_end > proven {
            return;
        }
        let coverage = self.tip.coverage(part.from, part.first);
        let run = self.workshop.run_of(&part.recent.read(), coverage);
        match run {
            Ok(run) if self.sources.recents.len() == 1 => {
                self.sources.runs.push(Arc::new(run));
                self.sources.recents.clear();
                // What cannot be merged now is merged later.
                let _ = self.workshop.merge_all(&mut self.sources.runs);
            }
            _ => {
                self.sources.recents.last_mut().expect("there is always one").settled =
                    Some(coverage)
            }
        }
        let next = Part::behind(self.tip.last_end, self.tip.head, self.terms);
        self.sources.recents.push(next);
    }

    fn last(&self) -> Result<(Segment, Arc<dyn StorageFile>, Tip), Error> {
        let segment = self.log.last().expect("a store has a segment");
        let file = self.log.file(segment.header.number)?.file;
        Ok((segment, file, self.tip))
    }
}
