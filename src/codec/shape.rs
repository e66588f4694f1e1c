//! What serde reveals of a type without a value of it.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::de::value::{Error as Stopped, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::error::{Error, ErrorKind};
use crate::id::EventType;

/// The variants of an event type by the names under which they are read, aliases included.
pub(super) struct Shape {
    names: Vec<Name>,
}

/// A name under which a variant is read.
pub(crate) struct Name {
    pub(crate) name: &'static str,
    /// A number that stands for the variant; aliases share it.
    pub(crate) variant: u64,
    pub(crate) content: Content,
}

impl Shape {
    /// Finds out by asking `E` to deserialize itself from names alone; each attempt is cut short before a payload
    /// would be needed.
    pub(super) fn of<E: DeserializeOwned>() -> Result<Self, Error> {
        let refuse = |detail: String| Err(Error::new(ErrorKind::EventShape).detail(detail));
        let (impossible, answer) = probe::<E>("\0");
        let Some(names) = impossible.names else {
            return refuse(format!(
                "{} asks for {answer}; write a plain `enum` with named variants and without \
                 `#[serde(tag)]`, `#[serde(untagged)]` or `#[serde(content)]`",
                std::any::type_name::<E>()
            ));
        };
        if impossible.variant.is_some() {
            return refuse(format!(
                "{} takes any name for a variant (as `#[serde(other)]` does), which would hide events \
                 that it does not know",
                std::any::type_name::<E>()
            ));
        }
        let mut shape = Self { names: Vec::with_capacity(names.len()) };
        for name in names {
            EventType::new(name)?;
            let (Found { variant: Some(variant), content: Some(content), .. }, _) =
                probe::<E>(name)
            else {
                return refuse(format!("the variant {name:?} is listed but not read"));
            };
            // Where nothing is known of aliases, no name is one.
            let variant = variant.unwrap_or(shape.names.len() as u64);
            shape.names.push(Name { name, variant, content });
        }
        Ok(shape)
    }

    pub(super) fn reads(&self, name: &str) -> bool {
        self.variant(name).is_some()
    }

    /// The number of the variant that is read under this name.
    pub(super) fn variant(&self, name: &str) -> Option<u64> {
        self.names.iter().find(|known| known.name == name).map(|known| known.variant)
    }

    pub(super) fn names(&self) -> &[Name] {
        &self.names
    }
}

/// The names of a struct's fields, or of an enum's variants, as serde reveals them; none for other types.
pub(crate) fn field_names<T: DeserializeOwned>() -> &'static [&'static str] {
    let (found, _) = probe::<T>("\0");
    found.names.or(found.fields).unwrap_or_default()
}

fn probe<T: DeserializeOwned>(variant: &str) -> (Found, Stopped) {
    let mut found = Found::default();
    match T::deserialize(Probe { variant, found: &mut found }) {
        Ok(_) => (found, Stopped::custom("nothing at all")),
        Err(stopped) => (found, stopped),
    }
}

#[derive(Default)]
struct Found {
    /// The variants, if the type asked for an enum.
    names: Option<&'static [&'static str]>,
    /// The fields, if the type asked for a struct.
    fields: Option<&'static [&'static str]>,
    /// The number of the variant that the name was taken for, if it was and as far as that can be told.
    variant: Option<Option<u64>>,
    /// What that variant holds.
    content: Option<Content>,
}

/// What serde reveals of a variant's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// It holds nothing.
    Unit,
    /// It holds these named fields, directly or in a struct.
    Fields(&'static [&'static str]),
    /// It holds this many unnamed fields.
    Items(usize),
    /// It holds one value of a type that is no struct.
    Value,
}

/// A deserializer that notes what it is asked for and then stops, with that as its error.
struct Probe<'a> {
    variant: &'a str,
    found: &'a mut Found,
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Stopped;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
        Err(Stopped::custom(&visitor as &dyn Expected))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stopped> {
        self.found.names = Some(variants);
        visitor.visit_enum(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Stopped> {
        self.found.fields = Some(fields);
        Err(Stopped::custom(format_args!("struct {name}")))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stopped> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Probe<'_> {
    type Error = Stopped;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Stopped> {
        let identifier = seed.deserialize(StrDeserializer::<Stopped>::new(self.variant))?;
        // A derived implementation reads the name into a private enum with one variant for each of the type's, so
        // its discriminant tells which names are aliases of one another. Of others nothing is known. It shows itself only
        // to a hasher.
        let is_derived = std::any::type_name::<V::Value>().ends_with("__Field");
        let mut hasher = DefaultHasher::new();
        std::mem::discriminant(&identifier).hash(&mut hasher);
        self.found.variant = Some(is_derived.then(|| hasher.finish()));
        Ok((identifier, self))
    }
}

impl Probe<'_> {
    fn stop_at<T>(self, content: Content) -> Result<T, Stopped> {
        self.found.content = Some(content);
        Err(Stopped::custom("the content of a variant"))
    }
}

impl<'de> VariantAccess<'de> for Probe<'_> {
    type Error = Stopped;

    fn unit_variant(self) -> Result<(), Stopped> {
        self.stop_at(Content::Unit)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Stopped> {
        let mut inner = Found::default();
        // Whatever comes of it, it was only asked what it is.
        let _ = seed.deserialize(Probe { variant: "\0", found: &mut inner });
        self.stop_at(inner.fields.map_or(Content::Value, Content::Fields))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, _visitor: V) -> Result<V::Value, Stopped> {
        self.stop_at(Content::Items(len))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Stopped> {
        self.stop_at(Content::Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    #![expect(dead_code, reason = "the types are only looked at")]

    use std::fmt;

    use serde::Deserialize;

    use super::*;

    fn refusal<E: DeserializeOwned>() -> String {
        let error = Shape::of::<E>().err().expect("refused");
        assert_eq!(*error.kind(), ErrorKind::EventShape);
        error.to_string()
    }

    #[test]
    fn aliases_belong_to_their_variant() {
        #[derive(Deserialize)]
        enum Event {
            #[serde(alias = "MoneyIn", alias = "CashIn")]
            Deposited {
                cents: u64,
            },
            #[serde(rename = "taken")]
            Withdrawn {
                cents: u64,
            },
            #[serde(skip)]
            Internal,
            Closed,
        }
        let shape = Shape::of::<Event>().unwrap();
        assert_eq!(shape.names().len(), 5);
        assert_eq!(shape.variant("MoneyIn"), shape.variant("Deposited"));
        assert_eq!(shape.variant("CashIn"), shape.variant("Deposited"));
        assert_ne!(shape.variant("taken"), shape.variant("Deposited"));
        assert_ne!(shape.variant("Closed"), shape.variant("taken"));
        assert!(!shape.reads("Withdrawn"));
        assert!(!shape.reads("Internal"));
    }

    #[test]
    fn only_externally_tagged_enums_have_a_shape() {
        #[derive(Deserialize)]
        struct Plain {
            cents: u64,
        }
        #[derive(Deserialize)]
        #[serde(tag = "type")]
        enum Internal {
            A { cents: u64 },
        }
        #[derive(Deserialize)]
        #[serde(tag = "type", content = "content")]
        enum Adjacent {
            A { cents: u64 },
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Untagged {
            A { cents: u64 },
        }
        assert!(refusal::<Plain>().contains("struct Plain"));
        assert!(refusal::<Internal>().contains("without `#[serde(tag)]`"));
        refusal::<Adjacent>();
        refusal::<Untagged>();
        refusal::<String>();
        refusal::<Option<Plain>>();
        refusal::<()>();
        refusal::<serde_json::Value>();
    }

    #[test]
    fn a_variant_that_takes_every_name_is_refused() {
        #[derive(Deserialize)]
        enum Event {
            A,
            #[serde(other)]
            Other,
        }
        assert!(refusal::<Event>().contains("serde(other)"));
    }

    #[test]
    fn names_of_a_hand_written_identifier_are_no_aliases() {
        struct Checked;
        impl<'de> Deserialize<'de> for Checked {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = String::deserialize(deserializer)?;
                let known = ["A", "B"].contains(&name.as_str());
                known.then_some(Self).ok_or_else(|| serde::de::Error::custom("unknown"))
            }
        }
        struct Event;
        struct EventVisitor;
        impl<'de> Visitor<'de> for EventVisitor {
            type Value = Event;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event")
            }
            fn visit_enum<D: EnumAccess<'de>>(self, data: D) -> Result<Event, D::Error> {
                let (_, content) = data.variant::<Checked>()?;
                content.unit_variant().map(|()| Event)
            }
        }
        impl<'de> Deserialize<'de> for Event {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_enum("Event", &["A", "B"], EventVisitor)
            }
        }
        let shape = Shape::of::<Event>().unwrap();
        assert_ne!(shape.variant("A"), shape.variant("B"));
    }

    #[test]
    fn names_that_cannot_be_stored_are_refused() {
        #[derive(Deserialize)]
        enum Event {
            #[serde(rename = "$gap")]
            Reserved,
        }
        assert_eq!(*Shape::of::<Event>().err().unwrap().kind(), ErrorKind::InvalidName);
    }

    #[test]
    fn wrappers_that_json_does_not_show_are_seen_through() {
        #[derive(Deserialize)]
        enum Event {
            A,
        }
        #[derive(Deserialize)]
        struct Wrapped(Event);
        assert!(Shape::of::<Wrapped>().unwrap().reads("A"));
        assert!(Shape::of::<Box<Event>>().unwrap().reads("A"));
    }

    #[test]
    fn the_content_of_a_variant_is_revealed() {
        #[derive(Deserialize)]
        struct Plain {
            cents: u64,
        }
        #[derive(Deserialize)]
        enum Event {
            Unit,
            Struct { a: u64, b: Option<u64> },
            Newtype(Plain),
            Number(u64),
            Tuple(u64, u64),
        }
        let shape = Shape::of::<Event>().unwrap();
        let contents: Vec<_> = shape.names().iter().map(|name| name.content.clone()).collect();
        assert_eq!(
            contents,
            [
                Content::Unit,
                Content::Fields(&["a", "b"]),
                Content::Fields(&["cents"]),
                Content::Value,
                Content::Items(2)
            ]
        );
    }

    #[test]
    fn the_fields_of_a_struct_are_revealed() {
        #[derive(Deserialize)]
        struct State {
            cents: u64,
            closed: bool,
        }
        assert_eq!(field_names::<State>(), ["cents", "closed"]);
        assert!(field_names::<u64>().is_empty());
    }
}
