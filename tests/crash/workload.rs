//! A workload on a disk that does nothing wrong: what there is to crash.

use crate::author::Author;
use crate::disk::{Moment, SimDisk};
use crate::log::Log;
use crate::oracle::Complaint;
use crate::player::{Mark, Player};
use crate::random::Random;
use crate::settings::Settings;

/// A workload that was played to its end.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) settings: Settings,
    pub(crate) log: Log,
    /// The disk before each of the operations that changed it, and at the end.
    pub(crate) moments: Vec<Moment>,
    began: Vec<u64>,
    marks: Vec<Mark>,
}

/// What holds of a log when its process ends: how many commits there may be, and how many there must be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promise {
    pub(crate) attempted: usize,
    pub(crate) acknowledged: usize,
    pub(crate) durable: usize,
}

impl Run {
    /// Plays the workload of this seed.
    pub(crate) fn of(seed: u64, steps: usize) -> Result<Self, Complaint> {
        let mut player = player(seed);
        player.disk.keep_moments();
        play(&mut player, steps)?;
        let moments = player.disk.moments();
        player.disk.freeze();
        let Player { settings, log, began, marks, .. } = player;
        Ok(Self { seed, settings, log, moments, began, marks })
    }

    /// What holds of the log if the process ends before the operation of this number.
    pub(crate) fn promised_at(&self, op: u64) -> Promise {
        let attempted = self.began.partition_point(|began| *began <= op);
        let marks = self.marks.partition_point(|mark| mark.op <= op);
        match marks.checked_sub(1).map(|last| self.marks[last]) {
            None => Promise { attempted, acknowledged: 0, durable: 0 },
            Some(Mark { acknowledged, durable, .. }) => {
                Promise { attempted, acknowledged, durable }
            }
        }
    }
}

/// Who plays the workload of this seed, on an empty disk.
pub(crate) fn player(seed: u64) -> Player {
    let mut random = Random::of(&[seed, 0xD15C]);
    let settings = Settings::some(&mut random);
    Player::new(SimDisk::new(random.next()), settings, Author::new(seed, random.chance(50)))
}

/// Plays so many steps, none of which may fail.
pub(crate) fn play(player: &mut Player, steps: usize) -> Result<(), Complaint> {
    let none = |error| Err(format!("without any fault, the store answers with {error:?}"));
    player.open()?.map_or(Ok(()), none)?;
    for _ in 0..steps {
        player.step()?.map_or(Ok(()), none)?;
    }
    Ok(())
}
