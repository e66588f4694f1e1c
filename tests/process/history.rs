//! What children write, in a form of which one can tell if any of it is missing.

use std::collections::{BTreeMap, HashMap};

use annals::id::EventType;
use annals::store::{
    AppendError, Appended, Batches, Commit, EventStore, Expected, FileOptions, FileStore, Filter,
    Query,
};
use annals::{ErrorKind, NewEvent, Position, StreamId};
use serde::{Deserialize, Serialize};

/// Which commit: of which thread of which process, and the how-manieth of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Which {
    pub(crate) life: u64,
    pub(crate) thread: u64,
    pub(crate) number: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    which: Which,
    ordinal: u64,
    count: u64,
    ballast: String,
}

impl Which {
    fn stream(self) -> StreamId {
        format!("work/{}-{}", self.life, self.thread).parse().unwrap()
    }

    /// One, two or three events, of different sizes.
    fn commit(self) -> Commit {
        let count = 1 + self.number % 3;
        let length = usize::try_from(self.number * 37 % 300).unwrap();
        let event = |ordinal| {
            let ballast = "x".repeat(length);
            let payload = Payload { which: self, ordinal, count, ballast };
            NewEvent::new(EventType::new("Done").unwrap(), &payload).unwrap()
        };
        Commit::new().write(self.stream(), Expected::Any, (0..count).map(event))
    }

    pub(crate) fn append(self, store: &FileStore) -> Result<Appended, AppendError> {
        store.append(self.commit())
    }

    /// The line that is noted when the commit is acknowledged.
    pub(crate) fn acknowledged(self, appended: &Appended) -> String {
        let Self { life, thread, number } = self;
        format!("ok {life} {thread} {number} {} {}", appended.first, appended.last)
    }
}

/// Segments and runs of a few KiB, so that new ones are begun all the time; or the defaults.
pub(crate) fn options(is_small: bool) -> FileOptions {
    if is_small {
        FileStore::options().segment_bytes(16 << 10).recent_bytes(4 << 10)
    } else {
        FileStore::options()
    }
}

/// The kind of a refusal.
pub(crate) fn kind(refusal: &AppendError) -> ErrorKind {
    match refusal {
        AppendError::Store(error) => error.kind().clone(),
        AppendError::Conflict(conflict) => panic!("{conflict}"),
    }
}

/// What is in a store: each commit with its first and its last position.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) commits: HashMap<Which, (u64, u64)>,
    pub(crate) events: u64,
}

impl History {
    /// Reads all of a store. Its positions are dense, its commits are whole, and of each thread there are the first so and so many.
    pub(crate) fn of(store: &dyn EventStore) -> Self {
        let mut history = Self::default();
        let mut last_of: BTreeMap<(u64, u64), Vec<u64>> = BTreeMap::new();
        for batch in Batches::new(store, Query::new(Filter::all())) {
            for event in batch.unwrap().iter() {
                history.events += 1;
                assert_eq!(event.position(), Position::new(history.events), "a gap");
                let payload: Payload = serde_json::from_slice(event.payload()).unwrap();
                let (which, ordinal) = (payload.which, payload.ordinal);
                assert_eq!(event.stream(), which.stream());
                let place = history.commits.entry(which).or_insert((history.events, 0));
                assert_eq!(place.0 + ordinal, history.events, "{which:?} is not in one piece");
                place.1 = history.events;
                if ordinal + 1 == payload.count {
                    last_of.entry((which.life, which.thread)).or_default().push(which.number);
                }
            }
        }
        let whole: usize = last_of.values().map(Vec::len).sum();
        assert_eq!(whole, history.commits.len(), "a commit is not whole");
        assert_eq!(store.head().unwrap().acknowledged.get(), history.events);
        for (thread, numbers) in last_of {
            assert!(numbers.is_sorted(), "the commits of {thread:?} are not in their order");
        }
        history
    }

    /// Everything that these notes say was acknowledged is there, at its place. Returns how many commits that were.
    pub(crate) fn has_all_of(&self, notes: &[String]) -> usize {
        let acknowledged = notes.iter().filter_map(|line| {
            let mut numbers = line.strip_prefix("ok ")?.split(' ').map(|n| n.parse().unwrap());
            let mut next = || numbers.next().unwrap();
            Some((Which { life: next(), thread: next(), number: next() }, (next(), next())))
        });
        let check = |(which, place): (Which, (u64, u64))| {
            assert_eq!(self.commits.get(&which), Some(&place), "{which:?} was acknowledged");
        };
        acknowledged.map(check).count()
    }
}
