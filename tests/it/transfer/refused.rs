//! Lines that are not the history of a store are refused by their number, and nothing of theirs is written.

use std::error::Error as _;
use std::io::BufReader;

use annals::store::{EventStore, Limits};
use annals::transfer::Import;
use annals::{Error, ErrorKind, Position};
use serde_json::{Value, json};

use super::history::{assert_same, copy, empty, events_of, lines_of, small};

/// An edit of the lines; which line is then refused, how many events stand before it, and what is said.
type Case = (&'static str, fn(&mut Vec<String>), u64, u64, &'static str);

fn set(lines: &mut [String], number: usize, field: &str, value: Value) {
    let line = &mut lines[number - 1];
    let mut parsed: Value = serde_json::from_str(line).unwrap();
    parsed[field] = value;
    *line = parsed.to_string();
}

fn take(lines: &mut [String], number: usize, field: &str) {
    let line = &mut lines[number - 1];
    let mut parsed: Value = serde_json::from_str(line).unwrap();
    parsed.as_object_mut().unwrap().remove(field).unwrap();
    *line = parsed.to_string();
}

fn place(lines: &mut [String], number: usize, ordinal: u32, count: u32) {
    set(lines, number, "commit", json!({ "ordinal": ordinal, "count": count }));
}

const BEFORE: &str = "2024-02-29T11:00:00Z";
const LAWS: &[Case] = &[
    ("it begins above 1", |l| drop(l.remove(0)), 1, 0, "position 2 stands where one from 1"),
    ("it begins at 0", |l| set(l, 1, "position", json!(0)), 1, 0, "position 0"),
    ("a line is missing", |l| drop(l.remove(4)), 5, 4, "position 6 stands where the one after 4"),
    ("a line comes twice", |l| l.insert(1, l[0].clone()), 2, 1, "position 1 stands"),
    (
        "a version is left out",
        |l| set(l, 5, "version", json!(5)),
        5,
        4,
        "version 3, expected version 4",
    ),
    (
        "a version comes twice",
        |l| set(l, 5, "version", json!(3)),
        5,
        4,
        "version 3, expected version 2",
    ),
    ("a version is 0", |l| set(l, 6, "version", json!(0)), 6, 5, "version 0 does not follow"),
    (
        "a version jumps in a commit",
        |l| set(l, 3, "version", json!(9)),
        3,
        1,
        "version 9 does not follow",
    ),
    ("the time goes back", |l| set(l, 5, "recorded_at", json!(BEFORE)), 5, 4, "recorded at"),
    ("a commit has two times", |l| set(l, 4, "recorded_at", json!(BEFORE)), 4, 1, "one time"),
    (
        "an id comes twice",
        |l| set(l, 6, "id", json!("00000000-0000-00e0-0000-000000000001")),
        6,
        5,
        "already stands",
    ),
    (
        "an id comes twice in a commit",
        |l| set(l, 3, "id", json!("00000000-0000-00e0-0000-000000000002")),
        2,
        1,
        "two events have the same id",
    ),
    (
        "a commit is cut at its end",
        |l| place(l, 4, 2, 4),
        4,
        1,
        "2 of 4 of a commit stands where 2 of 3",
    ),
    (
        "a commit ends too early",
        |l| place(l, 5, 0, 2),
        6,
        4,
        "0 of 1 of a commit stands where 1 of 2",
    ),
    ("the lines end in a commit", |l| l.truncate(3), 3, 1, "end within a commit"),
    (
        "a commit begins in its middle",
        |l| place(l, 5, 1, 2),
        5,
        4,
        "1 of 2 of a commit stands where 0 of 2",
    ),
    ("a commit has no events", |l| place(l, 5, 0, 0), 5, 4, "0 of 0"),
    ("a commit is larger than any", |l| place(l, 5, 0, u32::MAX), 5, 4, "events in the commit"),
    (
        "a commit comes back to a stream",
        |l| {
            set(l, 3, "stream", json!("x/1"));
            set(l, 4, "stream", json!("a/1"))
        },
        2,
        1,
        "twice",
    ),
];

const FORMS: &[Case] = &[
    ("an unknown field", |l| set(l, 5, "extra", json!(1)), 5, 4, "unknown field `extra`"),
    (
        "an unknown place",
        |l| set(l, 5, "commit", json!({"ordinal": 0, "count": 1, "x": 1})),
        5,
        4,
        "unknown field `x`",
    ),
    ("a missing field", |l| take(l, 5, "id"), 5, 4, "missing field `id`"),
    (
        "a field twice",
        |l| l[4] = l[4].replacen('{', "{\"schema\":1,", 1),
        5,
        4,
        "duplicate field `schema`",
    ),
    ("no payload", |l| take(l, 5, "payload"), 5, 4, "no one payload"),
    ("two payloads", |l| set(l, 5, "payload_text", json!("1")), 5, 4, "no one payload"),
    (
        "a text that is no payload",
        |l| {
            take(l, 5, "payload");
            set(l, 5, "payload_text", json!("{"))
        },
        5,
        4,
        "EOF",
    ),
    ("the schema 0", |l| set(l, 5, "schema", json!(0)), 5, 4, "nonzero"),
    ("no UUID", |l| set(l, 5, "id", json!("x")), 5, 4, "invalid"),
    ("no time", |l| set(l, 5, "recorded_at", json!("yesterday")), 5, 4, "invalid"),
    ("a position below 0", |l| set(l, 5, "position", json!(-1)), 5, 4, "invalid value"),
    ("no JSON", |l| l[4] = "x".into(), 5, 4, "expected value"),
    (
        "a blank line in place of one",
        |l| l[4] = String::new(),
        6,
        4,
        "where the one after 4 belongs",
    ),
    ("half a line", |l| l[4].truncate(30), 5, 4, "EOF"),
    ("two values", |l| l[4].push_str("{}"), 5, 4, "trailing characters"),
    ("a stream without an id", |l| set(l, 5, "stream", json!("a")), 5, 4, "no '/'"),
    ("a stream with a line feed", |l| set(l, 5, "stream", json!("a/\n")), 5, 4, "U+000A"),
    ("an empty category", |l| set(l, 5, "stream", json!("/a")), 5, 4, "category is empty"),
    ("a type that is too long", |l| set(l, 5, "type", json!("x".repeat(257))), 5, 4, "257 bytes"),
    ("an empty tag", |l| set(l, 5, "tags", json!([""])), 5, 4, "tag is empty"),
    ("a tag that hides", |l| set(l, 5, "tags", json!(["\u{202E}"])), 5, 4, "U+202E"),
    (
        "too many tags",
        |l| set(l, 5, "tags", json!((0..65).map(|n| n.to_string()).collect::<Vec<_>>())),
        5,
        4,
        "65",
    ),
    (
        "a payload that is too large",
        |l| set(l, 5, "payload", json!("x".repeat(1 << 20))),
        5,
        4,
        "bytes of payload",
    ),
];

/// All that an error says, with its sources.
fn said(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

fn check((what, edit, line, before, text): &Case) {
    let whole = String::from_utf8(lines_of(&small())).unwrap();
    let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
    edit(&mut lines);
    let store = empty();
    let error = copy(&store, lines.join("\n").as_bytes()).expect_err(what);
    let ErrorKind::Line { line: named, .. } = error.kind() else { panic!("{what}: {error:?}") };
    let message = said(&error);
    assert!(message.contains(text), "{what}: {message}");
    assert_eq!(named, line, "{what}: {message}");
    assert_eq!(store.head().unwrap().acknowledged, Position::new(*before), "{what}");
    let (written, original) = (events_of(&store), events_of(&small()));
    assert_eq!(written, original[..written.len()], "{what}");
    copy(&store, whole.as_bytes()).expect(what);
    assert_same(&store, &small());
}

#[test]
fn a_broken_law_is_refused_with_its_line_and_the_whole_history_can_be_imported_then() {
    LAWS.iter().for_each(check);
}

#[test]
fn a_malformed_line_is_refused_and_the_whole_history_can_be_imported_then() {
    FORMS.iter().for_each(check);
}

#[test]
fn lines_with_any_byte_changed_are_refused_or_are_another_sound_history() {
    let whole = lines_of(&small());
    let mut refused = 0;
    for at in 0..whole.len() {
        for byte in *b"\"\\}1 \n\xFF" {
            let (mut lines, store, again) = (whole.clone(), empty(), empty());
            lines[at] = byte;
            if let Err(error) = copy(&store, &lines) {
                let is_line = matches!(error.kind(), ErrorKind::Line { .. });
                assert!(is_line, "byte {at} as {byte}: {error:?}");
                refused += 1;
            }
            copy(&again, &lines_of(&store)).unwrap();
            assert_same(&again, &store);
        }
    }
    println!("{refused} of {} changes are refused", whole.len() * 7);
    assert!(refused > whole.len());
}

#[test]
fn an_error_of_syntax_names_its_column() {
    let mut lines = lines_of(&small());
    assert_eq!(lines[11], b':');
    lines[11] = b'!';
    let error = copy(&empty(), &lines).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Line { line: 1, column: 12 }, "{error:?}");
    assert!(!error.to_string().contains("at line 1"), "{error}");
    lines[4] = 0xFF;
    assert!(matches!(copy(&empty(), &lines).unwrap_err().kind(), ErrorKind::Line { line: 1, .. }));
}

#[test]
fn a_line_without_an_end_is_refused_in_bounded_memory() {
    let mut limits = Limits::default();
    (limits.payload_bytes_max, limits.metadata_bytes_max, limits.tags_max) = (1_000, 1_000, 1);
    let endless = BufReader::new(std::io::repeat(b' '));
    let error = Import::copy().limits(limits).run(&empty(), endless, |_| {}).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Line { line: 1, column: 0 }, "{error:?}");
    assert!(said(&error).contains("bytes of a line"), "{error:?}");
}

#[test]
fn a_commit_that_grows_beyond_the_limits_is_refused_before_it_is_whole() {
    let mut limits = Limits::default();
    limits.commit_bytes_max = 20;
    let lines = lines_of(&small());
    let import = Import::copy().limits(limits);
    let error = import.run(&empty(), &lines[..], |_| {}).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Line { line: 4, column: 0 }, "{error:?}");
    assert!(said(&error).contains("bytes in the commit"), "{error:?}");
}

#[test]
fn what_a_stores_own_limits_refuse_is_refused_with_the_line() {
    let mut limits = Limits::default();
    limits.commit_events_max = 2;
    let store = annals::store::MemoryStore::with(annals::SystemClock, limits);
    let error = copy(&store, &lines_of(&small())).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Line { line: 2, column: 0 }, "{error:?}");
}

#[test]
fn a_closed_store_is_no_fault_of_a_line() {
    let store = empty();
    store.close().unwrap();
    for import in [Import::copy(), Import::append()] {
        let error = import.run(&store, &lines_of(&small())[..], |_| {}).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Closed);
    }
}
