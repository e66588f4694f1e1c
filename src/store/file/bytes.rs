//! Numbers in bytes: what all codecs of the store are made of.

use crc32fast::Hasher;

pub(super) use crate::bytes::Fields;

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

pub(super) const VARINT_BYTES_MAX: usize = 10;

/// A number as a varint of the shortest form: bytes of which so many are used.
#[inline]
pub(super) fn varint(number: u64) -> ([u8; VARINT_BYTES_MAX], usize) {
    let mut bytes = [0; VARINT_BYTES_MAX];
    if number < 0x80 {
        bytes[0] = (number & 0x7F) as u8;
        return (bytes, 1);
    }
    if number >> 56 != 0 {
        return long_varint(number);
    }
    // Seven bits into each byte: halves come apart, then halves of those, then again.
    let word = number & 0x0000_0000_0FFF_FFFF | (number & 0x00FF_FFFF_F000_0000) << 4;
    let word = word & 0x0000_3FFF_0000_3FFF | (word & 0x0FFF_C000_0FFF_C000) << 2;
    let word = word & 0x007F_007F_007F_007F | (word & 0x3F80_3F80_3F80_3F80) << 1;
    let last = word.ilog2() / 8;
    let marks = 0x0080_8080_8080_8080 & ((1 << (8 * last)) - 1);
    bytes[..8].copy_from_slice(&(word | marks).to_le_bytes());
    (bytes, last as usize + 1)
}

#[cold]
fn long_varint(mut number: u64) -> ([u8; VARINT_BYTES_MAX], usize) {
    let (mut bytes, mut last) = ([0; VARINT_BYTES_MAX], 0);
    while number >= 0x80 {
        bytes[last] = (number & 0x7F) as u8 | 0x80;
        (number, last) = (number >> 7, last + 1);
    }
    bytes[last] = (number & 0x7F) as u8;
    (bytes, last + 1)
}

/// Adds a number as a varint of the shortest form.
#[inline]
pub(super) fn put_varint(into: &mut Vec<u8>, number: u64) {
    if number < 0x80 {
        return into.push((number & 0x7F) as u8);
    }
    if number < 0x4000 {
        return into.extend_from_slice(&[(number & 0x7F) as u8 | 0x80, (number >> 7 & 0x7F) as u8]);
    }
    let (bytes, length) = varint(number);
    into.extend_from_slice(&bytes);
    into.truncate(into.len() - VARINT_BYTES_MAX + length);
}

/// Bytes as text, for tests that show them.
#[cfg(test)]
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_read_back_and_only_in_their_shortest_form() {
        let around = |bit: u32| [1 << bit, (1 << bit) - 1, 1 << bit | 1, u64::MAX >> bit];
        for number in (0..64).flat_map(around) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            assert_eq!(varint(number), long_varint(number));
            assert_eq!(Fields(&bytes).varint(), Some(number));
            assert_eq!(Fields(&bytes[..bytes.len() - 1]).varint(), None);
        }
        for bad in [&[0x80, 0][..], &[0xFF; 10], &[0x80; 11]] {
            assert_eq!(Fields(bad).varint(), None, "{bad:?}");
        }
    }
}
