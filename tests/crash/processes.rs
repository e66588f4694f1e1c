//! A process manager on a disk that crashes: whatever is left of the log and of its notes, in the end each thing has happened once.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use annals::chrono::{DateTime, TimeDelta, Utc};
use annals::process::{ProcessBuilder, ProcessManager};
use annals::store::{Durability, EventStore, FileStore};
use annals::testing::ManualClock;
use annals::{Annals, Clock, Error, Position};

use crate::disk::{Crash, SimDisk, State};
use crate::oracle::Complaint;
use crate::random::Random;
use crate::report::Images;
use crate::settings::{Settings, noon};

#[path = "../subjects/errands.rs"]
mod errands;

use errands::{Bell, Errand, Ring, errands, faults};

const TEST: &str = "processes::whatever_a_crash_leaves_each_thing_happens_once";
const SEEDS: u64 = 90;
/// How many steps a workload has, of how many in a hundred of its moments images are made, and how many of each.
const STEPS: u64 = 30;
const MOMENTS_PERCENT: u64 = 45;
const IMAGES_OF_MOMENT: u64 = 1;
/// How often what goes on with an image is crashed in turn.
const DEPTH: u64 = 2;
/// How many steps are taken between two crashes at most.
const STEPS_BETWEEN: u64 = 8;

/// What a process leaves, and what is known of it.
#[derive(Debug, Clone)]
struct Left {
    state: State,
    now: DateTime<Utc>,
    /// What was rung, in its order.
    rings: Vec<Ring>,
    /// How many of those are synced.
    durable: usize,
    /// How many errands there were, with those that are lost.
    errands: u64,
}

impl Left {
    fn nothing() -> Self {
        let (state, now) = (State::default(), noon().now());
        Self { state, now, rings: Vec::new(), durable: 0, errands: 0 }
    }
}

/// A store on a disk, and a manager.
struct Office {
    disk: SimDisk,
    clock: ManualClock,
    store: Arc<FileStore>,
    annals: Annals,
    manager: ProcessManager<Errand>,
    rings: Vec<(Position, Ring)>,
    errands: u64,
}

fn shown(error: impl std::fmt::Debug) -> Complaint {
    format!("it is answered with {error:?}")
}

impl Office {
    /// Opens what was left: a beginning of what was rung, with all of it that was durable.
    fn open(left: &Left, disk: SimDisk, durability: Durability) -> Result<Self, Complaint> {
        let office = Self::on(disk, left, durability).map_err(shown)?;
        let rings: Vec<_> = office.rings.iter().map(|(_, ring)| ring.clone()).collect();
        if left.rings.get(..rings.len()) != Some(&rings) || rings.len() < left.durable {
            let Left { rings: rung, durable, .. } = left;
            return Err(format!("{rings:?} is left of {rung:?}, {durable} synced"));
        }
        Ok(office)
    }

    fn on(disk: SimDisk, left: &Left, durability: Durability) -> Result<Self, Error> {
        let (clock, errands_before) = (ManualClock::at(left.now), left.errands);
        let settings = Settings { durability, ..Settings::default() };
        let store = Arc::new(settings.open(&disk, &clock)?);
        let annals = Annals::builder().clock(clock.clone()).with_store(Arc::clone(&store));
        let mut rings = Vec::new();
        for rung in annals.of::<Bell>()?.events().read()? {
            let rung = rung?;
            rings.push((rung.position(), rung.into_event()));
        }
        let manager = errands(&annals)?.open()?;
        Ok(Self { disk, clock, store, annals, manager, rings, errands: errands_before })
    }

    fn ring(&mut self, ring: Ring) -> Result<(), Complaint> {
        let bells = self.annals.of::<Bell>().map_err(shown)?;
        let rung = bells.execute("front", ring.clone()).map_err(shown)?;
        self.rings.push((rung.position(), ring));
        Ok(())
    }

    /// Rings, lets time go by, syncs, or lets the manager do something.
    fn step(&mut self, random: &mut Random) -> Result<(), Complaint> {
        let minutes = |below, random: &mut Random| {
            TimeDelta::minutes(i64::try_from(random.below(below)).unwrap())
        };
        match random.below(14) {
            0..4 => {
                let by = random.chance(60).then(|| self.clock.now() + minutes(60, random));
                self.errands += 1;
                self.ring(Ring::Rang { errand: self.errands, asks: random.below(4), by })?;
            }
            4..6 if self.errands > 0 => {
                // Most of them while there is still time.
                let latest = self.errands.min(4);
                let errand = 1 + self.errands - latest + random.below(latest);
                self.ring(Ring::Answered { errand })?;
            }
            6 => self.clock.advance(minutes(40, random)),
            7 => drop(self.store.sync().map_err(shown)?),
            8 => {
                self.manager =
                    errands(&self.annals).and_then(ProcessBuilder::open).map_err(shown)?
            }
            9..11 => {
                let head = self.store.head().map_err(shown)?.durable;
                self.manager.wait_for(head, Duration::from_secs(20)).map_err(shown)?;
            }
            _ => drop(self.manager.run_until_settled().map_err(shown)?),
        }
        Ok(())
    }

    /// Does everything, also what is done because something is done.
    fn settle(&self) -> Result<(), Complaint> {
        loop {
            let before = self.store.sync().map_err(shown)?;
            self.manager.run_until_settled().map_err(shown)?;
            if self.store.head().map_err(shown)?.acknowledged == before {
                return Ok(());
            }
        }
    }

    /// Once all time is over, everything is as it has to be.
    fn look(&self) -> Result<(), Complaint> {
        self.settle()?;
        self.clock.advance(TimeDelta::days(1));
        self.settle()?;
        let mut faults = faults(&self.annals, self.clock.now());
        faults.extend(self.manager.stuck().iter().map(|it| format!("{it:?}")));
        let status = self.manager.status();
        if (status.waiting, status.deadlines, status.errors) != (0, 0, 0) {
            faults.push(format!("{status:?}"));
        }
        if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
    }

    /// What would be left at this moment.
    fn left(&self) -> Result<Left, Complaint> {
        let durable = self.store.head().map_err(shown)?.durable;
        Ok(Left {
            state: self.disk.state(),
            now: self.clock.now(),
            rings: self.rings.iter().map(|(_, ring)| ring.clone()).collect(),
            durable: self.rings.iter().filter(|(position, _)| *position <= durable).count(),
            errands: self.errands,
        })
    }
}

/// Opens what was left, takes some steps, and tells what is left before each operation that changes the disk.
fn live(left: &Left, steps: u64, random: &mut Random) -> Result<Vec<Left>, Complaint> {
    let durability = *random.pick(&[Durability::Synced, Durability::Buffered]);
    let disk = SimDisk::holding(left.state.clone(), random.next());
    disk.keep_moments();
    let mut office = Office::open(left, disk, durability)?;
    let at = |left: &Left, state| Left { state, ..left.clone() };
    let opened = office.disk.moments().into_iter().map(|moment| at(left, moment.state));
    let mut all: Vec<_> = opened.collect();
    for _ in 0..steps {
        let before = office.left()?;
        office.disk.keep_moments();
        office.step(random)?;
        // Nobody knows whether what is being rung at the moment is there.
        let known = Left { durable: before.durable, ..office.left()? };
        let moments = office.disk.moments();
        all.extend(moments.into_iter().map(|moment| at(&known, moment.state)));
    }
    office.disk.freeze();
    Ok(all)
}

/// Crashes, goes on with what is left until the next crash, and looks at what becomes of it in the end.
fn carry_out(mut left: Left, random: &mut Random) -> Result<(), Complaint> {
    for depth in 0..=DEPTH {
        let crash = *random.pick(&[Crash::Cut, Crash::Cut, Crash::Kill, Crash::GivenUp]);
        left.state = left.state.after(crash, random);
        if random.chance(30) {
            left.now += TimeDelta::minutes(i64::try_from(random.below(60)).unwrap());
        }
        if depth == DEPTH || random.chance(50) {
            break;
        }
        let steps = random.below(STEPS_BETWEEN);
        let all = live(&left, steps, random)?;
        left = random.pick(&all).clone();
    }
    let disk = SimDisk::holding(left.state.clone(), random.next());
    let office = Office::open(&left, disk, Durability::Synced)?;
    let looked = office.look();
    office.disk.freeze();
    looked
}

/// What a manager has done, what it has noted about that, and what it was told may each be lost to a crash, down to what was
/// durable: it goes on, and does what is missing, and nothing twice.
#[test]
fn whatever_a_crash_leaves_each_thing_happens_once() {
    let mut images = Images::of(TEST);
    for seed in Images::seeds(SEEDS) {
        let all = live(&Left::nothing(), STEPS, &mut Random::of(&[seed]))
            .unwrap_or_else(|complaint| panic!("the workload of seed {seed}: {complaint}"));
        for (point, left) in all.into_iter().enumerate() {
            if !Random::of(&[seed, point as u64]).chance(MOMENTS_PERCENT) {
                continue;
            }
            for number in 0..IMAGES_OF_MOMENT {
                images.look((seed, point, number), |random| carry_out(left.clone(), random));
            }
        }
    }
    let count = images.count;
    println!("{count} images of logs with a process manager, crashed up to {DEPTH} times more");
}

/// An errand that is over in a minute, and is known to its manager.
fn with_an_errand(durability: Durability) -> Office {
    let nothing = Left::nothing();
    let disk = SimDisk::holding(nothing.state.clone(), 1);
    let mut office = Office::open(&nothing, disk, durability).unwrap();
    let by = Some(office.clock.now() + TimeDelta::minutes(1));
    office.ring(Ring::Rang { errand: 1, asks: 1, by }).unwrap();
    office.settle().unwrap();
    office
}

#[test]
fn an_answer_that_waits_to_be_synced_when_the_deadline_comes_is_in_time() {
    let mut office = with_an_errand(Durability::Buffered);
    office.ring(Ring::Answered { errand: 1 }).unwrap();
    office.clock.advance(TimeDelta::minutes(2));
    office.manager.run_until_settled().unwrap();
    office.look().unwrap();
}

#[test]
fn an_answer_that_is_on_its_way_to_the_disk_when_the_deadline_comes_is_in_time() {
    let office = with_an_errand(Durability::Synced);
    let (clock, (comes, deadline)) = (office.clock.clone(), mpsc::channel());
    office.disk.set_before_sync(Some(Arc::new(move || {
        // Only while the answer is synced: what is done after the deadline is synced later.
        if clock.now() == noon().now() {
            clock.advance(TimeDelta::minutes(2));
            comes.send(()).unwrap();
            // As long as the manager may take to see that there is nothing to read.
            thread::sleep(Duration::from_millis(50));
        }
    })));
    let manager = &office.manager;
    thread::scope(|scope| {
        scope.spawn(move || {
            deadline.recv().unwrap();
            manager.run_until_settled().unwrap();
        });
        let bells = office.annals.of::<Bell>().unwrap();
        bells.execute("front", Ring::Answered { errand: 1 }).unwrap();
    });
    office.disk.set_before_sync(None);
    office.look().unwrap();
}
