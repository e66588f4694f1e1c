//! Plays a workload that grows from a seed on a store, and remembers what was attempted, answered and promised.

use annals::chrono::{DateTime, TimeDelta, Utc};
use annals::store::{AppendError, Appended, Commit, Durability, EventStore, FileStore};
use annals::testing::ManualClock;
use annals::{Clock, Error, ErrorKind};

use crate::author::Author;
use crate::disk::SimDisk;
use crate::log::Log;
use crate::oracle::{self, Complaint, Trouble};
use crate::settings::{Settings, noon};

/// One thread that uses one store.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) disk: SimDisk,
    pub(crate) clock: ManualClock,
    pub(crate) settings: Settings,
    pub(crate) author: Author,
    /// What was accepted.
    pub(crate) log: Log,
    pub(crate) store: Option<FileStore>,
    /// How many commits are durable by what the store has said.
    pub(crate) durable: usize,
    /// Since the last commit that was accepted: those of which nobody knows whether they were.
    pub(crate) unknown: Vec<(Commit, DateTime<Utc>)>,
    /// How many operations the disk had done when each accepted commit was begun.
    pub(crate) began: Vec<u64>,
    pub(crate) marks: Vec<Mark>,
}

/// What was promised once the disk had done so many operations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) op: u64,
    pub(crate) acknowledged: usize,
    pub(crate) durable: usize,
}

/// What the store made of a step: an error is its answer, and no breach of a promise.
pub(crate) type Answer = Result<Option<Error>, Complaint>;

impl Player {
    pub(crate) fn new(disk: SimDisk, settings: Settings, author: Author) -> Self {
        Self {
            disk,
            clock: noon(),
            settings,
            author,
            log: Log::default(),
            store: None,
            durable: 0,
            unknown: Vec::new(),
            began: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// One who goes on with what is on another disk, and knows no more of it than this one.
    pub(crate) fn heir(&self, disk: SimDisk) -> Self {
        let mut heir = Self::new(disk, self.settings, self.author.clone());
        heir.clock = self.clock.clone();
        heir.log = self.log.clone();
        heir.durable = self.durable;
        heir.unknown.clone_from(&self.unknown);
        heir
    }

    pub(crate) fn store(&self) -> &FileStore {
        self.store.as_ref().expect("it was opened")
    }

    fn mark(&mut self) {
        let acknowledged = self.log.commits().len();
        let mark = Mark { op: self.disk.ops(), acknowledged, durable: self.durable };
        self.marks.push(mark);
    }

    /// Opens the store, and finds out which of the commits without an answer it holds.
    pub(crate) fn open(&mut self) -> Answer {
        let store = match self.settings.open(&self.disk, &self.clock) {
            Ok(store) => store,
            Err(error) => return Ok(Some(error)),
        };
        match self.resolve(&store) {
            Ok(()) => {
                self.store = Some(store);
                self.mark();
                Ok(None)
            }
            Err(Trouble::Error(error)) => Ok(Some(error)),
            Err(Trouble::Wrong(complaint)) => Err(complaint),
        }
    }

    /// Takes what an opened store shows for the log from now on, if it may show that.
    fn resolve(&mut self, store: &FileStore) -> Result<(), Trouble> {
        let end = self.log.head().get();
        let head = store.head()?;
        if head.acknowledged.get() > end {
            let mut found = Err(format!("{head:?}, and at most {end} were accepted"));
            for (commit, now) in &self.unknown {
                let mut longer = self.log.clone();
                longer.add(commit, longer.next(commit, *now, &[]));
                let commits = longer.commits().len();
                match oracle::opened(store, &longer, commits..=commits) {
                    Ok(_) => found = Ok(longer),
                    Err(Trouble::Error(error)) => return Err(error.into()),
                    Err(Trouble::Wrong(_)) => {}
                }
            }
            self.log = found?;
            self.began.push(self.disk.ops());
        } else {
            let all = self.log.commits().len();
            let commits = oracle::opened(store, &self.log, self.durable..=all)?;
            self.log = self.log.first(commits);
            self.began.truncate(commits);
        }
        self.unknown.clear();
        self.durable = self.log.commits().len();
        Ok(())
    }

    /// Closes the store, and lets go of it.
    pub(crate) fn close(&mut self) -> Option<Error> {
        let store = self.store.take()?;
        let closed = store.close();
        drop(store);
        if closed.is_ok() {
            self.durable = self.log.commits().len();
        }
        self.mark();
        closed.err()
    }

    /// Does something of what a program does with a store.
    pub(crate) fn step(&mut self) -> Answer {
        self.clock.advance(TimeDelta::nanoseconds(match self.author.random.below(4) {
            0 => -5_000_000,
            1 => 0,
            _ => 1_234_567,
        }));
        let buffered = self.settings.durability == Durability::Buffered;
        let answer = match self.author.random.below(100) {
            0..3 => self.reopen(),
            3..7 => self.append_refused(),
            7..11 => self.repeat(),
            11..24 if buffered => self.sync(),
            11..13 => self.sync(),
            _ => self.append(),
        };
        self.mark();
        answer
    }

    pub(crate) fn append(&mut self) -> Answer {
        let commit = self.author.commit(&self.log);
        self.append_this(commit)
    }

    pub(crate) fn append_this(&mut self, commit: Commit) -> Answer {
        let (now, began) = (self.clock.now(), self.disk.ops());
        match self.store().append(commit.clone()) {
            Ok(answer) => {
                self.log.accept(&commit, now, &answer)?;
                self.began.push(began);
                self.unknown.clear();
                if self.settings.durability == Durability::Synced {
                    self.durable = self.log.commits().len();
                }
                Ok(None)
            }
            Err(AppendError::Store(error)) => {
                match error.kind() {
                    ErrorKind::Store | ErrorKind::Poisoned => self.unknown.push((commit, now)),
                    ErrorKind::StorageFull => {}
                    _ => return Err(format!("a commit that fits is answered with {error:?}")),
                }
                Ok(Some(error))
            }
            Err(refused) => Err(format!("a commit that fits is answered with {refused:?}")),
        }
    }

    fn append_refused(&mut self) -> Answer {
        let commit = self.author.refused(&self.log);
        match self.store().append(commit) {
            Ok(answer) => Err(format!("a commit that does not fit is answered with {answer:?}")),
            Err(AppendError::Store(error)) if *error.kind() != ErrorKind::EventIdTaken => {
                Ok(Some(error))
            }
            Err(_) => Ok(None),
        }
    }

    fn repeat(&mut self) -> Answer {
        if self.log.commits().is_empty() {
            return Ok(None);
        }
        let earlier = self.author.random.index(self.log.commits().len());
        let error = repeat(self.store(), &self.log, earlier)?;
        if error.is_none() {
            self.durable = self.durable.max(earlier + 1);
        }
        Ok(error)
    }

    pub(crate) fn sync(&mut self) -> Answer {
        match self.store().sync() {
            Ok(durable) if durable == self.log.head() => {
                self.durable = self.log.commits().len();
                Ok(None)
            }
            Ok(durable) => Err(format!("synced up to {durable}, of {}", self.log.head())),
            Err(error) => Ok(Some(error)),
        }
    }

    fn reopen(&mut self) -> Answer {
        if let Some(error) = self.close() {
            return Ok(Some(error));
        }
        let opened = self.open()?;
        match &self.store {
            Some(store) if !self.disk.was_at_fault() && !store.recovery().clean => {
                Err(format!("a clean close is recovered: {:?}", store.recovery()))
            }
            _ => Ok(opened),
        }
    }
}

/// Appends once more what the log knows, which is to be recognised.
pub(crate) fn repeat(store: &FileStore, log: &Log, commit: usize) -> Answer {
    match store.append(Commit::clone(&log.commits()[commit])) {
        Ok(answer) => {
            let right = Appended { already_there: true, ..Appended::clone(log.answer(commit)) };
            if answer == right {
                return Ok(None);
            }
            Err(format!("a repetition is answered with {answer:?}, not with {right:?}"))
        }
        Err(AppendError::Store(error)) if *error.kind() != ErrorKind::EventIdTaken => {
            Ok(Some(error))
        }
        Err(refused) => Err(format!("a repetition is answered with {refused:?}")),
    }
}
