//! Values from binary.

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::fault::Fault;
use super::names::Names;
use super::stored::Stored;
use super::writer::{NAMES, first};
use crate::bytes::Fields;

/// How deep values may lie in one another, as in JSON.
const DEPTH: u8 = 128;

/// Bytes from which values are taken.
pub(super) struct Reader<'de> {
    left: Fields<'de>,
    depth: u8,
}

impl<'de> Reader<'de> {
    #[inline]
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self { left: Fields(bytes), depth: DEPTH }
    }

    /// Makes sure that nothing is left.
    #[inline]
    pub(super) fn end(&self) -> Result<(), Fault> {
        if self.left.0.is_empty() {
            Ok(())
        } else {
            Err(Fault::binary("something stands behind it"))
        }
    }

    /// The name of the variant that comes, and whether its content follows.
    pub(super) fn variant(&mut self) -> Result<(&'de str, bool), Fault> {
        let has_content = self.left.0.first() == Some(&(first::SHORT_MAP | 1));
        if has_content {
            self.byte()?;
        }
        Ok((self.text()?, has_content))
    }

    /// How many bytes are left to be read.
    pub(super) fn left(&self) -> usize {
        self.left.0.len()
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Fault> {
        self.left.u8().ok_or_else(short)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.left.array().ok_or_else(short)
    }

    #[inline]
    fn bytes(&mut self, length: usize) -> Result<&'de [u8], Fault> {
        self.left.bytes(length).ok_or_else(short)
    }

    /// The length that follows a first byte, in one, two or four bytes: as many as the place of the first byte among its kind says.
    #[inline]
    fn length(&mut self, place: u8) -> Result<usize, Fault> {
        Ok(match place {
            0 => self.byte()?.into(),
            1 => u16::from_be_bytes(self.array()?).into(),
            _ => u32::from_be_bytes(self.array()?) as usize,
        })
    }

    #[inline]
    fn text(&mut self) -> Result<&'de str, Fault> {
        let length = match self.byte()? {
            byte @ 0xA0..=0xBF => usize::from(byte & 0x1F),
            byte @ 0xD9..=0xDB => self.length(byte - 0xD9)?,
            _ => return Err(Fault::binary("there is no text where one is read")),
        };
        self.text_of(length)
    }

    #[inline]
    fn text_of(&mut self, length: usize) -> Result<&'de str, Fault> {
        std::str::from_utf8(self.bytes(length)?).map_err(|fault| Fault::binary(fault.to_string()))
    }

    /// Takes the check of names that stands before the values of a struct.
    #[inline]
    fn names(&mut self) -> Option<[u8; 2]> {
        let [kind @ .., first, second] = *self.left.0.first_chunk::<4>()?;
        (kind == NAMES).then(|| {
            self.left.0 = &self.left.0[4..];
            [first, second]
        })
    }

    #[inline]
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.depth = self.depth.checked_sub(1).ok_or_else(|| Fault::binary("it is too deep"))?;
        let value = read(self);
        self.depth += 1;
        value
    }

    #[inline]
    fn items<V: Visitor<'de>>(&mut self, left: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deeper(|reader| {
            let mut items = Items { reader, left };
            let value = visitor.visit_seq(&mut items);
            if value.is_ok() {
                items.end()?;
            }
            value
        })
    }

    /// A sequence of unknown meaning. Of a struct the values are one, too.
    #[inline]
    fn sequence<V: Visitor<'de>>(&mut self, mut len: usize, visitor: V) -> Result<V::Value, Fault> {
        if self.names().is_some() {
            len = len.checked_sub(1).ok_or_else(short)?;
        }
        self.items(len, visitor)
    }

    fn map<V: Visitor<'de>>(&mut self, left: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deeper(|reader| {
            let mut items = Items { reader, left };
            let value = visitor.visit_map(&mut items);
            if value.is_ok() {
                items.end()?;
            }
            value
        })
    }

    /// The values of a struct with these fields. There may be more fields, at the end.
    #[inline]
    fn structure<V: Visitor<'de>>(
        &mut self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if !matches!(self.left.0.first(), Some(0x90..=0x9F | 0xDC)) {
            return self.deserialize_any(visitor);
        }
        let len = match self.byte()? {
            0xDC => self.length(1)?,
            byte => usize::from(byte & 0xF),
        };
        let stored =
            self.names().ok_or_else(|| Fault::binary("there is no struct where one is read"))?;
        let len = len.saturating_sub(1);
        let mut names = Names::default();
        fields.iter().take(len).for_each(|field| names.add(field));
        if len > fields.len() || names.check() != stored {
            return Err(renamed(len, fields));
        }
        self.items(len, visitor)
    }
}

#[cold]
fn short() -> Fault {
    Fault::binary("it ends too early")
}

#[cold]
fn renamed(len: usize, fields: &[&str]) -> Fault {
    Fault::binary(format!(
        "its {len} fields are not the first of {}: a struct in binary is read with the fields that it was written with, \
         in their order and without aliases, and perhaps more behind them",
        fields.join(", ")
    ))
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Fault;

    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let byte = self.byte()?;
        match byte {
            0..=0x7F => visitor.visit_u64(byte.into()),
            0x80..=0x8F => self.map((byte & 0xF).into(), visitor),
            0x90..=0x9F => self.sequence((byte & 0xF).into(), visitor),
            0xA0..=0xBF => visitor.visit_borrowed_str(self.text_of((byte & 0x1F).into())?),
            first::NIL => visitor.visit_unit(),
            first::FALSE => visitor.visit_bool(false),
            first::TRUE => visitor.visit_bool(true),
            0xC4..=0xC6 => {
                let length = self.length(byte - 0xC4)?;
                visitor.visit_borrowed_bytes(self.bytes(length)?)
            }
            first::F32 => visitor.visit_f32(f32::from_be_bytes(self.array()?)),
            first::F64 => visitor.visit_f64(f64::from_be_bytes(self.array()?)),
            0xCC => visitor.visit_u64(self.byte()?.into()),
            0xCD => visitor.visit_u64(u16::from_be_bytes(self.array()?).into()),
            0xCE => visitor.visit_u64(u32::from_be_bytes(self.array()?).into()),
            0xCF => visitor.visit_u64(u64::from_be_bytes(self.array()?)),
            0xD0 => visitor.visit_i64(i8::from_be_bytes(self.array()?).into()),
            0xD1 => visitor.visit_i64(i16::from_be_bytes(self.array()?).into()),
            0xD2 => visitor.visit_i64(i32::from_be_bytes(self.array()?).into()),
            0xD3 => visitor.visit_i64(i64::from_be_bytes(self.array()?)),
            0xD9..=0xDB => {
                let length = self.length(byte - 0xD9)?;
                visitor.visit_borrowed_str(self.text_of(length)?)
            }
            // Of these there is none with a length of one byte.
            0xDC..=0xDD => {
                let len = self.length(byte - 0xDB)?;
                self.sequence(len, visitor)
            }
            0xDE..=0xDF => {
                let len = self.length(byte - 0xDD)?;
                self.map(len, visitor)
            }
            0xE0..=0xFF => visitor.visit_i64(i8::from_be_bytes([byte]).into()),
            0xC1 | 0xC7..=0xC9 | 0xD4..=0xD8 => {
                Err(Fault::binary(format!("no value begins with the byte {byte:#x}")))
            }
        }
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.left.0.first() {
            Some(0xA0..=0xBF | 0xD9..=0xDB) => visitor.visit_borrowed_str(self.text()?),
            _ => self.deserialize_any(visitor),
        }
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.wide() {
            Some(bytes) => visitor.visit_u128(u128::from_be_bytes(bytes)),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.wide() {
            Some(bytes) => visitor.visit_i128(i128::from_be_bytes(bytes)),
            None => self.deserialize_any(visitor),
        }
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.left.0.first() == Some(&first::NIL) {
            self.byte()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.structure(fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let (name, has_content) = self.variant()?;
        self.deeper(|reader| {
            visitor.visit_enum(Stored { name, content: Content(has_content.then_some(reader)) })
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char bytes byte_buf unit unit_struct seq tuple tuple_struct map
        ignored_any
    }
}

impl Reader<'_> {
    /// Takes a number of 128 bits that is written as its bytes.
    fn wide(&mut self) -> Option<[u8; 16]> {
        let [kind @ .., _] = *self.left.0.first_chunk::<3>()?;
        if kind != [first::BYTES[0], 16] {
            return None;
        }
        let mut after = Fields(&self.left.0[2..]);
        let bytes = after.array()?;
        self.left = after;
        Some(bytes)
    }
}

/// Items that are still to be read; of a map, each with its value.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: usize,
}

impl Items<'_, '_> {
    #[inline]
    fn end(&self) -> Result<(), Fault> {
        match self.left {
            0 => Ok(()),
            left => Err(Fault::binary(format!("{left} items more than are read"))),
        }
    }
}

impl<'de> SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = Fault;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        // Each item takes a byte at least.
        Some(self.left.min(self.reader.left.0.len()))
    }
}

impl<'de> MapAccess<'de> for &mut Items<'_, 'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        SeqAccess::size_hint(self)
    }
}

/// What a variant holds; nothing if it is written as its name alone.
pub(super) struct Content<'a, 'de>(pub(super) Option<&'a mut Reader<'de>>);

impl<'de> Content<'_, 'de> {
    #[inline]
    fn read<T>(self, read: impl FnOnce(&mut Reader<'de>) -> Result<T, Fault>) -> Result<T, Fault> {
        match self.0 {
            Some(content) => read(content),
            None => read(&mut Reader::new(&[first::NIL])),
        }
    }
}

impl<'de> VariantAccess<'de> for Content<'_, 'de> {
    type Error = Fault;

    /// Whatever it held: a variant that has lost its last field still reads.
    fn unit_variant(self) -> Result<(), Fault> {
        self.read(|content| IgnoredAny::deserialize(content)).map(|_| ())
    }

    #[inline]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        self.read(|content| seed.deserialize(content))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Fault> {
        self.read(|content| content.deserialize_any(visitor))
    }

    /// What holds nothing reads as without fields: a variant may gain its first ones.
    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.read(|content| {
            if content.left.0.first() == Some(&first::NIL) {
                content.byte()?;
                return content.items(0, visitor);
            }
            content.structure(fields, visitor)
        })
    }
}
