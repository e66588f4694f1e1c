//! What every contender stores and gives back: the events of accounts, in full envelopes.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What both events hold: 163 bytes of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct Movement {
    cents: u64,
    currency: String,
    reference: String,
    counterparty: String,
    booked_on: String,
    note: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Event {
    Deposited(Movement),
    Withdrawn(Movement),
}

/// The length of every payload.
pub const PAYLOAD: usize = 163;
/// The same in [postcard](https://docs.rs/postcard), filled up to one length.
pub const COMPACT: usize = 84;

impl Event {
    /// Decodes what is stored under a type's name.
    pub fn decode(kind: &str, payload: &[u8]) -> Self {
        Self::of(kind, serde_json::from_slice(payload).unwrap())
    }

    /// Decodes what [`compact`] made.
    pub fn decode_compact(kind: &str, payload: &[u8]) -> Self {
        Self::of(kind, postcard::from_bytes(payload).unwrap())
    }

    pub fn of(kind: &str, movement: Movement) -> Self {
        match kind {
            "Deposited" => Self::Deposited(movement),
            "Withdrawn" => Self::Withdrawn(movement),
            kind => panic!("{kind}"),
        }
    }

    /// Something that takes all of it.
    pub fn weight(&self) -> u64 {
        let (Self::Deposited(m) | Self::Withdrawn(m)) = self;
        let texts = [&m.currency, &m.reference, &m.counterparty, &m.booked_on, &m.note];
        m.cents + texts.iter().map(|text| text.len() as u64).sum::<u64>()
    }
}

/// A new event.
#[derive(Debug, Clone)]
pub struct Fact {
    pub kind: &'static str,
    pub payload: Vec<u8>,
}

/// New events for one stream, which is to have this version before them.
#[derive(Debug, Clone)]
pub struct Write {
    pub stream: String,
    pub expected: u64,
    pub facts: Vec<Fact>,
}

/// What the events of a commit have in common.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    pub actor: &'static str,
    pub branch: &'static str,
    pub correlation: Uuid,
    pub causation: Uuid,
}

/// What is to be recorded together.
#[derive(Debug, Clone)]
pub struct Commit {
    pub writes: Vec<Write>,
    pub context: Context,
}

impl Commit {
    pub fn new(writes: Vec<Write>) -> Self {
        let (correlation, causation) = (Uuid::now_v7(), Uuid::now_v7());
        Self {
            writes,
            context: Context { actor: "teller 7", branch: "Ulm", correlation, causation },
        }
    }

    pub fn events(&self) -> usize {
        self.writes.iter().map(|write| write.facts.len()).sum()
    }
}

pub fn fact(number: u64) -> Fact {
    let movement = Movement {
        cents: 10_000 + number % 90_000,
        currency: "EUR".to_owned(),
        reference: format!("INV-2024-A{:07}", number % 1_000_000),
        counterparty: "DE89370400440532013000".to_owned(),
        booked_on: "2024-05-17".to_owned(),
        note: "membership fees, in full".to_owned(),
    };
    let payload = serde_json::to_vec(&movement).unwrap();
    assert_eq!(payload.len(), PAYLOAD, "the payload that the figures are about");
    Fact { kind: if number.is_multiple_of(3) { "Withdrawn" } else { "Deposited" }, payload }
}

/// The same commit with payloads in postcard.
pub fn compact(mut commit: Commit) -> Commit {
    for fact in commit.writes.iter_mut().flat_map(|write| &mut write.facts) {
        let movement: Movement = serde_json::from_slice(&fact.payload).unwrap();
        fact.payload = postcard::to_stdvec(&movement).unwrap();
        assert!(fact.payload.len() <= COMPACT);
        fact.payload.resize(COMPACT, 0);
    }
    commit
}

/// A stream with one writer, who knows its version.
pub struct Account {
    pub stream: String,
    pub version: u64,
}

impl Account {
    pub fn new(name: &str) -> Self {
        Self { stream: format!("account/{name}"), version: 0 }
    }

    /// The next commits, of so many events each.
    pub fn commits(&mut self, commits: usize, events: u64) -> Vec<Commit> {
        let commit = |_| {
            let expected = self.version;
            self.version += events;
            let facts = (expected..self.version).map(fact).collect();
            Commit::new(vec![Write { stream: self.stream.clone(), expected, facts }])
        };
        (0..commits).map(commit).collect()
    }

    /// Of all events that were made for it.
    pub fn digest(&self) -> Digest {
        let mut digest = Digest::default();
        (0..self.version).for_each(|number| digest.add(&fact(number).payload));
        digest
    }
}

/// Commits of a thousand events, each of another stream: so many streams of a hundred events, and one of many.
pub fn scattered(streams: u64, long: u64, mut each: impl FnMut(Commit)) {
    let mut number = 0;
    for version in 0..100 {
        for first in (0..streams).step_by(1_000) {
            let writes = (first..streams.min(first + 1_000)).map(|stream| {
                number += 1;
                let stream = format!("account/{stream:06}");
                Write { stream, expected: version, facts: vec![fact(number)] }
            });
            each(Commit::new(writes.collect()));
        }
    }
    let mut account = Account::new("long");
    for _ in 0..long / 1_000 {
        account.commits(1, 1_000).into_iter().for_each(&mut each);
    }
}

/// How many events were read, and the checksum of their payloads, in order.
#[derive(Clone, Default)]
pub struct Digest(u64, crc32fast::Hasher);

impl Digest {
    pub fn add(&mut self, payload: &[u8]) {
        self.0 += 1;
        self.1.update(payload);
    }

    pub fn finish(&self) -> (u64, u32) {
        (self.0, self.1.clone().finalize())
    }
}
