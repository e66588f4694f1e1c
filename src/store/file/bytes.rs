//! Numbers in bytes: what all codecs of the store are made of.

use crc32fast::Hasher;

pub(super) use crate::bytes::{Fields, VARINT_BYTES_MAX, put_varint, varint};

/// The checksum of these bytes, begun with a seed.
pub(super) fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

/// The lower half of a number.
pub(super) fn lower_half(number: u64) -> u32 {
    ((number << 32) >> 32) as u32
}

/// The lower half of a large number.
pub(super) fn lower_half_of_large(number: u128) -> u64 {
    ((number << 64) >> 64) as u64
}

/// Bytes as text, for tests that show them.
#[cfg(test)]
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
