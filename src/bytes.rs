//! Putting numbers into bytes, and taking bytes apart.

/// Whether all of these bytes are ASCII: for few of them, which the standard library looks at one by one.
#[inline]
pub(crate) fn is_ascii(bytes: &[u8]) -> bool {
    let is_high = |word: &[u8; 8]| u64::from_le_bytes(*word) & HIGH != 0;
    match bytes.last_chunk() {
        Some(last) => !is_high(last) && !bytes.as_chunks().0.iter().any(is_high),
        None => bytes.iter().fold(0, |all, byte| all | byte) < 0x80,
    }
}

/// Whether a byte is among these: for few of them.
#[inline]
pub(crate) fn has_byte(bytes: &[u8], byte: u8) -> bool {
    // Where the byte is, a zero is made. Only if there is one, taking one from each sets a highest bit that was not set.
    let has = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word) ^ (LOW * u64::from(byte));
        word.wrapping_sub(LOW) & !word & HIGH != 0
    };
    match bytes.last_chunk() {
        Some(last) => has(last) || bytes.as_chunks().0.iter().any(has),
        None => bytes.contains(&byte),
    }
}

/// The lowest bit of each byte.
const LOW: u64 = 0x0101_0101_0101_0101;

/// The highest bit of each byte.
const HIGH: u64 = 0x8080_8080_8080_8080;

pub(crate) const VARINT_BYTES_MAX: usize = 10;

/// A number as a varint of the shortest form: bytes of which so many are used.
#[inline]
pub(crate) fn varint(number: u64) -> ([u8; VARINT_BYTES_MAX], usize) {
    if number >> 56 != 0 {
        return long_varint(number);
    }
    // Seven bits into each byte: halves come apart, then halves of those, then again.
    let word = number & 0x0000_0000_0FFF_FFFF | (number & 0x00FF_FFFF_F000_0000) << 4;
    let word = word & 0x0000_3FFF_0000_3FFF | (word & 0x0FFF_C000_0FFF_C000) << 2;
    let word = word & 0x007F_007F_007F_007F | (word & 0x3F80_3F80_3F80_3F80) << 1;
    let last = (word | 1).ilog2() / 8;
    let marks = 0x0080_8080_8080_8080 & ((1 << (8 * last)) - 1);
    let mut bytes = [0; VARINT_BYTES_MAX];
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
pub(crate) fn put_varint(into: &mut Vec<u8>, number: u64) {
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

/// Bytes from which fields are taken, one after the other; `None` where they end too early.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    #[inline]
    pub(crate) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk()?;
        self.0 = tail;
        Some(*head)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    #[inline]
    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// A varint of the shortest form.
    #[inline]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        match self.0 {
            [byte @ 0..=0x7F, rest @ ..] => {
                self.0 = rest;
                return Some(u64::from(*byte));
            }
            [low, high @ 1..=0x7F, rest @ ..] => {
                self.0 = rest;
                return Some(u64::from(*low & 0x7F) | u64::from(*high) << 7);
            }
            _ => {}
        }
        let word = self.0.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        let last = !word & HIGH;
        if last == 0 || self.0.len() < 8 {
            return self.long_varint();
        }
        // Up to the first byte whose highest bit is not set; then pairs are joined, and pairs of those, and so on.
        let length = last.trailing_zeros() / 8 + 1;
        let mut number = word & (last ^ (last - 1)) & !HIGH;
        number = number & 0x007F_007F_007F_007F | (number & 0x7F00_7F00_7F00_7F00) >> 1;
        number = number & 0x0000_3FFF_0000_3FFF | (number & 0x3FFF_0000_3FFF_0000) >> 2;
        number = number & 0x0000_0000_0FFF_FFFF | (number & 0x0FFF_FFFF_0000_0000) >> 4;
        self.0 = &self.0[length as usize..];
        (number >> (7 * (length - 1)) != 0).then_some(number)
    }

    fn long_varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return (byte != 0 || shift == 0).then_some(number);
            }
        }
        None
    }

    /// A varint that is a length.
    #[inline]
    pub(crate) fn length(&mut self) -> Option<usize> {
        self.varint().and_then(|length| usize::try_from(length).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_wherever_it_is_and_nowhere_else() {
        for length in 0..30 {
            for other in [0, 1, b'/' - 1, b'/' + 1, b'/' | 0x80, 0xFF] {
                let mut bytes = vec![other; length];
                assert!(!has_byte(&bytes, b'/'), "{bytes:?}");
                for place in 0..length {
                    bytes[place] = b'/';
                    assert!(has_byte(&bytes, b'/'), "{bytes:?}");
                    bytes[place] = other;
                }
            }
        }
    }

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
