//! Places: in a stream, in the store, and in the history of an event's shape.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! place {
    ($(#[$doc:meta])* $type:ident, $zero:ident, $zero_doc:literal) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $type(u64);

        impl $type {
            #[doc = $zero_doc]
            pub const $zero: Self = Self(0);

            /// The place with this number.
            #[must_use]
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The number of the place.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The place `count` further on, or `None` past the last number there is.
            #[must_use]
            pub const fn checked_add(self, count: u64) -> Option<Self> {
                match self.0.checked_add(count) {
                    Some(number) => Some(Self(number)),
                    None => None,
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

place! {
    /// A place in a stream: the first event has version 1, and 0 is "nothing yet".
    Version, ZERO, "Before the first event of a stream."
}

place! {
    /// A place in the store: the first event has position 1, and the following ones count up without a hole, in
    /// the order of their commits. 0 is "before the first".
    ///
    /// Every cursor is exclusive: reading after [`Position::START`] begins with the first event, and a
    /// checkpoint is the position that was handled last.
    Position, START, "Before the first event of a store."
}

/// The version of an event type's shape, from 1.
///
/// The crate stamps it on every event from the length of the type's chain of
/// [`Upcasters`](crate::codec::Upcasters).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SchemaVersion(std::num::NonZeroU32);

impl SchemaVersion {
    /// The version of a shape that has never changed.
    pub const FIRST: Self = Self(std::num::NonZeroU32::MIN);

    /// The version with this number, unless it is 0.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match std::num::NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number of the version.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl Default for SchemaVersion {
    fn default() -> Self {
        Self::FIRST
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Position {
    /// The position before this one; the start has none, and stays.
    pub(crate) fn before(self) -> Self {
        Self::new(self.get().saturating_sub(1))
    }
}
