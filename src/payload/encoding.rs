//! The encodings of payloads.

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned};

use super::fault::Fault;
use super::{binary, json};

/// How a payload is written.
///
/// Each event says which encoding its payload has, and a store may hold both. What new payloads of a store's aggregates are written in is
/// chosen when the store is made ([`FileOptions::encoding`](crate::store::FileOptions::encoding),
/// [`MemoryStore::encoding`](crate::store::MemoryStore::encoding)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Encoding {
    /// One JSON value, which people and other programs can read.
    #[default]
    Json,
    /// A compact form that takes about half the bytes and is read about twice as fast, for those who need speed more than payloads that
    /// people can read. It takes the feature `binary` to write it and to decode it.
    ///
    /// It is MessagePack, with a struct as the values of its fields behind a check of their names
    /// ([the format](crate::docs::format)). So names are not stored, and it is read into types with the same fields in the same order:
    ///
    /// * Fields may be added at the end if they have a default; new variants of an enum may stand anywhere.
    /// * Every other change of a struct's fields (another name, another order, one less, one in the middle) is refused when events
    ///   are read, and takes an [upcaster](crate::codec::Upcasters) from a struct that stays as the old one was.
    /// * An upcaster that reads `serde_json::Value` sees a struct as an array. What it gives goes on as JSON.
    /// * A type is refused when it is written if it does not read back: with `skip_serializing` on a field, with an `alias` where the
    ///   order of all names then differs, with
    ///   `skip_serializing_if` on any but the last ones; or with an `untagged` or internally tagged enum whose variants have named fields.
    Binary,
}

/// A value in an encoding.
pub(crate) fn encode<T: Serialize + ?Sized>(
    encoding: Encoding,
    value: &T,
) -> Result<Vec<u8>, Fault> {
    match encoding {
        Encoding::Json => Ok(serde_json::to_vec(value)?),
        Encoding::Binary => binary::encode(value),
    }
}

/// The value that a payload is.
pub(crate) fn decode<'de, T: Deserialize<'de>>(
    encoding: Encoding,
    payload: &'de [u8],
) -> Result<T, Fault> {
    match encoding {
        Encoding::Json => Ok(serde_json::from_slice(payload)?),
        Encoding::Binary => binary::decode(payload),
    }
}

/// The name of an event's variant, and its content.
pub(crate) fn encode_variant<E: Serialize>(
    encoding: Encoding,
    event: &E,
) -> Result<(String, Vec<u8>), Fault> {
    match encoding {
        Encoding::Json => json::encode_variant(event),
        Encoding::Binary => binary::encode_variant(event),
    }
}

/// Reads the variant of this name from its content.
#[inline]
pub(crate) fn decode_variant<E: DeserializeOwned>(
    encoding: Encoding,
    name: &str,
    content: &[u8],
) -> Result<E, Fault> {
    match encoding {
        Encoding::Json => json::decode_variant(name, content),
        Encoding::Binary => binary::decode_variant(name, content),
    }
}
