//! Validated names.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a name was refused.
///
/// ```
/// use annals::id::Category;
///
/// let refused = Category::new("bank/account").unwrap_err();
/// assert_eq!(refused.to_string(), "category \"bank/account\" contains '/', which is not allowed here");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {}", .fault.describe(.name))]
pub struct InvalidName {
    what: &'static str,
    name: String,
    fault: Fault,
}

impl InvalidName {
    /// The name that was refused, cut after its first 80 characters.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn new(what: &'static str, name: &str, fault: Fault) -> Self {
        let name = name.chars().take(80).collect();
        Self { what, name, fault }
    }

    /// The key of an aggregate does not parse back into the aggregate's id.
    pub(crate) fn unparsable_key(key: &str, reason: impl fmt::Display) -> Self {
        Self::new("aggregate id", key, Fault::Unparsable(reason.to_string()))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    Empty,
    TooLong { bytes: usize, limit: usize },
    Character(char),
    Reserved,
    NoSeparator,
    Unparsable(String),
}

impl Fault {
    fn describe(&self, name: &str) -> String {
        match self {
            Self::Empty => "is empty".to_owned(),
            Self::TooLong { bytes, limit } => {
                format!("is {bytes} bytes long, at most {limit} are allowed")
            }
            Self::Character(c) if c.is_control() || is_direction_mark(*c) => {
                format!("{name:?} contains U+{:04X}, which is not allowed", *c as u32)
            }
            Self::Character(c) => {
                format!("{name:?} contains {c:?}, which is not allowed here")
            }
            Self::Reserved => {
                format!("{name:?} starts with '$', which is reserved for annals itself")
            }
            Self::NoSeparator => format!("{name:?} has no '/' between category and id"),
            Self::Unparsable(reason) => format!("{name:?} cannot be read back: {reason}"),
        }
    }
}

/// Characters that reorder their neighbours when shown, or break the line, so that one name can pass for another.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The rules that all names share: not empty, bounded, no control or direction characters.
pub(super) fn check(what: &'static str, name: &str, limit: usize) -> Result<(), InvalidName> {
    let refuse = |fault| Err(InvalidName::new(what, name, fault));
    if name.is_empty() {
        return refuse(Fault::Empty);
    }
    if name.len() > limit {
        return refuse(Fault::TooLong { bytes: name.len(), limit });
    }
    match name.chars().find(|c| c.is_control() || is_direction_mark(*c)) {
        Some(c) => refuse(Fault::Character(c)),
        None => Ok(()),
    }
}

fn check_unreserved(what: &'static str, name: &str, limit: usize) -> Result<(), InvalidName> {
    check(what, name, limit)?;
    if name.starts_with('$') {
        return Err(InvalidName::new(what, name, Fault::Reserved));
    }
    Ok(())
}

/// What every type shows and takes that holds a text in its first field, checked when it is parsed.
macro_rules! text {
    ($type:ident) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $type {
            fn eq(&self, other: &str) -> bool {
                &*self.0 == other
            }
        }

        impl PartialEq<&str> for $type {
            fn eq(&self, other: &&str) -> bool {
                &*self.0 == *other
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(super) use text;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $limit:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        text!($type);

        impl $type {
            /// The longest name allowed, in bytes.
            pub const BYTES_MAX: usize = $limit;

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(name: &str) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }
    };
}

name! {
    /// What kind of thing a stream is about: the part of a [`StreamId`](super::StreamId) before the `/`.
    ///
    /// For an aggregate it is [`Aggregate::TYPE`](crate::Aggregate::TYPE).
    Category, "category", 128
}

impl Category {
    /// Checks a category's name: no `/`, no `$` at its start, and what holds for every name
    /// (not empty, bounded, no control or direction characters).
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        let name = name.as_ref();
        check_unreserved("category", name, Self::BYTES_MAX)?;
        if name.contains('/') {
            return Err(InvalidName::new("category", name, Fault::Character('/')));
        }
        Ok(Self(name.into()))
    }

    /// Whether the stream of this name is of the category.
    #[inline]
    pub(crate) fn has(&self, stream: &[u8]) -> bool {
        let rest = stream.strip_prefix(self.0.as_bytes());
        rest.is_some_and(|rest| rest.starts_with(b"/"))
    }

    /// A category that annals keeps for itself.
    pub(crate) fn reserved(name: &'static str) -> Self {
        Self(name.into())
    }
}

name! {
    /// What happened, as a name: `Deposited`.
    EventType, "event type", 256
}

impl EventType {
    /// Checks an event type's name: no `$` at its start, and what holds for every name.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        let name = name.as_ref();
        check_unreserved("event type", name, Self::BYTES_MAX)?;
        Ok(Self(name.into()))
    }

    /// A type as a store has kept it: it may also be one that annals reserves for itself.
    pub(crate) fn stored(name: &str) -> Result<Self, InvalidName> {
        check("event type", name, Self::BYTES_MAX)?;
        Ok(Self(name.into()))
    }

    /// A name that an `EventType` has held before.
    pub(crate) fn already_checked(name: &str) -> Self {
        Self(name.into())
    }
}

name! {
    /// A label under which an event can be found, whatever its stream: `email:ann@example.org`.
    Tag, "tag", 512
}

impl Tag {
    /// Checks a tag: no `$` at its start, and what holds for every name.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        let name = name.as_ref();
        check_unreserved("tag", name, Self::BYTES_MAX)?;
        Ok(Self(name.into()))
    }

    /// A tag as a store has kept it. For those who implement a store: it may also be one that annals reserves for itself.
    pub fn stored(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        let name = name.as_ref();
        check("tag", name, Self::BYTES_MAX)?;
        Ok(Self(name.into()))
    }

    /// The reserved tag that marks the events of a command which is to be carried out once.
    pub(crate) fn once(key: &str) -> Result<Self, InvalidName> {
        check("once key", key, 256)?;
        Ok(Self(format!("$once:{key}").into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_hide_or_reorder_text_are_refused() {
        for bad in ["a\0b", "a\nb", "a\u{7f}", "a\u{85}", "\u{202E}evil", "a\u{2066}", "a\u{2028}b"]
        {
            assert!(Tag::new(bad).is_err(), "{bad:?}");
            assert!(Category::new(bad).is_err(), "{bad:?}");
            assert!(EventType::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            Tag::new("a\u{202E}b").unwrap_err().to_string(),
            "tag \"a\\u{202e}b\" contains U+202E, which is not allowed"
        );
    }

    #[test]
    fn lengths_are_counted_in_bytes() {
        assert!(Category::new("é".repeat(64)).is_ok());
        assert_eq!(
            Category::new("é".repeat(65)).unwrap_err().to_string(),
            "category is 130 bytes long, at most 128 are allowed"
        );
        assert_eq!(Category::new("").unwrap_err().to_string(), "category is empty");
    }

    #[test]
    fn the_reserved_prefix_cannot_be_forged() {
        assert!(Tag::new("$once:1").is_err());
        assert_eq!(Tag::once("1").unwrap(), "$once:1");
        assert!(serde_json::from_str::<Tag>("\"$once:1\"").is_err());
    }
}
