//! What is done about an event that cannot be handled.

use std::time::Duration;

use crate::backoff::Backoff;

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
    pub(super) backoff: Backoff,
    pub(super) parks: bool,
}

impl ErrorPolicy {
    /// The projection stops before the event, with its status [`Failed`](super::State::Failed), until it is resumed. This is the default.
    pub fn stop() -> Self {
        Self { backoff: Backoff::none(), parks: false }
    }

    /// The event is put aside, and the projection goes on behind it. What is put aside is listed, and can be replayed. Of more than 100
    /// events none is put aside any more: then it stops.
    pub fn park() -> Self {
        Self::stop().then_park()
    }

    /// The event is tried so often again, at first after this time and then after twice the time before. If that is in vain, the
    /// projection stops. A failure of what the view is kept in is dealt with likewise.
    pub fn retry(retries: u32, first_delay: Duration) -> Self {
        Self { backoff: Backoff::retries(retries, first_delay), parks: false }
    }

    /// No delay is longer than this.
    pub fn at_most_every(self, delay_max: Duration) -> Self {
        Self { backoff: self.backoff.at_most_every(delay_max), ..self }
    }

    /// After tries in vain the event is put aside, and the projection goes on behind it.
    pub fn then_park(self) -> Self {
        Self { parks: true, ..self }
    }
}

impl Default for ErrorPolicy {
    fn default() -> Self {
        Self::stop()
    }
}
