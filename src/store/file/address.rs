//! Where a record or a frame lies in the log.

use super::bytes::lower_half;

/// A segment and an offset in it. Addresses ascend in the order of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Address(u64);

impl Address {
    /// Before the log.
    pub(super) const MIN: Self = Self(0);

    /// Behind every log.
    pub(super) const MAX: Self = Self(u64::MAX);

    pub(super) fn new(segment: u32, offset: u32) -> Self {
        Self(u64::from(segment) << 32 | u64::from(offset))
    }

    pub(super) const fn from_number(number: u64) -> Self {
        Self(number)
    }

    pub(super) fn number(self) -> u64 {
        self.0
    }

    pub(super) fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(super) fn offset(self) -> u32 {
        lower_half(self.0)
    }

    /// The address this many bytes further on in the same segment.
    pub(super) fn plus(self, bytes: u32) -> Self {
        Self(self.0 + u64::from(bytes))
    }

    /// The last address before this one.
    pub(super) fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The first address after this one.
    pub(super) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}
