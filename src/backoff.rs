//! When to try again what has failed.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// How often something that has failed is tried again, and when: at first after some time, then after twice the time before.
///
/// ```
/// use annals::Backoff;
/// use std::time::Duration;
///
/// // Five more tries, after 1, 2, 4, 8 and 10 seconds.
/// Backoff::retries(5, Duration::from_secs(1)).at_most_every(Duration::from_secs(10));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Backoff {
    retries: u32,
    first_delay: Duration,
    delay_max: Duration,
}

impl Backoff {
    /// Nothing is tried again.
    pub fn none() -> Self {
        Self::retries(0, Duration::ZERO)
    }

    /// So often again, at first after this time.
    pub fn retries(retries: u32, first_delay: Duration) -> Self {
        Self { retries, first_delay, delay_max: Duration::MAX }
    }

    /// No delay is longer than this.
    pub fn at_most_every(self, delay_max: Duration) -> Self {
        Self { delay_max, ..self }
    }

    /// Whether there is another try after so many in vain.
    pub(crate) fn goes_on_after(&self, tries: u32) -> bool {
        tries <= self.retries
    }

    /// When to try again after so many tries in vain, from 1, the last of them now.
    pub(crate) fn due(&self, tries: u32, now: DateTime<Utc>) -> DateTime<Utc> {
        let factor = 2_u32.saturating_pow(tries.saturating_sub(1));
        let delay = self.first_delay.saturating_mul(factor).min(self.delay_max);
        let delay = TimeDelta::from_std(delay).unwrap_or(TimeDelta::MAX);
        now.checked_add_signed(delay).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}
