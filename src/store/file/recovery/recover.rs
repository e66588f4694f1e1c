//! The way from a directory to a store that can be written to.

use std::sync::Arc;

use super::replay::Replay;
use super::tail::{Tail, rewrite};
use super::{runs, segments};
use crate::error::Error;
use crate::payload::Encoding;
use crate::storage::{FileName, Storage, StorageFile};
use crate::store::file::address::Address;
use crate::store::file::beginning::StoreId;
use crate::store::file::cache::Cache;
use crate::store::file::fault::{failed, find};
use crate::store::file::frame::FrameHeader;
use crate::store::file::index::{Sources, Terms, Workshop};
use crate::store::file::log::{Log, Segment};
use crate::store::file::report::RecoveryReport;
use crate::store::file::scan::Tip;
use crate::store::file::watermark::{Mark, Watermark};
use crate::store::identity::Identity;

/// A store that is ready to be written to.
pub(crate) struct Recovered {
    pub(crate) identity: Identity,
    pub(crate) workshop: Workshop,
    pub(crate) log: Log,
    pub(crate) terms: Terms,
    pub(crate) sources: Sources,
    pub(crate) tip: Tip,
    /// The last segment.
    pub(crate) segment: Segment,
    pub(crate) file: Arc<dyn StorageFile>,
    /// How long its file is.
    pub(crate) file_length: u64,
    pub(crate) watermark: Watermark,
    pub(crate) report: RecoveryReport,
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

/// Opens the store of a directory, of which this process has the lock; makes one with this encoding if there is none.
/// Indexes what no run covers, in parts of `recent_bytes` of log.
pub(crate) fn recover(
    storage: Arc<dyn Storage>,
    cache: Arc<Cache>,
    recent_bytes: u32,
    encoding: Encoding,
) -> Result<Recovered, Error> {
    let names = segments::list(&*storage)?;
    let (identity, is_new) = segments::identity(&storage, &names, encoding)?;
    let store = identity.id.into_bytes();
    let names = if is_new { segments::list(&*storage)? } else { names };
    // A name that the last process saw may not be durable yet; nothing may be built on it before, not even another name.
    storage.sync_names().map_err(failed("syncing the directory of", FileName::Store))?;
    let log = Log::new(Arc::clone(&storage), Arc::clone(&cache));
    let workshop = Workshop { storage, store, cache };
    segments::collect(&workshop, &names, &log)?;
    let (watermark, mark) = open_watermark(&*workshop.storage, store)?;
    mark.map_or(Ok(()), |mark| segments::confirm_mark(&log, &mark))?;
    let chosen = runs::choose(&workshop, &names, &log, &[])?;
    if let Some(last) = chosen.kept.last() {
        runs::confirm(&log, last)?;
    }
    let segment = log.last().expect("a store has a segment");
    let name = FileName::Segment(segment.header.number);
    let start = Address::new(segment.header.number, 0);
    let mut proven = Proven { to: start, witness: "a later segment exists" };
    proven = proven.or(chosen.proven, "an index run covers it, and runs are made of synced log");
    if let Some(mark) = mark {
        proven = proven.or(mark.end, "the watermark says that it was synced");
    }
    let terms = Terms::of_store(store);
    let mut replay = Replay::behind(&log, terms, chosen.kept);
    let mut rebuilding =
        Rebuilding { workshop: &workshop, recent_bytes, proven, unproven: Vec::new() };
    let file = log.file(segment.header.number)?.file;
    let length = file.len().map_err(failed("measuring", name))?;
    let limit = |segment: &Segment| segment.length.map_or(length, u64::from);
    let see =
        |replay: &mut Replay<'_>, header: &_, bytes: &_| rebuilding.see(replay, header, bytes);
    let fault = replay.segments(segment.header.number, limit, see)?;
    let Rebuilding { proven, unproven, .. } = rebuilding;
    let Replay { sources, tip, events, .. } = replay;
    let (tag, end, head) = (segment.header.tag, tip.end, tip.head);
    let tail = Tail { storage: &workshop.storage, file: &file, tag, end, head, fault };
    // From here on something is changed.
    let cut = tail.settle(proven.to, proven.witness)?;
    if !unproven.is_empty() {
        let at = u64::from(tip.end.offset()) - unproven.len() as u64;
        rewrite(&*file, name, at, &unproven)?;
    }
    let file_length = file.len().map_err(failed("measuring", name))?;
    let report = RecoveryReport {
        clean: is_new || mark.is_some_and(|mark| mark.is_shut && mark.end == tip.end),
        replayed_events: events,
        cut,
        rewritten_bytes: unproven.len() as u64,
        removed_runs: remove_useless(&*workshop.storage, &names, chosen.useless, &sources),
    };
    let mut recovered = Recovered {
        identity,
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

/// The watermark of a store, which is made if there is none, and what it says.
pub(crate) fn open_watermark(
    storage: &dyn Storage,
    store: StoreId,
) -> Result<(Watermark, Option<Mark>), Error> {
    let name = FileName::Watermark;
    let made = || storage.create(name).and_then(|file| storage.sync_names().map(|()| file));
    let file = match find(storage, name)? {
        Some(file) => file,
        None => made().map_err(failed("making", name))?,
    };
    Watermark::read(file, store).map_err(failed("reading", name))
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

/// What recovery does with what is replayed.
struct Rebuilding<'r> {
    workshop: &'r Workshop,
    recent_bytes: u32,
    proven: Proven,
    /// The bytes at the end of the log that nothing proves to be synced.
    unproven: Vec<u8>,
}

impl Rebuilding<'_> {
    /// Takes note of what proves the log to be synced, and of what does not.
    fn see(&mut self, replay: &mut Replay<'_>, header: &FrameHeader, bytes: &[u8]) {
        let (end, tail) = (replay.tip.end, &mut self.unproven);
        let synced = Address::new(end.segment(), header.synced);
        self.proven = self.proven.or(synced, "a later frame was built after this was synced");
        tail.extend_from_slice(bytes);
        let start = end.number() - tail.len() as u64;
        let known = self.proven.to.number().saturating_sub(start).min(tail.len() as u64);
        tail.drain(..usize::try_from(known).expect("at most a length"));
        self.write_run_if_due(replay);
    }

    /// Makes a run of what was collected, once it is enough and known to be synced.
    fn write_run_if_due(&self, replay: &mut Replay<'_>) {
        let collected = replay.sources.growing().recent.read().log_bytes();
        if collected >= self.recent_bytes.into() && replay.tip.last_end <= self.proven.to {
            // The index is as good in memory.
            let _ = replay.make_run(self.workshop);
        }
    }
}
