//! Which events are meant.

use crate::event::{GAP, RecordedEvent};
use crate::id::{Category, CorrelationId, EventId, EventType, StreamId, Tag};

/// Which events are meant: those that any of its clauses matches.
///
/// [`Filter::all`], the default, matches every event. A filter of no clauses, as `any_of` makes it from an empty
/// list, matches none: a list that happens to be empty never widens what a program asks for.
///
/// ```
/// use annals::id::{Category, Tag};
/// use annals::store::{Clause, Filter};
///
/// let ann = Clause::new().category(Category::new("user")?).tag(Tag::new("email:ann@example.org")?);
/// let payments = Clause::new().category(Category::new("payment")?);
/// let filter = Filter::any_of([ann, payments]);
/// # Ok::<(), annals::id::InvalidName>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a filter matches nothing before it is used"]
pub struct Filter {
    clauses: Vec<Clause>,
}

impl Filter {
    /// Every event.
    pub fn all() -> Self {
        Clause::new().into()
    }

    /// The events that any of these clauses matches.
    pub fn any_of(clauses: impl IntoIterator<Item = Clause>) -> Self {
        Self { clauses: clauses.into_iter().collect() }
    }

    /// The clauses, of which one has to match.
    pub fn clauses(&self) -> &[Clause] {
        &self.clauses
    }

    /// Whether the event is meant.
    #[must_use]
    pub fn matches(&self, event: &RecordedEvent<'_>) -> bool {
        self.clauses.iter().any(|clause| clause.matches(event))
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::all()
    }
}

impl From<Clause> for Filter {
    fn from(clause: Clause) -> Self {
        Self { clauses: vec![clause] }
    }
}

impl From<Category> for Filter {
    fn from(category: Category) -> Self {
        Clause::new().category(category).into()
    }
}

impl From<Tag> for Filter {
    fn from(tag: Tag) -> Self {
        Clause::new().tag(tag).into()
    }
}

impl From<StreamId> for Filter {
    fn from(stream: StreamId) -> Self {
        Clause::new().stream(stream).into()
    }
}

/// A part of a [`Filter`]: the events that match everything it names.
///
/// Of streams, categories and types an event matches any that are named; of tags it carries all. What is not named
/// does not matter, so a new clause matches every event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "a clause matches nothing before it is used"]
pub struct Clause {
    streams: Option<Vec<StreamId>>,
    categories: Option<Vec<Category>>,
    types: Option<Vec<EventType>>,
    tags: Vec<Tag>,
    correlation: Option<CorrelationId>,
    event: Option<EventId>,
    cause: Option<EventId>,
}

impl Clause {
    /// A clause that names nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of this stream, or another that is named.
    pub fn stream(self, stream: StreamId) -> Self {
        self.streams([stream])
    }

    /// Of any of these streams, or another that is named. No stream at all means no event.
    pub fn streams(mut self, streams: impl IntoIterator<Item = StreamId>) -> Self {
        self.streams.get_or_insert_default().extend(streams);
        self
    }

    /// Of this category, or another that is named.
    pub fn category(self, category: Category) -> Self {
        self.categories([category])
    }

    /// Of any of these categories, or another that is named. No category at all means no event.
    pub fn categories(mut self, categories: impl IntoIterator<Item = Category>) -> Self {
        self.categories.get_or_insert_default().extend(categories);
        self
    }

    /// Of this stored type, or another that is named.
    pub fn event_type(self, event_type: EventType) -> Self {
        self.types([event_type])
    }

    /// Of any of these stored types, or another that is named. No type at all means no event.
    pub fn types(mut self, types: impl IntoIterator<Item = EventType>) -> Self {
        self.types.get_or_insert_default().extend(types);
        self
    }

    /// With this tag, and all others that are named.
    pub fn tag(mut self, tag: Tag) -> Self {
        self.tags.push(tag);
        self
    }

    /// With this correlation id.
    pub fn correlation(mut self, correlation: CorrelationId) -> Self {
        self.correlation = Some(correlation);
        self
    }

    /// The one event with this id.
    pub fn event(mut self, id: EventId) -> Self {
        self.event = Some(id);
        self
    }

    /// Caused by the event with this id: its effects, and not theirs.
    pub fn caused_by(mut self, cause: EventId) -> Self {
        self.cause = Some(cause);
        self
    }

    /// The streams that are named, if any were.
    #[must_use]
    pub fn named_streams(&self) -> Option<&[StreamId]> {
        self.streams.as_deref()
    }

    /// The categories that are named, if any were.
    #[must_use]
    pub fn named_categories(&self) -> Option<&[Category]> {
        self.categories.as_deref()
    }

    /// The stored types that are named, if any were.
    #[must_use]
    pub fn named_types(&self) -> Option<&[EventType]> {
        self.types.as_deref()
    }

    /// The tags that are named.
    #[must_use]
    pub fn named_tags(&self) -> &[Tag] {
        &self.tags
    }

    /// Whether it can match events whatever their stream, tags and ids.
    pub(crate) fn sees_gaps(&self) -> bool {
        let names_ids = self.correlation.is_some() || self.event.is_some() || self.cause.is_some();
        self.streams.is_none() && self.tags.is_empty() && !names_ids
    }

    /// The correlation id that is named, if one was.
    #[must_use]
    pub fn named_correlation(&self) -> Option<CorrelationId> {
        self.correlation
    }

    /// The event id that is named, if one was.
    #[must_use]
    pub fn named_event(&self) -> Option<EventId> {
        self.event
    }

    /// The cause that is named, if one was.
    #[must_use]
    pub fn named_cause(&self) -> Option<EventId> {
        self.cause
    }

    /// Whether the event matches everything the clause names. A [gap](RecordedEvent::is_gap) counts as any event that can have stood
    /// there, where the clause goes by categories and types; to what names streams, tags or ids, it is of its own stream only.
    #[must_use]
    pub fn matches(&self, event: &RecordedEvent<'_>) -> bool {
        let stream = event.stream();
        if event.is_gap() && self.sees_gaps() {
            let is_known = stream.category() != GAP;
            let in_category = |named: &Vec<Category>| named.iter().any(|one| stream.is_in(one));
            return !is_known || self.categories.as_ref().is_none_or(in_category);
        }
        let any_stream = |named: &Vec<StreamId>| named.iter().any(|one| stream == *one);
        let any_category = |named: &Vec<Category>| named.iter().any(|one| stream.is_in(one));
        let any_type = |named: &Vec<EventType>| named.iter().any(|one| *one == event.event_type());
        self.streams.as_ref().is_none_or(any_stream)
            && self.categories.as_ref().is_none_or(any_category)
            && self.types.as_ref().is_none_or(any_type)
            && self.tags.iter().all(|tag| event.has_tag(tag))
            && self.correlation.is_none_or(|one| event.correlation() == Some(one))
            && self.event.is_none_or(|one| event.event_id() == one)
            && self.cause.is_none_or(|one| event.causation() == Some(one))
    }
}
