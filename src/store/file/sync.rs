//! The locks that `groups` and `heads` are made of, in a form that other implementations can take the place of: a checker of
//! interleavings brings its own.

use std::ops::{Deref, DerefMut};
use std::time::Instant;

pub(super) use std::thread::yield_now;

#[derive(Debug)]
pub(super) struct Mutex<T>(parking_lot::Mutex<T>);

pub(super) struct MutexGuard<'m, T>(parking_lot::MutexGuard<'m, T>);

#[derive(Debug)]
pub(super) struct Condvar(parking_lot::Condvar);

impl<T> Mutex<T> {
    pub(super) fn new(value: T) -> Self {
        Self(parking_lot::Mutex::new(value))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(self.0.lock())
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl Condvar {
    pub(super) fn new() -> Self {
        Self(parking_lot::Condvar::new())
    }

    pub(super) fn wait<'m, T>(&self, mut guard: MutexGuard<'m, T>) -> MutexGuard<'m, T> {
        self.0.wait(&mut guard.0);
        guard
    }

    /// Like [`wait`](Self::wait), but no longer than until `deadline`; and whether that has passed.
    pub(super) fn wait_until<'m, T>(
        &self,
        mut guard: MutexGuard<'m, T>,
        deadline: Instant,
    ) -> (MutexGuard<'m, T>, bool) {
        let timed_out = self.0.wait_until(&mut guard.0, deadline).timed_out();
        (guard, timed_out)
    }

    pub(super) fn notify_all(&self) {
        self.0.notify_all();
    }
}
