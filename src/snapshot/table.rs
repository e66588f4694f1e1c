//! Which snapshots lie where.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};

use super::snapshot_store::{Snapshot, kept};
use crate::at::At;
use crate::id::StreamId;
use crate::position::{Position, Version};

/// The hash of the stream's name, the fingerprint, the version. Streams that share a hash replace one another's snapshots at
/// worst: the name is compared with the record.
pub(super) type Key = (u64, u64, Version);

/// Where a record lies, and what choosing it asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Grows with the order of saving.
    pub(super) offset: u64,
    pub(super) length: usize,
    position: Position,
    recorded_at: DateTime<Utc>,
}

impl Place {
    /// The same record, elsewhere.
    pub(super) fn moved_to(self, offset: u64) -> Self {
        Self { offset, ..self }
    }
}

/// The snapshots of a file that count, a few for each stream and fingerprint.
#[derive(Debug, Default)]
pub(super) struct Table {
    hasher: RandomState,
    places: BTreeMap<Key, Place>,
    /// How long all their records are together.
    bytes: u64,
}

impl Table {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes up a record, and lets go of those that are no longer kept beside it.
    pub(super) fn insert(&mut self, snapshot: &Snapshot, offset: u64, length: usize) {
        let stream = self.hasher.hash_one(&snapshot.stream);
        let key = (stream, snapshot.fingerprint, snapshot.version);
        self.remove(key);
        let (position, recorded_at) = (snapshot.position, snapshot.recorded_at);
        self.places.insert(key, Place { offset, length, position, recorded_at });
        self.bytes += length as u64;
        let range = versions(stream, snapshot.fingerprint..=snapshot.fingerprint);
        let keys: Vec<Key> = self.places.range(range).map(|(key, _)| *key).collect();
        let versions: Vec<Version> = keys.iter().map(|(_, _, version)| *version).collect();
        for (key, keep) in keys.into_iter().zip(kept(&versions)) {
            if !keep {
                self.remove(key);
            }
        }
    }

    /// Where the snapshots lie that could be meant, the best first.
    pub(super) fn find(
        &self,
        stream: &StreamId,
        fingerprint: u64,
        within: Option<At>,
    ) -> Vec<Place> {
        let range = versions(self.hasher.hash_one(stream), fingerprint..=fingerprint);
        let fits = |version: Version, place: &Place| {
            within.is_none_or(|at| at.includes(version, place.position, place.recorded_at))
        };
        let fitting = self.places.range(range).filter(|(key, place)| fits(key.2, place));
        fitting.rev().map(|(_, place)| *place).collect()
    }

    /// Lets go of all snapshots of the stream.
    pub(super) fn forget(&mut self, stream: &StreamId) {
        let range = versions(self.hasher.hash_one(stream), 0..=u64::MAX);
        let keys: Vec<Key> = self.places.range(range).map(|(key, _)| *key).collect();
        keys.into_iter().for_each(|key| self.remove(key));
    }

    /// If the records are longer than this together, lets go of some until an eighth of it is free: of those of the streams
    /// that nothing was saved of for longest, the oldest first. The one that was saved last stays.
    pub(super) fn shrink(&mut self, bytes_max: u64) {
        if self.bytes <= bytes_max {
            return;
        }
        let mut last_saved: HashMap<u64, u64> = HashMap::new();
        for ((stream, ..), place) in &self.places {
            let last = last_saved.entry(*stream).or_default();
            *last = place.offset.max(*last);
        }
        let ordered =
            self.places.iter().map(|(key, place)| (last_saved[&key.0], place.offset, *key));
        let mut ordered: Vec<(u64, u64, Key)> = ordered.collect();
        ordered.sort_unstable();
        ordered.pop();
        for (_, _, key) in ordered {
            if self.bytes <= bytes_max - bytes_max / 8 {
                return;
            }
            self.remove(key);
        }
    }

    /// Everything there is, in the order of saving.
    pub(super) fn in_order(&self) -> Vec<(Key, Place)> {
        let mut ordered: Vec<_> = self.places.iter().map(|(key, place)| (*key, *place)).collect();
        ordered.sort_unstable_by_key(|(_, place)| place.offset);
        ordered
    }

    /// Takes these places for all there are.
    pub(super) fn replace(&mut self, places: Vec<(Key, Place)>) {
        self.bytes = places.iter().map(|(_, place)| place.length as u64).sum();
        self.places = places.into_iter().collect();
    }

    fn remove(&mut self, key: Key) {
        let length = self.places.remove(&key).map_or(0, |place| place.length);
        self.bytes -= length as u64;
    }
}

fn versions(stream: u64, fingerprints: RangeInclusive<u64>) -> RangeInclusive<Key> {
    let (first, last) = fingerprints.into_inner();
    (stream, first, Version::ZERO)..=(stream, last, Version::new(u64::MAX))
}
