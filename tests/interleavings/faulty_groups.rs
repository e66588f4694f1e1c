//! Many callers' work, done together by one of them.

use std::fmt;

use super::sync::{Condvar, Mutex, MutexGuard, yield_now};

/// Tasks that callers hand in. While one caller, the leader, carries out all that was handed in before it began, others
/// queue; then one of them leads. There is no thread and no timer, and nobody waits for a leader that is not there.
pub(super) struct Groups<T, R> {
    queue: Mutex<Queue<T, R>>,
    /// Signalled when answers are there, and when the turn is free.
    changed: Condvar,
}

struct Queue<T, R> {
    /// What is to be done, each under its ticket, ascending.
    waiting: Vec<(u64, T)>,
    /// What was done and not yet fetched.
    answers: Vec<(u64, R)>,
    next_ticket: u64,
    /// Whether somebody has the turn: leads, or excludes leaders.
    is_taken: bool,
    /// How many tasks the last group had.
    last_group: usize,
}

/// How often a leader gives way in vain to those whom it expects.
const PATIENCE: u32 = 32;

/// It is this caller's turn, until this is dropped.
struct Turn<'g, T, R> {
    groups: &'g Groups<T, R>,
    /// The tasks this turn has taken and not answered. If it ends in a panic, they get this answer.
    unanswered: Vec<u64>,
    abandoned: fn() -> R,
}

impl<T, R> Groups<T, R> {
    pub(super) fn new() -> Self {
        let queue = Queue {
            waiting: Vec::new(),
            answers: Vec::new(),
            next_ticket: 0,
            is_taken: false,
            last_group: 0,
        };
        Self { queue: Mutex::new(queue), changed: Condvar::new() }
    }

    /// Hands in a task and returns its answer. `lead` carries out a group and gives an answer for each of its tasks, in
    /// their order; it runs on the thread of one of the callers. Should it panic, `abandoned` is the answer to the others.
    pub(super) fn carry_out(
        &self,
        task: T,
        lead: impl FnOnce(Vec<T>) -> Vec<R>,
        abandoned: fn() -> R,
    ) -> R {
        let mut queue = self.queue.lock();
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        queue.waiting.push((ticket, task));
        loop {
            fault!(TakesAnyAnswer, queue.answers.iter_mut().for_each(|answer| answer.0 = ticket));
            if let Some(place) = queue.answers.iter().position(|(owner, _)| *owner == ticket) {
                return queue.answers.swap_remove(place).1;
            }
            fault!(LeadsBesideAnother, break);
            if !queue.is_taken {
                break;
            }
            fault!(LooksAwayBeforeItWaits, queue = super::sync::reopened(queue));
            queue = self.changed.wait(queue);
        }
        queue.is_taken = true;
        let mut queue = self.assemble(queue);
        fault!(TurnsTheOrderAround, queue.waiting.reverse());
        let (tickets, tasks): (Vec<u64>, _) =
            std::mem::take(&mut queue.waiting).into_iter().unzip();
        queue.last_group = tickets.len();
        drop(queue);
        fault!(FreesTheTurnTooEarly, self.queue.lock().is_taken = false);
        let mut turn = Turn { groups: self, unanswered: tickets, abandoned };
        let answers = lead(tasks);
        turn.answer(answers, ticket)
    }

    /// Gives way to those who were answered with the last group and are about to be back: without that, a leader would set out
    /// almost alone, and the others wait for it. Who comes alone leads at once.
    fn assemble<'g>(
        &'g self,
        mut queue: MutexGuard<'g, Queue<T, R>>,
    ) -> MutexGuard<'g, Queue<T, R>> {
        let mut patience = PATIENCE;
        while queue.waiting.len() < queue.last_group && patience > 0 {
            let before = queue.waiting.len();
            drop(queue);
            yield_now();
            queue = self.queue.lock();
            if queue.waiting.len() == before {
                patience -= 1;
            }
        }
        queue
    }

    /// Carries something out while nobody leads.
    pub(super) fn exclusively<O>(&self, work: impl FnOnce() -> O, abandoned: fn() -> R) -> O {
        let mut queue = self.queue.lock();
        fault!(ExcludesNobody, queue.is_taken = false);
        while queue.is_taken {
            fault!(LooksAwayBeforeItWaits, queue = super::sync::reopened(queue));
            queue = self.changed.wait(queue);
        }
        queue.is_taken = true;
        drop(queue);
        let _turn = Turn { groups: self, unanswered: Vec::new(), abandoned };
        work()
    }
}

impl<T, R> Turn<'_, T, R> {
    /// Leaves the others' answers for them, and returns that of the leader's own task.
    fn answer(&mut self, answers: Vec<R>, own: u64) -> R {
        assert_eq!(answers.len(), self.unanswered.len(), "each task has an answer");
        let mut owned = None;
        let mut queue = self.groups.queue.lock();
        for (ticket, answer) in self.unanswered.drain(..).zip(answers) {
            if ticket == own {
                owned = Some(answer);
            } else {
                queue.answers.push((ticket, answer));
            }
        }
        owned.expect("a leader's own task is in its group")
    }
}

impl<T, R> Drop for Turn<'_, T, R> {
    fn drop(&mut self) {
        fault!(LeavesTasksOfAPanicUnanswered, self.unanswered.clear());
        let mut queue = self.groups.queue.lock();
        for ticket in self.unanswered.drain(..) {
            queue.answers.push((ticket, (self.abandoned)()));
        }
        queue.is_taken = false;
        fault!(KeepsTheTurnAfterAPanic, queue.is_taken = std::thread::panicking());
        drop(queue);
        fault!(ForgetsToNotify, return);
        fault!(NotifiesOnlyOne, return self.groups.changed.notify_one());
        self.groups.changed.notify_all();
    }
}

impl<T, R> fmt::Debug for Groups<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}
