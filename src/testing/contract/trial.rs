//! One store under trial: everything that is asked of it is judged at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::blame::{blame_answer, blame_hole, check_event, check_read};
use super::law::Law;
use super::oracle::{Fact, Oracle, Verdict};
use super::reading::{Recorded, read, served};
use super::report::{Failure, Held, hold};
use crate::clock::Clock;
use crate::error::ErrorKind;
use crate::id::{EventId, StreamId};
use crate::store::{AppendError, Appended, Commit, EventStore, Query};
use crate::testing::clock::ManualClock;

/// Makes an empty store on a clock.
pub(super) type Factory<'f> = dyn Fn(ManualClock) -> Arc<dyn EventStore> + 'f;

/// What the clock of every trial shows at first.
pub(super) const START: &str = "2024-02-29T12:00:00.000001Z";

/// A store, its clock, and what it should hold by now.
pub(super) struct Trial {
    pub(super) store: Arc<dyn EventStore>,
    pub(super) clock: ManualClock,
    pub(super) oracle: Oracle,
    /// All streams that were ever named to the store; the version of each is looked at after every commit.
    streams: BTreeSet<StreamId>,
    /// Whether a commit was refused since the last one was accepted.
    refused: bool,
}

impl Trial {
    pub(super) fn begin(factory: &Factory<'_>) -> Held<Self> {
        let clock = ManualClock::at(START.parse().expect("the time is valid"));
        let trial = Self {
            store: factory(clock.clone()),
            clock,
            oracle: Oracle::default(),
            streams: BTreeSet::new(),
            refused: false,
        };
        trial.look(Law::HeadsAndVersions)?;
        Ok(trial)
    }

    /// Appends a commit and judges the answer, and what the store holds and tells afterwards.
    pub(super) fn append(&mut self, commit: &Commit) -> Held<Verdict> {
        self.meet(commit)?;
        let verdict = self.oracle.judge(commit);
        let answer = self.store.append(commit.clone());
        match (&verdict, &answer) {
            (Verdict::Accepted, Ok(appended)) if !appended.already_there => {
                self.accept(commit, appended)?;
            }
            _ if self.is_answer(commit, &verdict, &answer) => self.refuse(&verdict)?,
            _ => return Err(self.misjudged(commit, &verdict, &answer)),
        }
        Ok(verdict)
    }

    /// Reads what the query asks for, to the end, and judges it.
    pub(super) fn read(&self, query: &Query) -> Held {
        check_read(&*self.store, &self.oracle, query)
    }

    /// Reads everything once more, in both directions.
    pub(super) fn read_all(&self) -> Held {
        self.read(&Query::default())?;
        self.read(&Query::default().backwards())
    }

    /// Looks at the versions of streams that are named for the first time, lest a later look blame this commit.
    fn meet(&mut self, commit: &Commit) -> Held {
        let written = commit.writes().iter().map(|write| &write.stream);
        let guarded = commit.guards().iter().map(|guard| &guard.stream);
        let known = self.streams.len();
        self.streams.extend(written.chain(guarded).cloned());
        if self.streams.len() == known {
            return Ok(());
        }
        self.look(Law::HeadsAndVersions)
    }

    /// Compares the head and the versions; blames the law if they are not as they should be.
    fn look(&self, law: Law) -> Held {
        let (head, expected) = (served(self.store.head())?, self.oracle.head());
        let right = head.acknowledged == expected && head.durable <= head.acknowledged;
        hold!(law, right, "the head is {head:?}, expected position {expected}")?;
        for stream in &self.streams {
            let version = served(self.store.version(stream))?;
            let expected = self.oracle.version(stream);
            hold!(
                law,
                version == expected,
                "stream {stream} is at version {version}, expected {expected}"
            )?;
        }
        Ok(())
    }

    fn is_answer(
        &self,
        commit: &Commit,
        verdict: &Verdict,
        answer: &Result<Appended, AppendError>,
    ) -> bool {
        match (verdict, answer) {
            (Verdict::Repeats(facts), Ok(appended)) => {
                *appended == self.oracle.appended(commit, facts.clone(), true)
            }
            (
                Verdict::Malformed(kind) | Verdict::TooEarly(kind),
                Err(AppendError::Store(error)),
            ) => error.kind() == kind,
            (Verdict::IdTaken, Err(AppendError::Store(error))) => {
                *error.kind() == ErrorKind::EventIdTaken
            }
            (Verdict::Refused(_, first), Err(AppendError::Conflict(conflict))) => first == conflict,
            _ => false,
        }
    }

    fn misjudged(
        &self,
        commit: &Commit,
        verdict: &Verdict,
        answer: &Result<Appended, AppendError>,
    ) -> Failure {
        let message = format!("a commit is answered {answer:?}, expected {verdict:?}");
        let law = blame_answer(&*self.store, &self.oracle, (commit, verdict, answer));
        law.map_or_else(|failure| failure, |law| Failure::of(law, message))
    }

    /// Nothing was written, so nothing has changed.
    fn refuse(&mut self, verdict: &Verdict) -> Held {
        let law = match verdict {
            Verdict::Repeats(_) => Law::RepetitionIsRecognised,
            _ => Law::RefusedLeavesNoTrace,
        };
        self.refused = true;
        let left = read(&*self.store, &Query::default().after(self.oracle.head()))?;
        hold!(law, left.is_empty(), "{verdict:?}, but it left {left:?}")?;
        self.look(law)
    }

    /// Everything was written: compares what is read plainly with the commit, causes before their consequences.
    fn accept(&mut self, commit: &Commit, appended: &Appended) -> Held {
        let events = read(&*self.store, &Query::default().after(self.oracle.head()))?;
        check_extent(commit, &events)?;
        self.check_ids(&events)?;
        let ids: Vec<EventId> = events.iter().map(Recorded::event_id).collect();
        let facts = self.oracle.record(commit, &ids, self.clock.now());
        for (fact, event) in self.oracle.facts()[facts.clone()].iter().zip(&events) {
            check_event(fact, event)?;
            self.check_position(fact, event)?;
        }
        let expected = self.oracle.appended(commit, facts, false);
        let told = *appended == expected;
        hold!(Law::TrueAnswers, told, "{appended:?} should be {expected:?}")?;
        self.refused = false;
        self.look(Law::HeadsAndVersions)
    }

    fn check_ids(&self, events: &[Recorded]) -> Held {
        let mut ids: BTreeSet<EventId> = events.iter().map(Recorded::event_id).collect();
        let distinct = ids.len() == events.len();
        let known = self.oracle.facts().iter().find(|fact| !ids.insert(fact.id));
        hold!(
            Law::IdsAreUnique,
            distinct && known.is_none(),
            "an accepted commit repeats an id: {known:?}, {events:?}"
        )
    }

    fn check_position(&self, fact: &Fact, event: &Recorded) -> Held {
        if event.position() == fact.position {
            return Ok(());
        }
        let law = blame_hole(&*self.store, self.refused)?;
        let expected = fact.position;
        Err(Failure::of(law, format!("{event:?} should have position {expected}")))
    }
}

/// As many events are read as were written.
fn check_extent(commit: &Commit, events: &[Recorded]) -> Held {
    let (read, written) = (events.len(), commit.events().count());
    let seen = "events are read of a commit of";
    hold!(Law::VisibleWhenAcknowledged, read > 0, "no {seen} {written}")?;
    hold!(Law::Atomicity, read == written, "{read} {seen} {written}")
}
