//! The store that keeps everything in memory: the executable specification of [`EventStore`].

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use parking_lot::{Condvar, Mutex};
use uuid::Uuid;

use super::commit::{AppendError, Appended, Commit, Conflict, Limits, StreamWrite};
use super::event_store::{EventStore, Head};
use super::filter::{Clause, Filter};
use super::identity::Identity;
use super::interrupt::Interrupt;
use super::query::{Direction, Query};
use super::statistics::Statistics;
use crate::clock::{Clock, SystemClock, to_micros};
use crate::error::{Error, ErrorKind};
use crate::event::{Batch, CommitPlace, GAP, NewEvent, Placement, RecordedEvent};
use crate::id::{CorrelationId, EventId, FreshEventIds, StreamId, Tag};
use crate::payload::Encoding;
use crate::position::{Position, Version};

/// Keeps events in memory, as strictly as a store on disk would; they are gone when it is dropped.
///
/// Made for tests, for views of short life, and to be read: it says in the shortest way what every store does.
pub struct MemoryStore {
    identity: Identity,
    clock: Arc<dyn Clock>,
    limits: Limits,
    log: Mutex<Log>,
    /// Signalled after every append, at interrupts and at closing, with `log` as its lock.
    changed: Condvar,
}

impl MemoryStore {
    /// An empty store on the system's clock, with the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::with(SystemClock, Limits::default())
    }

    /// An empty store on this clock and with these limits.
    #[must_use]
    pub fn with(clock: impl Clock, limits: Limits) -> Self {
        let (identity, clock) = (Identity::new(Uuid::new_v4()), Arc::new(clock));
        Self { identity, clock, limits, log: Mutex::default(), changed: Condvar::new() }
    }

    /// Says how the payloads of aggregates' events are encoded; [`Encoding::Json`] unless said otherwise.
    #[must_use]
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.identity.encoding = encoding;
        self
    }

    fn open_log(&self) -> Result<parking_lot::MutexGuard<'_, Log>, Error> {
        let log = self.log.lock();
        if log.closed { Err(Error::new(ErrorKind::Closed)) } else { Ok(log) }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl EventStore for MemoryStore {
    fn identity(&self) -> Identity {
        self.identity
    }

    fn append(&self, commit: Commit) -> Result<Appended, AppendError> {
        let span = commit.span();
        commit.check(&self.limits)?;
        let now = to_micros(self.clock.now());
        let mut log = self.open_log()?;
        if let Some(earlier) = log.repeated(&commit)? {
            return Ok(earlier);
        }
        log.judge(&commit)?;
        let time = commit.time_of_recording(now, log.last_time())?;
        let appended = log.record(&commit, time);
        drop(log);
        self.changed.notify_all();
        span.record("position", appended.last.get());
        Ok(appended)
    }

    fn read(&self, query: &Query) -> Result<(Batch, Option<Query>), Error> {
        Ok(self.open_log()?.page(query))
    }

    fn version(&self, stream: &StreamId) -> Result<Version, Error> {
        Ok(self.open_log()?.version(stream))
    }

    fn head(&self) -> Result<Head, Error> {
        let head = self.open_log()?.head();
        Ok(Head { acknowledged: head, durable: head })
    }

    fn wait(
        &self,
        after: Position,
        timeout: Duration,
        interrupt: &Interrupt,
    ) -> Result<Position, Error> {
        let deadline = Instant::now().checked_add(timeout);
        let mut log = self.open_log()?;
        while log.head() <= after && !interrupt.is_raised() {
            let timed_out = match deadline {
                Some(deadline) => self.changed.wait_until(&mut log, deadline).timed_out(),
                None => {
                    self.changed.wait(&mut log);
                    false
                }
            };
            if log.closed {
                return Err(Error::new(ErrorKind::Closed));
            }
            if timed_out {
                break;
            }
        }
        Ok(log.head())
    }

    fn interrupt(&self, interrupt: &Interrupt) {
        let log = self.log.lock();
        interrupt.raise();
        drop(log);
        self.changed.notify_all();
    }

    fn statistics(&self) -> Result<Statistics, Error> {
        let log = self.open_log()?;
        let (events, commits) = (log.events.len() as u64, log.commits.len() as u64);
        Ok(Statistics { events, commits, appended: commits, ..Statistics::default() })
    }

    fn close(&self) -> Result<(), Error> {
        self.log.lock().closed = true;
        self.changed.notify_all();
        Ok(())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log = self.log.lock();
        f.debug_struct("MemoryStore")
            .field("events", &log.events.len())
            .field("closed", &log.closed)
            .finish_non_exhaustive()
    }
}

/// All events, and where to find them.
#[derive(Default)]
struct Log {
    /// The event at position `p` stands at index `p - 1`.
    events: Batch,
    /// The index of each commit's first event, ascending.
    commits: Vec<usize>,
    /// The index of each event by its id.
    ids: HashMap<EventId, usize>,
    /// The indices, ascending, of the events that stand under each term.
    postings: HashMap<Term, Vec<usize>>,
    closed: bool,
}

/// What events are found by.
#[derive(PartialEq, Eq, Hash)]
enum Term {
    Stream(String),
    Category(String),
    Type(String),
    Tag(String),
    Correlation(CorrelationId),
    Event(EventId),
    Cause(EventId),
}

impl Term {
    fn gaps() -> Self {
        Self::Type(GAP.to_owned())
    }

    /// All that a clause names: an event that it matches has one term of each list.
    fn named_by(clause: &Clause) -> Vec<Vec<Self>> {
        fn any<N: AsRef<str>>(named: &[N], term: fn(String) -> Term) -> Vec<Term> {
            named.iter().map(|name| term(name.as_ref().to_owned())).collect()
        }
        let single = |one: &[Tag]| any(one, Self::Tag);
        let named = [
            clause.named_streams().map(|names| any(names, Self::Stream)),
            clause.named_categories().map(|names| any(names, Self::Category)),
            clause.named_types().map(|names| any(names, Self::Type)),
            clause.named_correlation().map(|id| vec![Self::Correlation(id)]),
            clause.named_event().map(|id| vec![Self::Event(id)]),
            clause.named_cause().map(|id| vec![Self::Cause(id)]),
        ];
        named.into_iter().flatten().chain(clause.named_tags().chunks(1).map(single)).collect()
    }
}

/// How many candidates one page of a read looks at, and how many bytes it hands out, about.
const PAGE_EVENTS: usize = 1024;
const PAGE_BYTES: usize = 256 << 10;

impl Log {
    fn at(&self, index: usize) -> RecordedEvent<'_> {
        self.events.get(index).expect("an index that was made from an event's place")
    }

    fn head(&self) -> Position {
        Position::new(self.events.len() as u64)
    }

    fn version(&self, stream: &StreamId) -> Version {
        let events = self.postings(&Term::Stream(stream.as_str().to_owned()));
        Version::new(events.len() as u64)
    }

    fn postings(&self, term: &Term) -> &[usize] {
        match term {
            Term::Event(id) => self.ids.get(id).map_or(&[], std::slice::from_ref),
            _ => self.postings.get(term).map_or(&[], Vec::as_slice),
        }
    }

    /// Where a commit stands already, if it repeats an earlier one.
    fn repeated(&self, commit: &Commit) -> Result<Option<Appended>, Error> {
        let supplied = || commit.events().filter_map(|(stream, event)| Some((stream, event.id()?)));
        let Some((stream, &index)) = supplied().find_map(|(s, id)| Some((s, self.ids.get(&id)?)))
        else {
            return Ok(None);
        };
        let earlier = self.commit_of(index);
        let starts: Option<Vec<usize>> =
            commit.writes().iter().map(|write| self.repeats(write, &earlier)).collect();
        if let Some(starts) = starts
            && commit.events().count() == earlier.len()
        {
            return Ok(Some(self.answer(commit, &starts, earlier, true)));
        }
        Err(Error::new(ErrorKind::EventIdTaken)
            .detail(self.at(index).event_id().to_string())
            .in_stream(stream.clone())
            .at_position(self.at(index).position()))
    }

    /// Where the events of a write stand in an earlier commit, if they do, with the same content.
    fn repeats(&self, write: &StreamWrite, earlier: &Range<usize>) -> Option<usize> {
        let start = *self.ids.get(&write.events.first()?.id()?)?;
        let is_same = |(index, new): (usize, &NewEvent)| {
            let old = earlier.contains(&index).then(|| self.at(index));
            old.is_some_and(|old| {
                old.stream() == write.stream
                    && new.id() == Some(old.event_id())
                    && old.has_content_of(new)
            })
        };
        (start..).zip(&write.events).all(is_same).then_some(start)
    }

    /// The indices of the events that were committed together with this one.
    fn commit_of(&self, index: usize) -> Range<usize> {
        let place = self.at(index).commit();
        let first = index - place.ordinal as usize;
        first..first + place.count as usize
    }

    /// Whether everything holds that the commit rests on.
    fn judge(&self, commit: &Commit) -> Result<(), Conflict> {
        let writes = commit.writes().iter().map(|write| (&write.stream, write.expected));
        let guards = commit.guards().iter().map(|guard| (&guard.stream, guard.expected));
        for (stream, expected) in writes.chain(guards) {
            expected.check(stream, self.version(stream))?;
        }
        for condition in commit.conditions() {
            self.require_none(&condition.none_of, condition.after)?;
        }
        Ok(())
    }

    fn require_none(&self, filter: &Filter, after: Position) -> Result<(), Conflict> {
        let mut next = Some(Query::new(filter.clone()).after(after));
        while let Some(query) = next {
            let (batch, rest) = self.page(&query);
            if let Some(event) = batch.get(0) {
                return Err(Conflict::Event {
                    stream: event.stream().to_stream_id(),
                    event_type: event.to_event_type(),
                    position: event.position(),
                });
            }
            next = rest;
        }
        Ok(())
    }

    fn last_time(&self) -> Option<DateTime<Utc>> {
        self.events.iter().next_back().map(|last| last.recorded_at())
    }

    fn record(&mut self, commit: &Commit, recorded_at: DateTime<Utc>) -> Appended {
        let mut fresh = FreshEventIds::at(recorded_at);
        let (first, mut starts) = (self.events.len(), Vec::new());
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let count = number(commit.events().count());
        self.commits.push(first);
        for write in commit.writes() {
            starts.push(self.events.len());
            for event in &write.events {
                let placement = Placement {
                    stream: write.stream.clone(),
                    version: Version::new(self.version(&write.stream).get() + 1),
                    position: Position::new(self.head().get() + 1),
                    recorded_at,
                    id: event.id().unwrap_or_else(|| fresh.take()),
                    commit: CommitPlace { ordinal: number(self.events.len() - first), count },
                };
                self.push(&RecordedEvent::new(&placement, event));
            }
        }
        self.answer(commit, &starts, first..self.events.len(), false)
    }

    fn push(&mut self, event: &RecordedEvent<'_>) {
        let index = self.events.len();
        self.ids.insert(event.event_id(), index);
        let (stream, tags) = (event.stream(), event.tags().map(|tag| Term::Tag(tag.to_owned())));
        let terms = tags
            .chain([
                Term::Stream(stream.to_string()),
                Term::Category(stream.category().to_owned()),
                Term::Type(event.event_type().to_owned()),
            ])
            .chain(event.correlation().map(Term::Correlation))
            .chain(event.causation().map(Term::Cause));
        for term in terms {
            self.postings.entry(term).or_default().push(index);
        }
        self.events.push(event);
    }

    /// What to say of a commit whose events stand at these indices, those of each write from its start on.
    fn answer(
        &self,
        commit: &Commit,
        starts: &[usize],
        indices: Range<usize>,
        already_there: bool,
    ) -> Appended {
        let mut appended = Appended {
            first: self.at(indices.start).position(),
            last: self.at(indices.end - 1).position(),
            versions: Vec::with_capacity(starts.len()),
            ids: Vec::with_capacity(indices.len()),
            recorded_at: self.at(indices.start).recorded_at(),
            already_there,
        };
        for (write, start) in commit.writes().iter().zip(starts) {
            let events = *start..start + write.events.len();
            appended.versions.push((write.stream.clone(), self.at(events.end - 1).version()));
            appended.ids.extend(events.map(|index| self.at(index).event_id()));
        }
        appended
    }

    /// The next events that a query asks for, and the query for the rest.
    fn page(&self, query: &Query) -> (Batch, Option<Query>) {
        let candidates = self.candidates(query);
        let mut batch = Batch::new();
        let limit = query.limited_to().map_or(u64::MAX, std::num::NonZeroU64::get);
        let all_match = self.is_told_by_terms(query);
        for index in &candidates {
            if all_match || query.matches(&self.at(*index)) {
                batch.share(&self.events, *index);
            }
            if batch.len() as u64 == limit || batch.byte_len() >= PAGE_BYTES {
                return self.page_up_to(Some(index), batch, query);
            }
        }
        let more = candidates.last().filter(|_| candidates.len() == PAGE_EVENTS);
        self.page_up_to(more, batch, query)
    }

    /// Whether every candidate matches, because the query names nothing beyond the terms that candidates are found by.
    fn is_told_by_terms(&self, query: &Query) -> bool {
        let [clause] = query.filter().clauses() else { return false };
        if clause.sees_gaps() && !self.postings(&Term::gaps()).is_empty() {
            return false;
        }
        let by_versions = query.versions() != (Version::ZERO, None);
        Term::named_by(clause).len() <= 1 && (clause.named_streams().is_some() || !by_versions)
    }

    fn page_up_to(
        &self,
        last: Option<&usize>,
        batch: Batch,
        query: &Query,
    ) -> (Batch, Option<Query>) {
        let rest = |last: &usize| query.rest(self.at(*last).position(), batch.len(), self.head());
        let rest = last.and_then(rest);
        (batch, rest)
    }

    /// The first [`PAGE_EVENTS`] indices, in the order of the read, of events that may match.
    fn candidates(&self, query: &Query) -> Vec<usize> {
        let window = self.window(query);
        let mut candidates = Vec::new();
        for clause in query.filter().clauses() {
            match self.rarest(clause) {
                None => extend(&mut candidates, window.clone(), query.direction()),
                Some(mut terms) => {
                    terms.extend(clause.sees_gaps().then(Term::gaps));
                    for term in &terms {
                        let within = self.within(term, &window, query);
                        extend(&mut candidates, within, query.direction());
                    }
                }
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        if query.direction() == Direction::Backwards {
            candidates.reverse();
        }
        candidates.truncate(PAGE_EVENTS);
        candidates
    }

    /// The indices that the query's ranges of positions and times leave.
    fn window(&self, query: &Query) -> Range<usize> {
        let index = |position: Position| usize::try_from(position.get()).unwrap_or(usize::MAX);
        let until = |time| {
            let later = self.commits.partition_point(|first| self.at(*first).recorded_at() <= time);
            self.commits.get(later).copied().unwrap_or(self.events.len())
        };
        let ((after, up_to), (after_time, up_to_time)) = (query.positions(), query.times());
        let start = index(after).max(after_time.map_or(0, until));
        let end = index(up_to.unwrap_or(self.head())).min(up_to_time.map_or(usize::MAX, until));
        let end = end.min(self.events.len());
        start.min(end)..end
    }

    /// The terms of which a matching event has one: of all that the clause names, those with the fewest events.
    fn rarest(&self, clause: &Clause) -> Option<Vec<Term>> {
        let events =
            |terms: &Vec<Term>| terms.iter().map(|term| self.postings(term).len()).sum::<usize>();
        Term::named_by(clause).into_iter().min_by_key(events)
    }

    /// The events of a term inside the window; in a stream, versions and places in the list go together.
    fn within(
        &self,
        term: &Term,
        window: &Range<usize>,
        query: &Query,
    ) -> impl DoubleEndedIterator<Item = usize> {
        let postings = self.postings(term);
        let mut start = postings.partition_point(|index| *index < window.start);
        let mut end = postings.partition_point(|index| *index < window.end);
        if let Term::Stream(_) = term {
            let place = |version: Version| usize::try_from(version.get()).unwrap_or(usize::MAX);
            let (after, up_to) = query.versions();
            start = start.max(place(after));
            end = end.min(up_to.map_or(end, place));
        }
        postings[start.min(end)..end].iter().copied()
    }
}

fn extend(
    candidates: &mut Vec<usize>,
    ascending: impl DoubleEndedIterator<Item = usize>,
    direction: Direction,
) {
    match direction {
        Direction::Forwards => candidates.extend(ascending.take(PAGE_EVENTS)),
        Direction::Backwards => candidates.extend(ascending.rev().take(PAGE_EVENTS)),
    }
}
