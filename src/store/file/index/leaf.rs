//! Leaves of a run: pairs of hash and address, ascending, in few bytes.

use super::blocks::CONTENT_BYTES;
use super::terms::{HASH_MAX, Hash};
use crate::store::file::address::Address;
use crate::store::file::bytes::{Fields, put_varint};
use crate::store::file::fault::Fault;

pub(super) type Pair = (Hash, Address);

/// A leaf that is being filled.
pub(super) struct LeafBuilder {
    /// Addresses of new terms are written as differences from this one.
    from: Address,
    content: Vec<u8>,
    count: u16,
    first: Pair,
    last: Pair,
}

/// Segments are numbered below 2^31.
const ADDRESS_MAX: u64 = (1 << 63) - 1;

/// No pair takes more: two varints of at most ten bytes.
const PAIR_BYTES_MAX: usize = 20;

impl LeafBuilder {
    pub(super) fn new(from: Address) -> Self {
        let none = (0, Address::MIN);
        Self { from, content: vec![0; 2], count: 0, first: none, last: none }
    }

    pub(super) fn push(&mut self, (hash, address): Pair) {
        if self.count > 0 && hash == self.last.0 {
            let distance = address.number() - self.last.1.number();
            put_varint(&mut self.content, distance << 1);
        } else {
            put_varint(&mut self.content, (hash - self.last.0) << 1 | 1);
            put_varint(&mut self.content, address.number() - self.from.number());
        }
        if self.count == 0 {
            self.first = (hash, address);
        }
        self.last = (hash, address);
        self.count += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.content.len() + PAIR_BYTES_MAX > CONTENT_BYTES
    }

    /// The leaf's content and its first pair; begins the next leaf.
    pub(super) fn finish(&mut self) -> (Vec<u8>, Pair) {
        let mut done = std::mem::replace(self, Self::new(self.from));
        done.content[..2].copy_from_slice(&done.count.to_le_bytes());
        (done.content, done.first)
    }
}

/// The pairs of a leaf, in order; an error where the bytes make no sense, which a right checksum does not rule out.
pub(super) struct Pairs<'c> {
    from: u64,
    fields: Fields<'c>,
    left: u16,
    hash: Hash,
    number: u64,
}

impl<'c> Pairs<'c> {
    pub(super) fn of(content: &'c [u8], from: Address) -> Self {
        let mut fields = Fields(content);
        let left = fields.u16().unwrap_or(0);
        Self { from: from.number(), fields, left, hash: 0, number: 0 }
    }

    /// Passes over the pairs of smaller hashes. It takes much less than to look at each, and what is wrong with an address is not noticed.
    pub(super) fn skip_below(&mut self, hash: Hash) -> Result<(), Fault> {
        self.skip(hash).ok_or(NONSENSE)
    }

    #[inline]
    fn skip(&mut self, hash: Hash) -> Option<()> {
        while self.left > 0 {
            let mut fields = self.fields;
            // The lowest bit, which tells whether there is another hash, is the first.
            if fields.0.first()? & 1 == 1 {
                let next = self.hash.checked_add(fields.varint()? >> 1)?;
                if next >= hash {
                    break;
                }
                self.hash = next;
            }
            fields.skip_varint()?;
            (self.fields, self.left) = (fields, self.left - 1);
        }
        Some(())
    }

    #[inline]
    fn step(&mut self) -> Option<Pair> {
        let step = self.fields.varint()?;
        if step & 1 == 0 {
            self.number = self.number.checked_add(step >> 1)?;
        } else {
            self.hash = self.hash.checked_add(step >> 1)?;
            self.number = self.from.checked_add(self.fields.varint()?)?;
        }
        let is_pair = self.hash <= HASH_MAX && self.number <= ADDRESS_MAX;
        is_pair.then_some((self.hash, Address::from_number(self.number)))
    }
}

const NONSENSE: Fault = Fault::Wrong("the pairs of a leaf make no sense");

impl Iterator for Pairs<'_> {
    type Item = Result<Pair, Fault>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(self.step().ok_or(NONSENSE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A leaf of terms with more and more addresses, with steps of all lengths.
    fn leaf() -> (Vec<u8>, Vec<Pair>) {
        let mut builder = LeafBuilder::new(Address::from_number(1 << 20));
        let (mut hash, mut pairs) = (0, Vec::new());
        for term in 0..40_u64 {
            hash += [1, 100, 1 << 20, 1 << 40][(term % 4) as usize];
            let mut number = (1 << 20) + (term << (term % 30));
            for n in 0..=term % 7 {
                pairs.push((hash, Address::from_number(number)));
                number += 1 << (3 * n);
            }
        }
        pairs.iter().for_each(|pair| builder.push(*pair));
        (builder.finish().0, pairs)
    }

    fn pairs_from(content: &[u8], hash: Hash) -> Result<Vec<Pair>, Fault> {
        let mut pairs = Pairs::of(content, Address::from_number(1 << 20));
        pairs.skip_below(hash)?;
        pairs.collect()
    }

    #[test]
    fn what_is_passed_over_are_the_pairs_of_smaller_hashes() {
        let (content, pairs) = leaf();
        let hashes = pairs.iter().flat_map(|(hash, _)| [hash - 1, *hash, hash + 1]);
        for hash in hashes.chain([0, HASH_MAX]) {
            let mut expected = pairs.clone();
            expected.retain(|pair| pair.0 >= hash);
            assert_eq!(pairs_from(&content, hash), Ok(expected), "from {hash}");
        }
    }

    #[test]
    fn whatever_the_content_is_passing_over_it_ends() {
        let (content, pairs) = leaf();
        for at in 0..content.len() {
            for byte in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut content = content.clone();
                content[at] = byte;
                for (hash, _) in pairs.iter().step_by(9) {
                    let _ = pairs_from(&content, *hash);
                }
            }
            assert!(pairs_from(&content[..at], HASH_MAX).map_or(true, |pairs| pairs.is_empty()));
        }
    }
}
