//! Identities that are unique by construction.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! unique {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(Uuid);

        impl $type {
            /// An id that was made elsewhere.
            #[must_use]
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// The id as a UUID.
            #[must_use]
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl From<Uuid> for $type {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl FromStr for $type {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

unique! {
    /// The identity of an event; it stands in a store at most once.
    ///
    /// Give an event an id of your own to make its append repeatable; see
    /// [`NewEvent::with_id`](crate::NewEvent::with_id). Otherwise the store makes one, a UUID of version 7.
    EventId
}

unique! {
    /// What belongs together: everything that one outside request set off carries the same correlation id.
    ///
    /// An id of another form, such as a request's number, becomes one by hashing it into a UUID, or stands in a
    /// [tag](super::Tag), which can be searched for too.
    CorrelationId
}

impl EventId {
    /// A new random id, for an append that is to be repeatable.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

/// How many bytes of a UUID of version 7 lie behind the millisecond that it begins with.
const ID_REST_BYTES: usize = 10;

/// An id that begins with the millisecond in which its event was recorded: one that the store made, or somebody who was as quick.
/// Ids made for one commit differ in their last four bytes, unless counting carries further.
impl EventId {
    const SIBLINGS_BYTES: usize = 12;

    /// What lies behind the millisecond in the id of an event that was recorded at this time, if it is such an id.
    #[inline]
    pub(crate) fn behind_millisecond(self, micros: i64) -> Option<[u8; ID_REST_BYTES]> {
        let (begin, rest) = self.0.as_bytes().split_at(16 - ID_REST_BYTES);
        let is_timed = self.0.get_version_num() == 7 && begin == millisecond(micros)?;
        rest.first_chunk().filter(|_| is_timed).copied()
    }

    /// The id that begins with the millisecond of this time.
    #[inline]
    pub(crate) fn in_millisecond(micros: i64, rest: [u8; ID_REST_BYTES]) -> Option<Self> {
        let mut bytes = [0; 16];
        bytes[..16 - ID_REST_BYTES].copy_from_slice(&millisecond(micros)?);
        bytes[16 - ID_REST_BYTES..].copy_from_slice(&rest);
        Some(Self(Uuid::from_bytes(bytes)))
    }

    /// What it has in common with the others that were made for the same commit, if it can be such an id.
    pub(crate) fn siblings(&self) -> Option<&[u8]> {
        (self.0.get_version_num() == 7).then_some(&self.0.as_bytes()[..Self::SIBLINGS_BYTES])
    }
}

/// The millisecond in which a time in microseconds lies, as a UUID of version 7 begins with it.
#[inline]
fn millisecond(micros: i64) -> Option<[u8; 16 - ID_REST_BYTES]> {
    let bytes = u64::try_from(micros.div_euclid(1000)).ok()?.to_be_bytes();
    bytes.strip_prefix(&[0, 0]).and_then(|bytes| bytes.first_chunk()).copied()
}

impl CorrelationId {
    /// A new random id.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

/// The ids for the events of one commit: UUIDs of version 7 that ascend in the order of the commit.
///
/// Stores take from it for events that came without an id. The first id of a commit is random in its lower
/// 74 bits; each further one is its predecessor plus one, so a commit costs one draw of randomness.
#[derive(Debug)]
pub struct FreshEventIds {
    next: u128,
}

impl FreshEventIds {
    const VERSION_7: u128 = 0x7 << 76;
    const VARIANT: u128 = 0b10 << 62;
    const RANDOM_B: u128 = (1 << 62) - 1;

    /// Ids for a commit that is recorded at `now`.
    #[must_use]
    pub fn at(now: DateTime<Utc>) -> Self {
        Self::made_of(now, Uuid::new_v4().as_u128())
    }

    /// The same, of a random number that was drawn before.
    pub(crate) fn made_of(now: DateTime<Utc>, random: u128) -> Self {
        let millis = u128::try_from(now.timestamp_millis()).unwrap_or(0) & ((1 << 48) - 1);
        let random_a = (random >> 64) & 0xFFF;
        // One bit below the top stays free, so that counting up within a commit never carries out of the field.
        let random_b = (random & Self::RANDOM_B) >> 1;
        Self {
            next: (millis << 80) | Self::VERSION_7 | (random_a << 64) | Self::VARIANT | random_b,
        }
    }

    /// The next id.
    #[must_use]
    pub fn take(&mut self) -> EventId {
        let id = Uuid::from_u128(self.next);
        self.next += 1;
        EventId(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_ids_are_version_7_and_ascend() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let mut ids = FreshEventIds::at(now);
        let (first, second) = (ids.take(), ids.take());
        assert_eq!(first.as_uuid().get_version_num(), 7);
        assert_eq!(first.as_uuid().get_variant(), uuid::Variant::RFC4122);
        assert_eq!(first.as_uuid().get_timestamp().unwrap().to_unix().0, 1_700_000_000);
        assert!(first < second);
        assert_ne!(FreshEventIds::at(now).take(), first);
    }
}
