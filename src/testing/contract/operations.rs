//! Random operations in a small world, where everything meets everything.

use std::num::NonZeroU64;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::{Just, Strategy, any};
use proptest::sample::{Index, select, subsequence};
use proptest::strategy::Union;

use super::material::{category, correlation, event_type, stream, tag};
use super::trial::START;
use crate::id::StreamId;
use crate::position::{Position, Version};
use crate::store::{Clause, Filter, Query};

const STREAMS: [&str; 4] = ["a/1", "a/2", "a/3/x", "b/1"];
const TYPES: [&str; 3] = ["X", "Y", "Z"];
const TAGS: [&str; 3] = ["p", "q", "r"];

/// Something that is asked of a store.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    Append(Plan),
    Repeat(Index, Change),
    MoveClock { nanos: i64 },
    Read(Query),
}

/// A commit; what it believes of streams is told relative to what they are when it is appended.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) writes: Vec<(StreamId, Belief, Vec<EventPlan>)>,
    pub(super) guards: Vec<(StreamId, Belief)>,
    /// Filters, each with how far before the head it begins.
    pub(super) conditions: Vec<(Filter, u64)>,
    /// How long after the commit before it says to be recorded, in nanoseconds.
    pub(super) own_time: Option<i64>,
}

/// What a commit believes of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) enum Belief {
    Any,
    Empty,
    Exists,
    Current,
    Stale,
    Ahead,
}

/// An event; what makes it differ from all others is added when it is appended.
#[derive(Debug, Clone)]
pub(super) struct EventPlan {
    pub(super) event_type: &'static str,
    pub(super) tags: Vec<&'static str>,
    pub(super) correlation: Option<u64>,
    pub(super) with_id: bool,
    pub(super) with_header: bool,
    pub(super) filler_bytes: usize,
}

/// How a repetition differs from the commit that it repeats.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    None,
    OtherPayload,
    OtherHeader,
    OtherStream,
    OneLess,
    OneMore,
}

pub(super) fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let repeat = (any::<Index>(), change()).prop_map(|(which, how)| Operation::Repeat(which, how));
    let nanos = -2_000_000..4_000_000_i64;
    let operation = Union::new_weighted(vec![
        (10, plan().prop_map(Operation::Append).boxed()),
        (3, repeat.boxed()),
        (2, nanos.prop_map(|nanos| Operation::MoveClock { nanos }).boxed()),
        (7, query().prop_map(Operation::Read).boxed()),
    ]);
    vec(operation, 1..60)
}

fn plan() -> impl Strategy<Value = Plan> {
    let streams = subsequence(STREAMS.to_vec(), 1..=3).prop_shuffle();
    let writes =
        (streams, vec((belief(), vec(event_plan(), 1..4)), 3)).prop_map(|(names, rest)| {
            let joined = names.into_iter().zip(rest);
            joined.map(|(name, (belief, events))| (stream(name), belief, events)).collect()
        });
    let guards = vec((one_stream(), belief()), 0..3);
    let conditions = vec((filter(), far_or(0..6)), 0..3);
    let often_none = |some: u32| weighted(f64::from(some) / 10.0, Just(()));
    let own_time = weighted(0.1, -2_000_000..4_000_000_i64);
    (writes, often_none(3), guards, often_none(4), conditions, own_time).prop_map(
        |(writes, guarded, guards, conditional, conditions, own_time)| Plan {
            writes,
            guards: guarded.map_or(Vec::new(), |()| guards),
            conditions: conditional.map_or(Vec::new(), |()| conditions),
            own_time,
        },
    )
}

fn one_stream() -> impl Strategy<Value = StreamId> {
    select(STREAMS.to_vec()).prop_map(stream)
}

fn belief() -> impl Strategy<Value = Belief> {
    Union::new_weighted(vec![
        (12, Just(Belief::Any)),
        (12, Just(Belief::Current)),
        (1, Just(Belief::Empty)),
        (2, Just(Belief::Exists)),
        (2, Just(Belief::Stale)),
        (1, Just(Belief::Ahead)),
    ])
}

fn event_plan() -> impl Strategy<Value = EventPlan> {
    let filler_bytes = Union::new_weighted(vec![(30, Just(0)), (1, Just(90_000))]);
    let tags = subsequence(TAGS.to_vec(), 0..=3);
    let correlation = weighted(0.5, 0..2_u64);
    let options = (any::<bool>(), any::<bool>());
    (select(TYPES.to_vec()), tags, correlation, options, filler_bytes).prop_map(
        |(event_type, tags, correlation, (with_id, with_header), filler_bytes)| EventPlan {
            event_type,
            tags,
            correlation,
            with_id,
            with_header,
            filler_bytes,
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    Union::new_weighted(vec![
        (5, Just(Change::None)),
        (1, Just(Change::OtherPayload)),
        (1, Just(Change::OtherHeader)),
        (1, Just(Change::OtherStream)),
        (1, Just(Change::OneLess)),
        (1, Just(Change::OneMore)),
    ])
}

/// A filter that names a little, so that much matches it; seldom everything or nothing.
fn filter() -> impl Strategy<Value = Filter> {
    Union::new_weighted(vec![
        (1, Just(Filter::all()).boxed()),
        (6, vec(clause(), 1..3).prop_map(Filter::any_of).boxed()),
        (1, vec(clause(), 0..1).prop_map(Filter::any_of).boxed()),
    ])
}

fn clause() -> impl Strategy<Value = Clause> {
    let streams = weighted(0.3, subsequence(STREAMS.to_vec(), 0..=3));
    let categories = weighted(0.2, subsequence(vec!["a", "b", "none"], 0..=2));
    let types = weighted(0.3, subsequence(TYPES.to_vec(), 0..=2));
    let tags = subsequence(TAGS.to_vec(), 0..=2);
    let correlations = weighted(0.2, 0..3_u64);
    (streams, categories, types, tags, correlations).prop_map(
        |(streams, categories, types, tags, correlations)| {
            let mut clause = Clause::new();
            if let Some(names) = streams {
                clause = clause.streams(names.into_iter().map(stream));
            }
            if let Some(names) = categories {
                clause = clause.categories(names.into_iter().map(category));
            }
            if let Some(names) = types {
                clause = clause.types(names.into_iter().map(event_type));
            }
            if let Some(number) = correlations {
                clause = clause.correlation(correlation(number));
            }
            tags.into_iter().fold(clause, |clause, name| clause.tag(tag(name)))
        },
    )
}

/// A number from the range, seldom the greatest there is.
fn far_or(near: std::ops::Range<u64>) -> impl Strategy<Value = u64> {
    Union::new_weighted(vec![(12, near.boxed()), (1, Just(u64::MAX).boxed())])
}

fn query() -> impl Strategy<Value = Query> {
    let positions = (weighted(0.3, far_or(0..60)), weighted(0.3, far_or(0..60)));
    let versions = (weighted(0.3, far_or(0..12)), weighted(0.3, far_or(0..12)));
    let times = (weighted(0.2, time()), weighted(0.2, time()));
    let limit = weighted(0.3, far_or(1..12));
    let ranges = (positions, versions, times);
    (filter(), ranges, any::<bool>(), limit).prop_map(|(filter, ranges, backwards, limit)| {
        let ((after, up_to), (after_version, up_to_version), (after_time, up_to_time)) = ranges;
        let mut query = Query::new(filter)
            .after(Position::new(after.unwrap_or(0)))
            .after_version(Version::new(after_version.unwrap_or(0)));
        query = up_to.map_or(query.clone(), |end| query.up_to(Position::new(end)));
        query = up_to_version.map_or(query.clone(), |end| query.up_to_version(Version::new(end)));
        query = after_time.map_or(query.clone(), |time| query.after_time(time));
        query = up_to_time.map_or(query.clone(), |time| query.up_to_time(time));
        query = if backwards { query.backwards() } else { query };
        limit.and_then(NonZeroU64::new).map_or(query.clone(), |limit| query.limit(limit))
    })
}

/// A time near those that the clock shows while the operations go on.
fn time() -> impl Strategy<Value = DateTime<Utc>> {
    let start: DateTime<Utc> = START.parse().expect("the time is valid");
    (-2_000..20_000_i64).prop_map(move |micros| start + TimeDelta::microseconds(micros))
}
