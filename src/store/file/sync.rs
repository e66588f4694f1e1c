//! The locks that `groups` and `heads` are made of, in a form that other implementations can take the place of: a checker of
//! interleavings brings its own.
//!
//! They are those of the standard library, which wake a sleeping thread at once where the kernel can do it; a group of
//! writers is woken after each sync, and what that costs is most of what they wait for beside the disk. A panic of one who holds a lock
//! is no reason to give it up: whoever holds the turn leaves word of that elsewhere.

use std::ops::{Deref, DerefMut};
use std::sync;
use std::sync::PoisonError;
use std::time::Instant;

pub(super) use std::thread::yield_now;

#[derive(Debug)]
pub(super) struct Mutex<T>(sync::Mutex<T>);

pub(super) struct MutexGuard<'m, T>(sync::MutexGuard<'m, T>);

#[derive(Debug)]
pub(super) struct Condvar(sync::Condvar);

impl<T> Mutex<T> {
    pub(super) fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(self.0.lock().unwrap_or_else(PoisonError::into_inner))
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
        Self(sync::Condvar::new())
    }

    pub(super) fn wait<'m, T>(&self, guard: MutexGuard<'m, T>) -> MutexGuard<'m, T> {
        MutexGuard(self.0.wait(guard.0).unwrap_or_else(PoisonError::into_inner))
    }

    /// Like [`wait`](Self::wait), but no longer than until `deadline`; and whether that has passed.
    pub(super) fn wait_until<'m, T>(
        &self,
        guard: MutexGuard<'m, T>,
        deadline: Instant,
    ) -> (MutexGuard<'m, T>, bool) {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.0.wait_timeout(guard.0, left);
        let (guard, timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
        (MutexGuard(guard), timed_out.timed_out())
    }

    pub(super) fn notify_all(&self) {
        self.0.notify_all();
    }
}
