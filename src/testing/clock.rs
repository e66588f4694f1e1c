//! A clock that stands still until it is moved.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use crate::clock::Clock;

/// A clock that stands still until it is moved, in either direction. Clones share the time.
///
/// ```
/// use annals::testing::ManualClock;
/// use annals::Clock;
/// use chrono::TimeDelta;
///
/// let clock = ManualClock::at("2024-02-29T12:00:00Z".parse().unwrap());
/// clock.advance(TimeDelta::days(3));
/// assert_eq!(clock.now().to_string(), "2024-03-03 12:00:00 UTC");
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: Arc<Mutex<DateTime<Utc>>>,
}

impl ManualClock {
    /// A clock that shows this time.
    #[must_use]
    pub fn at(time: DateTime<Utc>) -> Self {
        Self { now: Arc::new(Mutex::new(time)) }
    }

    /// Moves the clock by this much, also backwards; it stops at the ends of what can be told.
    pub fn advance(&self, by: TimeDelta) {
        let mut now = self.now.lock();
        let end = if by < TimeDelta::zero() {
            DateTime::<Utc>::MIN_UTC
        } else {
            DateTime::<Utc>::MAX_UTC
        };
        *now = now.checked_add_signed(by).unwrap_or(end);
    }

    /// Sets the clock to this time.
    pub fn set(&self, time: DateTime<Utc>) {
        *self.now.lock() = time;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.now.lock()
    }

    /// At most a millisecond: by then the clock may have been moved.
    fn until(&self, time: DateTime<Utc>) -> Duration {
        let left = (time - self.now()).to_std().unwrap_or(Duration::ZERO);
        left.min(Duration::from_millis(1))
    }
}
