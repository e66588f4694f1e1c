//! Carrying out one command.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::answer::ExecuteError;
use super::binding::Binding;
use super::loaded::{Loaded, Outcome};
use super::retry::Retries;
use super::stage::Stage;
use crate::aggregate::{Aggregate, AggregateId, Occasion};
use crate::at::At;
use crate::clock::to_micros;
use crate::error::Error;
use crate::event::Metadata;
use crate::id::{StreamId, Tag};
use crate::position::{Position, Version};
use crate::store::{
    AppendError, Batches, Clause, Commit, Expected, Filter, Query, judge_requirements,
};
use crate::subscription::ReadModel;
use crate::trace;

/// A command on its way to an aggregate; made by [`Repository::to`](super::Repository::to). The options combine.
#[must_use = "nothing happens before `execute`"]
pub struct Execution<'r, A: Aggregate> {
    binding: &'r Binding<A>,
    id: &'r A::Id,
    at: Option<Version>,
    once: Option<String>,
    metadata: Metadata,
    retries: u32,
    /// Who is to have seen the events before the answer is given.
    awaits: Option<(&'r dyn ReadModel, Duration)>,
    /// Guards and conditions.
    commit: Commit,
}

impl<'r, A: Aggregate> Execution<'r, A> {
    pub(super) fn new(binding: &'r Binding<A>, id: &'r A::Id) -> Self {
        let (metadata, retries, commit) = (Metadata::new(), Retries::DEFAULT, Commit::new());
        Self { binding, id, at: None, once: None, metadata, retries, awaits: None, commit }
    }

    /// Only if the aggregate is still at this version, as it was when somebody looked at it; otherwise the answer is a
    /// conflict. Such a decision is not taken again.
    pub fn at(mut self, version: Version) -> Self {
        self.at = Some(version);
        self
    }

    /// Only once for this aggregate under this key (of up to 256 bytes), however often it is repeated, by whomever.
    ///
    /// The first time, the key is stored with the events. Every further time the answer is that of the first: its
    /// events, and the version, position and state after them, marked as [repeated](super::Outcome::repeated), even if
    /// another command comes under the key. A refusal and an empty decision store nothing; such a command is decided
    /// afresh when it is repeated.
    pub fn once(mut self, key: impl Into<String>) -> Self {
        self.once = Some(key.into());
        self
    }

    /// What is known about the command: who gives it, what it belongs to, what caused it. Without a correlation id, it
    /// starts a new one.
    pub fn with(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// How often the decision is taken again at most when others write to the aggregate in between; 100 times
    /// unless said otherwise.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Only if no event after this position matches the filter, anywhere in the store.
    pub fn require_none(mut self, filter: impl Into<Filter>, after: Position) -> Self {
        self.commit = self.commit.require_none(filter, after);
        self
    }

    /// Only if another stream is as expected.
    pub fn guard(mut self, stream: StreamId, expected: Expected) -> Self {
        self.commit = self.commit.guard(stream, expected);
        self
    }

    /// Gives the answer once this read model has seen what the command wrote, so that whoever has the answer reads their own write; but
    /// after this time in any case. The events are written then, whatever became of the waiting:
    /// [`Outcome::awaited`](super::Outcome::awaited) tells.
    pub fn wait_for(mut self, read_model: &'r dyn ReadModel, timeout: Duration) -> Self {
        self.awaits = Some((read_model, timeout));
        self
    }

    /// Loads the aggregate, lets it decide, and writes what it decides.
    pub fn execute(mut self, command: A::Command) -> Result<Outcome<A>, ExecuteError<A::Error>> {
        let mut outcome = self.carry_out(command)?;
        if let Some((read_model, timeout)) = self.awaits {
            outcome.not_awaited = read_model.wait_for(outcome.position(), timeout).err();
        }
        Ok(outcome)
    }

    fn carry_out(&mut self, command: A::Command) -> Result<Outcome<A>, ExecuteError<A::Error>> {
        let stream = self.binding.stream(self.id)?;
        let mark = self.once.as_deref().map(Tag::once).transpose().map_err(Error::from)?;
        let metadata = Arc::new(std::mem::take(&mut self.metadata).correlated());
        let span = trace::span!(
            "execute",
            %stream,
            correlation = metadata.correlation().map(tracing::field::display),
            version = tracing::field::Empty,
            position = tracing::field::Empty,
            events = tracing::field::Empty,
            repeated = tracing::field::Empty,
        );
        let retries = if self.at.is_some() { 0 } else { self.retries };
        let mut retries = Retries::new(&self.binding.backing.turns, retries);
        if self.binding.cache.is_some() {
            // One after the other, each on what the one before has left in the cache.
            retries.take_turn(&stream);
        } else {
            retries.queue_for(&stream);
        }
        // What is at hand is good enough to begin with: what is decided on it is written only if nothing has come since.
        let mut at_hand = self.at.is_none().then(|| self.binding.at_hand(&stream)).flatten();
        loop {
            let seen = at_hand.as_ref().map(Loaded::version);
            let loaded = at_hand.take().map_or_else(|| self.binding.load(&stream), Ok)?;
            let answer = self.attempt(&stream, loaded, command.clone(), &metadata, mark.as_ref());
            if let Some(seen) = seen
                && self.is_outdated(&answer, &stream, seen)?
            {
                continue;
            }
            match answer {
                Err(ExecuteError::Conflict(conflict)) => {
                    if let Err(conflict) = retries.again_after(conflict) {
                        let first = self.first_time(&stream, mark.as_ref())?;
                        return first.ok_or(ExecuteError::Conflict(conflict));
                    }
                }
                answer => {
                    if let Ok(outcome) = &answer {
                        span.record("version", outcome.version().get());
                        span.record("position", outcome.position().get());
                        span.record("events", outcome.events.len() as u64);
                        span.record("repeated", outcome.repeated);
                    }
                    return answer;
                }
            }
        }
    }

    /// Whether this was answered of a state at this version although there is a newer one.
    fn is_outdated(
        &self,
        answer: &Result<Outcome<A>, ExecuteError<A::Error>>,
        stream: &StreamId,
        seen: Version,
    ) -> Result<bool, Error> {
        match answer {
            Ok(outcome) if outcome.repeated || !outcome.events.is_empty() => Ok(false),
            Err(ExecuteError::Conflict(_)) => Ok(true),
            Err(ExecuteError::Store(_)) => Ok(false),
            // Nothing was written, so nothing has shown whether something has come since.
            Ok(_) | Err(ExecuteError::Refused(_)) => {
                Ok(self.binding.backing.store.version(stream)? != seen)
            }
        }
    }

    fn attempt(
        &self,
        stream: &StreamId,
        loaded: Loaded<A>,
        command: A::Command,
        metadata: &Arc<Metadata>,
        mark: Option<&Tag>,
    ) -> Result<Outcome<A>, ExecuteError<A::Error>> {
        let mut stage = Stage::of(stream.clone(), loaded);
        // After the load, so that the decision never sees the events of its own first time without knowing them; who
        // writes under the same key from now on changes the version that the write expects.
        if let Some(first) = self.first_time(stream, mark)? {
            return Ok(first);
        }
        let expected = self.at.map_or(Expected::Any, Expected::Exactly);
        expected.check(stream, stage.stored_version())?;
        let now = to_micros(self.binding.backing.clock.now());
        let occasion = Occasion { now, metadata: Arc::clone(metadata) };
        stage.decide(self.binding, self.id, command, &occasion, mark)?;
        if stage.is_empty() {
            judge_requirements(&self.binding.backing.store, &self.commit)?;
            return Ok(stage.into_outcome(Vec::new(), &occasion));
        }
        let last = stage.len() - 1;
        let commit = stage.add_to(self.commit.clone())?;
        let appended = self.binding.backing.store.append(commit).map_err(|error| match error {
            AppendError::Store(error) if error.stream().is_none() => {
                AppendError::Store(error.in_stream(stream.clone()))
            }
            error => error,
        })?;
        stage.written(self.binding, &appended, last)?;
        self.binding.keep(stream, stage.loaded());
        Ok(stage.into_outcome(appended.ids, &occasion))
    }

    /// The outcome of the command's first time, if it was carried out under this mark before.
    fn first_time(
        &self,
        stream: &StreamId,
        mark: Option<&Tag>,
    ) -> Result<Option<Outcome<A>>, Error> {
        let Some(mark) = mark else { return Ok(None) };
        let (mut events, mut ids, mut last) = (Vec::new(), Vec::new(), None);
        let marked = Query::new(Clause::new().stream(stream.clone()).tag(mark.clone()));
        for batch in Batches::new(&self.binding.backing.store, marked) {
            for stored in batch?.iter() {
                ids.push(stored.event_id());
                last = Some((stored.version(), stored.correlation()));
                self.binding.codec.decode(&stored)?.for_each(|event| events.push(event));
            }
        }
        let Some((version, correlation)) = last else { return Ok(None) };
        let loaded = self.binding.load_at(stream, At::Version(version))?;
        Ok(Some(Outcome { loaded, events, ids, correlation, repeated: true, not_awaited: None }))
    }
}

impl<A: Aggregate> fmt::Debug for Execution<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execution")
            .field("id", &self.id.to_key())
            .field("at", &self.at)
            .field("once", &self.once)
            .field("metadata", &self.metadata)
            .field("retries", &self.retries)
            .field("commit", &self.commit)
            .finish_non_exhaustive()
    }
}
