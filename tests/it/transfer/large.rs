//! A long history is moved in little memory. `ANNALS_TRANSFER_EVENTS` sets how long.

use std::fs::File;
use std::io::{BufReader, Write};
use std::time::Instant;

use annals::id::EventType;
use annals::store::{Commit, Durability, EventStore, Expected, FileStore, Query};
use annals::transfer::{Import, export};
use annals::{Metadata, NewEvent};

use super::history::stream;
use crate::directory::Directory;

const MEMORY_KIB_MAX: u64 = 100 << 10;

/// The most memory that the process has taken so far, where the system tells.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn fill(store: &FileStore, events: u64) {
    let event_type = EventType::new("Moved").unwrap();
    for number in 0..events / 4 {
        let event = |of: u64| {
            let payload = serde_json::json!({ "number": number, "of": of, "text": "x".repeat(40) });
            let metadata = Metadata::new().with_actor("ann").with_header("n", number.to_string());
            NewEvent::new(event_type.clone(), &payload).unwrap().with_metadata(metadata)
        };
        let one = stream(&format!("account/{}", number % 10_000));
        let other = stream(&format!("audit/{}", number % 7));
        let commit = Commit::new().write(one, Expected::Any, (0..3).map(event));
        store.append(commit.write(other, Expected::Any, [event(3)])).unwrap();
    }
    store.sync().unwrap();
}

/// Takes what is written for a comparison with a file.
struct Same(BufReader<File>);

impl Write for Same {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut expected = vec![0; bytes.len()];
        std::io::Read::read_exact(&mut self.0, &mut expected)?;
        if expected == bytes { Ok(bytes.len()) } else { Err(std::io::Error::other("it differs")) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_long_history_is_moved_in_little_memory() {
    let asked = std::env::var("ANNALS_TRANSFER_EVENTS").ok().map(|text| text.parse().unwrap());
    let events: u64 = asked.unwrap_or(20_000);
    let directory = Directory::new();
    let path = |name: &str| directory.path().join(name);
    let open = |name| FileStore::options().durability(Durability::Buffered).open(path(name));
    let (source, target) = (open("source").unwrap(), open("target").unwrap());
    fill(&source, events);
    let (begin, before) = (Instant::now(), peak_kib());
    let mut done = 0;
    let file = File::create(path("lines")).unwrap();
    export(&source, Query::default(), file, |at| done = at.done).unwrap();
    assert_eq!(done, events);
    let exported = begin.elapsed();
    let import = || {
        let (begin, lines) = (Instant::now(), BufReader::new(File::open(path("lines")).unwrap()));
        let report = Import::copy().run(&target, lines, |_| {}).unwrap();
        assert_eq!(target.sync().unwrap().get(), events);
        (report, begin.elapsed())
    };
    let (first, imported) = import();
    assert_eq!((first.written, first.already_there), (events, 0));
    let (second, again) = import();
    assert_eq!((second.written, second.already_there), (0, events));
    let same = Same(BufReader::new(File::open(path("lines")).unwrap()));
    export(&target, Query::default(), same, |_| {}).unwrap();
    let after = peak_kib();
    println!(
        "{events} events: export {exported:.2?}, import {imported:.2?}, again {again:.2?}, \
         peak {before:?} KiB before and {after:?} after"
    );
    // Other tests of this process take memory too; who asks for a number runs this one alone.
    if asked.is_some() {
        assert!(after.is_none_or(|kib| kib < MEMORY_KIB_MAX), "{after:?} KiB");
    }
}
