//! The log as it should stand in a store, event by event.

use std::collections::BTreeMap;
use std::sync::Arc;

use annals::chrono::{DateTime, SubsecRound, Utc};
use annals::event::{CommitPlace, Placement};
use annals::id::EventId;
use annals::store::{Appended, Commit};
use annals::uuid::Uuid;
use annals::{Position, RecordedEvent, StreamId, Version};

use crate::author::identified;
use crate::oracle::Complaint;

/// An event as it should stand in the store.
pub(crate) type Fact = Arc<RecordedEvent<'static>>;

/// The commits that were accepted, and what should stand in the store because of them. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    /// Every commit, with the ids that its events have by now.
    commits: Vec<Arc<Commit>>,
    /// What was answered to each.
    answers: Vec<Arc<Appended>>,
    /// How many events there are after each commit.
    ends: Vec<usize>,
    events: Vec<Fact>,
    versions: BTreeMap<StreamId, u64>,
}

impl Log {
    pub(crate) fn commits(&self) -> &[Arc<Commit>] {
        &self.commits
    }

    pub(crate) fn answer(&self, commit: usize) -> &Appended {
        &self.answers[commit]
    }

    /// The events of the first so many commits.
    pub(crate) fn events_of(&self, commits: usize) -> &[Fact] {
        match commits.checked_sub(1) {
            None => &[],
            Some(last) => &self.events[..self.ends[last]],
        }
    }

    pub(crate) fn events(&self) -> &[Fact] {
        &self.events
    }

    pub(crate) fn last(&self) -> Option<&Fact> {
        self.events.last()
    }

    pub(crate) fn head(&self) -> Position {
        Position::new(self.events.len() as u64)
    }

    pub(crate) fn version(&self, stream: &StreamId) -> Version {
        Version::new(self.versions.get(stream).copied().unwrap_or_default())
    }

    /// How many commits so many events are, if they are whole commits.
    pub(crate) fn commits_in(&self, events: usize) -> Option<usize> {
        if events == 0 {
            return Some(0);
        }
        self.ends.binary_search(&events).ok().map(|last| last + 1)
    }

    /// What should come to stand in the store when it accepts this commit now. Ids that the commit leaves open are taken
    /// from `ids`, event by event.
    pub(crate) fn next(&self, commit: &Commit, now: DateTime<Utc>, ids: &[EventId]) -> Vec<Fact> {
        let now = now.trunc_subsecs(6);
        let recorded_at = self.last().map_or(now, |last| last.recorded_at().max(now));
        let mut versions = BTreeMap::new();
        let mut position = self.head().get();
        let mut place = |stream: &StreamId| {
            position += 1;
            let before = self.version(stream).get();
            let version: &mut u64 = versions.entry(stream.clone()).or_insert(before);
            *version += 1;
            (Position::new(position), Version::new(*version))
        };
        let count = u32::try_from(commit.events().count()).unwrap();
        let placed = commit.events().enumerate().map(|(n, (stream, event))| {
            let (position, version) = place(stream);
            let id = event.id().or(ids.get(n).copied()).unwrap_or(EventId::new(Uuid::nil()));
            let stream = stream.clone();
            let commit = CommitPlace { ordinal: u32::try_from(n).unwrap(), count };
            let placement = Placement { stream, version, position, recorded_at, id, commit };
            Arc::new(RecordedEvent::new(&placement, event).into_owned())
        });
        placed.collect()
    }

    /// What a store should answer when it accepts this commit now.
    fn answer_to(commit: &Commit, events: &[Fact]) -> Appended {
        let last_in = |stream: &StreamId| {
            let of_stream = events.iter().filter(|event| event.stream() == *stream);
            of_stream.map(|event| event.version()).max().unwrap_or_default()
        };
        let streams = commit.writes().iter().map(|write| write.stream.clone());
        Appended {
            first: events[0].position(),
            last: events[events.len() - 1].position(),
            versions: streams.map(|stream| (stream.clone(), last_in(&stream))).collect(),
            ids: events.iter().map(|event| event.event_id()).collect(),
            recorded_at: events[0].recorded_at(),
            already_there: false,
        }
    }

    /// Takes note of a commit that was accepted, if the answer is what it should be.
    pub(crate) fn accept(
        &mut self,
        commit: &Commit,
        now: DateTime<Utc>,
        answer: &Appended,
    ) -> Result<(), Complaint> {
        let events = self.next(commit, now, &answer.ids);
        let right = Self::answer_to(commit, &events);
        if *answer != right {
            return Err(format!("a commit is answered with {answer:?}, not with {right:?}"));
        }
        self.add(commit, events);
        Ok(())
    }

    /// Takes note of a commit that turned out to stand in the store as these events.
    pub(crate) fn add(&mut self, commit: &Commit, events: Vec<Fact>) {
        let answer = Self::answer_to(commit, &events);
        self.commits.push(Arc::new(identified(commit, &answer.ids)));
        self.answers.push(Arc::new(answer));
        for event in &events {
            self.versions.insert(event.stream().to_stream_id(), event.version().get());
        }
        self.events.extend(events);
        self.ends.push(self.events.len());
    }

    /// The log of the first so many commits.
    pub(crate) fn first(&self, commits: usize) -> Self {
        let events = self.events_of(commits).to_vec();
        let mut versions = BTreeMap::new();
        for event in &events {
            versions.insert(event.stream().to_stream_id(), event.version().get());
        }
        Self {
            commits: self.commits[..commits].to_vec(),
            answers: self.answers[..commits].to_vec(),
            ends: self.ends[..commits].to_vec(),
            events,
            versions,
        }
    }
}
