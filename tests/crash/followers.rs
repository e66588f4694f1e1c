//! Followers, beside a writer and on what a crash leaves of its store: what they show is proven to be synced, so nothing takes it
//! away any more.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use annals::Clock;
use annals::storage::FileName;
use annals::store::{EventStore, Follower};

use crate::author::altered;
use crate::disk::{Crash, Failure, Fault, Moment, Op, SimDisk};
use crate::oracle::{self, Complaint};
use crate::player::Player;
use crate::random::Random;
use crate::report::{self, Watch, caught};
use crate::settings::{Settings, noon};
use crate::workload::{Run, player};

const IMAGES: &str = "followers::no_crash_takes_what_a_follower_has_shown";
const FAULTS: &str = "followers::no_failing_disk_makes_a_follower_show_what_is_not_durable";
/// How many workloads are crashed everywhere, and how many meet a fault.
const WORKLOADS: u64 = 12;
const FAULTY_WORKLOADS: u64 = 400;
const STEPS: usize = 45;

/// Follows what is on a disk; `None` if there is no store yet.
fn follow(disk: &SimDisk, settings: Settings) -> Result<Option<Follower>, Complaint> {
    match settings.options(&noon()).follow_on(disk.clone()) {
        Ok(follower) => Ok(Some(follower)),
        Err(_) if disk.state().bytes(FileName::Store).is_none() => Ok(None),
        Err(error) => Err(format!("the store cannot be followed: {error:?}")),
    }
}

/// One image of a crash, and what follows from it.
struct Trial<'a> {
    run: &'a Run,
    random: Random,
    images: u64,
    /// How many commits any follower has shown.
    shown: usize,
}

impl Trial<'_> {
    fn image(&mut self, of: &Moment, crash: Crash) -> SimDisk {
        self.images += 1;
        SimDisk::holding(of.state.after(crash, &mut self.random), self.random.next())
    }

    /// Crashes at this moment, follows what is left, lets a store recover meanwhile, and crashes that, too.
    fn carry_out(&mut self, moment: &Moment) -> Result<(), Complaint> {
        let crash = *self.random.pick(&[Crash::Cut, Crash::Cut, Crash::Kill, Crash::GivenUp]);
        let promise = self.run.promised_at(moment.op);
        let least = if crash == Crash::Cut { 0 } else { promise.durable };
        let disk = self.image(moment, crash);
        let moments = self.recover(&disk, least, promise.attempted)?;
        let moment = &moments[self.random.index(moments.len())];
        let crash = *self.random.pick(&[Crash::Cut, Crash::Kill]);
        let disk = self.image(moment, crash);
        self.recover(&disk, 0, promise.attempted).map(drop)
    }

    /// Follows a disk before, during and after a recovery. Returns the moments of that.
    fn recover(
        &mut self,
        disk: &SimDisk,
        least: usize,
        most: usize,
    ) -> Result<Vec<Moment>, Complaint> {
        let log = &self.run.log;
        let follower = follow(disk, self.run.settings)?;
        if let Some(follower) = &follower {
            let shown = oracle::recovered(follower, log, least..=most)?;
            self.shown = self.shown.max(shown);
        }
        let clock = noon();
        disk.keep_moments();
        let store = self.run.settings.open(disk, &clock);
        let store = store.map_err(|error| format!("the store does not open: {error:?}"))?;
        // Nothing that a follower has shown is missing, whatever happened since.
        let found = oracle::opened(&store, log, self.shown..=most)?;
        let moments = disk.moments();
        let follower = match follower {
            Some(follower) => follower,
            None => follow(disk, self.run.settings)?.ok_or("a store that is open is not there")?,
        };
        oracle::recovered(&follower, log, found..=found)?;
        // What is written in the place of lost commits is as long as they were.
        let mut others = log.first(found);
        for like in &log.commits()[found.min(log.commits().len().saturating_sub(2))..] {
            let commit = altered(like, &mut self.random);
            let now = clock.now();
            let answer = store.append(commit.clone()).map_err(|error| format!("{error:?}"))?;
            others.accept(&commit, now, &answer)?;
        }
        store.sync().map_err(|error| format!("{error:?}"))?;
        let all = others.commits().len();
        oracle::recovered(&follower, &others, all..=all)?;
        disk.freeze();
        Ok(moments)
    }
}

/// Runs a case for each seed on all processors, unless one is named.
fn for_each_seed(count: u64, test: &str, case: impl Fn(u64) -> Result<(), Complaint> + Sync) {
    let first = report::number("ANNALS_CRASH_SEED").unwrap_or(1);
    let count = if report::is_one_case() { 1 } else { count };
    let next = AtomicU64::new(first);
    thread::scope(|scope| {
        for _ in 0..report::threads() {
            scope.spawn(|| {
                let watch = Watch::begin();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let command = || report::command(test, seed, "all");
                    watch.next(command);
                    if let Err(complaint) = caught(|| case(seed)) {
                        next.store(u64::MAX / 2, Ordering::Relaxed);
                        panic!("seed {seed}: {complaint}\nrepeat: {}", command());
                    }
                }
            });
        }
    });
}

#[test]
fn no_crash_takes_what_a_follower_has_shown() {
    let images = AtomicU64::new(0);
    for_each_seed(WORKLOADS, IMAGES, |seed| {
        let run = Run::of(seed, STEPS)?;
        for (point, moment) in (0..).zip(&run.moments) {
            let random = Random::of(&[seed, point, 0xF0]);
            let mut trial = Trial { run: &run, random, images: 0, shown: 0 };
            let outcome = trial.carry_out(moment);
            images.fetch_add(trial.images, Ordering::Relaxed);
            outcome.map_err(|complaint| format!("crash point {point}: {complaint}"))?;
        }
        Ok(())
    });
    println!("{} images of {WORKLOADS} workloads were followed", images.into_inner());
}

/// Looks at what a follower shows after a step: so many commits at least, at most what was attempted.
fn look_beside(player: &Player, follower: &Follower, least: usize) -> Result<usize, Complaint> {
    let mut log = player.log.clone();
    for (commit, now) in &player.unknown {
        log.add(commit, log.next(commit, *now, &[]));
    }
    Ok(oracle::recovered(follower, &log, least..=log.commits().len())?)
}

#[test]
fn a_follower_beside_a_writer_shows_what_is_durable_at_every_step() {
    let looks = AtomicUsize::new(0);
    const TEST: &str = "followers::a_follower_beside_a_writer_shows_what_is_durable_at_every_step";
    for_each_seed(FAULTY_WORKLOADS / 4, TEST, |seed| {
        let mut player = player(seed);
        let error = player.open()?;
        assert!(error.is_none(), "{error:?}");
        let follower = follow(&player.disk, player.settings)?.ok_or("there is a store")?;
        let mut last = 0;
        for _ in 0..STEPS {
            let error = player.step()?;
            assert!(error.is_none(), "{error:?}");
            last = look_beside(&player, &follower, last.max(player.durable))?;
            looks.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    });
    println!("{} looks at stores that were written to", looks.into_inner());
}

/// A fault that only a writer meets.
fn some_fault(random: &mut Random) -> Fault {
    let of = *random.pick(&[
        Op::Write,
        Op::Write,
        Op::Sync,
        Op::Sync,
        Op::SetLen,
        Op::Rename,
        Op::SyncNames,
        Op::Create,
        Op::Remove,
    ]);
    let error = io::ErrorKind::Other;
    let failure = match (of, random.below(3)) {
        (Op::Write, 0) => Failure::PartThenError(error),
        (Op::Write, 1) => Failure::AllThenError(error),
        _ => Failure::Error(error),
    };
    Fault { of: Some(of), after: random.below(120), lasting: random.chance(50), failure }
}

#[test]
fn no_failing_disk_makes_a_follower_show_what_is_not_durable() {
    let faults = AtomicUsize::new(0);
    for_each_seed(FAULTY_WORKLOADS, FAULTS, |seed| {
        let mut random = Random::of(&[seed, 0xF1]);
        let mut player = player(seed);
        // What cannot be indexed on disk is to be no reason to stop.
        player.settings.recent_bytes = 1 << 16;
        // What a commit without an answer was is known only so.
        player.author.gives_all_ids = true;
        let error = player.open()?;
        assert!(error.is_none(), "{error:?}");
        let follower = follow(&player.disk, player.settings)?.ok_or("there is a store")?;
        player.disk.set_fault(Some(some_fault(&mut random)));
        let mut shown = 0;
        for _ in 0..STEPS {
            let error = if player.store.is_some() { player.step()? } else { player.open()? };
            // Where the watermark cannot be written, what is durable is shown later.
            shown = look_beside(&player, &follower, shown)?;
            faults.fetch_add(usize::from(error.is_some()), Ordering::Relaxed);
            if error.is_some() && random.chance(30) {
                player.disk.set_fault(None);
                player.close();
            }
        }
        // The worst power cut: what was shown is there, and a follower that stays sees the recovery through.
        let cut = player.disk.state().after_losing_all();
        player.durable = player.durable.max(shown);
        let mut heir = player.heir(SimDisk::holding(cut, random.next()));
        let error = heir.open()?;
        assert!(error.is_none(), "{error:?}");
        player.disk.set_fault(None);
        player.close();
        let error = player.open()?;
        assert!(error.is_none(), "{error:?}");
        let commits = player.log.commits().len();
        Ok(oracle::recovered(&follower, &player.log, commits..=commits).map(drop)?)
    });
    println!("{} failing calls in {FAULTY_WORKLOADS} workloads", faults.into_inner());
}
