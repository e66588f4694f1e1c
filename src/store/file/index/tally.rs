//! How many commits, streams and types a part of the log has.

use std::collections::BTreeSet;

use super::terms::Hash;
use crate::store::file::bytes::Fields;

/// What is counted of a part of the log. Of parts behind one another it adds up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) commits: u64,
    /// Streams whose first event is there.
    pub(crate) streams: u64,
    /// The hashes of the event types, of which a run names so many at most.
    pub(crate) types: BTreeSet<Hash>,
}

pub(super) const TYPES_MAX: usize = 480;

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.commits += other.commits;
        self.streams += other.streams;
        self.types.extend(&other.types);
    }

    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        let types = self.types.iter().take(TYPES_MAX);
        let count = types.len() as u64;
        for number in [self.commits, self.streams, count].iter().chain(types) {
            into.extend_from_slice(&number.to_le_bytes());
        }
    }

    pub(super) fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        let (commits, streams, count) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let count = usize::try_from(count).ok().filter(|count| *count <= TYPES_MAX)?;
        let types = (0..count).map(|_| fields.u64()).collect::<Option<_>>()?;
        Some(Self { commits, streams, types })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::file::bytes::hex;

    #[test]
    fn a_tally_is_laid_out_as_documented() {
        let tally = Tally { commits: 3, streams: 2, types: [0xAB, 0x01].into() };
        let mut bytes = Vec::new();
        tally.encode(&mut bytes);
        let golden = "0300000000000000 0200000000000000 0200000000000000 \
             0100000000000000 ab00000000000000";
        assert_eq!(hex(&bytes), golden.replace(' ', ""));
        assert_eq!(Tally::decode(&mut Fields(&bytes)), Some(tally));
        bytes[16] = 0xFF;
        assert_eq!(Tally::decode(&mut Fields(&bytes)), None);
    }

    #[test]
    fn of_too_many_types_the_first_are_named() {
        let tally = Tally { types: (0..1000).collect(), ..Tally::default() };
        let mut bytes = Vec::new();
        tally.encode(&mut bytes);
        let named = Tally::decode(&mut Fields(&bytes)).unwrap().types;
        assert_eq!(named, (0..480).collect());
    }
}
