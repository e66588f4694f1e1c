//! An import that was interrupted is run again, with the same result.

use std::io::{BufReader, Read};

use annals::store::{Commit, Durability, EventStore, Expected, FileStore, Query};
use annals::transfer::{Import, export};
use annals::{ErrorKind, Position};

use super::history::{assert_same, copy, empty, event, lines_of, small, stream};
use crate::directory::Directory;

/// The lines up to the end of so many bytes.
fn cut_at_each_byte() -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let whole = lines_of(&small());
    (0..=whole.len()).map(move |length| (whole[..length].to_vec(), whole.clone()))
}

#[test]
fn a_copy_that_was_cut_at_any_byte_is_completed() {
    for (part, whole) in cut_at_each_byte() {
        let store = empty();
        let first = copy(&store, &part);
        let there = store.head().unwrap().acknowledged.get();
        assert!([0, 1, 4, 5, 6].contains(&there), "{there} events after {} bytes", part.len());
        if let Err(error) = first {
            assert!(matches!(error.kind(), ErrorKind::Line { .. }), "{error:?}");
        }
        let report = copy(&store, &whole).unwrap();
        assert_eq!((report.already_there, report.written), (there, 6 - there));
        assert_same(&store, &small());
    }
}

#[test]
fn a_copy_on_disk_is_completed_by_another_process_life() {
    for commits in [1, 4, 5, 6] {
        let (directory, whole) = (Directory::new(), lines_of(&small()));
        let part: Vec<u8> =
            whole.split_inclusive(|b| *b == b'\n').take(commits).flatten().copied().collect();
        let options = FileStore::options().durability(Durability::Buffered);
        copy(&options.clone().open(directory.path()).unwrap(), &part).unwrap();
        let store = options.open(directory.path()).unwrap();
        let report = copy(&store, &whole).unwrap();
        assert_eq!(report.already_there, commits as u64);
        assert_eq!(store.sync().unwrap(), Position::new(6));
        assert_same(&store, &small());
    }
}

/// Fails when so much was read.
struct Failing<'b>(&'b [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(std::io::Error::other("the wire was cut")),
            read => Ok(read),
        }
    }
}

#[test]
fn a_reader_that_fails_is_told_apart_from_lines_that_end() {
    let (store, whole) = (empty(), lines_of(&small()));
    let failing = BufReader::new(Failing(&whole[..whole.len() - 9]));
    let error = Import::copy().run(&store, failing, |_| {}).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Transfer, "{error:?}");
    assert_eq!(store.head().unwrap().acknowledged, Position::new(5));
    copy(&store, &whole).unwrap();
    assert_same(&store, &small());
}

#[test]
fn a_copy_goes_on_with_what_was_recorded_since() {
    let (source, store) = (small(), empty());
    copy(&store, &lines_of(&source)).unwrap();
    source.append(Commit::new().write(stream("a/1"), Expected::Any, [event(7, "7")])).unwrap();
    let (mut later, head) = (Vec::new(), store.head().unwrap().acknowledged);
    export(&source, Query::default().after(head), &mut later, |_| {}).unwrap();
    assert_eq!(copy(&store, &later).unwrap().written, 1);
    assert_same(&store, &source);
}

#[test]
fn a_store_with_a_history_of_its_own_becomes_no_copy() {
    let (store, whole) = (empty(), lines_of(&small()));
    store.append(Commit::new().write(stream("d/1"), Expected::Any, [event(9, "9")])).unwrap();
    let before = lines_of(&store);
    let error = copy(&store, &whole).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Line { line: 1, column: 0 }, "{error:?}");
    assert_eq!(lines_of(&store), before);
}

#[test]
fn the_same_events_at_other_places_are_no_copy() {
    let (store, whole) = (empty(), lines_of(&small()));
    Import::append().run(&store, &whole[..], |_| {}).unwrap();
    let before = lines_of(&store);
    let error = copy(&store, &whole).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Line { line: 1, .. }), "{error:?}");
    assert_eq!(lines_of(&store), before);
    let source = small();
    let store = annals::store::MemoryStore::new();
    let first: Vec<u8> =
        whole.split_inclusive(|b| *b == b'\n').take(1).flatten().copied().collect();
    copy(&store, &first).unwrap();
    // The second commit of the copy is another than that of the lines.
    store.append(Commit::new().write(stream("a/1"), Expected::Any, [event(5, "[1.5]")])).unwrap();
    let error = copy(&store, &lines_of(&source)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Line { line: 2, .. }), "{error:?}");
}
