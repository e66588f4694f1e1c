//! What is done to the directory of a store while threads write to it: plain copies, and verifying.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use annals::id::EventType;
use annals::store::{
    Commit, EventStore, Events, Expected, FileOptions, FileStore, Interrupt, Query, Upkeep, care,
};
use annals::{Error, ErrorKind, NewEvent, Position, RecordedEvent};
use parking_lot::Mutex;

use crate::directory::Directory as Scratch;
use crate::file_store_edges::{Hooked, Op};

fn small() -> FileOptions {
    FileStore::options().segment_bytes(8 << 10).recent_bytes(2 << 10)
}

/// Does something while threads append to a store of small segments and runs.
fn beside_writers(path: &Path, pause: Duration, act: impl FnOnce(&FileStore)) {
    let (store, is_over) = (small().open(path).unwrap(), AtomicBool::new(false));
    thread::scope(|scope| {
        for writer in 0..3 {
            let (store, is_over) = (&store, &is_over);
            scope.spawn(move || {
                let stream: annals::StreamId = format!("talk/{writer}").parse().unwrap();
                for round in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let text = format!("{round:0width$}", width = 40 * (1 + writer));
                    let said = || NewEvent::new(EventType::new("Said").unwrap(), &text).unwrap();
                    let events: Vec<_> = (0..=writer).map(|_| said()).collect();
                    let commit = Commit::new().write(stream.clone(), Expected::Any, events);
                    store.append(commit).unwrap();
                    thread::sleep(pause);
                }
            });
        }
        let acting = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(&store)));
        is_over.store(true, Ordering::Relaxed);
        if let Err(panic) = acting {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Numbers that look random and are the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (self.0 >> 33) % end
    }
}

/// Copies a directory file by file and piece by piece, in any order. What is gone when its turn comes is left out.
fn copy_plainly(from: &Path, into: &Path, pause: Option<Duration>, random: &mut Random) {
    fs::create_dir_all(into).unwrap();
    let names = fs::read_dir(from).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    while !names.is_empty() {
        let name = names.swap_remove(usize::try_from(random.below(names.len() as u64)).unwrap());
        let Ok(mut source) = File::open(from.join(&name)) else { continue };
        let mut target = File::create(into.join(&name)).unwrap();
        let mut piece = vec![0; 1 << (12 + random.below(8))];
        loop {
            let read = source.read(&mut piece).unwrap();
            if read == 0 {
                break;
            }
            target.write_all(&piece[..read]).unwrap();
            if let Some(pause) = pause.filter(|_| random.below(3) == 0) {
                thread::sleep(pause);
            }
        }
    }
}

/// What became of a copy.
#[derive(Debug, Default)]
struct Counts {
    good: u32,
    refused: u32,
    /// Opened, with damage that shows where it is read.
    refused_by_reads: u32,
}

impl Counts {
    /// Asks a copy for everything: it is the beginning of the log with at least so many events, or damaged.
    fn ask<S: EventStore>(
        &mut self,
        copy: Result<S, Error>,
        least: Position,
        log: &FileStore,
        seed: u64,
    ) {
        let copy = match copy {
            Ok(copy) => copy,
            Err(error) => {
                assert!(is_damage(&error), "seed {seed}: {error:?}");
                assert!(error.to_string().contains("backup"), "seed {seed}: {error}");
                self.refused += 1;
                return;
            }
        };
        let (mut events, mut is_whole) = (Vec::new(), true);
        for event in Events::new(&copy, Query::default()) {
            match event {
                Ok(event) => events.push(event),
                Err(error) => {
                    assert!(is_damage(&error), "seed {seed}: {error:?}");
                    is_whole = false;
                    break;
                }
            }
        }
        let end = Position::new(events.len() as u64);
        // What was copied while it was written may not have been acknowledged yet.
        let before = Position::new(end.get().saturating_sub(1));
        log.wait(before, Duration::from_secs(60), &Interrupt::new()).unwrap();
        let right = Events::new(log, Query::default().up_to(end)).map(Result::unwrap);
        let right: Vec<RecordedEvent<'static>> = right.collect();
        assert!(events == right, "seed {seed}: it is not the beginning of the log");
        if is_whole {
            assert!(end >= least, "seed {seed}: it ends at {end}; {least} was acknowledged before");
            self.good += 1;
        } else {
            self.refused_by_reads += 1;
        }
    }
}

fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Damaged { .. })
}

#[test]
fn a_plain_copy_of_a_live_directory_is_good_or_refused_with_a_hint_at_backups() {
    const STORES: u64 = 16;
    const COPIES: u64 = 20;
    let (mut opened, mut followed) = (Counts::default(), Counts::default());
    for store in 0..STORES {
        let scratch = Scratch::new();
        let from = scratch.path().join("store");
        beside_writers(&from, Duration::from_micros(200), |log| {
            for copy in 0..COPIES {
                let seed = store * COPIES + copy;
                let mut random = Random(seed);
                let into = scratch.path().join(format!("copy-{copy}"));
                let acknowledged = log.head().unwrap().durable;
                // Who asks may hear of a commit a moment before the watermark does, which followers go by.
                log.sync().unwrap();
                let pause = (copy % 2 == 1).then(|| Duration::from_micros(random.below(3000)));
                copy_plainly(&from, &into, pause, &mut random);
                followed.ask(FileStore::follow(&into), acknowledged, log, seed);
                opened.ask(small().upkeep(Upkeep::Inline).open(&into), acknowledged, log, seed);
                fs::remove_dir_all(&into).unwrap();
            }
        });
    }
    println!("{} copies, opened: {opened:?}, followed: {followed:?}", STORES * COPIES);
    assert!(opened.good > 0 && opened.refused > 0, "{opened:?}");
    assert!(followed.good > 0 && followed.refused > 0, "{followed:?}");
}

/// A directory in which reading takes so long that much is written between two reads.
fn slow(path: &Path, seed: u64) -> Hooked {
    let random = Mutex::new(Random(seed));
    Hooked::new(path, move |op, _| {
        if op == Op::Read && random.lock().below(4) == 0 {
            let pause = Duration::from_micros(random.lock().below(3000));
            thread::sleep(pause);
        }
        Ok(())
    })
}

#[test]
fn verifying_beside_writers_never_finds_what_is_not_wrong() {
    const STORES: u64 = 10;
    const ROUNDS: u64 = 20;
    let mut events = 0;
    for store in 0..STORES {
        let scratch = Scratch::new();
        beside_writers(scratch.path(), Duration::from_micros(100 * store), |log| {
            let mut after = Position::START;
            for round in 0..ROUNDS {
                let acknowledged = log.head().unwrap().durable;
                let found = care::verify(slow(scratch.path(), round), after, |_| {}).unwrap();
                assert!(found.is_sound(), "store {store}, round {round}: {found:?}");
                assert!(found.up_to >= acknowledged, "{found:?} before {acknowledged}");
                events += found.events;
                // Every second time all is verified, every other only what is new.
                after = if round % 2 == 0 { found.up_to } else { Position::START };
            }
        });
    }
    println!("{} times verified beside writers, {events} events", STORES * ROUNDS);
}
