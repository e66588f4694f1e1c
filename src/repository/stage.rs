//! A decision and what it brings about, before it is written.

use std::sync::Arc;

use super::answer::ExecuteError;
use super::binding::Binding;
use super::loaded::{Loaded, Outcome, Tip};
use crate::aggregate::{Aggregate, Context, Occasion};
use crate::error::{Error, ErrorKind};
use crate::event::NewEvent;
use crate::id::{EventId, StreamId, Tag};
use crate::position::Version;
use crate::store::{Appended, Commit, Expected};

/// An aggregate with events that were decided on and not yet written.
pub(crate) struct Stage<A: Aggregate> {
    stream: StreamId,
    /// The state with the new events applied; its tip is still the last event in the store.
    loaded: Loaded<A>,
    /// The new events, as they will be read back.
    events: Vec<A::Event>,
    /// The same events, as they will be written.
    writes: Vec<NewEvent>,
    /// A fold panicked, and left a state that means nothing.
    is_torn: bool,
}

impl<A: Aggregate> Stage<A> {
    /// The aggregate as it was loaded.
    pub(crate) fn of(stream: StreamId, loaded: Loaded<A>) -> Self {
        Self { stream, loaded, events: Vec::new(), writes: Vec::new(), is_torn: false }
    }

    /// The version of the aggregate in the store.
    pub(crate) fn stored_version(&self) -> Version {
        self.loaded.version()
    }

    /// The version of the aggregate once the new events are written.
    pub(crate) fn version(&self) -> Version {
        Version::new(self.stored_version().get() + self.events.len() as u64)
    }

    /// The aggregate with the new events applied.
    pub(super) fn loaded(&self) -> &Loaded<A> {
        &self.loaded
    }

    pub(crate) fn state(&self) -> &A {
        &self.loaded.state
    }

    /// Whether there is anything to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// How many events there are to write.
    pub(crate) fn len(&self) -> usize {
        self.writes.len()
    }

    /// Lets the aggregate decide, and applies what it decides.
    ///
    /// Each event is applied in the form in which it will be read back, and before it is written: an event that
    /// cannot be read, or that the fold cannot take, never reaches the log.
    pub(crate) fn decide(
        &mut self,
        binding: &Binding<A>,
        id: &A::Id,
        command: A::Command,
        occasion: &Occasion,
        mark: Option<&Tag>,
    ) -> Result<(), ExecuteError<A::Error>> {
        let version = self.version();
        let context = Context::new(id, version, &*binding.services, occasion);
        let decided = self.loaded.state.handle(command, &context).map_err(ExecuteError::Refused)?;
        let prepare = |event| self.prepare(binding, occasion, mark, &event);
        let prepared = decided.into_iter().map(prepare).collect::<Result<Vec<_>, Error>>()?;
        self.check_whole()?;
        self.is_torn = true;
        for (write, event) in prepared {
            self.loaded.state.apply(&event);
            self.events.push(event);
            self.writes.push(write);
        }
        self.is_torn = false;
        Ok(())
    }

    /// Refuses to go on after a panic that somebody caught.
    fn check_whole(&self) -> Result<(), Error> {
        if self.is_torn {
            let fault = "a fold has panicked, and its events must not be written";
            return Err(Error::new(ErrorKind::InvalidCommit)
                .detail(fault)
                .in_stream(self.stream.clone()));
        }
        Ok(())
    }

    /// What is to be written for an event, and the event as it will be read back.
    fn prepare(
        &self,
        binding: &Binding<A>,
        occasion: &Occasion,
        mark: Option<&Tag>,
        event: &A::Event,
    ) -> Result<(NewEvent, A::Event), Error> {
        let in_stream = |error: Error| error.in_stream(self.stream.clone());
        let encoding = binding.backing.store.identity().encoding;
        let (write, event) = binding.codec.encode(encoding, event).map_err(in_stream)?;
        let mut tags = A::tags(&event).map_err(|source| in_stream(source.into()))?;
        if let Some(mark) = mark {
            tags = tags.with(mark);
        }
        Ok((write.with_metadata(Arc::clone(&occasion.metadata)).with_tags(tags), event))
    }

    /// Adds what was decided to a commit; or, where nothing was, requires that what was seen still holds.
    pub(crate) fn add_to(&mut self, commit: Commit) -> Result<Commit, Error> {
        self.check_whole()?;
        let (stream, expected) = (self.stream.clone(), Expected::Exactly(self.stored_version()));
        if self.is_empty() {
            return Ok(commit.guard(stream, expected));
        }
        Ok(commit.write(stream, expected, std::mem::take(&mut self.writes)))
    }

    /// Takes note that the events were written, the last of them as the commit's `last`th, counted from 0.
    pub(crate) fn written(
        &mut self,
        binding: &Binding<A>,
        appended: &Appended,
        last: usize,
    ) -> Result<(), Error> {
        let (Some(event_id), Some(position)) =
            (appended.ids.get(last), appended.first.checked_add(last as u64))
        else {
            let fault = "its answer to a commit names fewer events than were written";
            return Err(Error::new(ErrorKind::Store).detail(fault).in_stream(self.stream.clone()));
        };
        let version = self.version();
        self.loaded.tip =
            Some(Tip { version, position, event_id: *event_id, recorded_at: appended.recorded_at });
        binding.snapshot_if_due(&self.stream, &mut self.loaded);
        Ok(())
    }

    /// After what was decided is [written](Self::written): nothing is decided yet.
    pub(crate) fn begin_again(&mut self) {
        self.events.clear();
    }

    pub(super) fn into_outcome(self, ids: Vec<EventId>, occasion: &Occasion) -> Outcome<A> {
        let correlation = occasion.metadata.correlation();
        let (loaded, events) = (self.loaded, self.events);
        Outcome { loaded, events, ids, correlation, repeated: false, not_awaited: None }
    }
}
