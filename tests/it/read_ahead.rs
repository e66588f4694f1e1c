//! Views that are far behind: events are read and decoded ahead on several threads, and folded as if on one.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use annals::codec::{Upcasted, Upcasters};
use annals::id::EventType;
use annals::projection::{Change, Checkpoint, ErrorPolicy, Keep, Memory, MemoryReader, Standing};
use annals::store::{Commit, EventStore, Expected, FileStore, MemoryStore};
use annals::view::ViewBuilder;
use annals::{Aggregate, Annals, Context, Error, ErrorKind, NewEvent, Position, StreamId, Version};
use serde::{Deserialize, Deserializer, Serialize};

use crate::directory::Directory;
use crate::hooked::{Asked, Hooked};

#[derive(Default)]
struct Meter;

/// What may not be: a reading of this panics where it is decoded, that of the next is no number.
const PANICS: u64 = 666_666;
const IS_WRONG: u64 = 666_667;

#[derive(Clone, Copy)]
struct Reading(u64);

impl Serialize for Reading {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Reading {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            PANICS => panic!("a reading that panics"),
            IS_WRONG => Err(serde::de::Error::custom("it is wrong")),
            number => Ok(Self(number)),
        }
    }
}

#[derive(Serialize, Deserialize)]
enum Measured {
    Read(Reading),
    Summed { of: u64 },
}

impl Aggregate for Meter {
    const TYPE: &'static str = "meter";
    type Id = u64;
    type Event = Measured;
    type Command = ();
    type Error = std::convert::Infallible;
    type Services = ();

    fn apply(&mut self, _: &Measured) {}

    fn handle(&self, (): (), _: &Context<'_, Self>) -> Result<Vec<Measured>, Self::Error> {
        Ok(Vec::new())
    }

    /// One that was stored as two, and one that nobody needs.
    fn upcasters() -> Upcasters {
        Upcasters::new().discard("Noticed", 1).split("Both", 1, ["Read", "Summed"], |both: u64| {
            let summed = serde_json::json!({ "of": both });
            vec![Upcasted::new("Read", &both), Upcasted::new("Summed", &summed)]
        })
    }
}

/// Everything that was seen, in order: positions, and what was read there.
type Seen = Vec<(u64, u64)>;

fn seen(annals: &Annals, threads: usize) -> ViewBuilder<Seen> {
    annals
        .view::<Seen>("seen")
        .on::<Meter>(|seen, e| {
            let (Measured::Read(Reading(number)) | Measured::Summed { of: number }) = e.event();
            seen.push((e.position().get(), *number));
        })
        .decoding_threads(threads)
}

/// Events in commits of a thousand, of a hundred meters and of something else.
fn fill(store: &dyn EventStore, events: u64, special: impl Fn(u64) -> Option<(&'static str, u64)>) {
    let mut versions = vec![0; 101];
    for first in (1..=events).step_by(1_000) {
        let mut of_streams = vec![Vec::new(); 101];
        for number in first..(first + 1_000).min(events + 1) {
            let (name, value) = special(number).unwrap_or(("Read", number));
            let event = NewEvent::new(EventType::new(name).unwrap(), &value).unwrap();
            of_streams[usize::try_from(number % 101).unwrap()].push(event);
        }
        let mut commit = Commit::new();
        for (place, new) in of_streams.into_iter().enumerate().filter(|(_, new)| !new.is_empty()) {
            let stream = if place == 100 { "other/1".to_owned() } else { format!("meter/{place}") };
            let stream: StreamId = stream.parse().unwrap();
            let expected = Expected::Exactly(Version::new(versions[place]));
            versions[place] += new.len() as u64;
            commit = commit.write(stream, expected, new);
        }
        store.append(commit).unwrap();
    }
}

/// Some of each kind.
fn sample(number: u64) -> Option<(&'static str, u64)> {
    match number % 10 {
        3 => Some(("Both", number)),
        7 => Some(("Noticed", number)),
        _ => None,
    }
}

#[test]
fn what_is_read_ahead_is_folded_as_on_one_thread() {
    let directory = Directory::new();
    let store = FileStore::open(directory.path()).unwrap();
    fill(&store, 30_000, sample);
    let annals = Annals::with_store(store);
    let expected = seen(&annals, 1).run().unwrap();
    assert!(expected.is_sorted_by(|a, b| a.0 <= b.0));
    let events: BTreeSet<u64> = expected.iter().map(|(position, _)| *position).collect();
    assert!(events.len() > 25_000);
    for threads in [2, 3, 8] {
        let view = seen(&annals, threads).run().unwrap();
        assert_eq!(*view, *expected);
        assert_eq!(view.position(), Position::new(30_000));
        let projection = seen(&annals, threads).kept_in(Memory::new()).open().unwrap();
        projection.run_until_caught_up().unwrap();
        assert_eq!(*projection.reader().view(), *expected);
        projection.rebuild().unwrap();
        projection.run_until_caught_up().unwrap();
        assert_eq!(*projection.reader().view(), *expected);
    }
}

/// Tries every change before it keeps it, as a database does that begins a transaction again.
struct Trying(Memory<Seen>);

impl Keep for Trying {
    type View = Seen;
    type Reader = MemoryReader<Seen>;

    fn reader(&self) -> Self::Reader {
        self.0.reader()
    }

    fn recover(&mut self, start: &Checkpoint) -> Result<Standing, Error> {
        self.0.recover(start)
    }

    fn keep(&mut self, checkpoint: &Checkpoint, change: Change<'_, Seen>) -> Result<(), Error> {
        change(&mut Seen::new())?;
        self.0.keep(checkpoint, change)
    }

    fn start_over(&mut self, start: &Checkpoint) -> Result<Standing, Error> {
        self.0.start_over(start)
    }

    fn finish(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        self.0.finish(checkpoint)
    }
}

#[test]
fn what_is_handled_once_more_means_the_same() {
    let store = MemoryStore::new();
    fill(&store, 20_000, sample);
    let annals = Annals::with_store(store);
    let expected = seen(&annals, 1).run().unwrap();
    let projection = seen(&annals, 2).kept_in(Trying(Memory::new())).open().unwrap();
    projection.run_until_caught_up().unwrap();
    assert_eq!(*projection.reader().view(), *expected);
}

#[test]
fn what_cannot_be_decoded_stops_a_view_in_its_place() {
    for (name, value) in [("Read", IS_WRONG), ("Unknown", 7)] {
        let store = Arc::new(MemoryStore::new());
        fill(&*store, 20_000, |number| (number == 15_678).then_some((name, value)));
        let annals = Annals::with_store(store);
        let serial = seen(&annals, 1).run().unwrap_err();
        let at = serial.position().unwrap();
        let error = seen(&annals, 4).run().unwrap_err();
        assert_eq!((error.position(), error.to_string()), (Some(at), serial.to_string()));
        let projection = seen(&annals, 4).kept_in(Memory::new()).open().unwrap();
        assert_eq!(projection.run_until_caught_up().unwrap_err().position(), Some(at));
        let last = projection.reader().view().last().unwrap().0;
        assert!(last < at.get(), "{last} is shown, {at} failed");
        let parking = seen(&annals, 4).kept_in(Memory::new()).on_error(ErrorPolicy::park());
        let parking = parking.open().unwrap();
        parking.run_until_caught_up().unwrap();
        let shown: BTreeSet<u64> = parking.reader().view().iter().map(|(at, _)| *at).collect();
        assert!(!shown.contains(&at.get()) && shown.last() > Some(&at.get()));
        assert_eq!(parking.status().parked, 1);
    }
}

#[test]
fn what_panics_ahead_panics_where_it_is_folded() {
    let store = Arc::new(MemoryStore::new());
    fill(&*store, 20_000, |number| (number == 15_000).then_some(("Read", PANICS)));
    let annals = Annals::with_store(store);
    let panicked = catch_unwind(AssertUnwindSafe(|| seen(&annals, 4).run())).unwrap_err();
    assert_eq!(panicked.downcast_ref::<&str>(), Some(&"a reading that panics"));
    let projection = seen(&annals, 4).kept_in(Memory::new()).open().unwrap();
    let error = projection.run_until_caught_up().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::View);
    assert!(error.position().is_some());
}

#[test]
fn a_store_that_fails_once_loses_no_event() {
    let store = Arc::new(MemoryStore::new());
    fill(&*store, 20_000, sample);
    let expected = seen(&Annals::with_store(Arc::clone(&store)), 1).run().unwrap();
    for failing in [0, 3, 7, 9] {
        let reads = AtomicU64::new(0);
        let hooked = Hooked::new(&store, move |asked| match asked {
            Asked::Read if reads.fetch_add(1, Ordering::Relaxed) == failing => {
                Err(Error::new(ErrorKind::Store))
            }
            _ => Ok(()),
        });
        let annals = Annals::with_store(hooked);
        let projection = seen(&annals, 3).kept_in(Memory::new()).open().unwrap();
        if projection.run_until_caught_up().is_err() {
            projection.resume();
            projection.run_until_caught_up().unwrap();
        }
        assert_eq!(*projection.reader().view(), *expected);
    }
}

#[test]
fn a_store_that_panics_stops_the_view() {
    let store = Arc::new(MemoryStore::new());
    fill(&*store, 20_000, sample);
    let reads = AtomicU64::new(0);
    let hooked = Hooked::new(&store, move |asked| {
        let is_fifth = matches!(asked, Asked::Read) && reads.fetch_add(1, Ordering::Relaxed) == 4;
        assert!(!is_fifth, "the fifth read");
        Ok(())
    });
    let error = seen(&Annals::with_store(hooked), 3).run().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Store);
    assert!(error.to_string().contains("the fifth read"), "{error}");
}

#[test]
fn reading_ahead_is_bounded() {
    const EVENT_BYTES: usize = 20 << 10;
    let store = Arc::new(MemoryStore::new());
    for _ in 0..10 {
        let text = "x".repeat(EVENT_BYTES);
        let kind = EventType::new("Noticed").unwrap();
        let events = (0..1_000).map(|_| NewEvent::new(kind.clone(), &text).unwrap());
        store
            .append(Commit::new().write("meter/1".parse().unwrap(), Expected::Any, events))
            .unwrap();
    }
    let reads = Arc::new(AtomicU64::new(0));
    let is_folding = Arc::new(AtomicBool::new(false));
    let counted = Arc::clone(&reads);
    let hooked = Hooked::new(&store, move |asked| {
        if matches!(asked, Asked::Read) {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    });
    let annals = Annals::with_store(hooked);
    let (folding, in_handler) = (Arc::clone(&is_folding), Arc::clone(&reads));
    let view = annals.view::<u64>("slow").on::<Big>(move |most, e| {
        if !folding.swap(true, Ordering::SeqCst) {
            // Long enough for those who read ahead to run into their bound.
            let mut before = 0;
            while before != in_handler.load(Ordering::SeqCst) {
                before = in_handler.load(Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            *most = before;
        }
        assert_eq!(e.event_type(), "Noticed");
    });
    let most = view.decoding_threads(4).run().unwrap().into_inner();
    let total = reads.load(Ordering::SeqCst);
    // A batch has about 256 KiB, so 16 MiB are 64 of them; each thread has one more in its hands.
    assert!(most <= 64 + 8, "{most} batches were read while nothing was folded");
    assert!(total > 2 * most, "{total} batches in all");
}

#[derive(Default)]
struct Big;

#[derive(Serialize, Deserialize)]
enum Noted {
    Noticed(String),
}

impl Aggregate for Big {
    const TYPE: &'static str = "meter";
    type Id = u64;
    type Event = Noted;
    type Command = ();
    type Error = std::convert::Infallible;
    type Services = ();

    fn apply(&mut self, _: &Noted) {}

    fn handle(&self, (): (), _: &Context<'_, Self>) -> Result<Vec<Noted>, Self::Error> {
        Ok(Vec::new())
    }
}
