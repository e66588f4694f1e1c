//! All that is done with a store that was opened.

use annals::chrono::{DateTime, Utc};
use annals::id::{Category, EventType, Tag};
use annals::store::{
    AppendError, Batches, Clause, Commit, Durability, EventStore, Expected, FileOptions, FileStore,
    Filter, Query, Upkeep, care,
};
use annals::uuid::Uuid;
use annals::{Clock, Error, NewEvent, Position, RecordedEvent, StreamId};

use crate::change::Settings;
use crate::disk::{SimDisk, State};

/// No record is shorter than this.
const RECORD_MIN: usize = 16;

/// A clock that stands still.
#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }
}

fn options(settings: Settings) -> FileOptions {
    let durability = if settings.is_synced { Durability::Synced } else { Durability::Buffered };
    FileStore::options()
        .clock(Noon)
        .segment_bytes(6000)
        .recent_bytes(settings.recent_bytes)
        .cache_bytes(settings.cache_bytes)
        .durability(durability)
        .upkeep(Upkeep::Inline)
}

/// Verifies, salvages, restores and backs up: each comes to an end, with whatever result.
fn care_for(disk: &SimDisk) {
    let fresh = || SimDisk::holding(State::default(), 2);
    let _ = care::verify(disk.clone(), Position::START, |_| {});
    let _ = care::salvage(disk.clone(), fresh(), |_| {});
    let _ = care::restore(disk.clone(), fresh(), Position::new(u64::MAX), |_| {});
    let _ = care::backup(disk.clone(), fresh(), |_| {});
}

/// Follows a store and reads it; opens it, reads it, appends to it, and closes it; twice. An error anywhere is fine, and the
/// first is returned;
/// what else may not be panics.
pub(crate) fn exercise(disk: &SimDisk, settings: Settings, bytes: usize) -> Result<(), Error> {
    care_for(disk);
    let mut error = None;
    let mut appended = Position::START;
    for _ in 0..2 {
        let follower = options(settings).follow_on(disk.clone());
        let followed =
            follower.and_then(|follower| read_all(&follower, &filters(), bytes, &mut error));
        error = error.or(followed.err());
        let store = options(settings).open_on(disk.clone())?;
        let head = read_all(&store, &filters(), bytes, &mut error)?;
        assert!(head >= appended, "{appended:?} was appended, and now the last is {head:?}");
        let last = append(&store);
        match last {
            Ok(last) => {
                assert_eq!(last.get(), head.get() + 1, "what is appended follows what is there");
                appended = last;
            }
            Err(AppendError::Store(failure)) => drop(error.get_or_insert(failure)),
            Err(refused) => panic!("an honest commit is refused: {refused}"),
        }
        read_all(&store, &[Filter::all()], bytes, &mut error)?;
        store.close()?;
    }
    error.map_or(Ok(()), Err)
}

/// Reads what these filters let through, in both directions. The last position, as the store knows it.
fn read_all(
    store: &dyn EventStore,
    filters: &[Filter],
    bytes: usize,
    error: &mut Option<Error>,
) -> Result<Position, Error> {
    let head = store.head()?.acknowledged;
    for filter in filters {
        for is_forwards in [true, false] {
            let query = Query::new(filter.clone());
            let query = if is_forwards { query } else { query.backwards() };
            if let Err(failure) = read(store, &query, is_forwards, head, bytes) {
                error.get_or_insert(failure);
            }
        }
    }
    for number in 0..8 {
        let _ = store.version(&stream(number));
    }
    Ok(head)
}

/// Reads what a query finds, and looks at the order of it.
fn read(
    store: &dyn EventStore,
    query: &Query,
    is_forwards: bool,
    head: Position,
    bytes: usize,
) -> Result<(), Error> {
    let is_all = *query.filter() == Filter::all();
    let end = head.get() + 1;
    let mut before = if is_forwards { 0 } else { end };
    let (mut batches, mut count) = (0, 0);
    // What is appended meanwhile is more than what the files had.
    let most = bytes / RECORD_MIN + 16;
    for batch in Batches::new(store, query.clone()) {
        let batch = batch?;
        // A batch may be empty; each has looked at something.
        batches += 1;
        assert!(batches <= most, "{batches} batches are read from {bytes} bytes");
        for event in batch.iter() {
            let position = event.position().get();
            let step = if is_forwards {
                position.checked_sub(before)
            } else {
                before.checked_sub(position)
            };
            let follows = step.is_some_and(|step| step == 1 || (!is_all && step > 1));
            assert!(
                follows && position > 0 && position < end,
                "{position} follows {before} in {query:?}"
            );
            assert!(query.matches(&event), "{event:?} is found by {query:?}");
            before = position;
            count += 1;
            assert!(count <= most, "{count} events are read from {bytes} bytes");
            look_at(&event);
        }
    }
    let last = if is_forwards { head.get() } else { 1 };
    assert!(
        !is_all || before == last || head == Position::START,
        "{before} is the last, not {last}"
    );
    Ok(())
}

/// Takes all of an event in.
fn look_at(event: &RecordedEvent<'_>) {
    let metadata = event.metadata();
    let _ = (metadata.headers().count(), event.tags().count(), event.actor().map(str::len));
    let _ = (event.occurred_at(), event.recorded_at(), event.correlation(), event.causation());
    let _ = std::hint::black_box(crc32fast::hash(event.payload()));
}

fn append(store: &FileStore) -> Result<Position, AppendError> {
    let event = NewEvent::new(event_type("Moved"), &1).unwrap();
    let commit = Commit::new().write(stream(1), Expected::Any, [event]);
    store.append(commit).map(|appended| appended.last)
}

fn stream(number: u32) -> StreamId {
    format!("account/{number}").parse().unwrap()
}

fn event_type(name: &str) -> EventType {
    EventType::new(name).unwrap()
}

fn tag(name: &str) -> Tag {
    Tag::new(name).unwrap()
}

/// One filter for every kind of term that an index knows, and one of several.
fn filters() -> Vec<Filter> {
    let correlation = Uuid::from_u128(7).into();
    let rare = Clause::new().tag(tag("commit:31"));
    let both = Clause::new().tag(tag("all")).event_type(event_type("Opened"));
    vec![
        Filter::all(),
        stream(1).into(),
        Category::new("account").unwrap().into(),
        event_type_filter("Moved"),
        event_type_filter("Never"),
        Clause::new().correlation(correlation).into(),
        tag("all").into(),
        Filter::any_of([rare, both]),
    ]
}

fn event_type_filter(name: &str) -> Filter {
    Clause::new().event_type(event_type(name)).into()
}
