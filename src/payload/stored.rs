//! From a name and a content to an event, in whatever encoding.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error as _, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

/// The name of a variant and its content, which deserialize as an enum.
pub(super) struct Stored<'a, C> {
    pub(super) name: &'a str,
    pub(super) content: C,
}

impl<'de, C: VariantAccess<'de>> Deserializer<'de> for Stored<'_, C> {
    type Error = C::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, C::Error> {
        Err(C::Error::custom("an event is read as an enum and as nothing else"))
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, C::Error> {
        visitor.visit_enum(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, C::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de, C: VariantAccess<'de>> EnumAccess<'de> for Stored<'_, C> {
    type Error = C::Error;
    type Variant = C;

    #[inline]
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, C), C::Error> {
        let variant = seed.deserialize(StrDeserializer::new(self.name))?;
        Ok((variant, self.content))
    }
}
