//! From an event to a name and a payload, in one pass.

use std::fmt;

use serde::ser::{
    Impossible, Serialize, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleVariant, Serializer,
};

/// Writes the content of an event's variant as JSON behind what `payload` holds, and returns the variant's name.
pub(super) fn encode<E: Serialize>(
    event: &E,
    payload: &mut Vec<u8>,
) -> Result<&'static str, EncodeError> {
    let mut json = serde_json::Serializer::new(payload);
    event.serialize(Variant { json: &mut json })
}

type Json<'b> = serde_json::Serializer<&'b mut Vec<u8>>;

/// A serializer for exactly one enum variant.
struct Variant<'a, 'b> {
    json: &'a mut Json<'b>,
}

/// Why an event has no name or no payload.
#[derive(Debug, thiserror::Error)]
pub(super) enum EncodeError {
    #[error("it serializes as {0}, not as a variant of an enum")]
    NotAVariant(&'static str),
    #[error("{0}")]
    Custom(String),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl serde::ser::Error for EncodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Custom(message.to_string())
    }
}

/// A variant with named fields, under way.
struct Fields<'a, 'b> {
    name: &'static str,
    json: <&'a mut Json<'b> as Serializer>::SerializeStruct,
}

/// A variant with several unnamed fields, under way.
struct Items<'a, 'b> {
    name: &'static str,
    json: <&'a mut Json<'b> as Serializer>::SerializeTuple,
}

impl SerializeStructVariant for Fields<'_, '_> {
    type Ok = &'static str;
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        Ok(SerializeStruct::serialize_field(&mut self.json, key, value)?)
    }

    fn skip_field(&mut self, key: &'static str) -> Result<(), EncodeError> {
        Ok(SerializeStruct::skip_field(&mut self.json, key)?)
    }

    fn end(self) -> Result<&'static str, EncodeError> {
        SerializeStruct::end(self.json)?;
        Ok(self.name)
    }
}

impl SerializeTupleVariant for Items<'_, '_> {
    type Ok = &'static str;
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        Ok(SerializeTuple::serialize_element(&mut self.json, value)?)
    }

    fn end(self) -> Result<&'static str, EncodeError> {
        SerializeTuple::end(self.json)?;
        Ok(self.name)
    }
}

macro_rules! refuse {
    ($($method:ident($($type:ty),*) => $what:literal;)*) => {
        $(fn $method(self $(, _: $type)*) -> Result<&'static str, EncodeError> {
            Err(EncodeError::NotAVariant($what))
        })*
    };
}

macro_rules! refuse_compound {
    ($($method:ident($($type:ty),*) -> $ok:ident => $what:literal;)*) => {
        $(fn $method(self $(, _: $type)*) -> Result<Self::$ok, EncodeError> {
            Err(EncodeError::NotAVariant($what))
        })*
    };
}

impl<'a, 'b> Serializer for Variant<'a, 'b> {
    type Ok = &'static str;
    type Error = EncodeError;
    type SerializeSeq = Impossible<&'static str, EncodeError>;
    type SerializeTuple = Impossible<&'static str, EncodeError>;
    type SerializeTupleStruct = Impossible<&'static str, EncodeError>;
    type SerializeTupleVariant = Items<'a, 'b>;
    type SerializeMap = Impossible<&'static str, EncodeError>;
    type SerializeStruct = Impossible<&'static str, EncodeError>;
    type SerializeStructVariant = Fields<'a, 'b>;

    fn serialize_unit_variant(
        self,
        _type: &'static str,
        _index: u32,
        name: &'static str,
    ) -> Result<&'static str, EncodeError> {
        self.json.serialize_unit()?;
        Ok(name)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _type: &'static str,
        _index: u32,
        name: &'static str,
        value: &T,
    ) -> Result<&'static str, EncodeError> {
        value.serialize(self.json)?;
        Ok(name)
    }

    fn serialize_tuple_variant(
        self,
        _type: &'static str,
        _index: u32,
        name: &'static str,
        len: usize,
    ) -> Result<Items<'a, 'b>, EncodeError> {
        Ok(Items { name, json: self.json.serialize_tuple(len)? })
    }

    fn serialize_struct_variant(
        self,
        _type: &'static str,
        _index: u32,
        name: &'static str,
        len: usize,
    ) -> Result<Fields<'a, 'b>, EncodeError> {
        Ok(Fields { name, json: self.json.serialize_struct(name, len)? })
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _type: &'static str,
        value: &T,
    ) -> Result<&'static str, EncodeError> {
        value.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(
        self,
        _value: &T,
    ) -> Result<&'static str, EncodeError> {
        Err(EncodeError::NotAVariant("an option"))
    }

    refuse! {
        serialize_bool(bool) => "a truth value";
        serialize_i8(i8) => "a number";
        serialize_i16(i16) => "a number";
        serialize_i32(i32) => "a number";
        serialize_i64(i64) => "a number";
        serialize_i128(i128) => "a number";
        serialize_u8(u8) => "a number";
        serialize_u16(u16) => "a number";
        serialize_u32(u32) => "a number";
        serialize_u64(u64) => "a number";
        serialize_u128(u128) => "a number";
        serialize_f32(f32) => "a number";
        serialize_f64(f64) => "a number";
        serialize_char(char) => "text";
        serialize_str(&str) => "text";
        serialize_bytes(&[u8]) => "bytes";
        serialize_none() => "an option";
        serialize_unit() => "nothing";
        serialize_unit_struct(&'static str) => "a unit struct";
    }

    refuse_compound! {
        serialize_seq(Option<usize>) -> SerializeSeq => "a sequence";
        serialize_tuple(usize) -> SerializeTuple => "a tuple";
        serialize_tuple_struct(&'static str, usize) -> SerializeTupleStruct => "a tuple struct";
        serialize_map(Option<usize>) -> SerializeMap => "a map";
        serialize_struct(&'static str, usize) -> SerializeStruct => "a struct";
    }
}
