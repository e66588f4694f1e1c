//! A recorded event with its meaning.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use super::aggregate_id::AggregateId;
use super::domain::Aggregate;
use crate::codec::{Decoded, EventCodec};
use crate::error::{Error, ErrorKind};
use crate::event::RecordedEvent;
use crate::position::Version;

/// An event of an aggregate as it means today, in the envelope in which it was recorded.
///
/// It derefs to the [`RecordedEvent`] it was read from, which tells version, position, times, metadata and tags.
/// Reading borrows; [`into_owned`](Self::into_owned) makes one to keep.
pub struct Recorded<'a, A: Aggregate> {
    stored: RecordedEvent<'a>,
    id: Cow<'a, A::Id>,
    ordinal: u32,
    /// The name of today, where upcasting gave it one.
    renamed: Option<String>,
    event: A::Event,
}

impl<'a, A: Aggregate> Recorded<'a, A> {
    /// Hands each event that a stored one means today to `each`.
    #[inline]
    pub(crate) fn read(
        codec: &EventCodec<A::Event>,
        stored: RecordedEvent<'a>,
        each: impl FnMut(Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        Self::read_by(|stored| codec.decode(stored), stored, each)
    }

    /// As [`read`](Self::read), with whatever says what the event means.
    #[inline]
    pub(crate) fn read_by(
        decode: impl FnOnce(&RecordedEvent<'a>) -> Result<Decoded<A::Event>, Error>,
        stored: RecordedEvent<'a>,
        mut each: impl FnMut(Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if stored.is_gap() {
            return Err(missing(stored.version(), stored.version(), &stored));
        }
        let id = id_of::<A>(&stored)?;
        match decode(&stored)? {
            Decoded::Current(event) => each(Self { stored, id, ordinal: 0, renamed: None, event }),
            Decoded::Upcast(events) => {
                (0..).zip(events).try_for_each(|(ordinal, (name, event))| {
                    let (stored, id) = (stored.clone(), id.clone());
                    each(Self { stored, id, ordinal, renamed: Some(name), event })
                })
            }
        }
    }

    /// What happened.
    #[must_use]
    pub fn event(&self) -> &A::Event {
        &self.event
    }

    /// What happened, without the envelope.
    #[must_use]
    pub fn into_event(self) -> A::Event {
        self.event
    }

    /// What happened, under the name it has today. The name that was stored is that of the [`stored`](Self::stored)
    /// event.
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.renamed.as_deref().unwrap_or_else(|| self.stored.event_type())
    }

    /// The event exactly as it was recorded.
    #[must_use]
    pub fn stored(&self) -> &RecordedEvent<'a> {
        &self.stored
    }

    /// To which aggregate it happened.
    #[must_use]
    pub fn id(&self) -> &A::Id {
        &self.id
    }

    /// Which of the events that an upcaster split a stored one into, from 0. They share version and position.
    #[must_use]
    pub fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// An event that borrows from nothing.
    #[must_use]
    pub fn into_owned(self) -> Recorded<'static, A> {
        Recorded {
            stored: self.stored.into_owned(),
            id: Cow::Owned(self.id.into_owned()),
            ordinal: self.ordinal,
            renamed: self.renamed,
            event: self.event,
        }
    }
}

/// The error that says that events are missing from this version up to one, where that is found out.
pub(crate) fn missing(from: Version, to: Version, at: &RecordedEvent<'_>) -> Error {
    Error::new(ErrorKind::MissingEvents { from, to })
        .in_stream(at.stream().to_stream_id())
        .at_position(at.position())
}

/// The id in the name of the event's stream.
#[inline]
pub(crate) fn id_of<'a, A: Aggregate>(stored: &RecordedEvent<'a>) -> Result<Cow<'a, A::Id>, Error> {
    let parsed = match stored.key() {
        Cow::Borrowed(key) => A::Id::from_key(key),
        Cow::Owned(key) => A::Id::from_key(&key).map(|id| Cow::Owned(id.into_owned())),
    };
    parsed.map_err(|source| {
        Error::new(ErrorKind::AggregateId)
            .in_stream(stored.stream().to_stream_id())
            .at_position(stored.position())
            .caused_by(source)
    })
}

impl<'a, A: Aggregate> Deref for Recorded<'a, A> {
    type Target = RecordedEvent<'a>;

    fn deref(&self) -> &RecordedEvent<'a> {
        &self.stored
    }
}

impl<A: Aggregate<Event: fmt::Debug>> fmt::Debug for Recorded<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded")
            .field("event", &self.event)
            .field("ordinal", &self.ordinal)
            .field("stored", &self.stored)
            .finish()
    }
}
