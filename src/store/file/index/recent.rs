//! The index of recent events, in memory.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use super::place::Place;
use super::tally::Tally;
use super::terms::{Hash, Terms};
use crate::event::RecordedEvent;
use crate::id::StreamId;
use crate::position::Version;
use crate::store::file::address::Address;
use crate::store::query::Direction;

/// Where the events since the last run are found.
pub(crate) struct Recent {
    pub(super) terms: Terms,
    /// The addresses, ascending, of each term's events.
    postings: HashMap<Hash, Postings, BuildHasherDefault<AlreadyHashed>>,
    /// The version and the address of each stream's last event: who appends to a stream asks for that.
    latest: HashMap<Box<str>, (Version, Address)>,
    /// Ascending; one for each commit, and for records within long ones.
    places: Vec<Place>,
    /// Where commits begin, and where streams do; ascending.
    commits: Vec<Address>,
    streams: Vec<Address>,
    /// The hashes of the event types.
    types: BTreeSet<Hash>,
    /// The one that was added last; 0 if none was, or it may be gone.
    last_type: Hash,
    /// How much log was indexed.
    log_bytes: u64,
    /// Where the last record ends.
    end: Address,
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

    /// Adds an address behind the others, unless it is the last one already.
    fn push(&mut self, address: Address) {
        match self {
            Self::One(last) if *last == address => {}
            Self::One(first) => *self = Self::Many(vec![*first, address]),
            Self::Many(addresses) if addresses.last() == Some(&address) => {}
            Self::Many(addresses) => addresses.push(address),
        }
    }
}

impl Recent {
    pub(crate) fn new(terms: Terms) -> Self {
        Self {
            terms,
            postings: HashMap::default(),
            latest: HashMap::default(),
            places: Vec::new(),
            commits: Vec::new(),
            streams: Vec::new(),
            types: BTreeSet::new(),
            last_type: 0,
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
        self.commits.extend(event.commit().is_first().then_some(address));
        self.streams.extend((event.version() == Version::new(1)).then_some(address));
        let (stream, latest) = (event.stream(), (event.version(), address));
        match self.latest.get_mut(stream.as_str()) {
            Some(known) => *known = latest,
            None => drop(self.latest.insert(stream.as_str().into(), latest)),
        }
        let event_type = self.terms.event_type(event.event_type());
        if self.last_type != event_type {
            self.types.insert(event_type);
            self.last_type = event_type;
        }
        let postings = &mut self.postings;
        self.terms.of_event(event, |hash| {
            postings
                .entry(hash)
                .and_modify(|postings| postings.push(address))
                .or_insert(Postings::One(address));
        });
    }

    /// The version and the address of a stream's last event, if that is here.
    pub(in crate::store::file) fn latest(&self, stream: &StreamId) -> Option<(Version, Address)> {
        self.latest.get(stream.as_str()).copied()
    }

    /// Removes everything from this address on, which lies in the last segment.
    pub(crate) fn truncate(&mut self, from: Address) {
        let removed = self.end.number().saturating_sub(from.number());
        self.log_bytes = self.log_bytes.saturating_sub(removed);
        self.end = self.end.min(from);
        self.places.retain(|place| place.address < from);
        self.commits.retain(|commit| *commit < from);
        self.streams.retain(|stream| *stream < from);
        self.postings.retain(|_, postings| {
            if let Postings::Many(addresses) = postings {
                addresses.retain(|address| *address < from);
            }
            postings.all().first().is_some_and(|first| *first < from)
        });
        self.latest.retain(|_, (_, address)| *address < from);
        self.types.retain(|hash| self.postings.contains_key(hash));
        self.last_type = 0;
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
        nearest(self.postings.get(&hash)?.all(), at, direction)
    }

    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    pub(crate) fn term_count(&self) -> u64 {
        self.postings.len() as u64
    }

    /// All pairs of hash and address, ascending.
    pub(crate) fn sorted_pairs(&self) -> Vec<(Hash, Address)> {
        let pairs = |(hash, postings): (&Hash, &Postings)| -> Vec<(Hash, Address)> {
            postings.all().iter().map(|address| (*hash, *address)).collect()
        };
        let mut pairs: Vec<(Hash, Address)> = self.postings.iter().flat_map(pairs).collect();
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
