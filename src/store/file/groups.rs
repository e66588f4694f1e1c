//! Many callers' work, done together by one of them.

use std::fmt;
use std::sync::Arc;

use super::sync::{Condvar, Mutex, MutexGuard, yield_now};

/// Tasks that callers hand in. While one caller, the leader, carries out all that was handed in before it began, others
/// queue; then the first of them leads. There is no thread and no timer, and nobody waits for a leader that is not there.
pub(super) struct Groups<T, R> {
    queue: Mutex<Queue<T, R>>,
    /// Signalled when the turn is free and somebody may wait for it.
    freed: Condvar,
}

struct Queue<T, R> {
    /// What is to be done, in the order of arrival. Who brought the first is to lead.
    waiting: Vec<T>,
    /// The group that is made of them.
    group: Arc<Group<R>>,
    /// How many wait to be alone. They come before those who lead.
    excluding: usize,
    /// Whether somebody has the turn: leads, or excludes leaders.
    is_taken: bool,
    /// How many tasks the last group had.
    last_group: usize,
}

/// Those whose tasks are carried out together. They wait at one place, so that all of them are woken at once.
struct Group<R> {
    /// The answers, in the order of the tasks; none of them if the leader came to harm.
    answers: Mutex<Option<Vec<Option<R>>>>,
    said: Condvar,
}

/// How often a leader gives way in vain to those whom it expects.
const PATIENCE: u32 = 32;

/// It is this caller's turn, until this is dropped.
struct Turn<'g, T, R> {
    groups: &'g Groups<T, R>,
    /// The group that has no answers yet. If the turn ends in a panic, it gets none.
    unanswered: Option<&'g Group<R>>,
}

impl<R> Group<R> {
    fn new() -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(None), said: Condvar::new() })
    }

    fn say(&self, answers: Vec<Option<R>>) {
        *self.answers.lock() = Some(answers);
        self.said.notify_all();
    }

    /// Waits for the answer to the task at this place.
    fn wait(&self, place: usize) -> Option<R> {
        let mut answers = self.answers.lock();
        loop {
            if let Some(said) = &mut *answers {
                return said.get_mut(place).and_then(Option::take);
            }
            answers = self.said.wait(answers);
        }
    }
}

impl<T, R> Groups<T, R> {
    pub(super) fn new() -> Self {
        let (waiting, group) = (Vec::new(), Group::new());
        let queue = Queue { waiting, group, excluding: 0, is_taken: false, last_group: 0 };
        Self { queue: Mutex::new(queue), freed: Condvar::new() }
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
        let (place, group) = (queue.waiting.len(), Arc::clone(&queue.group));
        queue.waiting.push(task);
        if place > 0 {
            drop(queue);
            return group.wait(place).unwrap_or_else(abandoned);
        }
        while queue.is_taken || queue.excluding > 0 {
            queue = self.freed.wait(queue);
        }
        queue.is_taken = true;
        let mut queue = self.assemble(queue);
        let tasks = std::mem::take(&mut queue.waiting);
        queue.group = Group::new();
        queue.last_group = tasks.len();
        drop(queue);
        let mut turn = Turn { groups: self, unanswered: Some(&group) };
        let count = tasks.len();
        let mut answers: Vec<_> = lead(tasks).into_iter().map(Some).collect();
        assert_eq!(answers.len(), count, "each task has an answer");
        let own = answers[0].take().expect("a leader's own task is the first");
        turn.unanswered = None;
        group.say(answers);
        own
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
    pub(super) fn exclusively<O>(&self, work: impl FnOnce() -> O) -> O {
        let mut queue = self.queue.lock();
        queue.excluding += 1;
        while queue.is_taken {
            queue = self.freed.wait(queue);
        }
        queue.excluding -= 1;
        queue.is_taken = true;
        drop(queue);
        let _turn = Turn { groups: self, unanswered: None };
        work()
    }
}

impl<T, R> Drop for Turn<'_, T, R> {
    /// Gives the turn back.
    fn drop(&mut self) {
        if let Some(group) = self.unanswered {
            group.say(Vec::new());
        }
        let mut queue = self.groups.queue.lock();
        queue.is_taken = false;
        let is_awaited = queue.excluding > 0 || !queue.waiting.is_empty();
        drop(queue);
        if is_awaited {
            self.groups.freed.notify_all();
        }
    }
}

impl<T, R> fmt::Debug for Groups<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}
