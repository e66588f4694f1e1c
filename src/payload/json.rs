//! Payloads in JSON.

use serde::Serialize;
use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, VariantAccess,
    Visitor,
};
use serde_json::Error;

use super::fault::Fault;
use super::stored::Stored;

/// The name of an event's variant, and its content as JSON. Serde writes a variant as `{"name":content}`, or as `"name"` if it
/// holds nothing. A map of one entry looks the same; whoever knows the variants tells it by its name.
pub(super) fn encode_variant<E: Serialize>(event: &E) -> Result<(String, Vec<u8>), Fault> {
    let mut json = serde_json::to_vec(event)?;
    let what = match json.first() {
        Some(b'"') => return Ok((serde_json::from_slice(&json)?, b"null".to_vec())),
        Some(b'{') => {
            let mut keys = serde_json::Deserializer::from_slice(&json[1..]).into_iter();
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
    Err(Fault::NotAVariant(what))
}

/// Reads the variant of this name from its content, without an intermediate value.
#[inline]
pub(super) fn decode_variant<E: DeserializeOwned>(name: &str, content: &[u8]) -> Result<E, Fault> {
    Ok(E::deserialize(Stored { name, content: Content(content) })?)
}

/// The content of a variant, as JSON.
struct Content<'de>(&'de [u8]);

impl<'de> Content<'de> {
    /// Reads one JSON value and makes sure that nothing stands behind it.
    #[inline]
    fn read<T>(
        &self,
        read: impl FnOnce(
            &mut serde_json::Deserializer<serde_json::de::SliceRead<'de>>,
        ) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut json = serde_json::Deserializer::from_slice(self.0);
        let value = read(&mut json)?;
        json.end()?;
        Ok(value)
    }
}

impl<'de> VariantAccess<'de> for Content<'de> {
    type Error = Error;

    /// Whatever the payload was: a variant that has lost its last field still reads.
    #[inline]
    fn unit_variant(self) -> Result<(), Error> {
        self.read(|json| IgnoredAny::deserialize(json)).map(|_| ())
    }

    #[inline]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.read(|json| seed.deserialize(json))
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.read(|json| json.deserialize_tuple(len, visitor))
    }

    /// A payload of `null` reads as one without fields: a variant that has got its first fields, all with a default,
    /// still reads what it wrote as a unit.
    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        mut self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.0 == b"null" {
            self.0 = b"{}";
        }
        self.read(|json| json.deserialize_struct("", fields, visitor))
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Event {
        Unit,
        Newtype(u128),
        Nothing(()),
        Tuple(i64, String),
        Struct {
            wide: u128,
            #[serde(default)]
            note: Option<String>,
        },
        Nested(Box<Event>),
        #[serde(rename = "\"é\\")]
        Renamed(u8),
    }

    #[test]
    fn every_kind_of_variant_survives() {
        let events = [
            (Event::Unit, "null"),
            (Event::Newtype(u128::MAX), "340282366920938463463374607431768211455"),
            (Event::Nothing(()), "null"),
            (Event::Tuple(i64::MIN, "é\"\n".into()), r#"[-9223372036854775808,"é\"\n"]"#),
            (
                Event::Struct { wide: u128::MAX - 1, note: None },
                r#"{"wide":340282366920938463463374607431768211454,"note":null}"#,
            ),
            (Event::Nested(Box::new(Event::Newtype(7))), r#"{"Newtype":7}"#),
            (Event::Renamed(7), "7"),
        ];
        for (event, expected) in events {
            let (name, payload) = encode_variant(&event).unwrap();
            assert_eq!(std::str::from_utf8(&payload).unwrap(), expected);
            assert_eq!(decode_variant::<Event>(&name, &payload).unwrap(), event);
        }
    }

    #[test]
    fn a_variant_may_gain_its_first_field_and_lose_its_last() {
        #[derive(Debug, PartialEq, Deserialize)]
        enum Later {
            Unit {
                #[serde(default)]
                why: String,
            },
            Struct,
        }
        assert_eq!(
            decode_variant::<Later>("Unit", b"null").unwrap(),
            Later::Unit { why: String::new() }
        );
        assert_eq!(decode_variant::<Later>("Struct", br#"{"wide":1}"#).unwrap(), Later::Struct);
    }

    #[test]
    fn what_stands_behind_a_payload_is_not_ignored() {
        assert!(decode_variant::<Event>("Newtype", b"1 2").is_err());
        assert!(decode_variant::<Event>("Unit", b"null null").is_err());
        assert!(decode_variant::<Event>("Unit", b"").is_err());
        assert!(
            decode_variant::<Event>("Unknown", b"null")
                .unwrap_err()
                .to_string()
                .contains("Unknown")
        );
    }

    #[test]
    fn only_variants_are_encoded() {
        let refused = encode_variant(&7).unwrap_err().to_string();
        assert_eq!(refused, "it serializes as a number, not as a variant of an enum");
        assert!(encode_variant(&vec![1]).is_err());
        assert!(encode_variant(&serde_json::json!({})).is_err());
        // What only looks like a variant does not read back as one.
        for json in [r#"{"Newtype":1,"Other":2}"#, r#"{"Other":1}"#, r#""Newtype""#] {
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            let (name, payload) = encode_variant(&value).unwrap();
            assert!(decode_variant::<Event>(&name, &payload).is_err(), "{json}");
        }
    }
}
