//! What ends a wait early.

use std::sync::atomic::{AtomicBool, Ordering};

/// Ends waits early, for good: whoever [waits](super::EventStore::wait) with it returns once it was handed to
/// [`EventStore::interrupt`](super::EventStore::interrupt).
///
/// ```
/// use annals::Position;
/// use annals::store::{EventStore, Interrupt, MemoryStore};
/// use std::time::Duration;
///
/// let (store, interrupt) = (MemoryStore::new(), Interrupt::new());
/// std::thread::scope(|scope| {
///     let waiting = scope.spawn(|| store.wait(Position::START, Duration::MAX, &interrupt));
///     store.interrupt(&interrupt); // before the other has begun to wait, or after: it returns
///     assert_eq!(waiting.join().expect("no panic")?, Position::START);
///     Ok::<(), annals::Error>(())
/// })?;
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Interrupt(AtomicBool);

impl Interrupt {
    /// One that is not raised; who waits with it alone is not interrupted.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Whether those who wait with it are to return.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// For stores: says that those who wait with it are to return. It wakes nobody.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }
}
