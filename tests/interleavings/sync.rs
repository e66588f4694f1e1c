//! The locks of the store as the checker has them, with what real ones do beside: a waiter may wake for no reason, and its
//! time may be over at any moment. The checker runs all threads of a schedule on one, so what is local to that is shared.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::Instant;

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync;
pub(crate) use shuttle::thread::yield_now;
use shuttle::thread::{self, ThreadId};

pub(crate) struct Mutex<T>(sync::Mutex<T>);

pub(crate) struct MutexGuard<'m, T> {
    of: &'m Mutex<T>,
    guard: sync::MutexGuard<'m, T>,
}

pub(crate) struct Condvar(sync::Condvar);

thread_local! {
    /// Whose next lock is their arrival, and as what.
    static ANNOUNCED: RefCell<HashMap<ThreadId, u64>> = RefCell::default();
    static ARRIVED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Begins a schedule, in which nobody has arrived.
pub(crate) fn forget_arrivals() {
    ANNOUNCED.take();
    ARRIVED.take();
}

/// Counts the next lock that the calling thread gets as the arrival of this task.
pub(crate) fn announce(task: u64) {
    ANNOUNCED.with_borrow_mut(|announced| announced.insert(thread::current().id(), task));
}

/// The tasks in the order in which they arrived.
pub(crate) fn arrivals() -> Vec<u64> {
    ARRIVED.with_borrow(Vec::clone)
}

fn arrive() {
    let task = ANNOUNCED.with_borrow_mut(|announced| {
        if announced.is_empty() { None } else { announced.remove(&thread::current().id()) }
    });
    if let Some(task) = task {
        ARRIVED.with_borrow_mut(|arrived| arrived.push(task));
    }
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        arrive();
        MutexGuard { of: self, guard }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// Lets others have the lock for a moment.
pub(crate) fn reopened<T>(guard: MutexGuard<'_, T>) -> MutexGuard<'_, T> {
    let of = guard.of;
    drop(guard);
    yield_now();
    of.lock()
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(sync::Condvar::new())
    }

    pub(crate) fn wait<'m, T>(&self, guard: MutexGuard<'m, T>) -> MutexGuard<'m, T> {
        if thread_rng().gen_ratio(1, 16) {
            return reopened(guard);
        }
        let MutexGuard { of, guard } = guard;
        MutexGuard { of, guard: self.0.wait(guard).unwrap_or_else(PoisonError::into_inner) }
    }

    /// The checker has no clock: sooner or later the time is over, and until then one wakes now and then.
    pub(crate) fn wait_until<'m, T>(
        &self,
        guard: MutexGuard<'m, T>,
        _: Instant,
    ) -> (MutexGuard<'m, T>, bool) {
        (reopened(guard), thread_rng().gen_ratio(1, 3))
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}
