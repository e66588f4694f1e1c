//! A set of tags.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{InvalidName, Tag};

/// The tags of an event: a set, kept sorted.
///
/// ```
/// use annals::Tags;
///
/// let tags = Tags::of(["email:ann@example.org", "plan:basic"])?;
/// assert_eq!(tags.iter().collect::<Vec<_>>(), ["email:ann@example.org", "plan:basic"]);
/// # Ok::<(), annals::id::InvalidName>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Tags {
    /// The sorted tags, joined by [`SEPARATOR`]; no tag contains it.
    joined: String,
}

/// Stands between tags; a control character, so no valid tag contains it.
const SEPARATOR: char = '\n';

impl Tags {
    /// No tags.
    #[must_use]
    pub const fn none() -> Self {
        Self { joined: String::new() }
    }

    /// The tags with these names.
    pub fn of<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Result<Self, InvalidName> {
        names.into_iter().map(Tag::new).collect()
    }

    /// The same tags and one more.
    #[must_use]
    pub fn with(self, tag: &Tag) -> Self {
        if self.contains(tag) {
            return self;
        }
        Self::join(self.iter().chain([tag.as_str()]).collect())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.joined.is_empty()
    }

    /// Whether this tag is among them.
    #[must_use]
    pub fn contains(&self, tag: &Tag) -> bool {
        contains(&self.joined, tag)
    }

    /// The tags' names, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        iter(&self.joined)
    }

    fn join(mut names: Vec<&str>) -> Self {
        names.sort_unstable();
        names.dedup();
        Self { joined: names.join("\n") }
    }

    pub(super) fn joined(&self) -> &str {
        &self.joined
    }
}

impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Tag>::deserialize(deserializer)?.into_iter().collect())
    }
}

impl From<Tag> for Tags {
    fn from(tag: Tag) -> Self {
        Self { joined: tag.as_str().to_owned() }
    }
}

impl FromIterator<Tag> for Tags {
    fn from_iter<I: IntoIterator<Item = Tag>>(tags: I) -> Self {
        let tags: Vec<Tag> = tags.into_iter().collect();
        Self::join(tags.iter().map(Tag::as_str).collect())
    }
}

pub(super) fn iter(joined: &str) -> impl Iterator<Item = &str> {
    let names = (!joined.is_empty()).then(|| joined.split(SEPARATOR));
    names.into_iter().flatten()
}

pub(super) fn contains(joined: &str, tag: &Tag) -> bool {
    iter(joined).any(|name| name == tag.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_a_sorted_set() {
        let tags = Tags::of(["b", "a", "b"]).unwrap();
        assert_eq!(tags, Tags::of(["a", "b"]).unwrap());
        assert_eq!(tags.clone().with(&Tag::new("a").unwrap()), tags);
        assert_eq!(tags.with(&Tag::new("0").unwrap()), Tags::of(["0", "a", "b"]).unwrap());
        assert!(Tags::none().iter().next().is_none());
        assert!(Tags::of(["a\nb"]).is_err());
        let json = serde_json::to_string(&Tags::of(["b", "a"]).unwrap()).unwrap();
        assert_eq!(json, r#"["a","b"]"#);
        assert_eq!(serde_json::from_str::<Tags>(&json).unwrap(), Tags::of(["b", "a"]).unwrap());
    }

    #[test]
    fn a_part_of_a_tag_is_not_the_tag() {
        let tags = Tags::of(["email:ann", "x"]).unwrap();
        assert!(!tags.contains(&Tag::new("email").unwrap()));
        assert!(!tags.contains(&Tag::new("ann").unwrap()));
    }
}
