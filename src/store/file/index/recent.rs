//! The index of recent events, in memory.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use super::place::Place;
use super::tally::Tally;
use super::terms::{Hash, Terms, part_of};
use crate::event::RecordedEvent;
use crate::id::StreamId;
use crate::position::Version;
use crate::store::file::address::Address;
use crate::store::query::Direction;

/// Where the events since the last run are found.
pub(crate) struct Recent {
    pub(super) terms: Terms,
    table: Table,
    /// The name, the version and the address of each stream's last event, under the stream's term: who appends to a stream asks for
    /// that. Of streams that share a term one is known.
    latest: HashMap<Hash, (Box<str>, Version, Address), BuildHasherDefault<AlreadyHashed>>,
    /// Ascending; one for each commit, and for records within long ones.
    places: Vec<Place>,
    /// Where commits begin, and where streams do; ascending.
    commits: Vec<Address>,
    streams: Vec<Address>,
    /// The hashes of the event types.
    types: BTreeSet<Hash>,
    memo: Memo,
    /// How much log was indexed.
    log_bytes: u64,
    /// Where the last record ends.
    end: Address,
}

/// The addresses of each term's events.
#[derive(Default)]
struct Table {
    /// Which of the postings are a term's.
    places: HashMap<Hash, usize, BuildHasherDefault<AlreadyHashed>>,
    postings: Vec<Postings>,
}

impl Table {
    /// Where the postings of a term are.
    fn place_of(&mut self, term: Hash) -> usize {
        *self.places.entry(term).or_insert_with(|| {
            self.postings.push(Postings::None);
            self.postings.len() - 1
        })
    }

    fn push(&mut self, term: Hash, address: Address) {
        let place = self.place_of(term);
        self.postings[place].push(address);
    }

    /// Adds an address to the postings of all terms of something known.
    fn push_to(&mut self, known: &Known, address: Address) {
        known.postings.iter().for_each(|place| self.postings[*place].push(address));
    }

    /// Removes the addresses from this one on.
    fn truncate(&mut self, from: Address) {
        self.postings.iter_mut().for_each(|postings| postings.truncate(from));
        self.places.retain(|_, place| !self.postings[*place].all().is_empty());
        // Those of new terms are the last ones. Nobody knows them any more, and writes may fail without end.
        while self.postings.pop_if(|last| last.all().is_empty()).is_some() {}
    }

    /// All terms in the order of their hashes, with the places of their postings.
    fn sorted(&self) -> Vec<(Hash, usize)> {
        // Hashes are spread evenly: of as many parts as there are terms, each has few.
        let parts = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        let part_of = |hash: Hash| part_of(hash, parts) as usize;
        let mut ends = vec![0; parts as usize + 1];
        self.places.keys().for_each(|hash| ends[part_of(*hash) + 1] += 1);
        (0..parts as usize).for_each(|part| ends[part + 1] += ends[part]);
        let mut terms = vec![(0, 0); self.places.len()];
        for (hash, place) in &self.places {
            let next = &mut ends[part_of(*hash)];
            terms[*next] = (*hash, *place);
            *next += 1;
        }
        let mut start = 0;
        for end in ends {
            terms[start..end].sort_unstable();
            start = end;
        }
        terms
    }
}

/// What the events that were added last stood under: the next one mostly shares much of it.
#[derive(Default)]
struct Memo {
    stream: Known,
    types: [Known; 2],
    metadata: Known,
}

/// A part of an event, and the postings of its terms.
#[derive(Default)]
struct Known {
    part: Vec<u8>,
    /// The first of its terms.
    term: Hash,
    postings: Vec<usize>,
}

impl Known {
    fn is(&self, part: &[u8]) -> bool {
        !self.postings.is_empty() && self.part == part
    }

    fn set(&mut self, part: &[u8]) {
        self.part.clear();
        self.part.extend_from_slice(part);
        self.postings.clear();
    }
}

/// Most terms are ids, which have one event.
enum Postings {
    None,
    One(Address),
    Many(Vec<Address>),
}

impl Postings {
    fn all(&self) -> &[Address] {
        match self {
            Self::None => &[],
            Self::One(address) => std::slice::from_ref(address),
            Self::Many(addresses) => addresses,
        }
    }

    /// Adds an address behind the others, unless it is the last one already.
    #[inline]
    fn push(&mut self, address: Address) {
        match self {
            Self::Many(addresses) if addresses.last() == Some(&address) => {}
            Self::Many(addresses) => addresses.push(address),
            Self::None => *self = Self::One(address),
            Self::One(last) if *last == address => {}
            Self::One(first) => *self = Self::second(*first, address),
        }
    }

    #[cold]
    fn second(first: Address, address: Address) -> Self {
        Self::Many(vec![first, address])
    }

    /// Removes the addresses from this one on.
    fn truncate(&mut self, from: Address) {
        match self {
            Self::One(only) if *only >= from => *self = Self::None,
            Self::Many(addresses) => addresses.truncate(addresses.partition_point(|at| *at < from)),
            _ => {}
        }
    }
}

impl Recent {
    pub(crate) fn new(terms: Terms) -> Self {
        Self {
            terms,
            table: Table::default(),
            latest: HashMap::default(),
            places: Vec::new(),
            commits: Vec::new(),
            streams: Vec::new(),
            types: BTreeSet::new(),
            memo: Memo::default(),
            log_bytes: 0,
            end: Address::MIN,
        }
    }

    /// An empty one with room for as much: what comes is mostly like what came before.
    pub(crate) fn successor(&self) -> Self {
        let mut next = Self::new(self.terms);
        next.table.places.reserve(self.table.places.len());
        next.table.postings.reserve(self.table.postings.len());
        next
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
        self.add_to_terms(event, address);
        self.note_latest(event, address);
    }

    /// Adds an event to the postings of all its terms.
    fn add_to_terms(&mut self, event: &RecordedEvent<'_>, address: Address) {
        let Self { terms, table, memo, .. } = self;
        let stream = event.stream();
        if !memo.stream.is(stream.as_str().as_bytes()) {
            memo.stream.set(stream.as_str().as_bytes());
            memo.stream.term = terms.stream(stream.as_str());
            terms.of_stream(stream, |term| memo.stream.postings.push(table.place_of(term)));
        }
        if !memo.types[0].is(event.event_type().as_bytes()) {
            memo.types.swap(0, 1);
        }
        let [known, _] = &mut memo.types;
        if !known.is(event.event_type().as_bytes()) {
            known.set(event.event_type().as_bytes());
            let term = terms.event_type(event.event_type());
            known.postings.push(table.place_of(term));
            self.types.insert(term);
        }
        if memo.metadata.part != event.metadata_bytes() {
            memo.metadata.set(event.metadata_bytes());
            terms.of_metadata(event, |term| memo.metadata.postings.push(table.place_of(term)));
        }
        for known in [&memo.stream, &memo.types[0], &memo.metadata] {
            table.push_to(known, address);
        }
        terms.of_tags(event, |term| table.push(term, address));
        table.push(terms.event_id(event.event_id()), address);
    }

    fn note_latest(&mut self, event: &RecordedEvent<'_>, address: Address) {
        let (term, stream) = (self.memo.stream.term, event.stream());
        match self.latest.get_mut(&term) {
            Some((name, version, at)) if **name == *stream.as_str() => {
                (*version, *at) = (event.version(), address);
            }
            _ => drop(self.latest.insert(term, (stream.as_str().into(), event.version(), address))),
        }
    }

    /// The version and the address of a stream's last event, if that is here and known.
    pub(in crate::store::file) fn latest(&self, stream: &StreamId) -> Option<(Version, Address)> {
        let (name, version, address) = self.latest.get(&self.terms.stream(stream))?;
        (**name == *stream.as_str()).then_some((*version, *address))
    }

    /// Removes everything from this address on, which lies in the last segment.
    pub(crate) fn truncate(&mut self, from: Address) {
        let removed = self.end.number().saturating_sub(from.number());
        self.log_bytes = self.log_bytes.saturating_sub(removed);
        self.end = self.end.min(from);
        self.places.retain(|place| place.address < from);
        self.commits.retain(|commit| *commit < from);
        self.streams.retain(|stream| *stream < from);
        self.table.truncate(from);
        self.latest.retain(|_, (.., address)| *address < from);
        self.types.retain(|hash| self.table.places.contains_key(hash));
        self.memo = Memo::default();
    }

    pub(crate) fn tally(&self) -> Tally {
        let (commits, streams) = (self.commits.len() as u64, self.streams.len() as u64);
        Tally { commits, streams, types: self.types.clone() }
    }

    /// About how much log is covered.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The address of a term's event that comes first from this one on, in this direction.
    pub(super) fn seek(&self, hash: Hash, at: Address, direction: Direction) -> Option<Address> {
        nearest(self.table.postings[*self.table.places.get(&hash)?].all(), at, direction)
    }

    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    pub(crate) fn term_count(&self) -> u64 {
        self.table.places.len() as u64
    }

    /// All pairs of hash and address, ascending.
    pub(crate) fn sorted_pairs(&self) -> Vec<(Hash, Address)> {
        let terms = self.table.sorted();
        let mut pairs = Vec::with_capacity(terms.len());
        for (term, place) in terms {
            pairs.extend(self.table.postings[place].all().iter().map(|address| (term, *address)));
        }
        // They are in order, which costs a look at each; and if they ever were not, the run still would be.
        pairs.sort_unstable();
        pairs
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

    fn add(recent: &mut Recent, at: u32, stream: &str) {
        let placement = Placement {
            stream: stream.parse().unwrap(),
            version: Version::new(1),
            position: Position::new(1),
            recorded_at: DateTime::UNIX_EPOCH,
            id: EventId::random(),
            commit: CommitPlace { ordinal: 0, count: 1 },
        };
        let event = NewEvent::new(EventType::new("X").unwrap(), &7).unwrap();
        recent.add(&RecordedEvent::new(&placement, &event), (Address::new(1, at), 100));
    }

    #[test]
    fn writes_that_fail_leave_nothing_behind() {
        let mut recent = Recent::new(Terms::of_store([7; 16]));
        add(&mut recent, 100, "a/1");
        let (terms, postings) = (recent.term_count(), recent.table.postings.len());
        for number in 0..100 {
            add(&mut recent, 200, &format!("b/{number}"));
            recent.truncate(Address::new(1, 200));
            assert_eq!((recent.term_count(), recent.table.postings.len()), (terms, postings));
        }
        add(&mut recent, 200, "a/1");
        let found =
            recent.seek(recent.terms.stream("a/1"), Address::new(1, 101), Direction::Forwards);
        assert_eq!(found, Some(Address::new(1, 200)));
    }
}
