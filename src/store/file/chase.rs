//! Keeping up with a log that another process writes: what of it is known to be synced, and reading that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::address::Address;
use super::cache::Cache;
use super::fault::{failed, find};
use super::frame::{FRAME_HEADER_BYTES, FrameHeader};
use super::index::{Run, Sources, Terms, Workshop};
use super::log::Log;
use super::options::FileOptions;
use super::reader::Reader;
use super::recovery::{
    Replay, Runs, add_next, check_is_store, choose, collect, confirm, confirm_mark, list,
    read_identity,
};
use super::scan::Tip;
use super::segment::SEGMENT_HEADER_BYTES;
use super::watermark::{Mark, Watermark};
use crate::error::{Error, ErrorKind};
use crate::storage::{FileName, Storage, StorageFile};
use crate::store::event_store::Head;
use crate::store::identity::Identity;

/// How often the directory is listed until the runs in it cover the log without a gap. A writer that merges runs meanwhile takes
/// away some that are listed, and adds one that is not.
const LISTED_MAX: usize = 4;

/// How far the log of another process was followed. It opens and reads files, and changes none.
pub(super) struct Chase {
    pub(super) identity: Identity,
    workshop: Workshop,
    options: FileOptions,
    /// Once there is one. It is opened again when it turns out to know less than the frames do: there may be another by now.
    watermark: Option<Arc<dyn StorageFile>>,
    /// Up to where the log is known to be synced. What lies behind is not looked at, but for the headers of frames.
    proven: Address,
    /// Up to where it was verified, indexed and shown: at most up to `proven`.
    tip: Tip,
    /// Where the look-out for proof among the headers behind the tip has got to.
    ahead: Tip,
    /// How much log has to be covered by no run before new ones are looked for.
    looks_at: u64,
    /// When it was last looked whether the directory holds the same store still.
    known_since: Instant,
}

/// How often that is looked at.
const KNOWN_FOR: Duration = Duration::from_secs(1);

impl Chase {
    /// Sets out at the beginning of the log, with a reader that shows nothing yet.
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        options: FileOptions,
    ) -> Result<(Self, Reader), Error> {
        let name = FileName::Store;
        let names = list(&*storage)?;
        check_is_store(&names)?;
        let file = storage.open(name).map_err(failed("opening", name))?;
        let identity = read_identity(&*file)?;
        let store = identity.id.into_bytes();
        let cache = Arc::new(Cache::new(options.cache_bytes));
        let log = Log::new(Arc::clone(&storage), Arc::clone(&cache));
        let workshop = Workshop { storage, store, cache };
        collect(&workshop, &names, &log)?;
        let terms = Terms::of_store(store);
        let Replay { sources, tip, .. } = Replay::behind(&log, terms, Vec::new());
        let reader = Reader::new(log, terms, sources, tip, Arc::clone(&workshop.cache));
        let (watermark, proven, ahead) = (None, tip.end, tip);
        let chase = Self {
            identity,
            workshop,
            options,
            watermark,
            proven,
            tip,
            ahead,
            looks_at: 0,
            known_since: Instant::now(),
        };
        Ok((chase, reader))
    }

    /// Shows everything that is known to be synced by now.
    pub(super) fn catch_up(&mut self, reader: &Reader) -> Result<(), Error> {
        loop {
            self.look_for_proof(&reader.log)?;
            if self.tip.end == self.proven {
                return Ok(());
            }
            self.read_on(reader, false)?;
        }
    }

    /// Begins anew behind the runs that there are now, and takes none of them for known.
    pub(super) fn begin_anew(&mut self, reader: &Reader) -> Result<(), Error> {
        self.read_on(reader, true)
    }

    /// Asks the watermark; and if that tells nothing new, the frames behind the tip.
    fn look_for_proof(&mut self, log: &Log) -> Result<(), Error> {
        self.know_the_store()?;
        if let Some(mark) = self.mark()?.filter(|mark| mark.end > self.proven) {
            self.reach(log, mark.end)?;
            confirm_mark(log, &mark)?;
            self.proven = mark.end;
        }
        if self.tip.end == self.proven { self.look_ahead(log) } else { Ok(()) }
    }

    /// Sees to it that another store in the place of this one, as after a restore, is not taken for one to which nobody writes.
    fn know_the_store(&mut self) -> Result<(), Error> {
        if self.known_since.elapsed() < KNOWN_FOR {
            return Ok(());
        }
        let file = self
            .workshop
            .storage
            .open(FileName::Store)
            .map_err(failed("opening", FileName::Store))?;
        if read_identity(&*file)?.id.into_bytes() != self.workshop.store {
            return Err(
                Error::new(ErrorKind::OtherStore).detail("in the directory that is followed")
            );
        }
        self.known_since = Instant::now();
        Ok(())
    }

    /// The newest mark of the watermark. One that is being written at this moment is not whole; then it is the one before.
    fn mark(&mut self) -> Result<Option<Mark>, Error> {
        let name = FileName::Watermark;
        let file = match &self.watermark {
            Some(file) => file,
            None => match find(&*self.workshop.storage, name)? {
                Some(file) => self.watermark.insert(file),
                None => return Ok(None),
            },
        };
        let read = Watermark::read(Arc::clone(file), self.workshop.store);
        Ok(read.map_err(failed("reading", name))?.1)
    }

    /// Takes in new segments up to that of an address, if there are so many.
    fn reach(&self, log: &Log, end: Address) -> Result<(), Error> {
        while log.segment(end.segment()).is_none() && add_next(&self.workshop, log)? {}
        Ok(())
    }

    /// Goes through the headers of the frames behind the tip, each of which says what was synced before it; and where the file
    /// ends, looks for segments that follow. What lies there may still be undone: then it is begun again at the tip.
    fn look_ahead(&mut self, log: &Log) -> Result<(), Error> {
        let number = self.tip.end.segment();
        let tag = log.segment(number).map_or(0, |segment| segment.header.tag);
        let file = log.file(number)?.file;
        let header = |at: Address| {
            let mut bytes = [0; FRAME_HEADER_BYTES as usize];
            let read = file.read_up_to(at.offset().into(), &mut bytes);
            let read = read.map_err(failed("reading", FileName::Segment(number)))?;
            Ok::<_, Error>((FrameHeader::decode(&bytes[..read], tag).ok(), read < bytes.len()))
        };
        let is_there = self.ahead.end > self.tip.end
            && self.ahead.end.segment() == number
            && header(self.ahead.last_frame)?.0.is_some_and(|(_, sum)| sum == self.ahead.chain);
        let mut ahead = if is_there { self.ahead } else { self.tip };
        let is_end = loop {
            let (found, is_end) = header(ahead.end)?;
            let Some((header, sum)) = found.filter(|(header, _)| {
                ahead.is_followed_by(header)
                    && ahead.end.offset().checked_add(header.length).is_some()
            }) else {
                break is_end;
            };
            self.proven = self.proven.max(Address::new(number, header.synced));
            ahead = ahead.behind(&header, sum, ahead.time);
        };
        self.ahead = ahead;
        if is_end {
            while add_next(&self.workshop, log)? {}
        }
        self.proven = self.proven.max(last_start(log));
        if self.proven > self.tip.end {
            self.watermark = None;
        }
        Ok(())
    }

    /// Reads on to what is proven, and shows it. Once much of it is covered by no run in use, or `anew`, that begins behind the
    /// newest runs.
    fn read_on(&mut self, reader: &Reader, anew: bool) -> Result<(), Error> {
        let log = &reader.log;
        let mut replay = Replay::from(log, Sources::clone(&reader.sources()), self.tip);
        let looks = anew || uncovered(&replay, self.proven) >= self.looks_at;
        if looks {
            let known = if anew { Vec::new() } else { replay.sources.runs.clone() };
            let runs = self.runs(log, &known)?;
            self.proven = self.proven.max(runs.proven).max(last_start(log));
            let end = |runs: &[Arc<Run>]| runs.last().map(|run| run.coverage.to);
            if anew || end(&runs.kept) > end(&known) {
                replay = Replay::behind(log, reader.terms, runs.kept);
            }
        }
        let uncovered = uncovered(&replay, self.proven);
        let limit = self.options.waiting_bytes_max();
        if uncovered > limit {
            return Err(Error::new(ErrorKind::IndexBehind { limit }));
        }
        if looks {
            self.looks_at = uncovered + u64::from(self.options.recent_bytes);
        }
        let done = replay.up_to(self.proven, |_| {});
        let Replay { sources, tip, .. } = replay;
        if tip.end >= self.tip.end {
            reader.replace_sources(|current| *current = sources);
            reader.heads.publish(tip.end, Head { acknowledged: tip.head, durable: tip.head });
            self.tip = tip;
        }
        done
    }

    /// The runs of use that there are now.
    fn runs(&self, log: &Log, known: &[Arc<Run>]) -> Result<Runs, Error> {
        let mut runs = Runs::default();
        for _ in 0..LISTED_MAX {
            let names = list(&*self.workshop.storage)?;
            runs = choose(&self.workshop, &names, log, known)?;
            if !runs.is_one_missing {
                break;
            }
        }
        self.reach(log, runs.proven)?;
        if let Some(last) = runs.kept.last() {
            confirm(log, last)?;
        }
        Ok(runs)
    }
}

/// How much log up to an address the runs do not cover.
fn uncovered(replay: &Replay<'_>, end: Address) -> u64 {
    let (log, last) = (replay.log, replay.sources.runs.last());
    let covered = last.map_or(log.start(), |run| run.coverage.to);
    log.bytes_up_to(end).saturating_sub(log.bytes_up_to(covered))
}

/// Where the last segment begins. Everything before it is synced.
fn last_start(log: &Log) -> Address {
    let number = log.last().map_or(0, |last| last.header.number);
    Address::new(number, SEGMENT_HEADER_BYTES)
}
