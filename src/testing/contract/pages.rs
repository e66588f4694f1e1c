//! Reads of many batches, alone and while others append.

use std::num::NonZeroU64;

use chrono::TimeDelta;

use super::blame::agrees;
use super::law::Law;
use super::material::{event_type, stream, tag, tags, with_payload};
use super::reading::{Recorded, read, read_page};
use super::report::{Failure, Held};
use super::trial::Trial;
use crate::event::{NewEvent, RecordedEvent};
use crate::position::{Position, Version};
use crate::store::{Clause, Commit, Expected, Filter, Query};

const COMMITS: u64 = 26;
const SMALL: u64 = 100;
const LARGE_BYTES: usize = 100_000;

/// Several thousand events, and a few that are large.
fn fill(trial: &mut Trial) -> Held {
    for commit in 0..COMMITS {
        let small = (0..SMALL).map(|n| small(commit * SMALL + n));
        let large = with_payload("Large", &format!("\"{}\"", "x".repeat(LARGE_BYTES)));
        let events = Commit::new().write(stream("a/1"), Expected::Any, small).write(
            stream("b/1"),
            Expected::Any,
            [large],
        );
        trial.clock.advance(TimeDelta::milliseconds(1));
        trial.append(&events)?;
    }
    Ok(())
}

/// Most are alike; a few are far apart, and the first and the last are among them.
fn small(number: u64) -> NewEvent {
    let event = with_payload("Small", &number.to_string());
    if number.is_multiple_of(1_299) || number + 1 == COMMITS * SMALL {
        return event.with_tags(tags(&["common", "rare"]));
    }
    event.with_tags(tags(&["common"]))
}

fn queries(trial: &Trial) -> [Query; 8] {
    let rare = || Clause::new().tag(tag("rare"));
    let large = Clause::new().event_type(event_type("Large"));
    let start = trial.oracle.facts()[900].recorded_at;
    [
        Query::default(),
        Query::new(rare().tag(tag("common"))),
        Query::new(rare().event_type(event_type("Small")).stream(stream("a/1"))),
        Query::new(Filter::any_of([large, rare()])),
        Query::new(stream("a/1")).after_version(Version::new(1_500)),
        Query::new(stream("a/1"))
            .after_version(Version::new(10))
            .up_to_version(Version::new(2_500)),
        Query::default().after(Position::new(700)).up_to(Position::new(2_300)),
        Query::default().after_time(start),
    ]
}

/// Everything, much and little of a long log, in both directions, with limits on both sides of a batch's end.
pub(super) fn long_reads(trial: &mut Trial) -> Held {
    fill(trial)?;
    for query in queries(trial) {
        for query in [query.clone(), query.backwards()] {
            trial.read(&query)?;
            for limit in [1, 1_025, 2_000].map(NonZeroU64::new) {
                trial.read(&query.clone().limit(limit.expect("it is not 0")))?;
            }
        }
    }
    Ok(())
}

/// Reads go on while others append.
pub(super) fn reads_amid_appends(trial: &mut Trial) -> Held {
    fill(trial)?;
    read_amid_append(trial, &Query::default())?;
    read_amid_append(trial, &Query::new(stream("a/1")))?;
    read_amid_append(trial, &Query::default().backwards())
}

/// A read that goes on after an append shows the log as it was when it began.
fn read_amid_append(trial: &mut Trial, query: &Query) -> Held {
    let expected = trial.oracle.answer(query);
    let (batch, rest) = read_page(&*trial.store, query)?;
    let mut events: Vec<Recorded> = batch.iter().map(RecordedEvent::into_owned).collect();
    let late = Commit::new().write(stream("a/1"), Expected::Any, [small(1)]);
    trial.append(&late)?;
    if let Some(rest) = rest {
        events.extend(read(&*trial.store, &rest)?);
    }
    if agrees(&trial.oracle, &expected, &events) {
        return Ok(());
    }
    // It may be wrong also when nobody appends.
    trial.read(query)?;
    let law = match events.len() > expected.len() {
        true => Law::ReadIsPinned,
        false => Law::ReadPaging,
    };
    Err(Failure::of(law, format!("{query:?} goes on wrongly amid appends")))
}
