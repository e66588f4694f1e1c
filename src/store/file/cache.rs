//! Blocks of files in memory, as many as were allowed.

use std::collections::{HashMap, VecDeque};
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

/// Recently used blocks.
pub(super) struct Cache {
    shards: Vec<Mutex<Shard>>,
    next_identity: AtomicU64,
}

type Key = (u64, u32);

#[derive(Default)]
struct Shard {
    blocks: HashMap<Key, Slot>,
    /// The keys of all blocks. The first is let go of next, unless it was used: then it queues once more.
    queue: VecDeque<Key>,
    capacity: usize,
    hits: u64,
    misses: u64,
}

struct Slot {
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
        let key = (file.identity, number);
        let cached = self.shard(key).lock().get(key);
        if let Some(block) = cached {
            return Ok(block);
        }
        let mut block = vec![0; BLOCK_BYTES];
        read(&mut block)?;
        let block: Arc<[u8]> = block.into();
        self.shard(key).lock().put(key, Arc::clone(&block));
        Ok(block)
    }

    /// How often a block was there when it was asked for, and how often not.
    pub(super) fn uses(&self) -> (u64, u64) {
        self.shards
            .iter()
            .map(|shard| shard.lock())
            .fold((0, 0), |(hits, misses), shard| (hits + shard.hits, misses + shard.misses))
    }
}

impl Shard {
    fn get(&mut self, key: Key) -> Option<Arc<[u8]>> {
        let Some(slot) = self.blocks.get_mut(&key) else {
            self.misses += 1;
            return None;
        };
        self.hits += 1;
        slot.was_used = true;
        Some(Arc::clone(&slot.block))
    }

    fn put(&mut self, key: Key, block: Arc<[u8]>) {
        while self.queue.len() >= self.capacity {
            let Some(oldest) = self.queue.pop_front() else { break };
            let slot = self.blocks.get_mut(&oldest);
            if slot.is_some_and(|slot| std::mem::take(&mut slot.was_used)) {
                self.queue.push_back(oldest);
            } else {
                self.blocks.remove(&oldest);
            }
        }
        if self.blocks.insert(key, Slot { block, was_used: false }).is_none() {
            self.queue.push_back(key);
        }
    }
}
