//! A `MemoryStore` of which single calls can be replaced, and the means to change what goes in and comes out.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use annals::event::Placement;
use annals::id::{EventType, Tag};
use annals::store::{
    AppendError, Appended, Clause, Commit, Condition, Direction, EventStore, Filter, Guard, Head,
    Identity, Interrupt, Limits, MemoryStore, Query, StreamWrite,
};
use annals::testing::ManualClock;
use annals::testing::contract::{Law, run};
use annals::{Batch, Error, NewEvent, Position, RecordedEvent, StreamId, Version};

pub(super) type Answer = Result<Appended, AppendError>;
pub(super) type Waited = Result<Position, Error>;
pub(super) type Page = Result<(Batch, Option<Query>), Error>;

type Hook<I, O> = Box<dyn Fn(&MemoryStore, I) -> O + Send + Sync>;
type WaitHook = Box<dyn Fn(&MemoryStore, (Position, Duration, &Interrupt)) -> Waited + Send + Sync>;
type RefHook<I, O> = Box<dyn Fn(&MemoryStore, &I) -> O + Send + Sync>;

/// A store that is right but for the calls that are replaced.
pub(super) struct Broken {
    inner: MemoryStore,
    identity: Hook<(), Identity>,
    append: Hook<Commit, Answer>,
    read: RefHook<Query, Page>,
    version: RefHook<StreamId, Result<Version, Error>>,
    head: Hook<(), Result<Head, Error>>,
    wait: WaitHook,
    interrupt: RefHook<Interrupt, ()>,
    close: Hook<(), Result<(), Error>>,
}

impl Broken {
    pub(super) fn on(clock: ManualClock) -> Self {
        Self {
            inner: MemoryStore::with(clock, Limits::default()),
            identity: Box::new(|inner, ()| inner.identity()),
            append: Box::new(MemoryStore::append),
            read: Box::new(MemoryStore::read),
            version: Box::new(MemoryStore::version),
            head: Box::new(|inner, ()| inner.head()),
            wait: Box::new(|inner, (after, timeout, never)| inner.wait(after, timeout, never)),
            interrupt: Box::new(MemoryStore::interrupt),
            close: Box::new(|inner, ()| inner.close()),
        }
    }

    pub(super) fn identity(
        mut self,
        hook: impl Fn(&MemoryStore, ()) -> Identity + Send + Sync + 'static,
    ) -> Self {
        self.identity = Box::new(hook);
        self
    }

    pub(super) fn append(
        mut self,
        hook: impl Fn(&MemoryStore, Commit) -> Answer + Send + Sync + 'static,
    ) -> Self {
        self.append = Box::new(hook);
        self
    }

    pub(super) fn read(
        mut self,
        hook: impl Fn(&MemoryStore, &Query) -> Page + Send + Sync + 'static,
    ) -> Self {
        self.read = Box::new(hook);
        self
    }

    pub(super) fn version(
        mut self,
        hook: impl Fn(&MemoryStore, &StreamId) -> Result<Version, Error> + Send + Sync + 'static,
    ) -> Self {
        self.version = Box::new(hook);
        self
    }

    pub(super) fn head(
        mut self,
        hook: impl Fn(&MemoryStore, ()) -> Result<Head, Error> + Send + Sync + 'static,
    ) -> Self {
        self.head = Box::new(hook);
        self
    }

    pub(super) fn wait(
        mut self,
        hook: impl Fn(&MemoryStore, (Position, Duration, &Interrupt)) -> Waited + Send + Sync + 'static,
    ) -> Self {
        self.wait = Box::new(hook);
        self
    }

    pub(super) fn interrupt(
        mut self,
        hook: impl Fn(&MemoryStore, &Interrupt) + Send + Sync + 'static,
    ) -> Self {
        self.interrupt = Box::new(hook);
        self
    }

    pub(super) fn close(
        mut self,
        hook: impl Fn(&MemoryStore, ()) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Self {
        self.close = Box::new(hook);
        self
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl EventStore for Broken {
    fn identity(&self) -> Identity {
        (self.identity)(&self.inner, ())
    }

    fn append(&self, commit: Commit) -> Answer {
        (self.append)(&self.inner, commit)
    }

    fn read(&self, query: &Query) -> Page {
        (self.read)(&self.inner, query)
    }

    fn version(&self, stream: &StreamId) -> Result<Version, Error> {
        (self.version)(&self.inner, stream)
    }

    fn head(&self) -> Result<Head, Error> {
        (self.head)(&self.inner, ())
    }

    fn wait(&self, after: Position, timeout: Duration, interrupt: &Interrupt) -> Waited {
        (self.wait)(&self.inner, (after, timeout, interrupt))
    }

    fn interrupt(&self, interrupt: &Interrupt) {
        (self.interrupt)(&self.inner, interrupt)
    }

    fn close(&self) -> Result<(), Error> {
        (self.close)(&self.inner, ())
    }
}

/// Runs the suite on stores with this defect: it has to name this law, and no other.
#[track_caller]
pub(super) fn breaks(law: Law, with_defect: impl Fn(Broken, ManualClock) -> Broken) {
    let report = run(|clock| with_defect(Broken::on(clock.clone()), clock), 0..2);
    assert_eq!(report.broken().collect::<Vec<_>>(), [law], "{report}");
    assert!(report.failure(law).unwrap().contains(": "), "{report}");
}

/// A commit made of these parts.
pub(super) fn commit_of(
    writes: impl IntoIterator<Item = StreamWrite>,
    guards: impl IntoIterator<Item = Guard>,
    conditions: impl IntoIterator<Item = Condition>,
) -> Commit {
    let mut commit = Commit::new();
    for write in writes {
        commit = commit.write(write.stream, write.expected, write.events);
    }
    for guard in guards {
        commit = commit.guard(guard.stream, guard.expected);
    }
    for condition in conditions {
        commit = commit.require_none(condition.none_of, condition.after);
    }
    commit
}

/// The commit with the time that another brings.
pub(super) fn timed_as(other: &Commit, commit: Commit) -> Commit {
    other.own_time().map_or(commit.clone(), |time| commit.recorded_at(time))
}

/// The commit with other writes.
pub(super) fn with_writes(
    commit: &Commit,
    writes: impl IntoIterator<Item = StreamWrite>,
) -> Commit {
    let other = commit_of(writes, commit.guards().to_vec(), commit.conditions().to_vec());
    timed_as(commit, other)
}

/// The commit with each event changed.
pub(super) fn with_events(commit: &Commit, change: impl Fn(&NewEvent) -> NewEvent) -> Commit {
    let changed = |write: &StreamWrite| StreamWrite {
        events: write.events.iter().map(&change).collect(),
        ..write.clone()
    };
    with_writes(commit, commit.writes().iter().map(changed))
}

/// The event without the id that the caller gave it.
pub(super) fn without_id(event: &NewEvent) -> NewEvent {
    NewEvent::from_json(event.event_type().clone(), event.payload())
        .unwrap()
        .with_schema(event.schema())
        .with_metadata(event.metadata().clone())
        .with_tags(event.tags().clone())
}

/// The batch with each event placed elsewhere.
pub(super) fn placed(batch: &Batch, place: impl Fn(&mut Placement)) -> Batch {
    let mut placed = Batch::new();
    for event in batch.iter() {
        let mut placement = Placement {
            stream: event.stream().to_stream_id(),
            version: event.version(),
            position: event.position(),
            recorded_at: event.recorded_at(),
            id: event.event_id(),
            commit: event.commit(),
        };
        place(&mut placement);
        placed.push(&RecordedEvent::new(&placement, &as_new(&event)));
    }
    placed
}

fn as_new(event: &RecordedEvent<'_>) -> NewEvent {
    NewEvent::from_json(EventType::new(event.event_type()).unwrap(), event.payload())
        .unwrap()
        .with_schema(event.schema())
        .with_metadata(event.metadata())
        .with_tags(event.tags().map(|name| Tag::new(name).unwrap()).collect())
}

/// The batch in the opposite order.
pub(super) fn reversed(batch: &Batch) -> Batch {
    let mut reversed = Batch::new();
    batch.iter().rev().for_each(|event| reversed.push(&event));
    reversed
}

/// The query with another filter, another upper end of its positions and another limit.
pub(super) fn query_of(
    filter: Filter,
    up_to: Option<Position>,
    limit: Option<NonZeroU64>,
    query: &Query,
) -> Query {
    let (after_version, up_to_version) = query.versions();
    let (after_time, up_to_time) = query.times();
    let mut new = Query::new(filter).after(query.positions().0).after_version(after_version);
    new = up_to.map_or(new.clone(), |end| new.up_to(end));
    new = up_to_version.map_or(new.clone(), |end| new.up_to_version(end));
    new = after_time.map_or(new.clone(), |start| new.after_time(start));
    new = up_to_time.map_or(new.clone(), |end| new.up_to_time(end));
    new = limit.map_or(new.clone(), |limit| new.limit(limit));
    match query.direction() {
        Direction::Forwards => new,
        Direction::Backwards => new.backwards(),
    }
}

/// Reads with each clause of the filter replaced.
pub(super) fn read_with(
    inner: &MemoryStore,
    query: &Query,
    clauses: impl Fn(&Clause) -> Vec<Clause>,
) -> Page {
    let (end, limit) = (query.positions().1, query.limited_to());
    let other = Filter::any_of(query.filter().clauses().iter().flat_map(clauses));
    let (batch, rest) = inner.read(&query_of(other, end, limit, query))?;
    let own = |rest: Query| {
        query_of(query.filter().clone(), rest.positions().1, rest.limited_to(), &rest)
    };
    Ok((batch, rest.map(own)))
}

/// What the clause names, streams and tags apart.
pub(super) fn without_streams_and_tags(clause: &Clause) -> Clause {
    let mut new = Clause::new();
    if let Some(named) = clause.named_categories() {
        new = new.categories(named.to_vec());
    }
    if let Some(named) = clause.named_types() {
        new = new.types(named.to_vec());
    }
    if let Some(id) = clause.named_correlation() {
        new = new.correlation(id);
    }
    if let Some(id) = clause.named_event() {
        new = new.event(id);
    }
    clause.named_cause().map_or(new.clone(), |id| new.caused_by(id))
}
