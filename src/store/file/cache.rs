//! Blocks of files in memory, as many as were allowed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::Error;
use crate::storage::StorageFile;

/// The unit in which files are cached and index runs are laid out.
pub(super) const BLOCK_BYTES: usize = 4096;

/// A file whose blocks may be in the cache, under an identity that no other file of that cache ever has.
#[derive(Clone)]
pub(super) struct CachedFile {
    pub(super) file: Arc<dyn StorageFile>,
    identity: u64,
}

/// Recently used blocks. Which to let go of is decided by a hand that goes around and spares those that were used since it
/// came by.
pub(super) struct Cache {
    shards: Vec<Mutex<Shard>>,
    next_identity: AtomicU64,
}

type Key = (u64, u32);

#[derive(Default)]
struct Shard {
    /// Where each cached block stands in `slots`.
    places: HashMap<Key, usize>,
    slots: Vec<Slot>,
    hand: usize,
    capacity: usize,
    hits: u64,
    misses: u64,
}

struct Slot {
    key: Key,
    block: Arc<[u8]>,
    was_used: bool,
}

const SHARDS: usize = 16;

impl Cache {
    pub(super) fn new(bytes: usize) -> Self {
        let capacity = (bytes / BLOCK_BYTES / SHARDS).max(1);
        let shard = || Mutex::new(Shard { capacity, ..Shard::default() });
        let shards = std::iter::repeat_with(shard).take(SHARDS).collect();
        Self { shards, next_identity: AtomicU64::new(0) }
    }

    /// Takes a file in, of which there is nothing in the cache yet.
    pub(super) fn adopt(&self, file: Arc<dyn StorageFile>) -> CachedFile {
        CachedFile { file, identity: self.next_identity.fetch_add(1, Ordering::Relaxed) }
    }

    fn shard(&self, (identity, block): Key) -> &Mutex<Shard> {
        let mixed = (identity ^ u64::from(block)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60;
        &self.shards[(mixed & 0xF) as usize]
    }

    /// A block of a file, which is read if it is not there.
    pub(super) fn block(
        &self,
        file: &CachedFile,
        number: u32,
        read: impl FnOnce(&mut [u8]) -> Result<(), Error>,
    ) -> Result<Arc<[u8]>, Error> {
        if let Some(block) = self.get(file, number) {
            return Ok(block);
        }
        let mut block = vec![0; BLOCK_BYTES];
        read(&mut block)?;
        let block: Arc<[u8]> = block.into();
        self.put(file, number, Arc::clone(&block));
        Ok(block)
    }

    fn get(&self, file: &CachedFile, block: u32) -> Option<Arc<[u8]>> {
        let key = (file.identity, block);
        let mut shard = self.shard(key).lock();
        let Some(place) = shard.places.get(&key).copied() else {
            shard.misses += 1;
            return None;
        };
        shard.hits += 1;
        let slot = &mut shard.slots[place];
        slot.was_used = true;
        Some(Arc::clone(&slot.block))
    }

    /// How often a block was there when it was asked for, and how often not.
    pub(super) fn uses(&self) -> (u64, u64) {
        self.shards
            .iter()
            .map(|shard| shard.lock())
            .fold((0, 0), |(hits, misses), shard| (hits + shard.hits, misses + shard.misses))
    }

    fn put(&self, file: &CachedFile, block: u32, bytes: Arc<[u8]>) {
        let key = (file.identity, block);
        let slot = Slot { key, block: bytes, was_used: false };
        let mut shard = self.shard(key).lock();
        if let Some(place) = shard.places.get(&key).copied() {
            shard.slots[place] = slot;
        } else if shard.slots.len() < shard.capacity {
            let place = shard.slots.len();
            shard.slots.push(slot);
            shard.places.insert(key, place);
        } else {
            let place = shard.least_used();
            let old = std::mem::replace(&mut shard.slots[place], slot);
            shard.places.remove(&old.key);
            shard.places.insert(key, place);
        }
    }
}

impl Shard {
    fn least_used(&mut self) -> usize {
        loop {
            let place = self.hand;
            self.hand = (self.hand + 1) % self.slots.len();
            if !std::mem::take(&mut self.slots[place].was_used) {
                return place;
            }
        }
    }
}
