//! Reads of a store in which one event is damaged: it hides itself, and nothing else.

use std::fs;

use annals::id::EventType;
use annals::store::{Commit, EventStore, Events, Expected, FileStore, Query};
use annals::{Error, ErrorKind, NewEvent, Position, StreamId};

use crate::directory::Directory;

const EVENTS: u64 = 3000;

fn stream(number: u64) -> StreamId {
    format!("account/{number}").parse().unwrap()
}

/// A store of three streams in turn, in which the event at this position is damaged; the index is whole.
fn damaged_at(position: u64) -> (Directory, FileStore) {
    let directory = Directory::new();
    let store = FileStore::open(directory.path()).unwrap();
    for number in 1..=EVENTS {
        let event =
            NewEvent::new(EventType::new("Moved").unwrap(), &format!("{number:06}")).unwrap();
        store.append(Commit::new().write(stream(number % 3), Expected::Any, [event])).unwrap();
    }
    store.close().unwrap();
    let log = directory.path().join("0000000001.log");
    let mut bytes = fs::read(&log).unwrap();
    let payload = format!("\"{position:06}\"");
    let at = bytes.windows(8).position(|window| window == payload.as_bytes()).unwrap();
    bytes[at + 1] ^= 1;
    fs::write(&log, bytes).unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    (directory, store)
}

/// The positions that are handed out before an error, and the error.
fn read(store: &FileStore, query: Query) -> (Vec<u64>, Option<Error>) {
    let mut found = Vec::new();
    for event in Events::new(store, query) {
        match event {
            Ok(event) => found.push(event.position().get()),
            Err(error) => return (found, Some(error)),
        }
    }
    (found, None)
}

fn assert_damaged(error: Option<Error>) -> Error {
    let error = error.unwrap();
    assert!(matches!(error.kind(), ErrorKind::Damaged { .. }), "{error:?}");
    error
}

/// One flipped bit took a whole page of sound events with it.
#[test]
fn everything_before_a_damaged_event_is_handed_out_and_other_streams_are_read_whole() {
    for bad in [1, 2, 700, 1603, EVENTS] {
        let (_directory, store) = damaged_at(bad);
        let (found, error) = read(&store, Query::default());
        assert!(found.into_iter().eq(1..bad), "damaged at {bad}");
        let error = assert_damaged(error);
        // Of the first event that is looked at nobody knows what stood before it.
        assert!(bad == 1 || error.position() == Some(Position::new(bad)), "{error:?}");
        // Some way behind it, reading can begin anew.
        let behind = bad + 1000;
        let (found, error) = read(&store, Query::default().after(Position::new(behind)));
        assert!(error.is_none() && found.into_iter().eq(behind + 1..=EVENTS), "{error:?}");
        for of in 0..3 {
            let all = (1..=EVENTS).filter(|number| number % 3 == of);
            let (found, error) = read(&store, Query::new(stream(of)));
            if of == bad % 3 {
                assert!(found.into_iter().eq(all.take_while(|number| *number < bad)));
                assert_damaged(error);
            } else {
                assert!(error.is_none() && found.into_iter().eq(all), "{error:?}");
            }
        }
    }
}

#[test]
fn read_backwards_everything_is_handed_out_up_to_near_the_damaged_event() {
    const BAD: u64 = 1603;
    let (_directory, store) = damaged_at(BAD);
    let (found, error) = read(&store, Query::default().backwards());
    assert!(found.iter().copied().eq((EVENTS - found.len() as u64 + 1..=EVENTS).rev()));
    assert!(found.last().is_some_and(|last| (BAD + 1..BAD + 1000).contains(last)), "{found:?}");
    assert_damaged(error);
    let (found, error) = read(&store, Query::new(stream(BAD % 3)).backwards());
    let right = (BAD + 1..=EVENTS).rev().filter(|number| number % 3 == BAD % 3);
    assert!(found.into_iter().eq(right));
    assert_damaged(error);
}
