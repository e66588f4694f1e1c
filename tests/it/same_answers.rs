//! The store on disk answers as the store in memory does, also when its index has grown over many runs and segments.

use std::num::NonZeroU64;

use annals::id::{Category, CorrelationId, EventId, EventType, Tag};
use annals::store::{
    Clause, Commit, Durability, EventStore, Events, Expected, FileStore, Filter, Limits,
    MemoryStore, Query, Upkeep,
};
use annals::testing::ManualClock;
use annals::{Metadata, NewEvent, Position, StreamId, Tags, Version};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::directory::Directory;

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) % end
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

fn stream(number: u64) -> StreamId {
    // A few streams are busy, most are not.
    format!("{}/{number}", ["order", "user", "invoice"][(number % 3) as usize]).parse().unwrap()
}

fn event_type(number: u64) -> EventType {
    EventType::new(format!("Type{}", number % 4)).unwrap()
}

fn tag(number: u64) -> Tag {
    Tag::new(format!("tag:{number}")).unwrap()
}

fn correlation(number: u64) -> CorrelationId {
    CorrelationId::new(Uuid::from_u128(number.into()))
}

fn event(numbers: &mut Numbers, serial: u64) -> NewEvent {
    let tags: Tags = (0..numbers.below(3)).map(|_| tag(numbers.below(300))).collect();
    let size = if numbers.chance(1) { 9_000 } else { 10 + numbers.below(200) };
    let payload = "p".repeat(usize::try_from(size).unwrap());
    let metadata = Metadata::new().with_correlation(correlation(numbers.below(2_000)));
    let event = NewEvent::new(event_type(numbers.below(4)), &payload).unwrap();
    // The ids are given, so that both stores have the same.
    event
        .with_tags(tags)
        .with_metadata(metadata)
        .with_id(EventId::new(Uuid::from_u128(u128::from(serial) << 70)))
}

fn commit(numbers: &mut Numbers, serial: &mut u64) -> Commit {
    let mut commit = Commit::new();
    let busy = numbers.below(5);
    let streams = if numbers.chance(20) { vec![busy, 5 + numbers.below(700)] } else { vec![busy] };
    for number in streams {
        let count = if numbers.chance(1) { 60 } else { 1 + numbers.below(4) };
        let events: Vec<NewEvent> = (0..count)
            .map(|_| {
                *serial += 1;
                event(numbers, *serial)
            })
            .collect();
        commit = commit.write(stream(number), Expected::Any, events);
    }
    commit
}

fn clause(numbers: &mut Numbers) -> Clause {
    let mut clause = Clause::new();
    if numbers.chance(30) {
        clause = clause.streams((0..=numbers.below(2)).map(|_| stream(numbers.below(400))));
    }
    if numbers.chance(20) {
        let name = if numbers.chance(30) {
            "nothing"
        } else {
            ["order", "user"][usize::from(numbers.chance(50))]
        };
        clause = clause.category(Category::new(name).unwrap());
    }
    if numbers.chance(30) {
        clause = clause.types((0..=numbers.below(2)).map(|_| event_type(numbers.below(5))));
    }
    if numbers.chance(30) {
        clause = clause.tag(tag(numbers.below(310)));
    }
    if numbers.chance(10) {
        clause = clause.correlation(correlation(numbers.below(2_100)));
    }
    clause
}

fn query(numbers: &mut Numbers, head: u64, start: DateTime<Utc>) -> Query {
    let filter = Filter::any_of((0..=numbers.below(2)).map(|_| clause(numbers)));
    let mut query = Query::new(filter);
    if numbers.chance(40) {
        query = query.after(Position::new(numbers.below(head + 2)));
    }
    if numbers.chance(40) {
        query = query.up_to(Position::new(numbers.below(head + 2)));
    }
    if numbers.chance(15) {
        query = query.after_version(Version::new(numbers.below(900)));
    }
    if numbers.chance(15) {
        query = query.up_to_version(Version::new(numbers.below(900)));
    }
    let time = |numbers: &mut Numbers| {
        start + TimeDelta::milliseconds(i64::try_from(numbers.below(16_000)).unwrap())
    };
    if numbers.chance(20) {
        query = query.after_time(time(numbers));
    }
    if numbers.chance(20) {
        query = query.up_to_time(time(numbers));
    }
    if numbers.chance(40) {
        query = query.backwards();
    }
    if numbers.chance(40) {
        query = query.limit(NonZeroU64::new(1 + numbers.below(2_500)).unwrap());
    }
    query
}

fn compare(disk: &dyn EventStore, memory: &MemoryStore, query: &Query) {
    let (mut here, mut there) =
        (Events::new(disk, query.clone()), Events::new(memory, query.clone()));
    loop {
        match (here.next(), there.next()) {
            (None, None) => return,
            (Some(here), Some(there)) => {
                assert!(here.unwrap() == there.unwrap(), "{query:?}");
            }
            (here, there) => panic!("{query:?}: {here:?} on disk, {there:?} in memory"),
        }
    }
}

#[test]
fn every_query_is_answered_by_a_store_and_its_follower_as_by_the_store_in_memory() {
    const QUERIES: u64 = 400;
    let (directory, mut numbers) = (Directory::new(), Numbers(7));
    let start: DateTime<Utc> = "2024-02-29T12:00:00Z".parse().unwrap();
    let clock = ManualClock::at(start);
    let memory = MemoryStore::with(clock.clone(), Limits::default());
    let options = FileStore::options().clock(clock.clone()).durability(Durability::Buffered);
    let options = options.segment_bytes(300_000).recent_bytes(6_000).cache_bytes(1 << 20);
    let options = options.upkeep(Upkeep::Inline);
    let mut disk = options.clone().open(directory.path()).unwrap();
    let follower = options.clone().follow(directory.path()).unwrap();
    let mut serial = 0;
    for round in 0..4 {
        for step in 0..1_000 {
            clock.advance(TimeDelta::milliseconds(4));
            let commit = commit(&mut numbers, &mut serial);
            assert_eq!(disk.append(commit.clone()).unwrap(), memory.append(commit).unwrap());
            if step % 5 == 0 {
                disk.sync().unwrap();
                assert_eq!(follower.head().unwrap(), disk.head().unwrap());
                compare(&follower, &memory, &query(&mut numbers, serial, start));
            }
        }
        disk.sync().unwrap();
        for _ in 0..QUERIES / 4 {
            let query = query(&mut numbers, serial, start);
            compare(&disk, &memory, &query);
            compare(&follower, &memory, &query);
        }
        for number in 0..700 {
            let stream = stream(number);
            let version = memory.version(&stream).unwrap();
            assert_eq!(disk.version(&stream).unwrap(), version);
            assert_eq!(follower.version(&stream).unwrap(), version);
        }
        if round % 2 == 0 {
            disk.close().unwrap();
            disk = options.clone().open(directory.path()).unwrap();
            assert!(disk.recovery().clean);
        }
    }
    let runs = std::fs::read_dir(directory.path()).unwrap();
    let runs = runs.filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "index")
    });
    let runs = runs.count();
    println!(
        "{serial} events, {runs} index runs, {QUERIES} queries of both, 800 more of the follower"
    );
    assert!((2..=12).contains(&runs), "merged, but not all into one each time: {runs}");
}
