//! Many callers' work, done together by one of them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::sync::{Condvar, Mutex, MutexGuard, yield_now};

/// Tasks that callers hand in. While one caller, the leader, carries out all that was handed in before it began, others
/// queue; then one of them leads. There is no thread and no timer, and nobody waits for a leader that is not there.
pub(super) struct Groups<T, R> {
    queue: Mutex<Queue<T, R>>,
}

struct Queue<T, R> {
    /// What is to be done, in the order of arrival.
    waiting: Vec<(Arc<Seat<R>>, T)>,
    /// Those who wait to be alone.
    excluding: VecDeque<Arc<Seat<R>>>,
    /// Whether somebody has the turn: leads, or excludes leaders. If nobody has it, nobody waits.
    is_taken: bool,
    /// How many tasks the last group had.
    last_group: usize,
}

/// Where one caller waits: so nobody wakes who is not meant.
struct Seat<R> {
    word: Mutex<Option<Word<R>>>,
    said: Condvar,
}

/// What a waiting caller is told.
enum Word<R> {
    /// Its task is done.
    Answer(R),
    /// It has the turn.
    Turn,
}

/// How often a leader gives way in vain to those whom it expects.
const PATIENCE: u32 = 32;

/// It is this caller's turn, until this is dropped.
struct Turn<'g, T, R> {
    groups: &'g Groups<T, R>,
    /// Those whose tasks this turn has taken and not answered. If it ends in a panic, they get this answer.
    unanswered: Vec<Arc<Seat<R>>>,
    abandoned: fn() -> R,
}

impl<R> Seat<R> {
    fn new() -> Arc<Self> {
        Arc::new(Self { word: Mutex::new(None), said: Condvar::new() })
    }

    fn say(&self, word: Word<R>) {
        *self.word.lock() = Some(word);
        self.said.notify_all();
    }

    fn wait(&self) -> Word<R> {
        let mut word = self.word.lock();
        loop {
            if let Some(said) = word.take() {
                return said;
            }
            word = self.said.wait(word);
        }
    }
}

impl<T, R> Groups<T, R> {
    pub(super) fn new() -> Self {
        let (waiting, excluding) = (Vec::new(), VecDeque::new());
        let queue = Queue { waiting, excluding, is_taken: false, last_group: 0 };
        Self { queue: Mutex::new(queue) }
    }

    /// Hands in a task and returns its answer. `lead` carries out a group and gives an answer for each of its tasks, in
    /// their order; it runs on the thread of one of the callers. Should it panic, `abandoned` is the answer to the others.
    pub(super) fn carry_out(
        &self,
        task: T,
        lead: impl FnOnce(Vec<T>) -> Vec<R>,
        abandoned: fn() -> R,
    ) -> R {
        let seat = Seat::new();
        let mut queue = self.queue.lock();
        queue.waiting.push((Arc::clone(&seat), task));
        if queue.is_taken {
            drop(queue);
            match seat.wait() {
                Word::Answer(answer) => return answer,
                Word::Turn => queue = self.queue.lock(),
            }
        }
        queue.is_taken = true;
        let mut queue = self.assemble(queue);
        let (seats, tasks): (Vec<_>, _) = std::mem::take(&mut queue.waiting).into_iter().unzip();
        queue.last_group = seats.len();
        drop(queue);
        let mut turn = Turn { groups: self, unanswered: seats, abandoned };
        let answers = lead(tasks);
        turn.answer(answers, &seat)
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
        if queue.is_taken {
            let seat = Seat::new();
            queue.excluding.push_back(Arc::clone(&seat));
            drop(queue);
            let _the_turn = seat.wait();
        } else {
            queue.is_taken = true;
            drop(queue);
        }
        let _turn = Turn { groups: self, unanswered: Vec::new(), abandoned };
        work()
    }
}

impl<T, R> Turn<'_, T, R> {
    /// Gives the others their answers, and returns that of the leader's own task.
    fn answer(&mut self, answers: Vec<R>, own: &Arc<Seat<R>>) -> R {
        assert_eq!(answers.len(), self.unanswered.len(), "each task has an answer");
        let mut owned = None;
        for (seat, answer) in self.unanswered.drain(..).zip(answers) {
            if Arc::ptr_eq(&seat, own) {
                owned = Some(answer);
            } else {
                seat.say(Word::Answer(answer));
            }
        }
        owned.expect("a leader's own task is in its group")
    }
}

impl<T, R> Drop for Turn<'_, T, R> {
    /// Passes the turn on.
    fn drop(&mut self) {
        for seat in self.unanswered.drain(..) {
            seat.say(Word::Answer((self.abandoned)()));
        }
        let mut queue = self.groups.queue.lock();
        let first = queue.waiting.first().map(|(seat, _)| Arc::clone(seat));
        let next = queue.excluding.pop_front().or(first);
        queue.is_taken = next.is_some();
        drop(queue);
        if let Some(next) = next {
            next.say(Word::Turn);
        }
    }
}

impl<T, R> fmt::Debug for Groups<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}
