//! What it takes to read a store: the log, its index, and how far both are shown.

use std::sync::Arc;

use parking_lot::RwLock;

use super::address::Address;
use super::cache::Cache;
use super::heads::Heads;
use super::index::{Sources, Terms};
use super::log::Log;
use super::pages::Hints;
use super::scan::Tip;
use super::view::View;
use crate::error::Error;
use crate::event::Buffers;
use crate::position::Position;
use crate::store::statistics::Statistics;

/// The part of an open store that reads.
pub(super) struct Reader {
    pub(super) log: Log,
    pub(super) terms: Terms,
    pub(super) hints: Hints,
    /// Replaced as a whole; whoever reads has the one that it found. It covers everything that `heads` shows.
    sources: RwLock<Arc<Sources>>,
    pub(super) heads: Heads,
    cache: Arc<Cache>,
    buffers: Arc<Buffers>,
}

impl Reader {
    /// Shows the log up to a tip.
    pub(super) fn new(
        log: Log,
        terms: Terms,
        sources: Sources,
        tip: Tip,
        cache: Arc<Cache>,
    ) -> Self {
        Self {
            log,
            terms,
            hints: Hints::default(),
            sources: RwLock::new(Arc::new(sources)),
            heads: Heads::new(tip.end, tip.head),
            cache,
            buffers: Arc::default(),
        }
    }

    pub(super) fn sources(&self) -> Arc<Sources> {
        Arc::clone(&self.sources.read())
    }

    pub(super) fn replace_sources(&self, change: impl FnOnce(&mut Sources)) {
        let mut sources = self.sources.write();
        let mut changed = Sources::clone(&sources);
        change(&mut changed);
        *sources = Arc::new(changed);
    }

    /// The log as far as it is acknowledged.
    pub(super) fn view(&self) -> Result<View<'_>, Error> {
        let (end, head) = self.heads.see()?;
        Ok(self.view_up_to(end, head.acknowledged))
    }

    pub(super) fn view_up_to(&self, end: Address, head: Position) -> View<'_> {
        let sources = self.sources();
        let Self { log, terms, buffers, .. } = self;
        View { log, terms: *terms, sources, end, head, buffers, staged: None }
    }

    pub(super) fn statistics(&self) -> Result<Statistics, Error> {
        let (end, head) = self.heads.see()?;
        let before = self.log.first().map_or(0, |first| first.header.first.get().saturating_sub(1));
        let (sources, (cache_hits, cache_misses)) = (self.sources(), self.cache.uses());
        let tally = sources.tally();
        Ok(Statistics {
            events: head.acknowledged.get().saturating_sub(before),
            unsynced_events: head.acknowledged.get() - head.durable.get(),
            commits: tally.commits,
            streams: tally.streams,
            types: tally.types.len() as u64,
            log_bytes: self.log.bytes_up_to(end),
            segments: u64::from(end.segment() - self.log.start().segment()) + 1,
            runs: sources.runs.len() as u64,
            run_bytes: sources.runs.iter().map(|run| run.bytes()).sum(),
            cache_hits,
            cache_misses,
            ..Statistics::default()
        })
    }
}
