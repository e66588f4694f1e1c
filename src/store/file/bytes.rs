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

/// Adds a number as a varint of the shortest form.
#[inline]
pub(super) fn put_varint(into: &mut Vec<u8>, mut number: u64) {
    if number < 0x80 {
        return into.push((number & 0x7F) as u8);
    }
    let (mut bytes, mut length) = ([0; 10], 0);
    while number >= 0x80 {
        bytes[length] = (number & 0x7F) as u8 | 0x80;
        (number, length) = (number >> 7, length + 1);
    }
    bytes[length] = (number & 0x7F) as u8;
    into.extend_from_slice(&bytes[..=length]);
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
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::MAX >> 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            assert_eq!(Fields(&bytes).varint(), Some(number));
            assert_eq!(Fields(&bytes[..bytes.len() - 1]).varint(), None);
        }
        for bad in [&[0x80, 0][..], &[0xFF; 10], &[0x80; 11]] {
            assert_eq!(Fields(bad).varint(), None, "{bad:?}");
        }
    }
}
