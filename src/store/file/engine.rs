//! What the handle of a store and its thread share, and the way of a commit through it.

use std::fmt;
use std::sync::Arc;
use std::thread;

use chrono::{DateTime, Utc};
use parking_lot::{Mutex, RwLock};
use uuid::Uuid;

use super::counters::Counters;
use super::frame::FrameBuilder;
use super::groups::Groups;
use super::heads::Heads;
use super::index::Workshop;
use super::judge::{Judged, Verdict, judge};
use super::options::{Durability, FileOptions};
use super::reader::Reader;
use super::recovery::Recovered;
use super::report::RecoveryReport;
use super::space::Space;
use super::view::{View, damaged_run};
use super::writer::{NotStaged, Shared, Staged, Writer, check_size};
use crate::error::{Error, ErrorKind};
use crate::event::RecordedEvent;
use crate::position::Position;
use crate::storage::StorageLock;
use crate::store::commit::{AppendError, Appended, Commit};
use crate::store::identity::Identity;

/// A commit on its way.
pub(super) struct Task {
    pub(super) commit: Arc<Commit>,
    /// What is known already, from before it queued.
    pub(super) judged: Judged,
    pub(super) now: DateTime<Utc>,
}

/// How often parts of the index are made again for one call: what is damaged each time it is read is not to be mended so.
const MENDED_MAX: usize = 8;

pub(super) type Answer = Result<Appended, AppendError>;

/// An open store. Locks are taken in the order in which they stand here.
pub(super) struct Engine {
    pub(super) options: FileOptions,
    pub(super) report: RecoveryReport,
    pub(super) identity: Identity,
    pub(super) workshop: Workshop,
    pub(super) counters: Counters,
    /// Held by whoever makes, merges or replaces runs.
    pub(super) index_work: Mutex<()>,
    /// Held by whoever writes to the end of the log. Those who queue for it are answered in groups.
    pub(super) groups: Groups<Task, Answer>,
    /// Only who has the turn of `groups` takes this lock, so it is always free.
    pub(super) writer: Mutex<Writer>,
    pub(super) space: Space,
    pub(super) reader: Reader,
    /// Gone when the store is closed.
    pub(super) lock: RwLock<Option<Box<dyn StorageLock>>>,
}

/// The answer of those whose leader came to harm.
fn abandoned() -> Answer {
    let detail = "the thread that wrote for several others panicked";
    Err(Error::new(ErrorKind::Poisoned).detail(detail).into())
}

/// Poisons the store if the leader panics: what it had written by then is not known.
struct Leading<'e>(&'e Heads);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.forbid("the thread that wrote to the log panicked");
        }
    }
}

impl Engine {
    pub(super) fn new(
        recovered: Recovered,
        options: FileOptions,
        lock: Box<dyn StorageLock>,
    ) -> Self {
        let Recovered { workshop, log, terms, sources, tip, segment, file, .. } = recovered;
        let rooms = options.rooms();
        let space =
            Space::of(rooms.of(&segment.header), tip.end.offset().into(), recovered.file_length);
        let reader = Reader::new(log, terms, sources, tip, Arc::clone(&workshop.cache));
        let writer = Writer {
            storage: Arc::clone(&workshop.storage),
            store: workshop.store,
            durability: options.durability,
            rooms,
            segment,
            file,
            watermark: recovered.watermark,
            tip,
            synced: (tip.end.offset(), tip.head),
            staged: Staged { builder: FrameBuilder::default(), tip, random: 0 },
        };
        Self {
            options,
            report: recovered.report,
            identity: recovered.identity,
            workshop,
            counters: Counters::default(),
            index_work: Mutex::new(()),
            groups: Groups::new(),
            writer: Mutex::new(writer),
            space,
            reader,
            lock: RwLock::new(Some(lock)),
        }
    }

    pub(super) fn shared(&self) -> Shared<'_> {
        let Reader { log, heads, .. } = &self.reader;
        Shared { log, heads, space: &self.space, counters: &self.counters }
    }

    /// Looks into the log through the index. Should a part of the index turn out to be damaged, it is made again, and the look
    /// is taken once more.
    pub(super) fn look<T>(
        &self,
        mut look: impl FnMut(&View<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        for _ in 0..MENDED_MAX {
            match look(&self.reader.view()?) {
                Err(error) if damaged_run(&error).is_some() => self.mend(&error)?,
                done => return done,
            }
        }
        look(&self.reader.view()?)
    }

    /// Refuses a process that did not open the store.
    pub(super) fn check_process(&self) -> Result<(), Error> {
        match &*self.lock.read() {
            Some(lock) if !lock.is_ours() => Err(Error::new(ErrorKind::Forked)),
            _ => Ok(()),
        }
    }

    /// Judges, stages and writes a commit, together with those that queue at the same time; `has_led` becomes true if it was this
    /// caller who wrote for all of them.
    pub(super) fn append(&self, commit: Commit, now: DateTime<Utc>, has_led: &mut bool) -> Answer {
        self.check_process()?;
        self.relieve()?;
        check_size(&commit)?;
        let commit = Arc::new(commit);
        for _ in 0..MENDED_MAX {
            match self.try_to_append(&commit, now, has_led) {
                // The leader comes upon damage, but leaves it to others: whoever mends may have to wait for the turn.
                Err(AppendError::Store(error)) if damaged_run(&error).is_some() => {
                    self.mend(&error)?
                }
                done => return done,
            }
        }
        self.try_to_append(&commit, now, has_led)
    }

    fn try_to_append(
        &self,
        commit: &Arc<Commit>,
        now: DateTime<Utc>,
        has_led: &mut bool,
    ) -> Answer {
        self.reader.heads.check()?;
        let mut verdict = None;
        let judged = self.look(|view| match judge(view, commit, None) {
            Err(AppendError::Store(error)) => Err(error),
            other => {
                verdict = Some(other);
                Ok(())
            }
        });
        judged?;
        let judged = match verdict.expect("it is set where there is no error")? {
            Verdict::AlreadyThere(earlier) => return self.made_durable(earlier),
            Verdict::Accept(judged) => judged,
        };
        let task = Task { commit: Arc::clone(commit), judged, now };
        let lead = |tasks: Vec<Task>| {
            *has_led = true;
            self.lead(&tasks)
        };
        let appended = self.groups.carry_out(task, lead, abandoned)?;
        self.made_durable(appended)
    }

    /// An answer that rests on an earlier commit is given when that is durable.
    fn made_durable(&self, appended: Appended) -> Answer {
        if appended.already_there && appended.last > self.reader.heads.see()?.1.durable {
            self.sync()?;
        }
        Ok(appended)
    }

    /// Makes everything durable that is acknowledged.
    pub(super) fn sync(&self) -> Result<Position, Error> {
        self.check_process()?;
        self.reader.heads.see()?;
        let sync = || self.writer.lock().sync_all(self.shared());
        self.groups.exclusively(sync)
    }

    /// Carries out a group.
    fn lead(&self, tasks: &[Task]) -> Vec<Answer> {
        let _leading = Leading(&self.reader.heads);
        let mut writer = self.writer.lock();
        writer.staged.random = Uuid::new_v4().as_u128();
        let mut answers: Vec<Answer> = Vec::with_capacity(tasks.len());
        // Where the answers begin that rest on what is staged.
        let mut resting = 0;
        for task in tasks {
            let answer = match self.stage(&mut writer, task) {
                Staging::Answered(answer) => answer,
                Staging::NoRoom => {
                    self.finish(&mut writer, &mut answers[resting..]);
                    resting = answers.len();
                    match writer.roll(self.shared()).map(|()| self.stage(&mut writer, task)) {
                        Ok(Staging::Answered(answer)) => answer,
                        Ok(Staging::NoRoom) => unreachable!("an empty segment takes any frame"),
                        Err(error) => Err(error.into()),
                    }
                }
            };
            answers.push(answer);
        }
        self.finish(&mut writer, &mut answers[resting..]);
        answers
    }

    /// Writes commits that have their places already: they follow what is there.
    pub(super) fn adopt(&self, commits: &[Vec<RecordedEvent<'_>>]) -> Result<(), Error> {
        self.relieve()?;
        let adopt = || {
            let _leading = Leading(&self.reader.heads);
            let mut writer = self.writer.lock();
            for events in commits {
                while let Err(NotStaged::NoRoom) = self.adopt_one(&mut writer, events) {
                    writer.commit(self.shared(), &self.reader.sources().growing().recent)?;
                    writer.roll(self.shared())?;
                }
            }
            writer.commit(self.shared(), &self.reader.sources().growing().recent)
        };
        self.groups.exclusively(adopt)
    }

    fn adopt_one(
        &self,
        writer: &mut Writer,
        events: &[RecordedEvent<'_>],
    ) -> Result<(), NotStaged> {
        writer.adopt(events, &mut self.reader.sources().growing().recent.write())
    }

    /// Writes what is staged. If that fails, none of the answers that rest on it is given.
    fn finish(&self, writer: &mut Writer, resting: &mut [Answer]) {
        let sources = self.reader.sources();
        match writer.commit(self.shared(), &sources.growing().recent) {
            Ok(()) => {
                let written = |answer: &&Answer| answer.as_ref().is_ok_and(|a| !a.already_there);
                self.counters.add_commits(resting.iter().filter(written).count());
            }
            Err(error) => {
                resting.iter_mut().for_each(|answer| *answer = Err(error.replica().into()));
            }
        }
    }

    fn stage(&self, writer: &mut Writer, task: &Task) -> Staging {
        let tip = writer.staged.tip;
        let mut view = self.reader.view_up_to(tip.end, tip.head);
        view.staged = Some(writer.staged_bytes());
        let judged = match judge(&view, &task.commit, Some(&task.judged)) {
            Ok(Verdict::Accept(judged)) => judged,
            Ok(Verdict::AlreadyThere(earlier)) => return Staging::Answered(Ok(earlier)),
            Err(error) => return Staging::Answered(Err(error)),
        };
        let sources = self.reader.sources();
        let mut recent = sources.growing().recent.write();
        match writer.stage(&task.commit, &judged.versions, task.now, &mut recent) {
            Ok(appended) => Staging::Answered(Ok(appended)),
            Err(NotStaged::Refused(error)) => Staging::Answered(Err(error.into())),
            Err(NotStaged::NoRoom) => Staging::NoRoom,
        }
    }

    /// Whether frames are synced before they are acknowledged.
    pub(super) fn syncs(&self) -> bool {
        self.options.durability == Durability::Synced
    }
}

/// What became of an attempt to stage.
enum Staging {
    Answered(Answer),
    NoRoom,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("options", &self.options).finish_non_exhaustive()
    }
}
