//! Values in binary: MessagePack, with a struct as its fields' values behind a check of their names.

use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::fault::Fault;
use super::names::Names;

/// What stands before the check of a struct's names: an extension of two bytes, and its type.
pub(super) const NAMES: [u8; 2] = [0xD5, 1];

/// The first bytes of values whose length is not told by them alone.
pub(super) mod first {
    pub(crate) const NIL: u8 = 0xC0;
    pub(crate) const FALSE: u8 = 0xC2;
    pub(crate) const TRUE: u8 = 0xC3;
    pub(crate) const BYTES: [u8; 3] = [0xC4, 0xC5, 0xC6];
    pub(crate) const F32: u8 = 0xCA;
    pub(crate) const F64: u8 = 0xCB;
    pub(crate) const UNSIGNED: [u8; 4] = [0xCC, 0xCD, 0xCE, 0xCF];
    pub(crate) const SIGNED: [u8; 4] = [0xD0, 0xD1, 0xD2, 0xD3];
    pub(crate) const TEXT: [u8; 3] = [0xD9, 0xDA, 0xDB];
    pub(crate) const SEQUENCE: [u8; 2] = [0xDC, 0xDD];
    pub(crate) const MAP: [u8; 2] = [0xDE, 0xDF];
    /// With the length, or the number, in the lower bits.
    pub(crate) const SHORT_MAP: u8 = 0x80;
    pub(crate) const SHORT_SEQUENCE: u8 = 0x90;
    pub(crate) const SHORT_TEXT: u8 = 0xA0;
}

/// The bytes of a value.
pub(super) fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Fault> {
    let mut writer = Writer(Vec::with_capacity(128));
    value.serialize(&mut writer)?;
    Ok(writer.0)
}

struct Writer(Vec<u8>);

impl Writer {
    fn push<const N: usize>(&mut self, first: u8, bytes: [u8; N]) {
        self.0.push(first);
        self.0.extend_from_slice(&bytes);
    }

    fn unsigned(&mut self, number: u64) {
        let [_, _, _, _, third, second, first, last] = number.to_be_bytes();
        match number {
            0..0x80 => self.0.push(last),
            0x80..0x100 => self.push(first::UNSIGNED[0], [last]),
            0x100..0x1_0000 => self.push(first::UNSIGNED[1], [first, last]),
            0x1_0000..0x1_0000_0000 => {
                self.push(first::UNSIGNED[2], [third, second, first, last]);
            }
            _ => self.push(first::UNSIGNED[3], number.to_be_bytes()),
        }
    }

    /// The length of something of which this is the first byte, by how long the length is; short ones stand in the first byte itself.
    fn length(&mut self, len: usize, short: Option<(u8, u8)>, long: &[u8]) -> Result<(), Fault> {
        let sized = u32::try_from(len).map_err(|_| Fault::binary("it is longer than 4 GiB"))?;
        let [first, second, third, last] = sized.to_be_bytes();
        match (short, long) {
            (Some((base, bound)), _) if len < usize::from(bound) => self.0.push(base | last),
            (_, [byte, _, _]) if len < 0x100 => self.push(*byte, [last]),
            (_, [.., word, _]) if len < 0x1_0000 => self.push(*word, [third, last]),
            _ => self.push(long[long.len() - 1], [first, second, third, last]),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Fault> {
        self.length(text.len(), Some((first::SHORT_TEXT, 32)), &first::TEXT)?;
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn sequence(&mut self, len: usize) -> Result<(), Fault> {
        self.length(len, Some((first::SHORT_SEQUENCE, 16)), &first::SEQUENCE)
    }

    fn items(&mut self, len: Option<usize>, is_map: bool) -> Result<Items<'_>, Fault> {
        let at = self.0.len();
        let Some(len) = len else {
            self.push(if is_map { first::MAP[1] } else { first::SEQUENCE[1] }, [0; 4]);
            return Ok(Items { writer: self, expected: None, count: 0, at, names: None });
        };
        if is_map {
            self.length(len, Some((first::SHORT_MAP, 16)), &first::MAP)?;
        } else {
            self.sequence(len)?;
        }
        Ok(Items { writer: self, expected: Some(len), count: 0, at, names: None })
    }

    fn structure(&mut self, len: usize) -> Result<Items<'_>, Fault> {
        self.sequence(len + 1)?;
        self.0.extend_from_slice(&NAMES);
        let at = self.0.len();
        self.0.extend_from_slice(&[0; 2]);
        let names = Some(Names::default());
        Ok(Items { writer: self, expected: Some(len), count: 0, at, names })
    }

    /// A variant that holds something is a map from its name to that.
    fn variant(&mut self, name: &str) -> Result<(), Fault> {
        self.length(1, Some((first::SHORT_MAP, 16)), &first::MAP)?;
        self.text(name)
    }
}

/// Items of something, while they are written.
struct Items<'w> {
    writer: &'w mut Writer,
    /// How many there are to be, unless that is found out.
    expected: Option<usize>,
    count: usize,
    /// Where the number of items stands if it is found out, or else the check of names.
    at: usize,
    names: Option<Names>,
}

impl Items<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Fault> {
        self.count += 1;
        item.serialize(&mut *self.writer)
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Fault> {
        if let Some(names) = &mut self.names {
            names.add(name);
        }
        self.item(value)
    }

    fn finish(self) -> Result<(), Fault> {
        let Self { writer: Writer(bytes), expected, count, at, names } = self;
        match expected {
            Some(expected) if expected != count => {
                return Err(Fault::binary(format!("it has {count} items and not {expected}")));
            }
            Some(_) => {}
            None => {
                let count = u32::try_from(count).map_err(|_| Fault::binary("too many items"))?;
                bytes[at + 1..at + 5].copy_from_slice(&count.to_be_bytes());
            }
        }
        if let Some(names) = names {
            bytes[at..at + 2].copy_from_slice(&names.check());
        }
        Ok(())
    }
}

macro_rules! numbers {
    ($($method:ident: $type:ty => $as:ident),*) => {
        $(fn $method(self, number: $type) -> Result<(), Fault> {
            self.$as(number.into())
        })*
    };
}

impl<'w> Serializer for &'w mut Writer {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Items<'w>;
    type SerializeTuple = Items<'w>;
    type SerializeTupleStruct = Items<'w>;
    type SerializeTupleVariant = Items<'w>;
    type SerializeMap = Items<'w>;
    type SerializeStruct = Items<'w>;
    type SerializeStructVariant = Items<'w>;

    numbers! {
        serialize_i8: i8 => serialize_i64, serialize_i16: i16 => serialize_i64, serialize_i32: i32 => serialize_i64,
        serialize_u8: u8 => serialize_u64, serialize_u16: u16 => serialize_u64, serialize_u32: u32 => serialize_u64
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Result<(), Fault> {
        self.0.push(if value { first::TRUE } else { first::FALSE });
        Ok(())
    }

    fn serialize_u64(self, number: u64) -> Result<(), Fault> {
        self.unsigned(number);
        Ok(())
    }

    fn serialize_i64(self, number: i64) -> Result<(), Fault> {
        let [.., fourth, third, second, last] = number.to_be_bytes();
        match number {
            0.. => self.unsigned(number.unsigned_abs()),
            -0x20.. => self.0.push(last),
            -0x80.. => self.push(first::SIGNED[0], [last]),
            -0x8000.. => self.push(first::SIGNED[1], [second, last]),
            -0x8000_0000.. => self.push(first::SIGNED[2], [fourth, third, second, last]),
            _ => self.push(first::SIGNED[3], number.to_be_bytes()),
        }
        Ok(())
    }

    /// What does not fit into 64 bits is written as its sixteen bytes.
    fn serialize_u128(self, number: u128) -> Result<(), Fault> {
        match u64::try_from(number) {
            Ok(number) => self.serialize_u64(number),
            Err(_) => self.serialize_bytes(&number.to_be_bytes()),
        }
    }

    fn serialize_i128(self, number: i128) -> Result<(), Fault> {
        match (u64::try_from(number), i64::try_from(number)) {
            (Ok(number), _) => self.serialize_u64(number),
            (_, Ok(number)) => self.serialize_i64(number),
            _ => self.serialize_bytes(&number.to_be_bytes()),
        }
    }

    fn serialize_f32(self, number: f32) -> Result<(), Fault> {
        self.push(first::F32, number.to_be_bytes());
        Ok(())
    }

    fn serialize_f64(self, number: f64) -> Result<(), Fault> {
        self.push(first::F64, number.to_be_bytes());
        Ok(())
    }

    fn serialize_char(self, letter: char) -> Result<(), Fault> {
        self.text(letter.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> Result<(), Fault> {
        self.text(text)
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Fault> {
        self.length(bytes.len(), None, &first::BYTES)?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Fault> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Fault> {
        self.0.push(first::NIL);
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Fault> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Fault> {
        self.text(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        self.variant(variant)?;
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Items<'w>, Fault> {
        self.items(len, false)
    }

    fn serialize_tuple(self, len: usize) -> Result<Items<'w>, Fault> {
        self.items(Some(len), false)
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Items<'w>, Fault> {
        self.items(Some(len), false)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Items<'w>, Fault> {
        self.variant(variant)?;
        self.items(Some(len), false)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Items<'w>, Fault> {
        self.items(len, true)
    }

    fn serialize_struct(self, _name: &'static str, len: usize) -> Result<Items<'w>, Fault> {
        self.structure(len)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Items<'w>, Fault> {
        self.variant(variant)?;
        self.structure(len)
    }
}

macro_rules! items {
    ($($trait:ident $method:ident),*) => {
        $(impl $trait for Items<'_> {
            type Ok = ();
            type Error = Fault;

            fn $method<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Fault> {
                self.item(item)
            }

            fn end(self) -> Result<(), Fault> {
                self.finish()
            }
        })*
    };
}

macro_rules! fields {
    ($($trait:ident),*) => {
        $(impl $trait for Items<'_> {
            type Ok = ();
            type Error = Fault;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Fault> {
                self.field(name, value)
            }

            fn end(self) -> Result<(), Fault> {
                self.finish()
            }
        })*
    };
}

items! {
    SerializeSeq serialize_element, SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field, SerializeTupleVariant serialize_field
}
fields! { SerializeStruct, SerializeStructVariant }

impl SerializeMap for Items<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fault> {
        self.item(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), Fault> {
        self.finish()
    }
}
