//! What every kind of file begins with, and the store file.
//!
//! ```text
//!  0        8        10   12         16          20         24                     40
//!  ┌────────┬────────┬────┬──────────┬───────────┬──────────┬──────────────────────┐
//!  │ magic  │ format │ 0  │ ignore   │ read only │ required │ store id             │
//!  │ 8 B    │ u16    │ u16│ set u32  │ set u32   │ set u32  │ 16 B                 │
//!  └────────┴────────┴────┴──────────┴───────────┴──────────┴──────────────────────┘
//!  the store file:
//!  0            40            56                64      65           124        128
//!  ┌────────────┬─────────────┬─────────────────┬───────┬────────────┬──────────┐
//!  │ beginning  │ parent's id │ parent position │ codec │ zeros      │ checksum │
//!  │ 40 B       │ 16 B        │ u64             │ u8    │ 59 B       │ u32      │
//!  └────────────┴─────────────┴─────────────────┴───────┴────────────┴──────────┘
//! ```

use uuid::Uuid;

use super::bytes::{Fields, checksum};
use super::fault::Fault;
use crate::payload::Encoding;
use crate::position::Position;
use crate::store::identity::Identity;

/// The identity of a store, in all its files.
pub(super) type StoreId = [u8; 16];

pub(super) const BEGINNING_BYTES: usize = 40;
pub(super) const STORE_BYTES: usize = 128;

const FORMAT: u16 = 1;

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Store,
    Segment,
    Run,
}

impl Kind {
    fn magic(self) -> [u8; 8] {
        match self {
            Self::Store => *b"annalsST",
            Self::Segment => *b"annalsLG",
            Self::Run => *b"annalsIX",
        }
    }
}

pub(super) fn encode(kind: Kind, store: StoreId) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(STORE_BYTES);
    bytes.extend_from_slice(&kind.magic());
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&[0; 14]);
    bytes.extend_from_slice(&store);
    bytes
}

/// The store that a file of this kind belongs to. What is meant for a newer version is told before the checksum of what
/// follows, whose place such a version may have changed.
pub(super) fn decode(kind: Kind, bytes: &[u8]) -> Result<StoreId, Fault> {
    let mut fields = Fields(bytes);
    let magic: [u8; 8] = fields.array().ok_or(Fault::Short)?;
    if magic != kind.magic() {
        return Err(Fault::Wrong("it does not begin as such a file does"));
    }
    let format = fields.u16().ok_or(Fault::Short)?;
    if format != FORMAT {
        return Err(Fault::Unknown { what: "format", number: format.into() });
    }
    if fields.u16().ok_or(Fault::Short)? != 0 {
        return Err(Fault::Wrong("a field that is zero is not"));
    }
    let _may_be_ignored = fields.u32().ok_or(Fault::Short)?;
    for what in ["read-only features", "required features"] {
        let number = fields.u32().ok_or(Fault::Short)?.into();
        if number != 0 {
            return Err(Fault::Unknown { what, number });
        }
    }
    fields.array().ok_or(Fault::Short)
}

/// The number of an encoding, in a store file and in records.
#[inline]
fn codec(encoding: Encoding) -> u8 {
    match encoding {
        Encoding::Json => 1,
        Encoding::Binary => 2,
    }
}

/// The encoding with this number.
fn encoding_of(codec: u8) -> Option<Encoding> {
    [Encoding::Json, Encoding::Binary].into_iter().find(|encoding| self::codec(*encoding) == codec)
}

/// A store file.
pub(super) fn encode_store(identity: &Identity) -> Vec<u8> {
    let mut bytes = encode(Kind::Store, identity.id.into_bytes());
    let (parent, position) = identity.parent.unwrap_or((Uuid::nil(), Position::START));
    bytes.extend_from_slice(parent.as_bytes());
    bytes.extend_from_slice(&position.get().to_le_bytes());
    bytes.push(codec(identity.encoding));
    bytes.resize(STORE_BYTES - 4, 0);
    let sum = checksum(0, &bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

pub(super) fn decode_store(bytes: &[u8]) -> Result<Identity, Fault> {
    let (content, sum) = bytes.split_last_chunk().ok_or(Fault::Short)?;
    if bytes.len() != STORE_BYTES {
        return Err(Fault::Wrong("it has not the length of a store file"));
    }
    // A damaged number must not pass for that of a newer version.
    let store = decode(Kind::Store, content);
    if checksum(0, content) != u32::from_le_bytes(*sum) {
        return Err(Fault::Checksum);
    }
    let id = Uuid::from_bytes(store?);
    let mut fields = Fields(&content[BEGINNING_BYTES..]);
    let parent = Uuid::from_bytes(fields.array().ok_or(Fault::Short)?);
    let position = Position::new(fields.u64().ok_or(Fault::Short)?);
    let parent = (!parent.is_nil()).then_some((parent, position));
    let codec = fields.u8().ok_or(Fault::Short)?;
    let unknown = Fault::Unknown { what: "codec", number: codec.into() };
    Ok(Identity { id, parent, encoding: encoding_of(codec).ok_or(unknown)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The store file of a store with the id 01 02 … 10.
    const GOLDEN: &str = "616e6e616c735354 0100 0000 00000000 00000000 00000000 \
         0102030405060708090a0b0c0d0e0f10 00000000000000000000000000000000 0000000000000000";

    fn id() -> StoreId {
        std::array::from_fn(|at| u8::try_from(at + 1).unwrap())
    }

    #[test]
    fn a_store_file_is_laid_out_as_documented() {
        let identity = Identity::new(Uuid::from_bytes(id()));
        let bytes = encode_store(&identity);
        assert_eq!(bytes.len(), STORE_BYTES);
        assert_eq!(crate::store::file::bytes::hex(&bytes[..64]), GOLDEN.replace(' ', ""));
        assert_eq!(bytes[64], 1);
        assert_eq!(bytes[65..124], [0; 59]);
        assert_eq!(decode_store(&bytes), Ok(identity));
        let parent = Some((Uuid::from_bytes([7; 16]), Position::new(9)));
        let restored = encode_store(&Identity { parent, ..identity });
        let golden = format!("{}0900000000000000", "07".repeat(16));
        assert_eq!(crate::store::file::bytes::hex(&restored[40..64]), golden);
        assert_eq!(decode_store(&restored), Ok(Identity { parent, ..identity }));
        let binary = Identity { encoding: Encoding::Binary, ..identity };
        assert_eq!(encode_store(&binary)[64], 2);
        assert_eq!(decode_store(&encode_store(&binary)), Ok(binary));
    }

    #[test]
    fn what_a_newer_version_wrote_is_refused_by_name() {
        for (at, what) in [(8, "format"), (16, "read-only features"), (20, "required features")] {
            let mut bytes = encode(Kind::Store, id());
            bytes[at] = 9;
            assert_eq!(decode(Kind::Store, &bytes), Err(Fault::Unknown { what, number: 9 }));
        }
        let mut bytes = encode(Kind::Store, id());
        bytes[12] = 9;
        assert_eq!(decode(Kind::Store, &bytes), Ok(id()), "what may be ignored is");
        assert!(decode(Kind::Run, &bytes).is_err());
    }
}
