//! Where the time comes from.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

/// Tells the time to whatever stamps or decides.
///
/// Times in annals have a resolution of one microsecond; what a clock says beyond that is cut off. A clock may
/// go backwards: nothing but the times themselves depends on it.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> DateTime<Utc>;

    /// For how long a thread may sleep that waits until this time, before it asks the clock again. A clock that can be moved by hand
    /// says a short time.
    fn until(&self, time: DateTime<Utc>) -> Duration {
        (time - self.now()).to_std().unwrap_or(Duration::ZERO)
    }
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        SystemTime::now().into()
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> DateTime<Utc> {
        (**self).now()
    }

    fn until(&self, time: DateTime<Utc>) -> Duration {
        (**self).until(time)
    }
}

/// Whether this many microseconds since 1970 are a time.
#[inline]
pub(crate) fn is_time(micros: i64) -> bool {
    const FIRST: i64 = DateTime::<Utc>::MIN_UTC.timestamp_micros();
    const LAST: i64 = DateTime::<Utc>::MAX_UTC.timestamp_micros();
    (FIRST..=LAST).contains(&micros)
}

/// Cuts a time to the resolution that is recorded. A leap second becomes the second after it.
pub(crate) fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}
