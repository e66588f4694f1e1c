//! Replaying all of the log and loading streams, beside the same bytes read from known places.

use std::collections::HashMap;
use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use annals::store::{Commit, EventStore, Expected, FileStore, Query};
use annals::{Metadata, Position, RecordedEvent, StreamId};

use crate::measure::{Scale, Scratch, in_turns, is_wanted, logs, print_row, timed};
use crate::workload::{Event, Written, buffered, digest, each, metadata, new_event, stream};

const STREAM_EVENTS: u64 = 100;

/// A store in which each of many streams is scattered over all of the log, and one has as many events as there are streams.
pub(crate) fn scattered(directory: &Path, streams: u64) -> FileStore {
    let store = buffered(directory);
    let names: Vec<StreamId> = (0..streams).map(|n| stream(&format!("{n:05}"))).collect();
    let (long, mut number) = (stream("long"), 0);
    let mut event = |metadata: &Arc<Metadata>| {
        number += 1;
        [new_event(number, metadata)]
    };
    for _ in 0..STREAM_EVENTS {
        for names in names.chunks(usize::try_from(STREAM_EVENTS).unwrap()) {
            let metadata = metadata();
            let writes = names.iter().chain([&long]);
            let commit = writes.fold(Commit::new(), |commit, name| {
                commit.write(name.clone(), Expected::Any, event(&metadata))
            });
            store.append(commit).unwrap();
        }
    }
    store.sync().unwrap();
    store
}

/// Where a record lies, and its payload in it.
#[derive(Clone, Copy)]
struct Extent {
    log: usize,
    start: u64,
    payload: u64,
    end: u64,
    name: &'static str,
}

/// The log without annals: files, and known places in them.
struct Known {
    files: Vec<File>,
    extents: Vec<Extent>,
    streams: HashMap<String, Vec<usize>>,
}

impl Known {
    /// Finds each payload in the files, behind the one before it.
    fn of(store: &FileStore, directory: &Path) -> Self {
        let paths = logs(directory);
        let files = paths.iter().map(|path| File::open(path).unwrap()).collect();
        let mut known = Self { files, extents: Vec::new(), streams: HashMap::new() };
        let (mut log, mut bytes, mut at) = (0, fs::read(&paths[0]).unwrap(), 0);
        each(store, Query::default(), |event| {
            let payload = event.payload();
            let found = loop {
                let mut windows = bytes[at..].windows(payload.len());
                if let Some(found) = windows.position(|window| window == payload) {
                    break at + found;
                }
                (log, at) = (log + 1, 0);
                bytes = fs::read(&paths[log]).unwrap();
            };
            let end = found + payload.len();
            let name = if event.event_type() == "Deposited" { "Deposited" } else { "Withdrawn" };
            let (start, payload) = (at as u64, found as u64);
            let of_stream = known.streams.entry(event.stream().to_string()).or_default();
            of_stream.push(known.extents.len());
            known.extents.push(Extent { log, start, payload, end: end as u64, name });
            at = end;
        });
        known
    }

    /// Reads all of the log in large pieces, sums the bytes of each record, and hands on the payloads.
    fn replay(&self, mut look: impl FnMut(&str, &[u8])) {
        let mut chunk = vec![0; 256 << 10];
        let mut rest = &self.extents[..];
        while let Some(first) = rest.first() {
            let read = self.files[first.log].read_at(&mut chunk, first.start).unwrap() as u64;
            let end = first.start + read;
            let whole = rest.partition_point(|it| it.log == first.log && it.end <= end);
            for extent in &rest[..whole] {
                look_at(extent, &chunk, first.start, &mut look);
            }
            rest = &rest[whole..];
        }
    }

    /// Reads the records of a stream, each where it is known to lie.
    fn stream(&self, name: &str, mut look: impl FnMut(&str, &[u8])) {
        let mut bytes = vec![0; 4096];
        for extent in self.streams[name].iter().map(|number| &self.extents[*number]) {
            let length = usize::try_from(extent.end - extent.start).unwrap();
            self.files[extent.log].read_exact_at(&mut bytes[..length], extent.start).unwrap();
            look_at(extent, &bytes, extent.start, &mut look);
        }
    }
}

fn look_at(extent: &Extent, bytes: &[u8], from: u64, look: &mut impl FnMut(&str, &[u8])) {
    let within = |at: u64| usize::try_from(at - from).unwrap();
    black_box(crc32fast::hash(&bytes[within(extent.start)..within(extent.end)]));
    look(extent.name, &bytes[within(extent.payload)..within(extent.end)]);
}

pub(crate) fn reading(scratch: &Scratch, scale: &Scale) {
    let directory = scratch.fresh("reading");
    let store = scattered(&directory, scale.streams);
    let known = Known::of(&store, &directory);
    let mut bare = Written::default();
    known.replay(|_, payload| bare.add(payload));
    assert_eq!(digest(&store, Query::default()), bare.digest());
    assert_eq!(store.head().unwrap().durable, Position::new(bare.events));
    if is_wanted("replay") {
        replay(scale, &store, &known);
    }
    if is_wanted("stream") {
        streams(scale, &store, &known);
    }
}

fn replay(scale: &Scale, store: &FileStore, known: &Known) {
    let rounds = scale.rounds.div_ceil(4);
    let all = known.extents.len() as f64;
    let (mut bytes, mut bare_bytes, mut weight, mut bare_weight) = (0, 0, 0, 0);
    let [annals, limit, annals_decoded, limit_decoded] = in_turns(
        rounds,
        all,
        [
            &mut || {
                let look = |event: &RecordedEvent<'_>| bytes += event.payload().len();
                timed(|| each(store, Query::default(), look))
            },
            &mut || timed(|| known.replay(|_, payload| bare_bytes += payload.len())),
            &mut || {
                timed(|| {
                    each(store, Query::default(), |event| {
                        weight += Event::decode(event.event_type(), event.payload()).weight();
                    });
                })
            },
            &mut || {
                timed(|| {
                    known.replay(|name, payload| {
                        bare_weight += Event::decode(name, payload).weight();
                    });
                })
            },
        ],
    );
    assert_eq!((bytes, weight), (bare_bytes, bare_weight));
    print_row("replay, an event", &annals, &limit, "");
    print_row("replay and decode, an event", &annals_decoded, &limit_decoded, "");
}

fn streams(scale: &Scale, store: &FileStore, known: &Known) {
    // One far from the other, so that what was read of one is of no use for the next.
    let scattered = (0..scale.streams).map(|n| n * 7_919 % scale.streams);
    let some: Vec<StreamId> = scattered.map(|n| stream(&format!("{n:05}"))).collect();
    let long = [stream("long")];
    for (what, rounds, in_a_round, names) in [
        ("load a stream of 100, an event", scale.rounds, 20, &some[..]),
        ("load a stream of 10,000, an event", scale.rounds, 1, &long[..]),
    ] {
        let loaded = |first: usize| (0..in_a_round).map(move |n| &names[(first + n) % names.len()]);
        let [mut turn, mut bare_turn] = [0; 2];
        let (mut weight, mut bare_weight) = (0, 0);
        let events = known.streams[names[0].as_str()].len() * in_a_round;
        let [annals, limit] = in_turns(
            rounds,
            events as f64,
            [
                &mut || {
                    turn += in_a_round;
                    timed(|| {
                        for name in loaded(turn) {
                            each(store, Query::new(name.clone()), |event| {
                                let event = Event::decode(event.event_type(), event.payload());
                                weight += event.weight();
                            });
                        }
                    })
                },
                &mut || {
                    bare_turn += in_a_round;
                    timed(|| {
                        for name in loaded(bare_turn) {
                            known.stream(name.as_str(), |name, payload| {
                                bare_weight += Event::decode(name, payload).weight();
                            });
                        }
                    })
                },
            ],
        );
        assert_eq!(weight, bare_weight);
        print_row(what, &annals, &limit, "");
    }
}
