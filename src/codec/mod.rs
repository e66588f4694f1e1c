//! Between the domain's event type and what is stored: names, payloads, and the history of both.
//!
//! An aggregate's event type is an enum in serde's default (externally tagged) form. The name of a variant becomes
//! the stored event type and its content the payload: `Event::Deposited { cents: 5 }` is stored as the type
//! `Deposited` and the payload `{"cents":5}`. `rename`, `rename_all` and `alias` work as everywhere in serde.
//! Names that changed and shapes that grew are brought up to date by [`Upcasters`] whenever events are read.

mod shape;
mod upcasters;
mod chains;
mod event_codec;

pub(crate) use event_codec::{Decoded, EventCodec};
pub(crate) use shape::{Content, Name, field_names};
pub use upcasters::{Target, Upcasted, Upcasters};
