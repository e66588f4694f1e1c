//! The identity of a stream.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::name::{Category, Fault, InvalidName, check, text};

/// The identity of a stream: a category and an id, shown `account/alice`.
///
/// The first `/` separates the two, so an id may contain further ones. Two ids are the same when their bytes
/// are. A stream id never becomes part of a file's path. Cloning is cheap.
///
/// ```
/// use annals::StreamId;
///
/// let alice: StreamId = "account/alice".parse()?;
/// assert_eq!(alice.category(), "account");
/// assert_eq!(alice.id(), "alice");
/// # Ok::<(), annals::id::InvalidName>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(
    /// `category/id`, both parts checked.
    Arc<str>,
);

text!(StreamId);

impl StreamId {
    /// The longest id (the part after the `/`) allowed, in bytes.
    pub const ID_BYTES_MAX: usize = 512;

    /// The stream of one thing in a category. The id is checked: not empty, bounded, no control or direction
    /// characters.
    pub fn new(category: &Category, id: impl AsRef<str>) -> Result<Self, InvalidName> {
        let id = id.as_ref();
        check("stream id", id, Self::ID_BYTES_MAX)?;
        Ok(Self(format!("{category}/{id}").into()))
    }

    /// A stream as a store has kept it: its category may also be one that annals reserves for itself.
    pub(crate) fn stored(text: &str) -> Result<Self, InvalidName> {
        let Some((category, id)) = text.split_once('/') else {
            return Err(InvalidName::new("stream", text, Fault::NoSeparator));
        };
        check("category", category, Category::BYTES_MAX)?;
        check("stream id", id, Self::ID_BYTES_MAX)?;
        Ok(Self(text.into()))
    }

    /// What kind of thing the stream is about.
    #[must_use]
    pub fn category(&self) -> &str {
        self.to_ref().category()
    }

    /// Which one of its kind the stream is about.
    #[must_use]
    pub fn id(&self) -> &str {
        self.to_ref().id()
    }

    /// The whole identity as text: `category/id`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same identity, borrowed.
    #[must_use]
    pub fn to_ref(&self) -> StreamRef<'_> {
        StreamRef { text: &self.0 }
    }
}

/// A borrowed [`StreamId`], as a recorded event shows it without allocating.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamRef<'a> {
    /// As in [`StreamId`].
    text: &'a str,
}

impl<'a> StreamRef<'a> {
    /// Text that a [`StreamId`] holds, or has held.
    #[inline]
    pub(crate) fn already_checked(text: &'a str) -> Self {
        Self { text }
    }

    /// What kind of thing the stream is about.
    #[must_use]
    #[inline]
    pub fn category(self) -> &'a str {
        self.text.split_once('/').map_or(self.text, |(category, _)| category)
    }

    /// Which one of its kind the stream is about.
    #[must_use]
    #[inline]
    pub fn id(self) -> &'a str {
        self.text.split_once('/').map_or("", |(_, id)| id)
    }

    /// Whether the stream is of this category.
    #[must_use]
    #[inline]
    pub fn is_in(self, category: &Category) -> bool {
        category.has(self.text.as_bytes())
    }

    /// The whole identity as text: `category/id`.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.text
    }

    /// An owned copy.
    #[must_use]
    pub fn to_stream_id(self) -> StreamId {
        StreamId(self.text.into())
    }
}

impl fmt::Display for StreamRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text)
    }
}

impl fmt::Debug for StreamRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.text, f)
    }
}

impl PartialEq<StreamId> for StreamRef<'_> {
    fn eq(&self, other: &StreamId) -> bool {
        *self == other.to_ref()
    }
}

impl PartialEq<StreamRef<'_>> for StreamId {
    fn eq(&self, other: &StreamRef<'_>) -> bool {
        self.to_ref() == *other
    }
}

impl FromStr for StreamId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let stream = Self::stored(text)?;
        Category::new(stream.category())?;
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_slash_separates() {
        let stream: StreamId = "file/a/b".parse().unwrap();
        assert_eq!((stream.category(), stream.id()), ("file", "a/b"));
        assert_eq!(stream.to_ref().to_stream_id(), stream);
        assert!("file".parse::<StreamId>().is_err());
        assert!("file/".parse::<StreamId>().is_err());
        assert!("/a".parse::<StreamId>().is_err());
    }

    #[test]
    fn the_longest_id_is_512_bytes() {
        let files = Category::new("file").unwrap();
        assert!(StreamId::new(&files, "x".repeat(512)).is_ok());
        assert!(StreamId::new(&files, "x".repeat(513)).is_err());
        assert!(StreamId::new(&files, "\u{1}").is_err());
    }
}
