//! Reading the events of an aggregate type with their meaning.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU64;

use chrono::{DateTime, Utc};

use super::binding::Binding;
use crate::aggregate::{Aggregate, Recorded, id_of, missing};
use crate::clock::to_micros;
use crate::error::Error;
use crate::event::{Batch, GAP, RecordedEvent};
use crate::id::{CorrelationId, StreamId, Tag};
use crate::position::{Position, Version};
use crate::store::{Batches, Clause, Direction, Events, Filter, Query};

/// Which events of an aggregate type to read; made by [`Repository::history`](super::Repository::history) and
/// [`Repository::events`](super::Repository::events). The restrictions combine.
///
/// Types are named as they are called today. Whatever older names and shapes can turn into them is found too.
#[must_use = "nothing is read before `read`"]
pub struct History<'r, A: Aggregate> {
    binding: &'r Binding<A>,
    /// The one stream that is meant, or all of the category.
    stream: Option<StreamId>,
    types: Option<Vec<String>>,
    /// Tags and correlation.
    clause: Clause,
    /// Ranges and direction.
    query: Query,
    limit: u64,
}

impl<'r, A: Aggregate> History<'r, A> {
    pub(super) fn new(binding: &'r Binding<A>, stream: Option<StreamId>) -> Self {
        let (clause, query) = (Clause::new(), Query::default());
        Self { binding, stream, types: None, clause, query, limit: u64::MAX }
    }

    /// Only events of these types, or others that are named, by their names of today.
    pub fn of_types<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.types.get_or_insert_default().extend(names.into_iter().map(Into::into));
        self
    }

    /// Only events with this tag, and all others that are named.
    pub fn tagged(mut self, tag: Tag) -> Self {
        self.clause = self.clause.tag(tag);
        self
    }

    /// Only events with this correlation id.
    pub fn correlated(mut self, correlation: CorrelationId) -> Self {
        self.clause = self.clause.correlation(correlation);
        self
    }

    /// Only events after this position.
    pub fn after(mut self, position: Position) -> Self {
        self.query = self.query.after(position);
        self
    }

    /// Only events up to this position, and the one there.
    pub fn up_to(mut self, position: Position) -> Self {
        self.query = self.query.up_to(position);
        self
    }

    /// Only events after this version of their stream.
    pub fn after_version(mut self, version: Version) -> Self {
        self.query = self.query.after_version(version);
        self
    }

    /// Only events up to this version of their stream, and the one there.
    pub fn up_to_version(mut self, version: Version) -> Self {
        self.query = self.query.up_to_version(version);
        self
    }

    /// Only events recorded after this time.
    pub fn after_time(mut self, time: DateTime<Utc>) -> Self {
        self.query = self.query.after_time(to_micros(time));
        self
    }

    /// Only events recorded up to this time, and those at it.
    pub fn up_to_time(mut self, time: DateTime<Utc>) -> Self {
        self.query = self.query.up_to_time(to_micros(time));
        self
    }

    /// The newest first.
    pub fn backwards(mut self) -> Self {
        self.query = self.query.backwards();
        self
    }

    /// No more than this many events.
    pub fn limit(mut self, events: u64) -> Self {
        self.limit = events;
        self
    }

    /// The stored events that are meant, ranges apart: for a subscription, or for a condition of
    /// [`Unit::require_none`](crate::Unit::require_none).
    ///
    /// Where an upcaster splits one stored event into several, the filter matches it if any of them is meant.
    pub fn filter(&self) -> Result<Filter, Error> {
        let clause = match &self.stream {
            None => self.clause.clone().category(self.binding.category.clone()),
            Some(stream) => self.clause.clone().stream(stream.clone()),
        };
        Ok(match self.variants()? {
            None => clause.into(),
            Some(variants) => clause.types(self.binding.codec.stored_names(&variants)).into(),
        })
    }

    fn variants(&self) -> Result<Option<Vec<u64>>, Error> {
        self.types.as_ref().map(|names| self.binding.codec.variants(names)).transpose()
    }

    /// The first event that is meant, in the direction of the read.
    pub fn first(self) -> Result<Option<Recorded<'static, A>>, Error> {
        self.limit(1).read()?.next().transpose()
    }

    /// Reads the events.
    pub fn read(self) -> Result<Recordings<'r, A>, Error> {
        let (filter, variants) = (self.filter()?, self.variants()?);
        let mut query = self.query.filtered(filter);
        if let (true, Some(limit)) =
            (self.binding.codec.has_no_history(), NonZeroU64::new(self.limit))
        {
            // Each stored event is one event, so the store need not read further.
            query = query.limit(limit);
        }
        let backwards = query.direction() == Direction::Backwards;
        let is_whole = self.stream.is_some() && variants.is_none() && self.clause == Clause::new();
        // Whether there is a version before the first that is read is known only from the beginning of the range on.
        let begins =
            !backwards && query.positions().0 == Position::START && query.times().0.is_none();
        Ok(Recordings {
            binding: self.binding,
            variants,
            backwards,
            is_whole,
            last: begins.then_some(query.versions().0),
            batches: Batches::new(&self.binding.backing.store, query),
            batch: Batch::new(),
            next: 0,
            ready: VecDeque::new(),
            left: self.limit,
        })
    }
}

impl<A: Aggregate> Clone for History<'_, A> {
    fn clone(&self) -> Self {
        Self {
            binding: self.binding,
            stream: self.stream.clone(),
            types: self.types.clone(),
            clause: self.clause.clone(),
            query: self.query.clone(),
            limit: self.limit,
        }
    }
}

impl<A: Aggregate> fmt::Debug for History<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("category", &self.binding.category)
            .field("stream", &self.stream)
            .field("types", &self.types)
            .field("clause", &self.clause)
            .field("query", &self.query)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// The events of an aggregate type, one by one, each free to be kept. After an error it tries again at the same place:
/// an event that cannot be read is never passed over in silence.
#[must_use = "an iterator reads nothing by itself"]
pub struct Recordings<'r, A: Aggregate> {
    binding: &'r Binding<A>,
    /// The variants that are meant, if not all.
    variants: Option<Vec<u64>>,
    backwards: bool,
    /// Whether each version has to follow the one before.
    is_whole: bool,
    last: Option<Version>,
    batches: Batches<'r>,
    batch: Batch,
    next: usize,
    /// What is left of a stored event that was split.
    ready: VecDeque<Recorded<'static, A>>,
    left: u64,
}

impl<A: Aggregate> Recordings<'_, A> {
    /// Reads the batch's next event into `ready`; false at the end of the batch.
    fn read_next(&mut self) -> Result<bool, Error> {
        let Some(stored) = self.batch.get(self.next) else {
            return Ok(false);
        };
        if let Some(last) = self.last.filter(|_| self.is_whole) {
            let version = stored.version();
            let (low, high) = if self.backwards { (version, last) } else { (last, version) };
            if low.checked_add(1) != Some(high) {
                let (from, to) = (low.get().saturating_add(1), high.get().saturating_sub(1));
                return Err(missing(Version::new(from), Version::new(to), &stored));
            }
        }
        let codec = &self.binding.codec;
        let mut read = VecDeque::new();
        let version = stored.version();
        Recorded::<A>::read(codec, stored, |recorded| {
            let is_meant = |variants: &Vec<u64>| codec.is_one_of(recorded.event_type(), variants);
            match self.variants.as_ref().is_none_or(is_meant) {
                false => {}
                true if self.backwards => read.push_front(recorded.into_owned()),
                true => read.push_back(recorded.into_owned()),
            }
            Ok(())
        })?;
        self.ready = read;
        self.last = Some(version);
        self.next += 1;
        Ok(true)
    }
}

impl<A: Aggregate> Iterator for Recordings<'_, A> {
    type Item = Result<Recorded<'static, A>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left.checked_sub(1)?;
        loop {
            if let Some(recorded) = self.ready.pop_front() {
                self.left -= 1;
                return Some(Ok(recorded));
            }
            match self.read_next() {
                Ok(true) => {}
                Ok(false) => match self.batches.next()? {
                    Ok(batch) => (self.batch, self.next) = (batch, 0),
                    Err(error) => return Some(Err(error)),
                },
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl<A: Aggregate> fmt::Debug for Recordings<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recordings").field("batches", &self.batches).finish_non_exhaustive()
    }
}

/// The ids of all aggregates of a type, in the order of their first events.
#[must_use = "an iterator reads nothing by itself"]
pub struct Ids<'r, A: Aggregate> {
    first_events: Events<'r>,
    /// An event whose id could not be read, and is not passed over.
    unreadable: Option<RecordedEvent<'static>>,
    aggregate: PhantomData<fn() -> A>,
}

impl<'r, A: Aggregate> Ids<'r, A> {
    pub(super) fn new(binding: &'r Binding<A>) -> Self {
        let category = Clause::new().category(binding.category.clone());
        let first = Query::new(category).up_to_version(Version::new(1));
        let first_events = Events::new(&binding.backing.store, first);
        Self { first_events, unreadable: None, aggregate: PhantomData }
    }
}

/// Whether it is not a gap of which nobody knows whose first event it was.
fn is_of_an_aggregate(first: &Result<RecordedEvent<'static>, Error>) -> bool {
    !matches!(first, Ok(first) if first.stream().category() == GAP)
}

impl<A: Aggregate> Iterator for Ids<'_, A> {
    type Item = Result<<A::Id as ToOwned>::Owned, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = match self.unreadable.take() {
            Some(first) => first,
            None => match self.first_events.find(is_of_an_aggregate)? {
                Ok(first) => first,
                Err(error) => return Some(Err(error)),
            },
        };
        let id = id_of::<A>(&first).map(Cow::into_owned);
        if id.is_err() {
            self.unreadable = Some(first);
        }
        Some(id)
    }
}

impl<A: Aggregate> fmt::Debug for Ids<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ids").field("first_events", &self.first_events).finish_non_exhaustive()
    }
}
