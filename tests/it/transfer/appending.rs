//! History is appended to a store that has one of its own.

use annals::store::{Commit, Durability, EventStore, Expected, FileStore, Query, Upkeep};
use annals::transfer::export;
use annals::{ErrorKind, Metadata, Position, Version};

use super::history::{
    append, assert_same, copy, empty, event, events_of, lines_of, small, start, strange, stream,
};
use crate::directory::Directory;

/// A store that has an event in one of the streams already.
fn own() -> annals::store::MemoryStore {
    let store = empty();
    store.append(Commit::new().write(stream("a/1"), Expected::Any, [event(99, "0")])).unwrap();
    store
}

#[test]
fn appended_events_have_new_places_and_keep_the_rest() {
    let (store, source) = (own(), small());
    let report = append(&store, &lines_of(&source)).unwrap();
    assert_eq!((report.written, report.already_there), (6, 0));
    let (events, originals) = (events_of(&store), events_of(&source));
    for (event, original) in events[1..].iter().zip(&originals) {
        assert_eq!(event.position().get(), original.position().get() + 1);
        let own = u64::from(event.stream().as_str() == "a/1");
        assert_eq!(event.version(), Version::new(original.version().get() + own));
        assert_eq!(event.recorded_at(), events[0].recorded_at(), "the clock stands still");
        assert_eq!(event.occurred_at(), Some(original.recorded_at()));
        assert_eq!((event.event_id(), event.commit()), (original.event_id(), original.commit()));
        assert_eq!(
            (event.event_type(), event.payload()),
            (original.event_type(), original.payload())
        );
    }
    assert_eq!(events.len(), 7);
}

#[test]
fn an_event_that_says_when_it_occurred_keeps_that() {
    let (store, source) = (own(), small());
    let told =
        event(7, "7").with_metadata(Metadata::new().with_occurred_at(start()).with_actor("ann"));
    source.append(Commit::new().write(stream("a/1"), Expected::Any, [told])).unwrap();
    append(&store, &lines_of(&source)).unwrap();
    let last = events_of(&store).pop().unwrap();
    assert_eq!((last.occurred_at(), last.actor()), (Some(start()), Some("ann")));
}

#[test]
fn appending_twice_gives_one_copy() {
    for lines in [lines_of(&small()), lines_of(&strange())] {
        let directory = Directory::new();
        let options = FileStore::options().durability(Durability::Buffered);
        let options = options.segment_bytes(100_000).recent_bytes(20_000).upkeep(Upkeep::Inline);
        let disk = options.open(directory.path()).unwrap();
        let stores: [&dyn EventStore; 2] = [&own(), &disk];
        for store in stores {
            let first = append(store, &lines).unwrap();
            let before = lines_of(store);
            let second = append(store, &lines).unwrap();
            assert_eq!((second.written, second.already_there), (0, first.written));
            assert_eq!(lines_of(store), before);
        }
    }
}

#[test]
fn appending_that_was_cut_at_any_byte_is_completed() {
    let (whole, once) = (lines_of(&small()), own());
    append(&once, &whole).unwrap();
    for length in 0..whole.len() {
        let store = own();
        let _ = append(&store, &whole[..length]);
        append(&store, &whole).unwrap();
        assert_same(&store, &once);
    }
}

#[test]
fn the_store_that_lines_are_from_and_a_copy_of_it_have_them_already() {
    let (source, copied) = (small(), empty());
    let lines = lines_of(&source);
    copy(&copied, &lines).unwrap();
    for store in [&source, &copied] {
        let report = append(store, &lines).unwrap();
        assert_eq!((report.written, report.already_there), (0, 6));
        assert_eq!(lines_of(store), lines);
    }
}

#[test]
fn an_id_that_stands_for_something_else_is_refused() {
    let store = empty();
    store.append(Commit::new().write(stream("a/1"), Expected::Any, [event(3, "0")])).unwrap();
    let error = append(&store, &lines_of(&small())).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Line { line: 2, column: 0 }, "{error:?}");
    assert_eq!(store.head().unwrap().acknowledged, Position::new(2));
}

#[test]
fn a_part_of_a_history_is_appended_if_its_commits_are_whole() {
    let part = |query| {
        let mut lines = Vec::new();
        export(&small(), query, &mut lines, |_| {}).unwrap();
        append(&own(), &lines)
    };
    let category = |name| Query::new(annals::id::Category::new(name).unwrap());
    assert_eq!(part(category("c")).unwrap().written, 1);
    assert_eq!(part(Query::default().after(Position::new(4))).unwrap().written, 2);
    let error = part(category("b")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Line { line: 1, .. }), "{error:?}");
}
