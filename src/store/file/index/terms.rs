//! What events are found by.

use std::iter;

use crate::event::{GAP, RecordedEvent};
use crate::id::{Category, CorrelationId, EventId, StreamRef, Tag};
use crate::store::file::address::Address;
use crate::store::file::beginning::StoreId;
use crate::store::file::bytes::lower_half_of_large;

/// A 48-bit hash of a term: a kind and a name. Terms may share one, so what is found is compared with the record.
pub(crate) type Hash = u64;

/// A term, and where one of its events lies.
pub(crate) type Pair = (Hash, Address);

const HASH_BITS: u32 = 48;
pub(super) const HASH_MAX: Hash = (1 << HASH_BITS) - 1;

/// Which of so many equal parts of all hashes this one lies in; the parts are in the order of the hashes.
pub(super) fn part_of(hash: Hash, parts: u32) -> u32 {
    u32::try_from((u128::from(hash) * u128::from(parts)) >> HASH_BITS).unwrap_or(parts)
}

#[derive(Clone, Copy)]
enum Kind {
    Stream = 1,
    Category,
    Type,
    Tag,
    Correlation,
    Causation,
    EventId,
    Siblings,
}

/// Hashes terms, in each store in another way, so that nobody can choose names that share a hash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    start: u64,
    factor: u64,
}

const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// The product of two numbers, its upper half folded into the lower.
pub(super) fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    lower_half_of_large(product) ^ lower_half_of_large(product >> 64)
}

impl Terms {
    pub(crate) fn of_store(store: StoreId) -> Self {
        let (start, factor) = store.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
        Self { start: number(start), factor: number(factor) ^ FACTOR }
    }

    fn hash(self, kind: Kind, name: &[u8]) -> Hash {
        let mut hash = self.start ^ ((kind as u64) << 56) ^ name.len() as u64;
        let (pieces, rest) = name.as_chunks();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        for piece in pieces.iter().chain([&last]) {
            hash = fold(hash ^ u64::from_le_bytes(*piece), self.factor).wrapping_add(FACTOR);
        }
        fold(hash, FACTOR) >> (u64::BITS - HASH_BITS)
    }

    /// Every term that an event stands under.
    pub(crate) fn of_event(self, event: &RecordedEvent<'_>, mut each: impl FnMut(Hash)) {
        self.of_stream(event.stream(), &mut each);
        each(self.event_type(event.event_type()));
        self.of_tags(event, &mut each);
        self.of_metadata(event, &mut each);
        each(self.of_id(event));
    }

    /// The terms that its stream puts an event under.
    pub(super) fn of_stream(self, stream: StreamRef<'_>, mut each: impl FnMut(Hash)) {
        each(self.stream(stream.as_str()));
        each(self.hash(Kind::Category, stream.category().as_bytes()));
    }

    /// The terms that its tags put an event under.
    pub(super) fn of_tags(self, event: &RecordedEvent<'_>, mut each: impl FnMut(Hash)) {
        event.tags().for_each(|tag| each(self.hash(Kind::Tag, tag.as_bytes())));
    }

    /// The terms that its metadata puts an event under.
    pub(super) fn of_metadata(self, event: &RecordedEvent<'_>, mut each: impl FnMut(Hash)) {
        let (correlation, causation) = event.related();
        correlation.into_iter().for_each(|id| each(self.correlation(id)));
        causation.into_iter().for_each(|id| each(self.causation(id)));
    }

    pub(crate) fn stream(self, name: impl AsRef<str>) -> Hash {
        self.hash(Kind::Stream, name.as_ref().as_bytes())
    }

    pub(crate) fn category(self, category: &Category) -> Hash {
        self.hash(Kind::Category, category.as_str().as_bytes())
    }

    pub(crate) fn event_type(self, name: impl AsRef<str>) -> Hash {
        self.hash(Kind::Type, name.as_ref().as_bytes())
    }

    pub(crate) fn gaps(self) -> Hash {
        self.event_type(GAP)
    }

    pub(crate) fn tag(self, tag: &Tag) -> Hash {
        self.hash(Kind::Tag, tag.as_str().as_bytes())
    }

    pub(crate) fn correlation(self, id: CorrelationId) -> Hash {
        self.hash(Kind::Correlation, id.as_uuid().as_bytes())
    }

    pub(crate) fn causation(self, id: EventId) -> Hash {
        self.hash(Kind::Causation, id.as_uuid().as_bytes())
    }

    /// The term that its id puts an event under. The ids that were made for the events of a commit share one.
    pub(super) fn of_id(self, event: &RecordedEvent<'_>) -> Hash {
        let id = event.event_id();
        let is_timed = id.behind_millisecond(event.recorded_micros()).is_some();
        match id.siblings().filter(|_| is_timed) {
            Some(siblings) => self.hash(Kind::Siblings, siblings),
            None => self.event_id(id),
        }
    }

    /// The terms under which an event with this id may stand.
    pub(super) fn event_ids(self, id: EventId) -> impl Iterator<Item = Hash> {
        let siblings = id.siblings().map(|siblings| self.hash(Kind::Siblings, siblings));
        iter::once(self.event_id(id)).chain(siblings)
    }

    fn event_id(self, id: EventId) -> Hash {
        self.hash(Kind::EventId, id.as_uuid().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_hashed_as_documented() {
        // Worked out apart from this code, after the description in `docs::format`.
        let terms = Terms::of_store(std::array::from_fn(|at| u8::try_from(at + 1).unwrap()));
        assert_eq!(terms.hash(Kind::Stream, b"account/alice"), 0x621B_C079_D158);
        assert_eq!(terms.hash(Kind::Tag, b"12345678"), 0xE1BE_DF0E_A58F);
        assert_eq!(terms.hash(Kind::Category, b""), 0x6308_74BD_648E);
    }
}
