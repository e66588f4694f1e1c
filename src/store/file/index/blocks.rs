//! Blocks of a run: 4092 bytes and a checksum that says which block of which run it is.

use std::sync::Arc;

use crate::error::Error;
use crate::storage::{FileName, StorageFile};
use crate::store::file::bytes::{checksum, lower_half};
use crate::store::file::cache::BLOCK_BYTES;
use crate::store::file::fault::failed;

/// How many bytes of content a block holds.
pub(super) const CONTENT_BYTES: usize = BLOCK_BYTES - 4;

fn sum(tag: u64, block: u32, content: &[u8]) -> u32 {
    checksum(lower_half(tag) ^ block, content)
}

/// The content of a block, if the block is whole and this one.
pub(super) fn verified(bytes: &[u8], tag: u64, block: u32) -> Option<&[u8]> {
    let (content, found) = bytes.split_last_chunk()?;
    (sum(tag, block, content) == u32::from_le_bytes(*found)).then_some(content)
}

/// Writes blocks one behind the other, many at a time.
pub(super) struct BlockSink {
    file: Arc<dyn StorageFile>,
    name: FileName,
    tag: u64,
    /// The number of the next block.
    next: u32,
    waiting: Vec<u8>,
}

const WRITE_BYTES: usize = 64 << 10;

impl BlockSink {
    pub(super) fn new(file: &Arc<dyn StorageFile>, name: FileName, tag: u64, first: u32) -> Self {
        let (file, waiting) = (Arc::clone(file), Vec::with_capacity(WRITE_BYTES));
        Self { file, name, tag, next: first, waiting }
    }

    /// The number of the next block.
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    /// Adds a block with this content, filled up with zeros.
    pub(super) fn push(&mut self, content: &[u8]) -> Result<(), Error> {
        let start = self.waiting.len();
        self.waiting.extend_from_slice(content);
        self.waiting.resize(start + CONTENT_BYTES, 0);
        let sum = sum(self.tag, self.next, &self.waiting[start..]);
        self.waiting.extend_from_slice(&sum.to_le_bytes());
        self.next += 1;
        if self.waiting.len() >= WRITE_BYTES { self.write() } else { Ok(()) }
    }

    /// Writes what waits.
    pub(super) fn write(&mut self) -> Result<(), Error> {
        let end = u64::from(self.next) * BLOCK_BYTES as u64;
        let written = self.file.write_all_at(end - self.waiting.len() as u64, &self.waiting);
        written.map_err(failed("writing", self.name))?;
        self.waiting.clear();
        Ok(())
    }
}
