//! The index of recent events, in memory.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::mem;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::noted::Noted;
use super::place::Place;
use super::tally::Tally;
use super::terms::{Hash, Terms};
use crate::event::RecordedEvent;
use crate::id::StreamId;
use crate::position::Version;
use crate::store::file::address::Address;
use crate::store::query::Direction;

type ByHash<T> = HashMap<Hash, T, BuildHasherDefault<AlreadyHashed>>;

/// Where the events since the last run are found.
///
/// Who appends notes the terms of an event, no more. Whoever looks something up first puts what was noted where it is found
/// ([`Found`]); mostly it becomes a run before anybody does.
pub(crate) struct Recent {
    pub(super) terms: Terms,
    /// Events in which nobody has looked anything up.
    noted: Noted,
    /// The addresses of each term's events before those that are only noted.
    found: ByHash<Postings>,
    /// The name, the version and the address of each stream's last event, under the stream's term: who appends to a stream asks for
    /// that. Of streams that share a term one is known.
    latest: ByHash<(Box<str>, Version, Address)>,
    /// Ascending; one for each commit, and for records within long ones.
    places: Vec<Place>,
    /// Where commits begin, and where streams do; ascending.
    commits: Vec<Address>,
    streams: Vec<Address>,
    /// The event types, and the first event of each.
    types: BTreeMap<Hash, Address>,
    memo: Memo,
    /// How much log was indexed.
    log_bytes: u64,
    /// Where the last record ends.
    end: Address,
}

/// The terms of what the last events had: the next one mostly shares much of it.
#[derive(Default)]
struct Memo {
    stream: Known,
    types: [Known; 2],
    metadata: Known,
    /// The span in which the last event was noted under the term of its id.
    id: usize,
}

/// A part of an event, its terms, and the span of each in which the last event was noted that had it.
#[derive(Default)]
struct Known {
    part: Vec<u8>,
    terms: Vec<(Hash, usize)>,
}

impl Known {
    fn is(&self, part: &[u8]) -> bool {
        self.part == part
    }

    /// Takes the part of another event; its terms are to be added.
    fn set(&mut self, part: &[u8]) {
        self.part.clear();
        self.part.extend_from_slice(part);
        self.terms.clear();
    }

    fn add(&mut self, term: Hash) {
        self.terms.push((term, usize::MAX));
    }
}

/// Most terms are ids, which have one event.
enum Postings {
    One(Address),
    Many(Vec<Address>),
}

impl Postings {
    fn all(&self) -> &[Address] {
        match self {
            Self::One(address) => std::slice::from_ref(address),
            Self::Many(addresses) => addresses,
        }
    }

    /// Adds an address, unless it does not lie behind the others: it is one of them then.
    fn push(&mut self, address: Address) {
        match self {
            Self::Many(addresses) if addresses.last().is_some_and(|last| *last >= address) => {}
            Self::Many(addresses) => addresses.push(address),
            Self::One(last) if *last >= address => {}
            Self::One(first) => *self = Self::Many(vec![*first, address]),
        }
    }

    /// Removes the addresses from this one on, and says whether any is left.
    fn truncate(&mut self, from: Address) -> bool {
        match self {
            Self::One(only) => *only < from,
            Self::Many(addresses) => {
                addresses.truncate(addresses.partition_point(|at| *at < from));
                !addresses.is_empty()
            }
        }
    }
}

/// What is known of a stream without looking its events up.
pub(in crate::store::file) enum Latest {
    /// The version and the address of its last event.
    Is(Version, Address),
    /// It has no events here.
    None,
    /// Another stream shares its term, or its last event was removed.
    Unknown,
}

impl Recent {
    pub(crate) fn new(terms: Terms) -> Self {
        Self {
            terms,
            noted: Noted::default(),
            found: HashMap::default(),
            latest: HashMap::default(),
            places: Vec::new(),
            commits: Vec::new(),
            streams: Vec::new(),
            types: BTreeMap::new(),
            memo: Memo::default(),
            log_bytes: 0,
            end: Address::MIN,
        }
    }

    /// Adds the event whose record, of this length, lies at this address, behind all others. The first of a commit is a
    /// place.
    pub(crate) fn add(&mut self, event: &RecordedEvent<'_>, (address, length): (Address, u32)) {
        self.log_bytes += u64::from(length);
        self.end = address.plus(length);
        if event.commit().is_first()
            || self.places.last().is_none_or(|last| last.is_far_from(address))
        {
            let time = event.recorded_micros();
            self.places.push(Place { position: event.position(), time, address });
        }
        if event.commit().is_first() {
            self.commits.push(address);
        }
        if event.version() == Version::new(1) {
            self.streams.push(address);
        }
        self.note_terms(event, address);
        self.note_latest(event, address);
    }

    fn note_terms(&mut self, event: &RecordedEvent<'_>, address: Address) {
        let Self {
            terms,
            noted,
            types,
            memo: Memo { stream, types: [known, before], metadata, id },
            ..
        } = self;
        noted.begin(address);
        if !stream.is(event.stream().as_str().as_bytes()) {
            stream.set(event.stream().as_str().as_bytes());
            terms.of_stream(event.stream(), |term| stream.add(term));
        }
        if !known.is(event.event_type().as_bytes()) {
            mem::swap(known, before);
        }
        if !known.is(event.event_type().as_bytes()) {
            known.set(event.event_type().as_bytes());
            known.add(terms.event_type(event.event_type()));
        }
        types.entry(known.terms[0].0).or_insert(address);
        if !metadata.is(event.metadata_bytes()) {
            metadata.set(event.metadata_bytes());
            terms.of_metadata(event, |term| metadata.add(term));
        }
        for known in [stream, known, metadata] {
            known.terms.iter_mut().for_each(|(term, span)| *span = noted.add(*term, *span));
        }
        terms.of_tags(event, |term| _ = noted.add(term, usize::MAX));
        *id = noted.add(terms.of_id(event), *id);
    }

    fn note_latest(&mut self, event: &RecordedEvent<'_>, address: Address) {
        let (term, stream) = (self.memo.stream.terms[0].0, event.stream());
        match self.latest.get_mut(&term) {
            Some((name, version, at)) if **name == *stream.as_str() => {
                (*version, *at) = (event.version(), address);
            }
            _ => drop(self.latest.insert(term, (stream.as_str().into(), event.version(), address))),
        }
    }

    /// The last event of a stream.
    pub(in crate::store::file) fn latest(&self, stream: &StreamId) -> Latest {
        match self.latest.get(&self.terms.stream(stream)) {
            Some((name, version, address)) if **name == *stream.as_str() => {
                Latest::Is(*version, *address)
            }
            Some(_) => Latest::Unknown,
            None => Latest::None,
        }
    }

    /// Removes everything from this address on, which lies in the last segment.
    pub(crate) fn truncate(&mut self, from: Address) {
        let removed = self.end.number().saturating_sub(from.number());
        self.log_bytes = self.log_bytes.saturating_sub(removed);
        self.end = self.end.min(from);
        self.places.retain(|place| place.address < from);
        self.commits.retain(|commit| *commit < from);
        self.streams.retain(|stream| *stream < from);
        self.types.retain(|_, first| *first < from);
        self.settle();
        self.found.retain(|_, postings| postings.truncate(from));
        self.latest.retain(|term, (name, _, address)| {
            if *address >= from {
                // Another event may be the last one now: the stream is unknown, or is not here.
                *name = Box::default();
            }
            *address < from || self.found.contains_key(term)
        });
    }

    pub(crate) fn tally(&self) -> Tally {
        let (commits, streams) = (self.commits.len() as u64, self.streams.len() as u64);
        Tally { commits, streams, types: self.types.keys().copied().collect() }
    }

    /// About how much log is covered.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Every event under every term.
    pub(crate) fn all(&self) -> Noted {
        let mut all = Noted::default();
        self.found.iter().for_each(|(term, postings)| all.add_term(*term, postings.all()));
        all.add_all(&self.noted);
        all
    }

    /// Puts what was noted where it is found.
    fn settle(&mut self) {
        let found = &mut self.found;
        self.noted.drain(|term, addresses| {
            let postings = found.entry(term).or_insert_with(|| Postings::One(addresses[0]));
            addresses.iter().for_each(|address| postings.push(*address));
        });
    }
}

/// Recent events of which everything that is looked up is found.
pub(super) struct Found<'r>(RwLockReadGuard<'r, Recent>);

impl<'r> Found<'r> {
    /// Makes found what lies before this address.
    pub(super) fn before(end: Address, recent: &'r RwLock<Recent>) -> Self {
        let guard = recent.read();
        if guard.noted.first().is_none_or(|first| first >= end) {
            return Self(guard);
        }
        drop(guard);
        let mut guard = recent.write();
        guard.settle();
        Self(RwLockWriteGuard::downgrade(guard))
    }

    /// The address of a term's event that comes first from this one on, in this direction.
    pub(super) fn seek(&self, hash: Hash, at: Address, direction: Direction) -> Option<Address> {
        nearest(self.0.found.get(&hash)?.all(), at, direction)
    }
}

/// Of ascending addresses, the one that comes first from this one on, in this direction.
pub(super) fn nearest(addresses: &[Address], at: Address, direction: Direction) -> Option<Address> {
    match direction {
        Direction::Forwards => addresses.get(addresses.partition_point(|one| *one < at)),
        Direction::Backwards => addresses[..addresses.partition_point(|one| *one <= at)].last(),
    }
    .copied()
}

/// Takes a hash for what it is.
#[derive(Debug, Default)]
pub(crate) struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only hashes are looked up, and they are numbers");
    }

    fn write_u64(&mut self, hash: u64) {
        // The table looks at the uppermost bits, too, which a 48-bit hash leaves empty.
        self.0 = hash | hash << 48;
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::event::{CommitPlace, NewEvent, Placement};
    use crate::id::{EventId, EventType};
    use crate::position::Position;
    use crate::store::file::index::terms::Pair;

    fn add(recent: &mut Recent, at: u32, (stream, id): (&str, EventId)) {
        let placement = Placement {
            stream: stream.parse().unwrap(),
            version: Version::new(1),
            position: Position::new(1),
            recorded_at: DateTime::UNIX_EPOCH,
            id,
            commit: CommitPlace { ordinal: 0, count: 1 },
        };
        let event = NewEvent::new(EventType::new("X").unwrap(), &7).unwrap();
        recent.add(&RecordedEvent::new(&placement, &event), (Address::new(1, at), 100));
    }

    fn recent() -> Recent {
        Recent::new(Terms::of_store([7; 16]))
    }

    fn sorted_pairs(recent: &Recent) -> Vec<Pair> {
        recent.all().into_pairs().iter().collect()
    }

    /// Where the stream's first event from an offset on is.
    fn found(recent: &RwLock<Recent>, stream: &str, from: u32) -> Option<u32> {
        let hash = recent.read().terms.stream(stream);
        let found = Found::before(Address::MAX, recent);
        found.seek(hash, Address::new(1, from), Direction::Forwards).map(Address::offset)
    }

    #[test]
    fn what_is_noted_is_found_by_whoever_looks_and_becomes_the_same_run_either_way() {
        let (looked_at, noted) = (RwLock::new(recent()), RwLock::new(recent()));
        let ids: Vec<EventId> = (0..100).map(|_| EventId::random()).collect();
        for (at, id) in ids.iter().enumerate() {
            let (at, stream) = (100 + 100 * u32::try_from(at).unwrap(), format!("a/{}", at % 7));
            add(&mut looked_at.write(), at, (&stream, *id));
            add(&mut noted.write(), at, (&stream, *id));
            assert_eq!(found(&looked_at, &stream, at), Some(at));
            assert_eq!(found(&looked_at, &stream, at + 1), None);
            assert!(found(&looked_at, &stream, 0).is_some_and(|first| first <= 700));
        }
        let pairs = sorted_pairs(&noted.read());
        assert!(pairs.is_sorted());
        assert_eq!(pairs.len(), 100 * "stream, category, type, id".split(", ").count());
        assert_eq!(sorted_pairs(&looked_at.read()), pairs);
        // What lies behind what is looked at is left as it is.
        drop(Found::before(Address::new(1, 100), &noted));
        assert_eq!(noted.read().noted.first(), Some(Address::new(1, 100)));
        drop(Found::before(Address::new(1, 101), &noted));
        assert_eq!(noted.read().noted.first(), None);
    }

    #[test]
    fn names_that_share_a_term_are_found_under_it_together() {
        let (mut recent, mut one, mut ought) = (recent(), usize::MAX, Vec::new());
        for (number, names) in [1, 3, 1, 0, 2, 3, 2, 2, 0, 1_u32].into_iter().enumerate() {
            let address = Address::new(1, 100 * u32::try_from(number).unwrap());
            recent.noted.begin(address);
            if names & 1 != 0 {
                one = recent.noted.add(7, one);
            }
            if names & 2 != 0 {
                recent.noted.add(7, usize::MAX);
            }
            if names != 0 {
                ought.push((7, address));
            }
        }
        assert_eq!(sorted_pairs(&recent), ought);
        recent.settle();
        assert_eq!(sorted_pairs(&recent), ought);
    }

    #[test]
    fn writes_that_fail_leave_nothing_behind() {
        let mut recent = recent();
        add(&mut recent, 100, ("a/1", EventId::random()));
        let pairs = sorted_pairs(&recent);
        for number in 0..100 {
            add(&mut recent, 200, (&format!("b/{number}"), EventId::random()));
            recent.truncate(Address::new(1, 200));
            assert_eq!((sorted_pairs(&recent), recent.latest.len()), (pairs.clone(), 1));
        }
        assert_eq!((recent.log_bytes(), recent.tally().types.len()), (100, 1));
        recent.truncate(Address::new(1, 100));
        assert!(recent.is_empty() && sorted_pairs(&recent).is_empty());
        assert_eq!((recent.log_bytes(), recent.tally()), (0, Tally::default()));
        add(&mut recent, 100, ("a/1", EventId::random()));
        assert_eq!((sorted_pairs(&recent).len(), recent.tally().types.len()), (4, 1));
    }

    #[test]
    fn of_a_stream_whose_last_event_goes_nothing_is_claimed() {
        let mut recent = recent();
        let stream: StreamId = "a/1".parse().unwrap();
        assert!(matches!(recent.latest(&stream), Latest::None));
        for at in [100, 200] {
            add(&mut recent, at, ("a/1", EventId::random()));
            let last = Address::new(1, at);
            assert!(matches!(recent.latest(&stream), Latest::Is(_, address) if address == last));
        }
        recent.truncate(Address::new(1, 200));
        assert!(matches!(recent.latest(&stream), Latest::Unknown));
        let recent = RwLock::new(recent);
        assert_eq!((found(&recent, "a/1", 0), found(&recent, "a/1", 101)), (Some(100), None));
        add(&mut recent.write(), 200, ("a/1", EventId::random()));
        assert!(matches!(recent.read().latest(&stream), Latest::Is(..)));
        assert_eq!(found(&recent, "a/1", 101), Some(200));
        recent.write().truncate(Address::new(1, 100));
        assert!(matches!(recent.read().latest(&stream), Latest::None));
    }
}
