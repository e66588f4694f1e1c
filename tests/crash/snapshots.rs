//! Snapshots on the disk of a log that loses its end: whatever is left of the one and of the other, an aggregate is what its
//! events make it.

use std::convert::Infallible;
use std::sync::Arc;

use annals::snapshot::FileSnapshots;
use annals::storage::FileName;
use annals::store::{Durability, EventStore, FileStore};
use annals::{Aggregate, Annals, Context, Error, Repository, Version};
use serde::{Deserialize, Serialize};

use crate::disk::{Crash, SimDisk, State};
use crate::oracle::Complaint;
use crate::random::Random;
use crate::report::Images;
use crate::settings::{Settings, noon};

const TEST: &str = "snapshots::no_snapshot_that_a_crash_leaves_changes_an_answer";
const SEEDS: u64 = 20;
/// How many steps a workload has, and how many images are made of each of its moments.
const STEPS: u64 = 60;
const IMAGES_OF_MOMENT: u64 = 3;
/// How often an image is written to and crashed in turn.
const DEPTH: u64 = 2;
const IDS: [&str; 3] = ["1", "2", "3"];

/// All that was ever written into it, so that no two histories have the same state.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Diary(Vec<u64>);

#[derive(Debug, Serialize, Deserialize)]
enum Event {
    Written(u64),
}

impl Aggregate for Diary {
    const TYPE: &'static str = "diary";
    type Id = str;
    type Event = Event;
    type Command = u64;
    type Error = Infallible;
    type Services = ();

    fn apply(&mut self, Event::Written(line): &Event) {
        self.0.push(*line);
    }

    fn handle(&self, line: u64, _: &Context<'_, Self>) -> Result<Vec<Event>, Infallible> {
        Ok(vec![Event::Written(line)])
    }
}

/// What a process leaves, and what is known of it.
#[derive(Debug, Clone)]
struct Left {
    state: State,
    /// What was written, in its order.
    lines: Vec<u64>,
    /// How many of those are synced.
    durable: usize,
}

/// A store and its snapshots on one disk.
struct Shelf {
    disk: SimDisk,
    store: Arc<FileStore>,
    diaries: Repository<Diary>,
    /// The same, folded from their beginnings.
    folded: Repository<Diary>,
    lines: Vec<u64>,
}

impl Shelf {
    /// Opens what was left: a beginning of what was written, with all of it that was durable.
    fn open(left: &Left, random: &mut Random) -> Result<Self, Complaint> {
        let disk = SimDisk::holding(left.state.clone(), random.next());
        let shelf = Self::on(disk).map_err(|error| format!("it does not open: {error:?}"))?;
        let known = left.lines.get(..shelf.lines.len());
        if known != Some(&shelf.lines) || shelf.lines.len() < left.durable {
            let Left { lines, durable, .. } = left;
            return Err(format!("{:?} is left of {lines:?}, {durable} synced", shelf.lines));
        }
        Ok(shelf)
    }

    fn on(disk: SimDisk) -> Result<Self, Error> {
        let settings = Settings { durability: Durability::Buffered, ..Settings::default() };
        let store = Arc::new(settings.open(&disk, &noon())?);
        // So little room that the file is written anew now and then.
        let snapshots = FileSnapshots::open_on(disk.clone()).with_bytes_max(500);
        let annals = Annals::builder().snapshots(snapshots).with_store(Arc::clone(&store));
        let folded = annals.of::<Diary>()?;
        let diaries = folded.clone().snapshot_every(2);
        let events = folded.events().read()?;
        let line = |Event::Written(line): Event| line;
        let lines = events.map(|event| event.map(|event| line(event.into_event())));
        let lines = lines.collect::<Result<_, _>>()?;
        Ok(Self { disk, store, diaries, folded, lines })
    }

    /// Writes a line that nobody has written before, syncs, or looks.
    fn step(&mut self, line: u64, random: &mut Random) -> Result<(), Complaint> {
        match random.below(10) {
            0..2 => {
                self.store.sync().map_err(|error| format!("{error:?}"))?;
            }
            2..4 => self.look(random)?,
            way => {
                // A program that takes no snapshots does not look at them either, and they stay.
                let diaries = if way < 7 { &self.diaries } else { &self.folded };
                let written = diaries.execute(*random.pick(&IDS), line);
                written.map_err(|error| format!("writing is answered with {error:?}"))?;
                self.lines.push(line);
            }
        }
        Ok(())
    }

    /// Every diary is what its events make it, now and at an earlier version.
    fn look(&self, random: &mut Random) -> Result<(), Complaint> {
        for id in IDS {
            let version = random.below(self.lines.len() as u64 + 1);
            let look = |diaries: &Repository<Diary>| {
                let now = diaries.load(id)?;
                let version = Version::new(version.min(now.version().get()));
                let then = diaries.load_at(id, version)?;
                let position = now.position();
                Ok((now.into_state(), position, then.into_state()))
            };
            let (right, found) = (look(&self.folded), look(&self.diaries));
            let show = |error: Error| format!("loading is answered with {error:?}");
            let (right, found) = (right.map_err(show)?, found.map_err(show)?);
            if found != right {
                return Err(format!("diary {id} is {found:?}, its events make it {right:?}"));
            }
        }
        Ok(())
    }

    fn left(&self) -> Result<Left, Complaint> {
        let head = self.store.head().map_err(|error| format!("{error:?}"))?;
        let durable = usize::try_from(head.durable.get()).unwrap();
        Ok(Left { state: self.disk.state(), lines: self.lines.clone(), durable })
    }
}

/// Crashes, opens what is left, writes other lines in the place of those that are lost, and crashes again.
fn carry_out(mut left: Left, cache: &[u8], random: &mut Random) -> Result<(), Complaint> {
    for depth in 0..=DEPTH {
        let crash = *random.pick(&[Crash::Cut, Crash::Cut, Crash::Kill, Crash::GivenUp]);
        left.state = left.state.after(crash, random);
        if depth == 0 && random.chance(30) {
            // The log is put back from an older copy, the cache is not.
            left.state.put(FileName::Snapshots, cache.to_vec());
        }
        let mut shelf = Shelf::open(&left, random)?;
        for step in 0..random.below(20) {
            shelf.step((depth + 1) * 1000 + step, random)?;
        }
        shelf.look(random)?;
        left = shelf.left()?;
        shelf.disk.freeze();
    }
    Ok(())
}

/// What a workload leaves before each operation that changes the disk, and the snapshots at its end.
fn workload(seed: u64, random: &mut Random) -> Result<(Vec<Left>, Vec<u8>), Complaint> {
    let empty = Left { state: State::default(), lines: Vec::new(), durable: 0 };
    let mut shelf = Shelf::open(&empty, random)?;
    let mut all = Vec::new();
    for line in 0..STEPS {
        let before = shelf.left()?;
        shelf.disk.keep_moments();
        shelf.step(line, random)?;
        let lines = &shelf.lines;
        all.extend(shelf.disk.moments().into_iter().map(|moment| Left {
            state: moment.state,
            lines: lines.clone(),
            durable: before.durable,
        }));
    }
    let cache = shelf.disk.state().bytes(FileName::Snapshots).map(<[u8]>::to_vec);
    shelf.disk.freeze();
    Ok((all, cache.ok_or_else(|| format!("seed {seed} takes no snapshot"))?))
}

/// A snapshot is taken of what is synced, and what was synced is still there after a crash; and one that stands on an event
/// which the log does not have is not made use of.
#[test]
fn no_snapshot_that_a_crash_leaves_changes_an_answer() {
    let mut images = Images::of(TEST);
    for seed in Images::seeds(SEEDS) {
        let (all, cache) = workload(seed, &mut Random::of(&[seed]))
            .unwrap_or_else(|complaint| panic!("the workload of seed {seed}: {complaint}"));
        for (point, left) in all.into_iter().enumerate() {
            for number in 0..IMAGES_OF_MOMENT {
                images
                    .look((seed, point, number), |random| carry_out(left.clone(), &cache, random));
            }
        }
    }
    let count = images.count;
    println!("{count} images of logs with snapshots, each crashed {DEPTH} times more");
}
