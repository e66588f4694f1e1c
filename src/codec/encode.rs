//! From an event to a name and a payload.

use serde::Serialize;
use serde_json::Deserializer;

/// Why an event has no name or no payload.
#[derive(Debug, thiserror::Error)]
pub(super) enum EncodeError {
    #[error("it serializes as {0}, not as a variant of an enum")]
    NotAVariant(&'static str),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// The name of an event's variant, and its content as JSON. Serde writes a variant as `{"name":content}`, or as `"name"` if it
/// holds nothing. A map of one entry looks the same; whoever knows the variants tells it by its name.
pub(super) fn encode<E: Serialize>(event: &E) -> Result<(String, Vec<u8>), EncodeError> {
    let mut json = serde_json::to_vec(event)?;
    let what = match json.first() {
        Some(b'"') => return Ok((serde_json::from_slice(&json)?, b"null".to_vec())),
        Some(b'{') => {
            let mut keys = Deserializer::from_slice(&json[1..]).into_iter();
            if let Some(Ok(name)) = keys.next() {
                let content = "{".len() + keys.byte_offset() + ":".len();
                json.pop();
                json.drain(..content);
                return Ok((name, json));
            }
            "nothing but braces"
        }
        Some(b'[') => "a sequence",
        Some(b't' | b'f') => "a truth value",
        Some(b'n') => "nothing",
        _ => "a number",
    };
    Err(EncodeError::NotAVariant(what))
}
