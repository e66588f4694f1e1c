//! What has to hold of the turns of writers, and of what they publish, under every schedule. Each law is the body of one
//! schedule. That nobody waits for ever is seen by the checker itself.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use annals::store::{Head, Interrupt};
use annals::{Error, ErrorKind, Position};
use parking_lot::Mutex;
use shuttle::thread;

use super::address::Address;
use super::groups::Groups;
use super::heads::Heads;
use crate::faults::{Fault, is_on};
use crate::sync;

/// Runs this on so many threads at once, and waits for all.
fn in_parallel(threads: u64, work: impl Fn(u64) + Send + Sync + 'static) {
    let work = Arc::new(work);
    let threads: Vec<_> = (0..threads)
        .map(|thread| {
            let work = Arc::clone(&work);
            thread::spawn(move || work(thread))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

const ABANDONED: u64 = 0;

/// The task at which a leader panics.
const FATAL: u64 = 99;

fn abandoned() -> u64 {
    ABANDONED
}

fn answer_to(task: u64) -> u64 {
    task + 1000
}

/// Tasks that are numbers, and what became of them.
struct Office {
    groups: Groups<u64, u64>,
    is_busy: AtomicBool,
    done: Mutex<Vec<u64>>,
}

impl Office {
    fn new() -> Arc<Self> {
        sync::forget_arrivals();
        let (is_busy, done) = (AtomicBool::new(false), Mutex::default());
        Arc::new(Self { groups: Groups::new(), is_busy, done })
    }

    /// Does something, and finds out if somebody else does at the same time.
    fn alone<T>(&self, work: impl FnOnce() -> T) -> T {
        assert!(!self.is_busy.swap(true, Ordering::Relaxed), "somebody is at work already");
        thread::yield_now();
        let done = work();
        thread::yield_now();
        assert!(self.is_busy.swap(false, Ordering::Relaxed), "somebody else was at work");
        done
    }

    fn carry_out(&self, task: u64) -> u64 {
        sync::announce(task);
        let lead = |tasks: Vec<u64>| {
            self.alone(|| {
                self.done.lock().extend(&tasks);
                tasks.into_iter().map(answer_to).collect()
            })
        };
        self.groups.carry_out(task, lead, abandoned)
    }
}

pub(crate) fn each_task_has_its_own_answer_and_is_done_once_in_the_order_of_arrival() {
    let office = Office::new();
    let theirs = Arc::clone(&office);
    in_parallel(3, move |thread| {
        for round in 0..2 {
            let task = thread * 10 + round;
            assert_eq!(theirs.carry_out(task), answer_to(task));
        }
    });
    let done = office.done.lock();
    assert_eq!(*done, sync::arrivals());
    assert_eq!(done.iter().copied().collect::<BTreeSet<_>>(), [0, 1, 10, 11, 20, 21].into());
    assert_eq!(done.len(), 6);
}

pub(crate) fn who_excludes_leaders_is_alone() {
    let office = Office::new();
    let theirs = Arc::clone(&office);
    in_parallel(4, move |thread| {
        if thread < 2 {
            assert_eq!(theirs.carry_out(thread), answer_to(thread));
        } else {
            let done = theirs.groups.exclusively(|| theirs.alone(|| thread));
            assert_eq!(done, thread);
        }
    });
    assert_eq!(office.done.lock().len(), 2);
}

/// What a thread panics with that is meant to. No message is printed.
#[derive(Debug)]
struct OnPurpose;

fn panic_on_purpose() -> ! {
    resume_unwind(Box::new(OnPurpose))
}

/// Whether this panics on purpose; if it panics otherwise, so does this.
fn panics<T>(work: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => Some(done),
        Err(panic) if panic.is::<OnPurpose>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

pub(crate) fn if_a_leader_panics_its_group_is_told_and_others_go_on() {
    let office = Office::new();
    let (unlucky, panicked) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let (group, panics_seen) = (Arc::clone(&unlucky), Arc::clone(&panicked));
    in_parallel(3, move |thread| {
        let lead = |tasks: Vec<u64>| {
            if tasks.contains(&FATAL) {
                office.alone(|| group.lock().extend(&tasks));
                panic_on_purpose();
            }
            office.alone(|| tasks.into_iter().map(answer_to).collect())
        };
        let tasks = [if thread == 0 { FATAL } else { thread }, thread + 10, thread + 20];
        for task in tasks {
            match panics(|| office.groups.carry_out(task, lead, abandoned)) {
                None => drop(panics_seen.fetch_add(1, Ordering::Relaxed)),
                Some(ABANDONED) => assert!(group.lock().contains(&task)),
                Some(answer) => {
                    assert_eq!(answer, answer_to(task));
                    assert!(!group.lock().contains(&task));
                }
            }
        }
    });
    assert!(unlucky.lock().contains(&FATAL));
    assert_eq!(panicked.load(Ordering::Relaxed), 1);
}

pub(crate) fn if_one_who_excludes_leaders_panics_others_go_on() {
    let office = Office::new();
    in_parallel(3, move |thread| {
        if thread == 0 {
            let work = || office.groups.exclusively(|| panic_on_purpose());
            assert!(panics::<u64>(work).is_none());
        }
        assert_eq!(office.carry_out(thread), answer_to(thread));
        assert_eq!(office.groups.exclusively(|| office.alone(|| 7)), 7);
    });
}

fn heads() -> Heads {
    sync::forget_arrivals();
    Heads::new(Address(0), Position::START)
}

fn head(acknowledged: u64, durable: u64) -> Head {
    Head { acknowledged: Position::new(acknowledged), durable: Position::new(durable) }
}

/// So long that no deadline is in sight: only a notification ends it.
const FOR_EVER: Duration = Duration::MAX;

pub(crate) fn nobody_misses_what_is_published() {
    let heads = Arc::new(heads());
    in_parallel(3, move |thread| match thread {
        0 => (1..=3).for_each(|last| heads.publish(Address(last), head(last, last))),
        _ => {
            let mut last = 0;
            while last < 3 {
                let reached =
                    heads.wait(Position::new(last), FOR_EVER, &Interrupt::new()).unwrap().get();
                assert!(reached > last && reached <= 3);
                last = reached;
            }
        }
    });
}

pub(crate) fn closing_wakes_everybody() {
    let heads = Arc::new(heads());
    let closed_first = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&closed_first);
    in_parallel(5, move |thread| match thread {
        0 => heads.publish(Address(1), head(1, 1)),
        1 | 2 => drop(theirs.fetch_add(heads.close().into(), Ordering::Relaxed)),
        _ => {
            let waited = heads.wait(Position::new(5), FOR_EVER, &Interrupt::new());
            assert_eq!(waited.unwrap_err().kind(), &ErrorKind::Closed);
            assert_eq!(heads.see().unwrap_err().kind(), &ErrorKind::Closed);
        }
    });
    assert_eq!(closed_first.load(Ordering::Relaxed), 1);
}

pub(crate) fn an_interrupt_ends_the_waits_that_it_is_for_and_no_other() {
    let (heads, interrupt) = (Arc::new(heads()), Interrupt::new());
    in_parallel(4, move |thread| match thread {
        0 => heads.interrupt(&interrupt),
        1 => {
            let reached = heads.wait(Position::START, FOR_EVER, &Interrupt::new()).unwrap();
            assert_eq!(reached, Position::new(1), "it was not interrupted");
        }
        _ => {
            let reached = heads.wait(Position::new(1), FOR_EVER, &interrupt).unwrap();
            assert!(reached <= Position::new(1) && interrupt.is_raised());
            heads.publish(Address(1), head(1, 1));
        }
    });
}

pub(crate) fn who_waits_for_a_time_is_told_how_far_it_is_or_that_it_is_over() {
    let heads = Arc::new(heads());
    in_parallel(3, move |thread| match thread {
        0 => {
            heads.publish(Address(1), head(1, 1));
            heads.publish(Address(2), head(3, 2));
            heads.close();
        }
        _ => {
            let mut last = 0;
            for _ in 0..4 {
                match heads.wait(Position::new(last), Duration::from_secs(1), &Interrupt::new()) {
                    Ok(reached) => {
                        assert!(reached.get() >= last && reached.get() <= 2);
                        last = reached.get();
                    }
                    Err(error) => assert_eq!(error.kind(), &ErrorKind::Closed),
                }
            }
        }
    });
}

pub(crate) fn the_first_reason_to_write_no_more_is_the_one_that_is_told() {
    let heads = Arc::new(heads());
    let first = Arc::new(Mutex::new(None));
    let theirs = Arc::clone(&first);
    in_parallel(3, move |thread| {
        let told = heads.forbid(format!("reason {thread}")).to_string();
        assert_eq!(*theirs.lock().get_or_insert_with(|| told.clone()), told);
        assert_eq!(heads.check().unwrap_err().to_string(), told);
        assert_eq!(heads.poison().unwrap().to_string(), told);
        assert!(heads.see().is_ok(), "reads go on");
    });
}

/// A store made of the turns and the heads in the way in which the real one is; its log is a list in memory, and a sync is a
/// number.
struct Store {
    groups: Groups<u64, Result<u64, ()>>,
    heads: Heads,
    /// Only who has the turn takes it, so it is always free.
    writer: Mutex<Writer>,
    log: Mutex<Vec<u64>>,
    /// Up to where the log is on the disk.
    disk: AtomicU64,
    syncs_each: bool,
}

#[derive(Default)]
struct Writer {
    tip: u64,
    synced: u64,
}

/// Poisons the store if a leader panics.
struct Leading<'s>(&'s Heads);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.forbid("panicked");
        }
    }
}

impl Store {
    fn new(syncs_each: bool) -> Arc<Self> {
        let (writer, log) = (Mutex::default(), Mutex::default());
        let disk = AtomicU64::new(0);
        Arc::new(Self { groups: Groups::new(), heads: heads(), writer, log, disk, syncs_each })
    }

    fn append(&self, task: u64) -> Result<u64, ()> {
        self.heads.check().map_err(drop)?;
        let mut late = None;
        let answer = self.groups.carry_out(task, |tasks| self.lead(&tasks, &mut late), || Err(()));
        if let Some(head) = late {
            thread::yield_now();
            self.heads.publish(Address(head.acknowledged.get()), head);
        }
        answer
    }

    fn lead(&self, tasks: &[u64], late: &mut Option<Head>) -> Vec<Result<u64, ()>> {
        let _leading = Leading(&self.heads);
        let mut writer = self.writer.try_lock().expect("it is free for who has the turn");
        if self.heads.check().is_err() && !is_on(Fault::WritesInSpiteOfThePoison) {
            return tasks.iter().map(|_| Err(())).collect();
        }
        let mut answers = Vec::new();
        for task in tasks {
            self.log.lock().push(*task);
            thread::yield_now();
            if *task == FATAL {
                drop(writer);
                panic_on_purpose();
            }
            writer.tip += 1;
            answers.push(Ok(writer.tip));
        }
        if self.syncs_each {
            if is_on(Fault::PublishesBeforeItSyncs) {
                self.heads.publish(Address(writer.tip), head(writer.tip, writer.tip));
            }
            thread::yield_now();
            self.disk.store(writer.tip, Ordering::Relaxed);
            writer.synced = writer.tip;
        }
        let head = head(writer.tip, writer.synced);
        if is_on(Fault::AnswersBeforeItPublishes) {
            *late = Some(head);
        } else {
            self.heads.publish(Address(writer.tip), head);
        }
        answers
    }

    fn sync(&self) {
        let sync = || {
            let mut writer = self.writer.try_lock().expect("it is free for who has the turn");
            let tip = writer.tip;
            thread::yield_now();
            self.disk.fetch_max(tip, Ordering::Relaxed);
            writer.synced = tip;
            drop(writer);
            self.heads.publish(Address(tip), head(tip, tip));
        };
        if is_on(Fault::SyncsOutsideItsTurn) { sync() } else { self.groups.exclusively(sync) }
    }

    fn is_synced(&self, position: u64) -> bool {
        self.disk.load(Ordering::Relaxed) >= position
    }

    /// Sees the log three times: it never goes back, and everything that is shown is there.
    fn watch(&self) {
        let (mut last, mut last_end) = (Head::default(), Address(0));
        for _ in 0..3 {
            let (end, seen) = self.heads.see().unwrap();
            assert!(seen.acknowledged >= last.acknowledged, "the head goes back");
            assert!(seen.durable >= last.durable, "the durable head goes back");
            assert!(seen.durable <= seen.acknowledged && end >= last_end);
            assert!(self.log.lock().len() as u64 >= seen.acknowledged.get());
            assert!(self.is_synced(seen.durable.get()), "it is shown as durable and is not");
            (last, last_end) = (seen, end);
            thread::yield_now();
        }
    }

    /// Follows the durable log up to here.
    fn follow(&self, to: u64) {
        let mut reached = 0;
        while reached < to {
            let next = self.heads.wait(Position::new(reached), FOR_EVER, &Interrupt::new());
            let next = next.unwrap().get();
            assert!(next > reached && self.is_synced(next), "it waited for what is not synced");
            reached = next;
        }
    }
}

pub(crate) fn what_is_answered_is_shown_and_synced() {
    let store = Store::new(true);
    in_parallel(4, move |thread| match thread {
        0 | 1 => {
            for round in 0..2 {
                let own = store.append(thread * 10 + round).unwrap();
                let (_, seen) = store.heads.see().unwrap();
                assert!(seen.acknowledged.get() >= own, "the writer does not see its own event");
                assert!(seen.durable.get() >= own, "it is answered and not durable");
            }
        }
        2 => store.watch(),
        _ => store.follow(4),
    });
}

pub(crate) fn who_waits_sees_only_what_is_synced() {
    let store = Store::new(false);
    in_parallel(4, move |thread| match thread {
        0 | 1 => {
            let own = store.append(thread).unwrap();
            assert!(store.heads.see().unwrap().1.acknowledged.get() >= own);
            store.sync();
            assert!(store.heads.see().unwrap().1.durable.get() >= own);
        }
        2 => store.watch(),
        _ => store.follow(2),
    });
}

pub(crate) fn after_a_panic_nothing_is_written_and_everybody_is_answered() {
    let store = Store::new(true);
    let theirs = Arc::clone(&store);
    in_parallel(3, move |thread| {
        if thread == 0 {
            assert_ne!(panics(|| theirs.append(FATAL)), Some(Ok(1)));
        } else {
            // It is answered, or leads the group that comes to harm.
            let _ = panics(|| theirs.append(thread));
        }
        if let Err(error) = theirs.heads.check() {
            assert_eq!(error.kind(), &ErrorKind::Poisoned);
            assert_eq!(panics(|| theirs.append(thread + 10)), Some(Err(())));
        }
    });
    let is_poisoned = |error: Error| error.kind() == &ErrorKind::Poisoned;
    assert!(store.heads.poison().is_some_and(is_poisoned));
    assert_eq!(store.log.lock().last(), Some(&FATAL), "something is written behind the panic");
}
