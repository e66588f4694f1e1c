//! Names and identities: what streams, events, tags and correlations are called.
//!
//! Every name is checked once, when it is made. Code that holds a [`StreamId`], a [`Category`], an
//! [`EventType`] or a [`Tag`] never checks it again, and no store has to.

mod name;
mod stream;
mod unique;

pub use name::{Category, EventType, InvalidName, Tag};
pub use stream::{StreamId, StreamRef};
pub use unique::{CorrelationId, EventId, FreshEventIds};
