//! A copy is the same in everything.

use annals::store::{
    AppendError, Clause, Commit, Durability, EventStore, Expected, FileStore, Query, Upkeep,
};
use annals::transfer::{Import, export};
use annals::{ErrorKind, Position, Progress};
use serde_json::Value;

use super::history::{
    assert_same, copy, empty, event, events_of, lines_of, small, start, strange, stream,
};
use crate::directory::Directory;

#[test]
fn a_copy_in_memory_and_on_disk_is_the_same_in_every_field() {
    let (source, directory) = (strange(), Directory::new());
    let options = FileStore::options().durability(Durability::Buffered).upkeep(Upkeep::Inline);
    let options = options.segment_bytes(100_000).recent_bytes(20_000);
    let disk = options.clone().open(directory.path()).unwrap();
    let report = copy(&disk, &lines_of(&source)).unwrap();
    assert_eq!(
        (report.written, report.already_there),
        (source.head().unwrap().acknowledged.get(), 0)
    );
    disk.sync().unwrap();
    assert_same(&disk, &source);
    disk.close().unwrap();
    let disk = options.open(directory.path()).unwrap();
    let early = Commit::new().write(stream("a/1"), Expected::Any, [event(7, "7")]);
    let refused = disk.append(early.recorded_at(start())).unwrap_err();
    let last = events_of(&source).pop().unwrap().recorded_at();
    let AppendError::Store(error) = refused else { panic!("{refused:?}") };
    assert_eq!(
        *error.kind(),
        ErrorKind::TimeBeforeLast { last },
        "it is known also once it is opened again"
    );
    let memory = empty();
    copy(&memory, &lines_of(&disk)).unwrap();
    assert_same(&memory, &source);
}

#[test]
fn the_lines_are_these() {
    let lines = String::from_utf8(lines_of(&small())).unwrap();
    let second = concat!(
        r#"{"position":2,"stream":"a/1","version":2,"commit":{"ordinal":0,"count":3},"#,
        r#""id":"00000000-0000-00e0-0000-000000000002","type":"Happened","schema":1,"#,
        r#""recorded_at":"2024-02-29T12:00:01.000002Z","payload":2}"#
    );
    assert_eq!(lines.lines().nth(1), Some(second));
    assert!(lines.ends_with("}\n"));
}

#[test]
fn every_line_is_one_json_value_also_of_payloads_with_line_breaks() {
    let (source, lines) = (strange(), lines_of(&strange()));
    let texts: Vec<&str> = std::str::from_utf8(&lines).unwrap().lines().collect();
    assert_eq!(texts.len() as u64, source.head().unwrap().acknowledged.get());
    for text in &texts {
        // Numbers and nesting that `Value` cannot hold are JSON all the same.
        let known = text.contains("1E400") || text.contains("[[[[") || text.contains("\\ud800");
        assert!(known || serde_json::from_str::<Value>(text).is_ok(), "{text}");
    }
    let broken = texts.iter().filter(|text| text.contains("payload_text")).count();
    assert_eq!(broken, 2, "the one payload with line breaks, recorded twice");
}

#[test]
fn lines_that_another_tool_wrote_anew_are_read() {
    let mut lines = String::new();
    for line in String::from_utf8(lines_of(&small())).unwrap().lines() {
        // Sorted by name, with white space, and with a carriage return at the end.
        let value: Value = serde_json::from_str(line).unwrap();
        lines.push_str(&serde_json::to_string_pretty(&value).unwrap().replace('\n', " "));
        lines.push_str("\r\n");
    }
    let copied = empty();
    assert_eq!(copy(&copied, lines.trim_end().as_bytes()).unwrap().written, 6);
    for (event, original) in events_of(&copied).iter().zip(&events_of(&small())) {
        let payload = String::from_utf8(event.payload().to_vec()).unwrap().replace(' ', "");
        assert_eq!(payload.as_bytes(), original.payload());
        assert_eq!(
            (event.event_id(), event.recorded_at()),
            (original.event_id(), original.recorded_at())
        );
    }
}

#[test]
fn a_query_says_what_is_exported_and_progress_ends_at_its_total() {
    let source = small();
    let queries = [
        (Query::default(), 6, 6),
        (Query::default().after(Position::new(4)), 2, 2),
        (Query::default().backwards().up_to(Position::new(4)), 4, 4),
        (Query::new(Clause::new().stream(stream("b/1"))), 1, 6),
        (Query::default().after(Position::new(u64::MAX)), 0, 0),
    ];
    for (query, expected, total) in queries {
        let (mut lines, mut told) = (Vec::new(), Vec::new());
        export(&source, query.clone(), &mut lines, |at| told.push(at)).unwrap();
        let events = lines.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(events, expected, "{query:?}");
        let last: &Progress = told.last().unwrap();
        assert_eq!((last.done, last.total), (total, total), "{query:?}");
    }
}

#[test]
fn an_import_tells_its_progress_after_each_commit() {
    let mut told = Vec::new();
    Import::copy().run(&empty(), &lines_of(&small())[..], |at| told.push(at.done)).unwrap();
    assert_eq!(told, [1, 4, 5, 6]);
}

#[test]
fn an_export_that_cannot_be_written_says_so() {
    let mut little = [0; 100];
    let error = export(&small(), Query::default(), &mut little[..], |_| {}).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Transfer, "{error:?}");
}

#[test]
fn an_empty_store_is_moved_as_well() {
    let lines = lines_of(&empty());
    assert!(lines.is_empty());
    assert_eq!(copy(&empty(), &lines).unwrap(), Default::default());
}
