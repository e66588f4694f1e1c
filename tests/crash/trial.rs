//! Makes an image of a crash, lets the store recover, crashes the recovery too, and looks at what is left.

use std::ops::RangeInclusive;

use annals::Clock;
use annals::store::{Commit, EventStore, FileStore};
use annals::testing::ManualClock;

use crate::author::altered;
use crate::disk::{Crash, Moment, SimDisk};
use crate::log::Log;
use crate::oracle::{self, Complaint};
use crate::player::repeat;
use crate::random::Random;
use crate::settings::{Settings, noon};
use crate::terms::Terms;
use crate::workload::Run;

/// How often a recovery is crashed in turn.
const DEPTH_MAX: usize = 2;

/// One image and what follows from it.
#[derive(Debug)]
pub(crate) struct Trial<'a> {
    run: &'a Run,
    terms: &'a Terms,
    random: Random,
    settings: Settings,
    clock: ManualClock,
    /// How many images were made.
    pub(crate) images: u64,
    /// What happened, for whoever has to understand a failure.
    pub(crate) story: Vec<String>,
}

impl<'a> Trial<'a> {
    pub(crate) fn new(run: &'a Run, terms: &'a Terms, point: u64, number: u64) -> Self {
        let mut random = Random::of(&[run.seed, point, number]);
        // How a store is opened may change at any time, and what it holds stays.
        let settings = if random.chance(20) { Settings::some(&mut random) } else { run.settings };
        let story = vec![format!("{settings:?}")];
        Self { run, terms, random, settings, clock: noon(), images: 0, story }
    }

    fn image(&mut self, of: &Moment, crash: Crash) -> SimDisk {
        self.images += 1;
        self.story.push(format!("{crash:?} before operation {}", of.op));
        let state = of.state.after(crash, &mut self.random);
        SimDisk::holding(state, self.random.next())
    }

    fn open(&self, disk: &SimDisk) -> Result<FileStore, Complaint> {
        let opened = self.settings.open(disk, &self.clock);
        opened.map_err(|error| format!("the store does not open: {error:?}"))
    }

    fn some_crash(&mut self) -> Crash {
        match self.random.below(100) {
            0..15 => Crash::Kill,
            15..20 => Crash::GivenUp,
            _ => Crash::Cut,
        }
    }

    /// Crashes at this moment, recovers, perhaps crashes there, and looks at what is left.
    pub(crate) fn carry_out(&mut self, moment: &Moment) -> Result<(), Complaint> {
        let promise = self.run.promised_at(moment.op);
        let mut crash = self.some_crash();
        let mut disk = self.image(moment, crash);
        let mut least = promise.acknowledged;
        let mut most = promise.attempted;
        for depth in 0..=DEPTH_MAX {
            if crash != Crash::Kill {
                least = least.min(promise.durable);
            }
            let recovery_crashes = depth < DEPTH_MAX && self.random.chance(25);
            if !recovery_crashes {
                break;
            }
            disk.keep_moments();
            let store = self.open(&disk)?;
            let found = oracle::opened(&store, &self.run.log, least..=most)?;
            let moments = disk.moments();
            disk.freeze();
            drop(store);
            let point = self.random.index(moments.len());
            if point + 1 == moments.len() {
                // Recovery was over, and has shown what it found: none of it may be lost any more.
                (least, most) = (found, found);
            }
            crash = self.some_crash();
            if crash != Crash::Kill && point + 1 < moments.len() {
                least = least.min(promise.durable);
            }
            disk = self.image(&moments[point], crash);
        }
        let store = self.open(&disk)?;
        let commits = oracle::opened(&store, &self.run.log, least..=most)?;
        self.story.push(format!("{commits} commits are found"));
        self.ask(&store, &self.run.log, commits)?;
        self.go_on(disk, store, commits)
    }

    /// Asks for a few things, and now and then for everything.
    fn ask(&mut self, store: &FileStore, log: &Log, commits: usize) -> Result<(), Complaint> {
        let events = log.events_of(commits);
        if self.random.chance(3) {
            oracle::every_answer(store, events, self.terms)?;
        } else {
            oracle::some_answers(store, events, self.terms, 3, &mut self.random)?;
        }
        Ok(oracle::versions(store, events, self.terms)?)
    }

    /// Goes on with a store that was recovered, in one of several ways.
    fn go_on(&mut self, disk: SimDisk, store: FileStore, commits: usize) -> Result<(), Complaint> {
        match self.random.below(8) {
            0 => {
                self.story.push("closed and opened again".to_owned());
                close(&store)?;
                drop(store);
                let store = self.open(&disk)?;
                if !store.recovery().clean {
                    return Err(format!("a clean close is recovered: {:?}", store.recovery()));
                }
                self.look(&store, &self.run.log, commits)
            }
            1 => self.crash_again(&disk, store, &self.run.log, commits..=commits),
            2 if commits > 0 => {
                let earlier = self.random.index(commits);
                self.story.push(format!("commit {earlier} is repeated"));
                match repeat(&store, &self.run.log, earlier)? {
                    Some(error) => Err(format!("a repetition is answered with {error:?}")),
                    None => self.crash_again(&disk, store, &self.run.log, commits..=commits),
                }
            }
            3..6 => self.append_others(disk, store, commits),
            _ => Ok(()),
        }
    }

    fn look(&self, store: &FileStore, log: &Log, commits: usize) -> Result<(), Complaint> {
        Ok(oracle::opened(store, log, commits..=commits).map(drop)?)
    }

    /// Ends the process that has the store open, and looks at what is left.
    fn crash_again(
        &mut self,
        disk: &SimDisk,
        store: FileStore,
        log: &Log,
        commits: RangeInclusive<usize>,
    ) -> Result<(), Complaint> {
        let moment = Moment { op: disk.ops(), state: disk.state() };
        disk.freeze();
        drop(store);
        let crash = self.some_crash();
        let disk = self.image(&moment, crash);
        let store = self.open(&disk)?;
        let commits = oracle::opened(&store, log, commits)?;
        self.ask(&store, log, commits)
    }

    /// Appends commits as long as those that are lost, with other contents: what is left of the lost ones must not come
    /// back behind them.
    fn append_others(
        &mut self,
        disk: SimDisk,
        store: FileStore,
        commits: usize,
    ) -> Result<(), Complaint> {
        let mut log = self.run.log.first(commits);
        let count = 1 + self.random.index(4);
        for n in 0..count {
            let known = self.run.log.commits();
            let like = known.get(commits + n).or_else(|| known.first());
            let Some(commit) = like.map(|like| altered(like, &mut self.random)) else { break };
            self.append(&store, &mut log, &commit)?;
        }
        let all = log.commits().len();
        self.story.push(format!("{} others are appended", all - commits));
        if self.random.chance(30) {
            return self.crash_while_appending(&disk, store, &log, commits);
        }
        self.ask(&store, &log, all)?;
        close(&store)?;
        drop(store);
        let store = self.open(&disk)?;
        self.look(&store, &log, all)?;
        self.ask(&store, &log, all)?;
        if self.random.chance(30) {
            return self.crash_again(&disk, store, &log, all..=all);
        }
        Ok(())
    }

    fn append(&self, store: &FileStore, log: &mut Log, commit: &Commit) -> Result<(), Complaint> {
        let now = self.clock.now();
        let answer = store.append(commit.clone());
        let answer = answer.map_err(|error| format!("an append is answered with {error:?}"))?;
        log.accept(commit, now, &answer)
    }

    fn crash_while_appending(
        &mut self,
        disk: &SimDisk,
        store: FileStore,
        log: &Log,
        before: usize,
    ) -> Result<(), Complaint> {
        let all = log.commits().len();
        let head = store.head().map_err(|error| format!("{error:?}"))?;
        let durable = usize::try_from(head.durable.get()).unwrap();
        let durable = log.commits_in(durable).ok_or("the durable head is inside a commit")?;
        if durable < before {
            return Err(format!("{durable} commits are said to be durable, {before} were"));
        }
        self.crash_again(disk, store, log, durable..=all)
    }
}

fn close(store: &FileStore) -> Result<(), Complaint> {
    store.close().map_err(|error| format!("closing is answered with {error:?}"))
}
