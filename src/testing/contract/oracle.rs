//! What a store should do, told by the simplest means: a list that is searched from end to end.

use std::collections::BTreeMap;
use std::ops::Range;

use chrono::{DateTime, SubsecRound, Utc};

use crate::error::ErrorKind;
use crate::event::{CommitPlace, NewEvent, RecordedEvent};
use crate::id::{EventId, StreamId};
use crate::position::{Position, Version};
use crate::store::{Appended, Clause, Commit, Conflict, Direction, Expected, Limits, Query};

/// An event that should stand in the store.
#[derive(Debug)]
pub(super) struct Fact {
    pub(super) stream: StreamId,
    pub(super) version: Version,
    pub(super) position: Position,
    pub(super) recorded_at: DateTime<Utc>,
    pub(super) id: EventId,
    pub(super) commit: CommitPlace,
    /// Whether its commit brought the time.
    pub(super) brings_time: bool,
    pub(super) event: NewEvent,
}

/// What should become of a commit.
#[derive(Debug)]
pub(super) enum Verdict {
    Malformed(ErrorKind),
    /// It repeats the commit whose facts stand at these indices.
    Repeats(Range<usize>),
    IdTaken,
    Refused(Cause, Conflict),
    /// Its time lies before that of the last commit.
    TooEarly(ErrorKind),
    Accepted,
}

/// The first thing that fails, by its place in the commit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cause {
    Write(usize),
    Guard(usize),
    Condition(usize),
}

/// Knows what a store should hold and answer.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    facts: Vec<Fact>,
    /// The indices of each commit's facts.
    commits: Vec<Range<usize>>,
    versions: BTreeMap<StreamId, Version>,
}

impl Oracle {
    pub(super) fn facts(&self) -> &[Fact] {
        &self.facts
    }

    pub(super) fn head(&self) -> Position {
        Position::new(self.facts.len() as u64)
    }

    pub(super) fn version(&self, stream: &StreamId) -> Version {
        self.versions.get(stream).copied().unwrap_or_default()
    }

    pub(super) fn judge(&self, commit: &Commit) -> Verdict {
        if let Err(error) = commit.check(&Limits::default()) {
            return Verdict::Malformed(error.kind().clone());
        }
        let ids: Vec<EventId> = commit.events().filter_map(|(_, event)| event.id()).collect();
        match self.facts.iter().position(|fact| ids.contains(&fact.id)) {
            Some(known) => self.judge_repetition(commit, known),
            None => self.judge_requirements(commit),
        }
    }

    fn judge_repetition(&self, commit: &Commit, known: usize) -> Verdict {
        let earlier = self
            .commits
            .iter()
            .find(|commit| commit.contains(&known))
            .expect("every fact was recorded by a commit");
        // The order of the streams does not matter, that in each stream does: both are sorted by stream, and stably.
        let mut facts: Vec<&Fact> = self.facts[earlier.clone()].iter().collect();
        facts.sort_by_key(|fact| &fact.stream);
        let mut events: Vec<(&StreamId, &NewEvent)> = commit.events().collect();
        events.sort_by_key(|(stream, _)| *stream);
        let same = |((stream, event), fact): ((&StreamId, &NewEvent), &Fact)| {
            *stream == fact.stream && *event == fact.event.clone().with_id(fact.id)
        };
        if events.len() == facts.len() && events.into_iter().zip(facts).all(same) {
            return Verdict::Repeats(earlier.clone());
        }
        Verdict::IdTaken
    }

    fn judge_requirements(&self, commit: &Commit) -> Verdict {
        let writes = commit.writes().iter().enumerate();
        let writes = writes.map(|(n, write)| (Cause::Write(n), &write.stream, write.expected));
        let guards = commit.guards().iter().enumerate();
        let guards = guards.map(|(n, guard)| (Cause::Guard(n), &guard.stream, guard.expected));
        for (cause, stream, expected) in writes.chain(guards) {
            let actual = self.version(stream);
            if !is_as_expected(expected, actual) {
                let stream = stream.clone();
                return Verdict::Refused(cause, Conflict::Stream { stream, expected, actual });
            }
        }
        self.judge_conditions(commit)
    }

    fn judge_conditions(&self, commit: &Commit) -> Verdict {
        for (n, condition) in commit.conditions().iter().enumerate() {
            let query = Query::new(condition.none_of.clone()).after(condition.after);
            if let Some(first) = self.facts.iter().find(|fact| is_meant(fact, &query)) {
                let conflict = Conflict::Event {
                    stream: first.stream.clone(),
                    event_type: first.event.event_type().clone(),
                    position: first.position,
                };
                return Verdict::Refused(Cause::Condition(n), conflict);
            }
        }
        match (commit.own_time(), self.last_time()) {
            (Some(own), Some(last)) if own < last => {
                Verdict::TooEarly(ErrorKind::TimeBeforeLast { last })
            }
            _ => Verdict::Accepted,
        }
    }

    /// When the last commit was recorded.
    pub(super) fn last_time(&self) -> Option<DateTime<Utc>> {
        self.facts.last().map(|last| last.recorded_at)
    }

    /// Takes an accepted commit's events for facts; what was free to the store to choose are their ids.
    pub(super) fn record(
        &mut self,
        commit: &Commit,
        ids: &[EventId],
        now: DateTime<Utc>,
    ) -> Range<usize> {
        let now = now.trunc_subsecs(6);
        let now = self.last_time().map_or(now, |earlier| earlier.max(now));
        let recorded_at = commit.own_time().unwrap_or(now);
        let first = self.facts.len();
        let count = u32::try_from(commit.events().count()).unwrap_or(u32::MAX);
        for (ordinal, ((stream, event), id)) in (0..).zip(commit.events().zip(ids)) {
            let version = Version::new(self.version(stream).get() + 1);
            self.versions.insert(stream.clone(), version);
            self.facts.push(Fact {
                stream: stream.clone(),
                version,
                position: Position::new(self.head().get() + 1),
                recorded_at,
                id: *id,
                commit: CommitPlace { ordinal, count },
                brings_time: commit.own_time().is_some(),
                event: event.clone(),
            });
        }
        self.commits.push(first..self.facts.len());
        first..self.facts.len()
    }

    /// What the store should tell about a commit with these facts, stream by stream in the order of the commit.
    pub(super) fn appended(
        &self,
        commit: &Commit,
        facts: Range<usize>,
        already_there: bool,
    ) -> Appended {
        let (first, last) = (facts.start, facts.end - 1);
        let mut facts: Vec<&Fact> = self.facts[facts].iter().collect();
        facts.sort_by_key(|fact| {
            commit.writes().iter().position(|write| write.stream == fact.stream)
        });
        let mut versions: Vec<(StreamId, Version)> = Vec::new();
        for fact in &facts {
            versions.retain(|(stream, _)| *stream != fact.stream);
            versions.push((fact.stream.clone(), fact.version));
        }
        Appended {
            first: self.facts[first].position,
            last: self.facts[last].position,
            versions,
            ids: facts.iter().map(|fact| fact.id).collect(),
            recorded_at: facts[0].recorded_at,
            already_there,
        }
    }

    /// The indices of the facts that a read should hand out, in order.
    pub(super) fn answer(&self, query: &Query) -> Vec<usize> {
        let mut meant: Vec<usize> =
            (0..self.facts.len()).filter(|index| is_meant(&self.facts[*index], query)).collect();
        if query.direction() == Direction::Backwards {
            meant.reverse();
        }
        if let Some(limit) = query.limited_to() {
            meant.truncate(usize::try_from(limit.get()).unwrap_or(usize::MAX));
        }
        meant
    }
}

impl Fact {
    /// Whether the event is the one that should stand here, in all it shows.
    pub(super) fn is(&self, event: &RecordedEvent<'_>) -> bool {
        self.position == event.position()
            && self.version == event.version()
            && self.recorded_at == event.recorded_at()
            && self.commit == event.commit()
            && self.differences(event).is_empty()
    }

    /// The fields of the content in which the event differs from what it should be.
    pub(super) fn differences(&self, event: &RecordedEvent<'_>) -> Vec<&'static str> {
        let new = &self.event;
        let same = [
            ("stream", event.stream() == self.stream),
            ("type", *new.event_type() == event.event_type()),
            ("schema", new.schema() == event.schema()),
            ("payload", new.payload() == event.payload()),
            ("metadata", *new.metadata() == event.metadata()),
            ("tags", new.tags().iter().eq(event.tags())),
            ("id", new.id().unwrap_or(self.id) == event.event_id()),
        ];
        let different = same.into_iter().filter(|(_, same)| !same);
        different.map(|(field, _)| field).collect()
    }
}

fn is_as_expected(expected: Expected, actual: Version) -> bool {
    match expected {
        Expected::Any => true,
        Expected::Empty => actual.get() == 0,
        Expected::Exists => actual.get() != 0,
        Expected::Exactly(version) => version.get() == actual.get(),
    }
}

fn is_meant(fact: &Fact, query: &Query) -> bool {
    let ((after, up_to), (after_version, up_to_version)) = (query.positions(), query.versions());
    let (after_time, up_to_time) = query.times();
    let beyond = fact.position <= after
        || up_to.is_some_and(|end| fact.position > end)
        || fact.version <= after_version
        || up_to_version.is_some_and(|end| fact.version > end)
        || after_time.is_some_and(|start| fact.recorded_at <= start)
        || up_to_time.is_some_and(|end| fact.recorded_at > end);
    let clauses = query.filter().clauses();
    !beyond && clauses.iter().any(|clause| is_in_clause(fact, clause))
}

fn is_in_clause(fact: &Fact, clause: &Clause) -> bool {
    if clause.named_streams().is_some_and(|named| !named.contains(&fact.stream)) {
        return false;
    }
    let mut categories = clause.named_categories().into_iter().flatten();
    if clause.named_categories().is_some() && !categories.any(|one| *one == fact.stream.category())
    {
        return false;
    }
    if clause.named_types().is_some_and(|named| !named.contains(fact.event.event_type())) {
        return false;
    }
    let has_tag = |name: &str| fact.event.tags().iter().any(|tag| tag == name);
    let correlation = fact.event.metadata().correlation();
    clause.named_tags().iter().all(|tag| has_tag(tag.as_str()))
        && (clause.named_correlation().is_none() || clause.named_correlation() == correlation)
        && (clause.named_cause().is_none()
            || clause.named_cause() == fact.event.metadata().causation())
        && clause.named_event().is_none_or(|id| id == fact.id)
}
