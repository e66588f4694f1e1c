//! Keeping the index in shape: recent events become runs, runs become fewer, and damaged ones are made again.

use std::sync::Arc;
use std::time::Duration;

use super::engine::Engine;
use super::index::{Coverage, Part, Run, to_be_merged};
use super::options::Upkeep;
use super::recovery::Replay;
use super::view::damaged_run;
use crate::error::Error;
use crate::storage::FileName;

/// How many runs a closed store has at most, so that a store that is opened often and written to little does not collect them.
const RUNS_MAX: usize = 24;

impl Engine {
    /// Whether enough events are recent to make a run of them, or some are still to become one.
    pub(super) fn wants_run(&self) -> bool {
        let sources = self.reader.sources();
        let collected = sources.growing().recent.read().log_bytes();
        sources.recents.len() > 1 || collected >= self.options.recent_bytes.into()
    }

    /// Whether anything is to be done for the index.
    fn wants_index(&self) -> bool {
        self.wants_run() || to_be_merged(&self.reader.sources().runs).is_some()
    }

    /// Does everything for the index that is due.
    pub(super) fn tend_index(&self) -> Result<(), Error> {
        let _work = self.index_work.lock();
        self.reader.heads.see()?;
        self.write_runs(false)?;
        // What is due for others goes on while a long merge is at work; and closing does not wait for its end.
        self.merge_runs(0, &mut || {
            self.reader.heads.see()?;
            let _ = self.prepare();
            let _ = self.write_runs(false);
            Ok(())
        })
    }

    /// Writes the whole index, for a store that is being closed. Merges only what would be too many files.
    pub(super) fn complete_index(&self) -> Result<(), Error> {
        let _work = self.index_work.lock();
        self.write_runs(true)?;
        self.merge_runs(RUNS_MAX, &mut || Ok(()))
    }

    /// Merges runs while some are due, and there are more than so many.
    fn merge_runs(
        &self,
        enough: usize,
        between: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        loop {
            let sources = self.reader.sources();
            let Some(runs) = to_be_merged(&sources.runs).filter(|_| sources.runs.len() > enough)
            else {
                return Ok(());
            };
            match self.workshop.merged(runs, between) {
                Ok(merged) => self.put_in_place_of(runs, vec![Arc::new(merged)]),
                Err(error) if damaged_run(&error).is_some() => self.make_again(&error)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes runs of all recent events, or if there are enough of them. Under `index_work`.
    pub(super) fn write_runs(&self, all: bool) -> Result<(), Error> {
        if self.wants_run() || all {
            self.groups.exclusively(|| self.settle(all));
        }
        if let Some(covered) = self.reader.sources().settled_up_to() {
            self.sync_up_to(&covered, all)?;
        }
        loop {
            let sources = self.reader.sources();
            let Some((part, coverage)) = sources.settled() else { return Ok(()) };
            let run = Arc::new(self.workshop.run_of(&part.recent, coverage)?);
            self.reader.replace_sources(|sources| {
                sources.runs.push(run);
                sources.recents.remove(0);
            });
        }
    }

    /// Lets the recent events grow no more, and begins anew behind them. Whoever calls has the writer's turn.
    fn settle(&self, all: bool) {
        let writer = self.writer.lock();
        let sources = self.reader.sources();
        let part = sources.growing();
        let recent = part.recent.read();
        let is_enough = all || recent.log_bytes() >= self.options.recent_bytes.into();
        if !is_enough || recent.is_empty() {
            return;
        }
        drop(recent);
        let covered = writer.tip.coverage(part.from, part.first);
        self.reader.replace_sources(|sources| sources.settle(covered));
    }

    /// Sees to it that this is synced: runs are made of nothing else.
    fn sync_up_to(&self, covered: &Coverage, all: bool) -> Result<(), Error> {
        if all || self.syncs() {
            let sync = || self.writer.lock().sync_all(self.shared());
            return self.groups.exclusively(sync).map(drop);
        }
        // Others go on writing meanwhile.
        self.sync_aside()?;
        self.groups.exclusively(|| self.writer.lock().note_synced(covered, self.shared()))
    }

    /// Puts runs in the place of others that cover the same, and removes those.
    fn put_in_place_of(&self, old: &[Arc<Run>], new: Vec<Arc<Run>>) {
        let names: Vec<FileName> = new.iter().map(|run| run.name).collect();
        self.reader.replace_sources(|sources| {
            let is_old = |run: &Arc<Run>| old.iter().any(|old| Arc::ptr_eq(old, run));
            let place = sources.runs.iter().position(is_old).expect("they are in use");
            sources.runs.splice(place..place + old.len(), new);
        });
        for run in old.iter().filter(|run| !names.contains(&run.name)) {
            // It is of no use any more, but does no harm either.
            let _ = self.workshop.storage.remove(run.name);
        }
    }

    /// Makes the damaged run again that an error tells of.
    pub(super) fn mend(&self, error: &Error) -> Result<(), Error> {
        self.check_process()?;
        let _work = self.index_work.lock();
        self.reader.heads.see()?;
        self.make_again(error)
    }

    fn make_again(&self, error: &Error) -> Result<(), Error> {
        let name = damaged_run(error);
        let sources = self.reader.sources();
        // If it is not there any more, somebody else was faster.
        let Some(place) = sources.runs.iter().position(|run| Some(run.name) == name) else {
            return Ok(());
        };
        let (before, run) = (sources.runs[..place].last().cloned(), &sources.runs[place]);
        let mut replay =
            Replay::behind(&self.reader.log, self.reader.terms, before.into_iter().collect());
        replay.sources.runs.clear();
        let (mut made, end, enough) = (Ok(()), run.coverage.to, self.options.recent_bytes.into());
        replay.up_to(end, |replay| {
            let collected = replay.sources.growing().recent.read().log_bytes();
            if made.is_ok() && (collected >= enough || replay.tip.end == end) {
                made = replay.make_run(&self.workshop);
            }
        })?;
        made?;
        self.put_in_place_of(std::slice::from_ref(run), replay.sources.runs);
        Ok(())
    }

    /// Bounds the memory of recent events: if too many wait to become runs, the caller helps, or waits for who is at it.
    pub(super) fn relieve(&self) -> Result<(), Error> {
        let waiting = |part: &Part| part.recent.read().log_bytes();
        while self.reader.sources().recents.iter().map(waiting).sum::<u64>()
            > self.options.waiting_bytes_max()
        {
            if let Some(_work) = self.index_work.try_lock_for(Duration::from_millis(5)) {
                self.reader.heads.see()?;
                return self.write_runs(false);
            }
        }
        Ok(())
    }

    /// Whether anything is due that is not a caller's own business.
    pub(super) fn is_due(&self) -> bool {
        self.wants_space() || self.wants_spare() || self.wants_index()
    }

    fn prepare(&self) -> Result<(), Error> {
        self.prepare_space()?;
        self.prepare_spare()
    }

    /// Does everything that is due. What fails is tried again the next time.
    pub(super) fn keep_up(&self) {
        let _ = self.prepare();
        if self.wants_index() {
            let _ = self.tend_index();
        }
    }

    pub(super) fn has_thread(&self) -> bool {
        self.options.upkeep == Upkeep::Thread
    }
}
