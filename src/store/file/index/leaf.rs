//! Leaves of a run: pairs of hash and address, ascending, in few bytes.
//!
//! ```text
//!  0        2                                     4092 - 2 × groups
//!  ┌────────┬─────────┬─────────┬───┬───────────┬────────────────────┐
//!  │ groups │ pairs   │ pairs   │ … │ zeros     │ ends of the groups │
//!  │ u16    │         │         │   │           │ u16 each           │
//!  └────────┴─────────┴─────────┴───┴───────────┴────────────────────┘
//! ```
//!
//! A group can be read without those before it, so whoever looks for a term reads one group.

use super::blocks::CONTENT_BYTES;
use super::terms::{HASH_MAX, Hash, Pair};
use crate::store::file::address::Address;
use crate::store::file::bytes::{Fields, put_varint};
use crate::store::file::fault::Fault;

/// A leaf that is being filled.
pub(super) struct LeafBuilder {
    /// Addresses of new terms are written as differences from this one.
    from: Address,
    content: Vec<u8>,
    /// Where the groups end that are complete.
    ends: Vec<u16>,
    /// How many pairs the last group has.
    in_group: u16,
    first: Pair,
    last: Pair,
}

/// Segments are numbered below 2^31.
const ADDRESS_MAX: u64 = (1 << 63) - 1;

/// No pair takes more: 7 bytes for 49 bits of a new hash, and 9 for 63 of its address.
const PAIR_BYTES_MAX: usize = 16;

/// About what most pairs take at least.
const PAIR_BYTES: usize = 4;

/// Where the first group begins.
const BEGIN: usize = 2;
const END_BYTES: usize = 2;

/// A new term begins a new group behind this many pairs. A group takes 4 bytes more than its pairs would without it.
const GROUP_PAIRS: u16 = 24;

impl LeafBuilder {
    pub(super) fn new(from: Address) -> Self {
        let none = (0, Address::MIN);
        let (content, ends) = (vec![0; BEGIN], Vec::new());
        Self { from, content, ends, in_group: 0, first: none, last: none }
    }

    pub(super) fn push(&mut self, (hash, address): Pair) {
        if self.is_empty() {
            self.first = (hash, address);
        }
        if !self.is_empty() && hash == self.last.0 {
            let distance = address.number() - self.last.1.number();
            put_varint(&mut self.content, distance << 1);
        } else {
            if self.in_group >= GROUP_PAIRS {
                self.end_group();
            }
            let before = if self.in_group == 0 { 0 } else { self.last.0 };
            put_varint(&mut self.content, (hash - before) << 1 | 1);
            put_varint(&mut self.content, address.number() - self.from.number());
        }
        self.last = (hash, address);
        self.in_group += 1;
    }

    fn end_group(&mut self) {
        self.ends.push(u16::try_from(self.content.len()).expect("a leaf is one block at most"));
        self.in_group = 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.content.len() == BEGIN
    }

    /// Whether there may be no room for another pair, which may begin another group.
    pub(super) fn is_full(&self) -> bool {
        let ends = (self.ends.len() + 2) * END_BYTES;
        self.content.len() + PAIR_BYTES_MAX + ends > CONTENT_BYTES
    }

    /// The leaf's content and its first pair; begins the next leaf.
    pub(super) fn finish(&mut self) -> (Vec<u8>, Pair) {
        let mut done = std::mem::replace(self, Self::new(self.from));
        done.end_group();
        let groups = u16::try_from(done.ends.len()).expect("fewer than bytes");
        done.content[..BEGIN].copy_from_slice(&groups.to_le_bytes());
        done.content.resize(CONTENT_BYTES - done.ends.len() * END_BYTES, 0);
        done.content.extend(done.ends.iter().flat_map(|end| end.to_le_bytes()));
        (done.content, done.first)
    }
}

/// A leaf that is read. An error where the bytes make no sense, which a right checksum does not rule out.
pub(super) struct Leaf<'c> {
    from: u64,
    content: &'c [u8],
    /// Where each group ends, and the next begins; at least one.
    ends: &'c [[u8; END_BYTES]],
}

const NONSENSE: Fault = Fault::Wrong("the pairs of a leaf make no sense");

impl<'c> Leaf<'c> {
    pub(super) fn of(content: &'c [u8], from: Address) -> Result<Self, Fault> {
        let groups = Fields(content).u16().filter(|groups| *groups > 0);
        let table = groups.and_then(|groups| {
            let begin = content.len().checked_sub(usize::from(groups) * END_BYTES)?;
            content.get(begin..)
        });
        let ends = table.ok_or(NONSENSE)?.as_chunks().0;
        Ok(Self { from: from.number(), content, ends })
    }

    /// All pairs, in order.
    pub(super) fn pairs(&self) -> Result<Vec<Pair>, Fault> {
        let mut pairs: Vec<Pair> = Vec::with_capacity(self.content.len() / PAIR_BYTES);
        let mut are_ordered = true;
        for number in 0..self.ends.len() {
            let begin = pairs.len();
            for pair in self.group(number).ok_or(NONSENSE)? {
                pairs.push(pair.ok_or(NONSENSE)?);
            }
            // No term goes on in another group: nobody would look for it there.
            are_ordered &= begin == 0 || pairs[begin - 1].0 < pairs[begin].0;
        }
        if !are_ordered || !pairs.is_sorted_by(|a, b| a < b) {
            return Err(Fault::Wrong("the pairs of a leaf are out of order"));
        }
        Ok(pairs)
    }

    /// The addresses of a term, and whether more of them may stand in the next leaf.
    pub(super) fn addresses(&self, hash: Hash) -> Result<(Vec<Address>, bool), Fault> {
        self.find(hash).ok_or(NONSENSE)
    }

    fn find(&self, hash: Hash) -> Option<(Vec<Address>, bool)> {
        let (_, begins) = self.ends.split_last()?;
        let mut makes_sense = true;
        let number = begins.partition_point(|begin| {
            let first = self.first_hash(*begin);
            makes_sense &= first.is_some();
            first.is_some_and(|first| first <= hash)
        });
        let group = self.group(number).filter(|_| makes_sense)?;
        let mut addresses = Vec::new();
        for pair in group {
            let (found, address) = pair?;
            if found > hash {
                return Some((addresses, false));
            }
            if found == hash {
                addresses.push(address);
            }
        }
        Some((addresses, number == begins.len()))
    }

    /// The hash with which the group begins that begins here.
    fn first_hash(&self, begin: [u8; END_BYTES]) -> Option<Hash> {
        let step = Fields(self.content.get(offset(begin)..)?).varint()?;
        (step & 1 == 1).then_some(step >> 1)
    }

    fn group(&self, number: usize) -> Option<Group<'c>> {
        let begin = number.checked_sub(1).map_or(BEGIN, |before| offset(self.ends[before]));
        let fields = Fields(self.content.get(begin..)?);
        let behind = self.content.len().checked_sub(offset(self.ends[number]))?;
        // It has a pair at least, and the first begins with a hash.
        let is_group = fields.0.len() > behind && fields.0[0] & 1 == 1;
        is_group.then_some(Group { from: self.from, fields, behind, hash: 0, number: 0 })
    }
}

fn offset(bytes: [u8; END_BYTES]) -> usize {
    u16::from_le_bytes(bytes).into()
}

/// The pairs of a group, in order; `None` where they make no sense.
struct Group<'c> {
    from: u64,
    /// The group and all behind it.
    fields: Fields<'c>,
    /// How many bytes lie behind the group.
    behind: usize,
    hash: Hash,
    number: u64,
}

impl Group<'_> {
    #[inline]
    fn step(&mut self) -> Option<Pair> {
        let step = self.fields.varint()?;
        // Each has 63 bits at most, so no sum is too large.
        if step & 1 == 0 {
            self.number += step >> 1;
        } else {
            self.hash += step >> 1;
            self.number = self.from.checked_add(self.fields.varint()?)?;
        }
        let is_pair = self.hash <= HASH_MAX
            && self.number <= ADDRESS_MAX
            && self.fields.0.len() >= self.behind;
        is_pair.then_some((self.hash, Address::from_number(self.number)))
    }
}

impl Iterator for Group<'_> {
    type Item = Option<Pair>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        (self.fields.0.len() != self.behind).then(|| self.step())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: Address = Address::from_number(1 << 20);

    /// A leaf of terms with more and more addresses, with steps of all lengths.
    fn leaf() -> (Vec<u8>, Vec<Pair>) {
        let mut builder = LeafBuilder::new(FROM);
        let (mut hash, mut pairs) = (0, Vec::new());
        for term in 0..60_u64 {
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

    fn addresses(content: &[u8], hash: Hash) -> Result<(Vec<Address>, bool), Fault> {
        Leaf::of(content, FROM)?.addresses(hash)
    }

    #[test]
    fn each_term_is_found_and_no_other() {
        let (content, pairs) = leaf();
        let leaf = Leaf::of(&content, FROM).unwrap();
        assert!(leaf.ends.len() > 3, "there are several groups");
        assert_eq!(leaf.pairs(), Ok(pairs.clone()));
        let hashes = pairs.iter().flat_map(|(hash, _)| [hash - 1, *hash, hash + 1]);
        for hash in hashes.chain([0, HASH_MAX]) {
            let of_term = pairs.iter().filter(|pair| pair.0 == hash).map(|pair| pair.1).collect();
            let may_go_on = pairs.iter().all(|pair| pair.0 <= hash);
            assert_eq!(addresses(&content, hash), Ok((of_term, may_go_on)), "{hash}");
        }
    }

    #[test]
    fn a_term_of_many_addresses_is_one_group() {
        let mut builder = LeafBuilder::new(FROM);
        let mut number = 1 << 20;
        while !builder.is_full() {
            builder.push((7, Address::from_number(number)));
            number += 300;
        }
        let (content, first) = builder.finish();
        assert_eq!(first, (7, FROM));
        assert!(builder.is_empty() && content.len() == CONTENT_BYTES);
        let (found, goes_on) = addresses(&content, 7).unwrap();
        assert_eq!((found.len() as u64, goes_on), ((number - (1 << 20)) / 300, true));
    }

    #[test]
    fn whatever_the_content_is_reading_it_ends() {
        let (content, pairs) = leaf();
        let (begin, end) = (pairs.len() * 3, content.len() - 20);
        for at in (0..begin).chain(end..content.len()) {
            for byte in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut content = content.clone();
                content[at] = byte;
                for (hash, _) in pairs.iter().step_by(9) {
                    let _ = addresses(&content, *hash);
                }
                let _ = Leaf::of(&content, FROM).and_then(|leaf| leaf.pairs());
            }
        }
        for length in 0..content.len() {
            let cut = Leaf::of(&content[..length], FROM).and_then(|leaf| leaf.pairs());
            assert!(cut.is_err(), "{length}");
        }
    }

    #[test]
    fn groups_that_share_a_term_or_are_out_of_order_are_refused() {
        let (content, _) = leaf();
        let ends = content.len() - 2 * END_BYTES;
        let mut swapped = content.clone();
        swapped.copy_within(ends..ends + END_BYTES, ends - END_BYTES);
        assert!(Leaf::of(&swapped, FROM).unwrap().pairs().is_err());
        let mut builder = LeafBuilder::new(FROM);
        builder.push((7, FROM));
        builder.end_group();
        builder.push((7, Address::from_number(2 << 20)));
        // As if it were another term: its hash is written anew.
        builder.content.truncate(builder.ends[0].into());
        put_varint(&mut builder.content, 7 << 1 | 1);
        put_varint(&mut builder.content, 1 << 20);
        let (content, _) = builder.finish();
        let out_of_order = Fault::Wrong("the pairs of a leaf are out of order");
        assert_eq!(Leaf::of(&content, FROM).unwrap().pairs(), Err(out_of_order));
    }
}
