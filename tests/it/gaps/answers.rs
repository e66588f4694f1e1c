//! What a store that has gaps answers, on disk and in memory.

use std::fs;

use annals::storage::Directory;
use annals::store::{
    AppendError, Clause, Commit, Conflict, EventStore, Expected, FileStore, Filter, MemoryStore,
    Query, care,
};
use annals::transfer::{Import, export};
use annals::{Annals, ErrorKind, Position, Version};

use super::patient::{
    Index, Patient, all, assert_missing, category, correlation, event_type, found, lines_of, noted,
    stream, tag,
};
use crate::account::Account;
use crate::directory::Directory as Scratch;

/// Filters, and which of the lost events 4 (of an account), 11 (of a note) and 14 (of nobody knows what) each sees.
fn filters() -> Vec<(Filter, &'static [u64])> {
    let clause = Clause::new;
    vec![
        (Filter::all(), &[4, 11, 14]),
        (category("account").into(), &[4, 14]),
        (category("note").into(), &[11, 14]),
        (category("never").into(), &[14]),
        (clause().event_type(event_type("Closed")).into(), &[4, 11, 14]),
        (clause().event_type(event_type("Never")).into(), &[4, 11, 14]),
        (clause().category(category("note")).event_type(event_type("Noted")).into(), &[11, 14]),
        (stream("account/alice").into(), &[4]),
        (stream("account/bob").into(), &[]),
        (stream("note/x").into(), &[11]),
        (clause().stream(stream("note/x")).event_type(event_type("Noted")).into(), &[]),
        (clause().streams([stream("account/alice"), stream("note/x")]).into(), &[4, 11]),
        (tag("owner:ann").into(), &[]),
        (tag("about:two").into(), &[]),
        (clause().correlation(correlation()).into(), &[]),
        (clause().category(category("account")).tag(tag("owner:ann")).into(), &[]),
        (Filter::any_of([clause().tag(tag("about:one")), category_clause("account")]), &[4, 14]),
        (Filter::any_of([]), &[]),
    ]
}

fn category_clause(name: &str) -> Clause {
    Clause::new().category(category(name))
}

#[test]
fn filters_by_category_and_type_see_gaps_and_others_see_those_of_their_stream() {
    let patient = Patient::without(&[4, 11, 14], Index::Kept);
    let memory = MemoryStore::new();
    Import::copy().run(&memory, &lines_of(&*patient.store)[..], |_| {}).unwrap();
    let events = all(&*patient.store);
    for (filter, gaps) in filters() {
        for store in [&*patient.store as &dyn EventStore, &memory] {
            let query = Query::new(filter.clone());
            let forwards = found(store, query.clone());
            let meant = events.iter().filter(|event| filter.matches(event));
            let meant: Vec<u64> = meant.map(|event| event.position().get()).collect();
            assert_eq!(forwards, meant, "{filter:?}");
            let seen: Vec<u64> = [4, 11, 14].into_iter().filter(|p| forwards.contains(p)).collect();
            assert_eq!(seen, gaps, "{filter:?}");
            let mut backwards = found(store, query.clone().backwards());
            backwards.reverse();
            assert_eq!(backwards, forwards, "{filter:?}");
        }
    }
}

#[test]
fn a_condition_takes_a_gap_for_what_it_forbids() {
    let patient = Patient::without(&[4, 11, 14], Index::Kept);
    let memory = MemoryStore::new();
    Import::copy().run(&memory, &lines_of(&*patient.store)[..], |_| {}).unwrap();
    for store in [&*patient.store as &dyn EventStore, &memory] {
        let given = |filter: Filter, after: u64| {
            let commit = Commit::new().require_none(filter, Position::new(after));
            store.append(commit.write(stream("other/1"), Expected::Any, [noted("new")]))
        };
        let closed = || category_clause("account").event_type(event_type("Closed"));
        for (after, broken_at) in [(3, 4), (10, 14)] {
            match given(closed().into(), after) {
                Err(AppendError::Conflict(Conflict::Event { position, event_type, .. })) => {
                    assert_eq!((position.get(), event_type.as_str()), (broken_at, "$gap"));
                }
                other => panic!("after {after}: {other:?}"),
            }
        }
        given(closed().into(), 14).unwrap();
        // The event that bore this tag is lost, and nothing says so to who asks for the tag.
        given(tag("about:two").into(), 0).unwrap();
    }
}

#[test]
fn gaps_are_exported_and_imported_like_events() {
    let patient = Patient::without(&[4, 9, 12, 14, 16], Index::Kept);
    let lines = lines_of(&*patient.store);
    let memory = MemoryStore::new();
    Import::copy().run(&memory, &lines[..], |_| {}).unwrap();
    assert_eq!(all(&memory), all(&*patient.store));
    assert_eq!(lines_of(&memory), lines);
    for name in ["account/alice", "account/bob", "account/carol", "note/z"] {
        assert_eq!(memory.version(&stream(name)).unwrap().get(), patient.version(name), "{name}");
    }
    let accounts = Annals::with_store(memory).of::<Account>().unwrap();
    assert_missing(&accounts.load("alice").unwrap_err(), "account/alice", (3, 3), 4);
    assert_missing(&accounts.load("bob").unwrap_err(), "account/bob", (3, 3), 9);
    assert_eq!(accounts.load("carol").unwrap().state().cents, 5);
}

#[test]
fn without_the_index_only_the_rest_of_a_commit_tells_whose_event_is_lost() {
    let patient = Patient::without(&[4, 12, 16], Index::Removed);
    // The two beside it in its commit leave it one place.
    assert_eq!(patient.place(16), ("note/z".into(), 2));
    for position in [4, 12] {
        assert_eq!(patient.place(position), (format!("$gap/{position}"), 1));
    }
    // The hole is found by the event behind it.
    let error = patient.accounts.load("alice").unwrap_err();
    assert_missing(&error, "account/alice", (3, 3), 8);
    // Of the last event nobody knows any more that it was of this stream; only who asks by category is warned.
    assert_eq!(patient.version("account/alice"), 4);
    assert_eq!(found(&*patient.store, Query::new(stream("account/alice"))), [1, 3, 8]);
    let by_category = found(&*patient.store, Query::new(category("account")));
    assert_eq!(by_category, [1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13]);
    assert_eq!(patient.accounts.load("bob").unwrap().version(), Version::new(4));
}

#[test]
fn a_stream_with_a_hole_in_its_versions_cannot_be_copied() {
    let patient = Patient::without(&[4], Index::Removed);
    let memory = MemoryStore::new();
    let refused = Import::copy().run(&memory, &lines_of(&*patient.store)[..], |_| {}).unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Line { line: 8, column: 0 }, "{refused:?}");
}

/// Many lost events, whose streams are known, became commits that no import could write: they named streams twice.
#[test]
fn a_store_that_has_lost_many_events_behind_one_another_can_be_moved() {
    let scratch = Scratch::new();
    let [damaged, whole] = ["damaged", "whole"].map(|name| scratch.path().join(name));
    let store = FileStore::open(&damaged).unwrap();
    for number in 0..400 {
        let name = stream(["note/x", "note/y", "note/z"][number % 3]);
        store.append(Commit::new().write(name, Expected::Any, [noted("one")])).unwrap();
    }
    store.close().unwrap();
    let log = damaged.join("0000000001.log");
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..bytes.len() / 2]).unwrap();
    let (from, into) = (Directory::to_read(&damaged).unwrap(), Directory::new(&whole).unwrap());
    let copied = care::salvage(from, into, |_| {}).unwrap();
    assert!(copied.gaps > 150, "{copied:?}");
    let salvaged = FileStore::open(&whole).unwrap();
    assert!(all(&salvaged).iter().all(|event| event.stream().category() == "note"));
    let mut lines = Vec::new();
    export(&salvaged, Query::default(), &mut lines, |_| {}).unwrap();
    let copy = MemoryStore::new();
    Import::copy().run(&copy, &lines[..], |_| {}).unwrap();
    assert!(all(&copy) == all(&salvaged));
    let appended = MemoryStore::new();
    Import::append().run(&appended, &lines[..], |_| {}).unwrap();
    assert_eq!(all(&appended).len(), 400);
}

#[test]
fn where_there_is_no_store_nothing_is_salvaged() {
    let scratch = Scratch::new();
    let [nothing, into] = ["nothing", "into"].map(|name| scratch.path().join(name));
    let nothing = Directory::new(nothing).unwrap();
    let refused = care::salvage(nothing, Directory::new(into).unwrap(), |_| {}).unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::NoStore);
}
