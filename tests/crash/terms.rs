//! What the events of these tests are called, and so all that a store can be asked for.

use std::num::NonZeroU64;

use annals::id::{Category, CorrelationId, EventType, Tag};
use annals::store::{Clause, Filter, Query};
use annals::uuid::Uuid;
use annals::{Position, StreamId, Version};

use crate::random::Random;

pub(crate) const STREAMS: [&str; 6] = ["a/1", "a/2", "a/2/3", "b/1", "b/é", "c/never"];
pub(crate) const CATEGORIES: [&str; 3] = ["a", "b", "c"];
pub(crate) const TYPES: [&str; 4] = ["Opened", "Paid", "Ünlike", "Never"];
pub(crate) const TAGS: [&str; 4] = ["t:1", "t:2", "email:ann@example.org", "t:never"];
pub(crate) const CORRELATIONS: u64 = 4;

pub(crate) fn stream(name: &str) -> StreamId {
    name.parse().unwrap()
}

pub(crate) fn category(name: &str) -> Category {
    Category::new(name).unwrap()
}

pub(crate) fn event_type(name: &str) -> EventType {
    EventType::new(name).unwrap()
}

pub(crate) fn tag(name: &str) -> Tag {
    Tag::new(name).unwrap()
}

pub(crate) fn correlation(number: u64) -> CorrelationId {
    CorrelationId::new(Uuid::from_u64_pair(0xC0, number))
}

/// What a store can be asked for.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) streams: Vec<StreamId>,
    /// One filter for every term that an index knows, and some of several.
    pub(crate) filters: Vec<Filter>,
}

impl Terms {
    pub(crate) fn new() -> Self {
        Self { streams: STREAMS.map(stream).to_vec(), filters: filters() }
    }

    /// Some query to a store that holds this many events.
    pub(crate) fn query(&self, events: usize, random: &mut Random) -> Query {
        let mut query = Query::new(random.pick(&self.filters).clone());
        let end = events as u64 + 2;
        if random.chance(30) {
            query = query.after(Position::new(random.below(end)));
        }
        if random.chance(30) {
            query = query.up_to(Position::new(random.below(end)));
        }
        if random.chance(20) {
            query = query.after_version(Version::new(random.below(end)));
        }
        if random.chance(20) {
            query = query.up_to_version(Version::new(random.below(end)));
        }
        if random.chance(40) {
            query = query.backwards();
        }
        match NonZeroU64::new(random.below(6)) {
            Some(limit) if random.chance(30) => query.limit(limit),
            _ => query,
        }
    }
}

fn filters() -> Vec<Filter> {
    let mut filters = vec![Filter::all()];
    filters.extend(STREAMS.map(|name| stream(name).into()));
    filters.extend(CATEGORIES.map(|name| category(name).into()));
    filters.extend(TYPES.map(|name| Clause::new().event_type(event_type(name)).into()));
    filters.extend(TAGS.map(|name| Filter::from(tag(name))));
    filters.extend(
        (0..CORRELATIONS).map(|number| Clause::new().correlation(correlation(number)).into()),
    );
    let clauses = [
        Clause::new().category(category("a")).tag(tag("t:1")).tag(tag("t:2")),
        Clause::new().stream(stream("b/1")).event_type(event_type("Paid")),
        Clause::new().tag(tag("t:2")).correlation(correlation(1)),
    ];
    filters.extend(clauses.iter().cloned().map(Filter::from));
    filters.push(Filter::any_of(clauses));
    filters
}
