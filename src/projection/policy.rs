//! What is done about an event that cannot be handled.

use std::time::Duration;

use chrono::TimeDelta;

/// What a projection does about an event that cannot be handled, because its handler failed or it cannot be read.
///
/// ```
/// use annals::projection::ErrorPolicy;
/// use std::time::Duration;
///
/// // Five more tries, after 1, 2, 4, 8 and 10 seconds; then the event is put aside, and the projection goes on.
/// ErrorPolicy::retry(5, Duration::from_secs(1)).at_most_every(Duration::from_secs(10)).then_park();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct ErrorPolicy {
    pub(super) retries: u32,
    first_delay: Duration,
    delay_max: Duration,
    pub(super) parks: bool,
}

impl ErrorPolicy {
    /// The projection stops before the event, with its status [`Failed`](super::State::Failed), until it is resumed. This is the default.
    pub fn stop() -> Self {
        Self::retry(0, Duration::ZERO)
    }

    /// The event is put aside, and the projection goes on behind it. What is put aside is listed, and can be replayed. Of more than 100
    /// events none is put aside any more: then it stops.
    pub fn park() -> Self {
        Self::stop().then_park()
    }

    /// The event is tried so often again, at first after this time and then after twice the time before. If that is in vain, the
    /// projection stops. A failure of what the view is kept in is dealt with likewise.
    pub fn retry(retries: u32, first_delay: Duration) -> Self {
        Self { retries, first_delay, delay_max: Duration::MAX, parks: false }
    }

    /// No delay is longer than this.
    pub fn at_most_every(self, delay_max: Duration) -> Self {
        Self { delay_max, ..self }
    }

    /// After tries in vain the event is put aside, and the projection goes on behind it.
    pub fn then_park(self) -> Self {
        Self { parks: true, ..self }
    }

    /// How long to wait after so many tries in vain, from 1.
    pub(super) fn delay(&self, tries: u32) -> TimeDelta {
        let factor = 2_u32.saturating_pow(tries.saturating_sub(1));
        let delay = self.first_delay.saturating_mul(factor).min(self.delay_max);
        TimeDelta::from_std(delay).unwrap_or(TimeDelta::MAX)
    }
}

impl Default for ErrorPolicy {
    fn default() -> Self {
        Self::stop()
    }
}
