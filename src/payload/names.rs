//! A check of the names of a struct's fields.

/// Takes in names, one after the other.
#[derive(Clone, Copy, Default)]
pub(super) struct Names(u64);

const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

impl Names {
    /// Takes in a name: its length, its bytes in pieces of eight, and what is left of them as one more piece.
    #[inline]
    pub(super) fn add(&mut self, name: &str) {
        let (pieces, rest) = name.as_bytes().as_chunks::<8>();
        self.0 = self.0.wrapping_add(name.len() as u64);
        pieces.iter().for_each(|piece| self.mix(u64::from_le_bytes(*piece)));
        if !rest.is_empty() {
            self.mix(joined(rest));
        }
    }

    #[inline]
    fn mix(&mut self, piece: u64) {
        let mixed = (self.0 ^ piece).wrapping_mul(FACTOR);
        self.0 = mixed ^ mixed >> 32;
    }

    /// A number that other names, or the same ones in another order, hardly ever share.
    #[inline]
    pub(super) fn check(self) -> [u8; 2] {
        let [first, second, ..] = self.0.to_le_bytes();
        [first, second]
    }
}

/// Fewer than eight bytes as a number: the first four and the last four, or if there are not so many, one by one.
#[inline]
fn joined(bytes: &[u8]) -> u64 {
    let half = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => half(first) | half(last) << 32,
        _ => bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
    }
}
