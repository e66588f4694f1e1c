//! Payloads in binary, where nobody can write or decode them.

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned};

use super::fault::Fault;

#[cold]
fn missing() -> Fault {
    Fault::Binary("it is in binary, and annals is built without the feature `binary`".into())
}

pub(super) fn encode<T: Serialize + ?Sized>(_value: &T) -> Result<Vec<u8>, Fault> {
    Err(missing())
}

pub(super) fn decode<'de, T: Deserialize<'de>>(_payload: &'de [u8]) -> Result<T, Fault> {
    Err(missing())
}

/// What nobody can look into is taken as it is.
#[expect(clippy::unnecessary_wraps, reason = "who can look may refuse")]
pub(crate) fn check(_payload: &[u8]) -> Result<(), Fault> {
    Ok(())
}

pub(super) fn encode_variant<E: Serialize>(_event: &E) -> Result<(String, Vec<u8>), Fault> {
    Err(missing())
}

pub(super) fn decode_variant<E: DeserializeOwned>(
    _name: &str,
    _content: &[u8],
) -> Result<E, Fault> {
    Err(missing())
}
