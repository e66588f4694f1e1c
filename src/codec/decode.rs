//! From a name and a payload to an event, without an intermediate value.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    Deserialize as _, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _,
    IgnoredAny, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::Error;

/// Reads the variant of this name from its payload.
#[inline]
pub(super) fn decode<E: DeserializeOwned>(name: &str, payload: &[u8]) -> Result<E, Error> {
    E::deserialize(Stored { name, payload })
}

/// A stored event, which deserializes as an enum.
struct Stored<'de> {
    name: &'de str,
    payload: &'de [u8],
}

impl<'de> Deserializer<'de> for Stored<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("an event is read as an enum and as nothing else"))
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Stored<'de> {
    type Error = Error;
    type Variant = Payload<'de>;

    #[inline]
    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Payload<'de>), Error> {
        let variant = seed.deserialize(BorrowedStrDeserializer::new(self.name))?;
        Ok((variant, Payload(self.payload)))
    }
}

/// The content of a variant, as JSON.
struct Payload<'de>(&'de [u8]);

impl<'de> Payload<'de> {
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

impl<'de> VariantAccess<'de> for Payload<'de> {
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

    use super::super::encode::encode;
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
            let (name, payload) = encode(&event).unwrap();
            assert_eq!(std::str::from_utf8(&payload).unwrap(), expected);
            assert_eq!(decode::<Event>(&name, &payload).unwrap(), event);
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
        assert_eq!(decode::<Later>("Unit", b"null").unwrap(), Later::Unit { why: String::new() });
        assert_eq!(decode::<Later>("Struct", br#"{"wide":1}"#).unwrap(), Later::Struct);
    }

    #[test]
    fn what_stands_behind_a_payload_is_not_ignored() {
        assert!(decode::<Event>("Newtype", b"1 2").is_err());
        assert!(decode::<Event>("Unit", b"null null").is_err());
        assert!(decode::<Event>("Unit", b"").is_err());
        assert!(decode::<Event>("Unknown", b"null").unwrap_err().to_string().contains("Unknown"));
    }

    #[test]
    fn only_variants_are_encoded() {
        let refused = encode(&7).unwrap_err().to_string();
        assert_eq!(refused, "it serializes as a number, not as a variant of an enum");
        assert!(encode(&vec![1]).is_err());
        assert!(encode(&serde_json::json!({})).is_err());
        // What only looks like a variant does not read back as one.
        for json in [r#"{"Newtype":1,"Other":2}"#, r#"{"Other":1}"#, r#""Newtype""#] {
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            let (name, payload) = encode(&value).unwrap();
            assert!(decode::<Event>(&name, &payload).is_err(), "{json}");
        }
    }
}
