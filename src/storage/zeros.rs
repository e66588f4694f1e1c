//! Zeros that go past the cache.

use std::io;
use std::ops::Range;

use super::seam::{PAGE_BYTES, StorageFile, pieces};

/// How much is written at once. A file is locked so long for everybody else who writes to it.
const PIECE_BYTES: usize = 256 << 10;

/// Writes zeros through a handle that goes past the cache, which takes whole pages only; the rest goes through the other one.
pub(super) fn write_past_cache(
    file: &dyn StorageFile,
    direct: &dyn StorageFile,
    zeros: Range<u64>,
) -> io::Result<()> {
    let page = PAGE_BYTES as u64;
    let pages = zeros.start.next_multiple_of(page)..zeros.end / page * page;
    if pages.is_empty() {
        return file.write_zeros(zeros);
    }
    file.write_zeros(zeros.start..pages.start)?;
    // In memory, too, whole pages are asked for.
    let memory = vec![0; PIECE_BYTES + PAGE_BYTES];
    let begin = memory.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES);
    let piece = &memory[begin..];
    let mut done = pages.start;
    let written = pieces(pages, PIECE_BYTES, |at, length| {
        direct.write_all_at(at, &piece[..length])?;
        done = at + length as u64;
        Ok(())
    });
    match written {
        // A file system that asks for more than that, or cannot do it, is answered by the handle that can.
        Err(error) if error.kind() != io::ErrorKind::InvalidInput => Err(error),
        _ => file.write_zeros(done..zeros.end),
    }
}
