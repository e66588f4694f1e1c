//! Random operations, carried out and judged one by one; what goes wrong is shrunk.

use std::cell::Cell;

use chrono::TimeDelta;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use super::law::Law;
use super::material::{self, correlation, id, tags, with_payload};
use super::operations::{Belief, Change, EventPlan, Operation, Plan, operations};
use super::oracle::{Fact, Verdict};
use super::report::{Failure, Held};
use super::trial::{Factory, Trial};
use crate::clock::Clock;
use crate::event::{Metadata, NewEvent};
use crate::id::StreamId;
use crate::position::{Position, Version};
use crate::store::{Commit, Expected};

/// How many sequences grow from a seed, and how many shorter ones are tried when one goes wrong.
const SEQUENCES: u32 = 24;
const SHRINKINGS_MAX: u32 = 200;

fn runner(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: SEQUENCES,
        max_shrink_iters: SHRINKINGS_MAX,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Carries out the sequences that grow from the seed, each in a store of its own.
pub(super) fn carry_out(factory: &Factory<'_>, seed: u64) -> Held {
    let broken = Cell::new(None);
    let outcome = runner(seed).run(&operations(), |operations| {
        let Err(failure) = play(factory, &operations) else {
            return Ok(());
        };
        // A shorter sequence that breaks another law is another finding, not a simpler form of this one.
        if broken.get().is_some_and(|law| law != failure.law) {
            return Ok(());
        }
        broken.set(Some(failure.law));
        Err(TestCaseError::fail(failure.message))
    });
    let law = broken.get().unwrap_or(Law::Serves);
    match outcome {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, operations)) => {
            let steps: String = operations.iter().map(|one| format!("\n    {one:?}")).collect();
            let message = format!("{reason}\n  after the operations{steps}");
            Err(Failure { law, message })
        }
        Err(TestError::Abort(reason)) => Err(Failure::of(law, reason.to_string())),
    }
}

fn play(factory: &Factory<'_>, operations: &[Operation]) -> Held {
    let mut trial = Trial::begin(factory)?;
    let mut author = Author::default();
    for operation in operations {
        match operation {
            Operation::MoveClock { nanos } => trial.clock.advance(TimeDelta::nanoseconds(*nanos)),
            Operation::Read(query) => trial.read(query)?,
            Operation::Append(plan) => {
                let commit = author.commit(&trial, plan);
                author.append(&mut trial, &commit)?;
            }
            Operation::Repeat(which, change) => {
                if !author.accepted.is_empty() {
                    let earlier = which.get(&author.accepted).clone();
                    let commit = author.changed(earlier, *change);
                    author.append(&mut trial, &commit)?;
                }
            }
        }
    }
    trial.read_all()
}

/// Writes commits out.
#[derive(Default)]
struct Author {
    /// Numbers events, so that no two are alike.
    events: u64,
    /// The commits that were accepted, with the ids that all their events have by now.
    accepted: Vec<Commit>,
}

impl Author {
    fn append(&mut self, trial: &mut Trial, commit: &Commit) -> Held {
        let first = trial.oracle.facts().len();
        if let Verdict::Accepted = trial.append(commit)? {
            self.accepted.push(identified(commit, &trial.oracle.facts()[first..]));
        }
        Ok(())
    }

    fn commit(&mut self, trial: &Trial, plan: &Plan) -> Commit {
        let expected = |stream: &StreamId, belief| expected(belief, trial.oracle.version(stream));
        let mut commit = Commit::new();
        for (stream, belief, events) in &plan.writes {
            let events: Vec<NewEvent> = events.iter().map(|plan| self.event(plan)).collect();
            commit = commit.write(stream.clone(), expected(stream, *belief), events);
        }
        for (stream, belief) in &plan.guards {
            commit = commit.guard(stream.clone(), expected(stream, *belief));
        }
        for (filter, back) in &plan.conditions {
            let after = match *back {
                u64::MAX => u64::MAX,
                back => trial.oracle.head().get().saturating_sub(back),
            };
            commit = commit.require_none(filter.clone(), Position::new(after));
        }
        let last = trial.oracle.last_time().unwrap_or(trial.clock.now());
        let own_time = plan.own_time.map(|nanos| last + TimeDelta::nanoseconds(nanos));
        own_time.map_or(commit.clone(), |time| commit.recorded_at(time))
    }

    fn event(&mut self, plan: &EventPlan) -> NewEvent {
        self.events += 1;
        let number = self.events;
        let filler = "x".repeat(plan.filler_bytes);
        let mut metadata = Metadata::new();
        if let Some(number) = plan.correlation {
            metadata = metadata.with_correlation(correlation(number));
        }
        if plan.with_header {
            metadata = metadata.with_header("n", number.to_string()).with_actor("ann");
        }
        let event = with_payload(plan.event_type, &format!(r#"[{number},"{filler}"]"#))
            .with_metadata(metadata)
            .with_tags(tags(&plan.tags));
        if plan.with_id { event.with_id(id(number)) } else { event }
    }

    /// An earlier commit with something changed in its last event.
    fn changed(&mut self, earlier: Commit, change: Change) -> Commit {
        let (write, kept) = earlier.writes().split_last().expect("it was accepted");
        let (mut stream, mut events) = (write.stream.clone(), write.events.clone());
        let last = events.len() - 1;
        match change {
            Change::None => return earlier,
            Change::OtherPayload => events[last] = with_other_payload(&events[last]),
            Change::OtherHeader => {
                let other = events[last].metadata().clone().with_header("other", "");
                events[last] = events[last].clone().with_metadata(other);
            }
            Change::OtherStream => stream = material::stream("b/other"),
            Change::OneLess if last > 0 => events.truncate(last),
            Change::OneLess | Change::OneMore => {
                self.events += 1;
                events.push(with_payload("X", "1").with_id(id(self.events)));
            }
        }
        let commit = kept.iter().cloned().fold(Commit::new(), |commit, write| {
            commit.write(write.stream, write.expected, write.events)
        });
        commit.write(stream, write.expected, events)
    }
}

fn with_other_payload(event: &NewEvent) -> NewEvent {
    let id = event.id().expect("an accepted commit was identified");
    with_payload(event.event_type().as_str(), "0")
        .with_metadata(event.metadata().clone())
        .with_tags(event.tags().clone())
        .with_id(id)
}

fn expected(belief: Belief, actual: Version) -> Expected {
    match belief {
        Belief::Any => Expected::Any,
        Belief::Empty => Expected::Empty,
        Belief::Exists => Expected::Exists,
        Belief::Current => Expected::Exactly(actual),
        Belief::Stale => Expected::Exactly(Version::new(actual.get().saturating_sub(1))),
        Belief::Ahead => Expected::Exactly(Version::new(actual.get() + 1)),
    }
}

/// The commit as it is repeated: each event with the id under which it was recorded.
pub(super) fn identified(commit: &Commit, facts: &[Fact]) -> Commit {
    let mut ids = facts.iter().map(|fact| fact.id);
    let mut identified = Commit::new();
    for write in commit.writes() {
        let events = write.events.iter().zip(&mut ids);
        let events = events.map(|(event, id)| event.clone().with_id(id)).collect::<Vec<_>>();
        identified = identified.write(write.stream.clone(), write.expected, events);
    }
    for guard in commit.guards() {
        identified = identified.guard(guard.stream.clone(), guard.expected);
    }
    for condition in commit.conditions() {
        identified = identified.require_none(condition.none_of.clone(), condition.after);
    }
    commit.own_time().map_or(identified.clone(), |time| identified.recorded_at(time))
}
