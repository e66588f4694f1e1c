//! How an aggregate's id becomes part of a stream's name, and comes back.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use crate::id::InvalidName;

/// What identifies one aggregate among those of its type.
///
/// Implemented for `str` and for every type that is `Display + FromStr + Clone + PartialEq` (a UUID, a number, a newtype
/// of the domain). An id has to survive being written and parsed: one that comes back as another is refused when it is
/// used.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot identify an aggregate",
    note = "use `str`, or a type that implements `Display`, `FromStr`, `Clone` and `PartialEq` and is `Send + Sync + 'static`"
)]
pub trait AggregateId: ToOwned + PartialEq + Send + Sync + 'static {
    /// The id as the second part of a stream's name.
    fn to_key(&self) -> Cow<'_, str>;

    /// The id that a stream's name tells.
    fn from_key(key: &str) -> Result<Cow<'_, Self>, InvalidName>;
}

impl AggregateId for str {
    fn to_key(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }

    fn from_key(key: &str) -> Result<Cow<'_, str>, InvalidName> {
        Ok(Cow::Borrowed(key))
    }
}

impl<T> AggregateId for T
where
    T: Display + FromStr<Err: Display> + Clone + PartialEq + Send + Sync + 'static,
{
    fn to_key(&self) -> Cow<'_, str> {
        Cow::Owned(self.to_string())
    }

    fn from_key(key: &str) -> Result<Cow<'_, T>, InvalidName> {
        match key.parse() {
            Ok(id) => Ok(Cow::Owned(id)),
            Err(reason) => Err(InvalidName::unparsable_key(key, reason)),
        }
    }
}
