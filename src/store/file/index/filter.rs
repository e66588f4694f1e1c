//! Which terms a run does not have.
//!
//! A Bloom filter a block, each for an equal share of the hashes, so that they can be written one after the other while terms come
//! in ascending order.

use super::blocks::CONTENT_BYTES;
use super::terms::Hash;

const BITS: u64 = CONTENT_BYTES as u64 * 8;
const BITS_PER_TERM: u64 = 10;

/// How many blocks the filter of so many terms takes.
pub(super) fn blocks_for(terms: u64) -> u32 {
    u32::try_from(terms.saturating_mul(BITS_PER_TERM) / BITS + 1).unwrap_or(u32::MAX)
}

/// The bits of a hash in its block: where each stands.
fn bits(hash: Hash) -> impl Iterator<Item = (usize, u8)> {
    let mixed = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let (first, step) = (mixed >> 40, (mixed >> 16 & 0xFF_FFFF) | 1);
    (0..4).map(move |k| {
        let bit = (first + k * step) % BITS;
        ((bit / 8) as usize, 1 << (bit % 8))
    })
}

pub(super) fn insert(block: &mut [u8], hash: Hash) {
    bits(hash).for_each(|(byte, bit)| block[byte] |= bit);
}

pub(super) fn may_have(block: &[u8], hash: Hash) -> bool {
    bits(hash).all(|(byte, bit)| block[byte] & bit != 0)
}
