//! Whatever happens in whatever order: in the end, each thing has happened once.

use std::sync::Arc;

use annals::process::ProcessManager;
use annals::testing::ManualClock;
use annals::{Annals, Clock};
use chrono::TimeDelta;

use super::errands::{Bell, Errand, Ring, errands, faults};
use crate::chance::Chance;

const SEEDS: u64 = 60;

struct Play {
    annals: Annals,
    clock: ManualClock,
    manager: Arc<ProcessManager<Errand>>,
    errands: u64,
}

impl Play {
    fn new() -> Self {
        let clock = ManualClock::at("2024-05-06T09:00:00Z".parse().unwrap());
        let annals = Annals::builder().clock(clock.clone()).in_memory();
        let manager = Arc::new(errands(&annals).unwrap().open().unwrap());
        Self { annals, clock, manager, errands: 0 }
    }

    fn ring(&self, ring: Ring) {
        self.annals.of::<Bell>().unwrap().execute("front", ring).unwrap();
    }

    fn step(&mut self, chance: &mut Chance) {
        match chance.below(12) {
            0..4 => {
                let in_minutes = TimeDelta::minutes(i64::try_from(chance.below(60)).unwrap());
                let by = (chance.below(3) > 0).then(|| self.clock.now() + in_minutes);
                self.errands += 1;
                self.ring(Ring::Rang { errand: self.errands, asks: chance.below(4), by });
            }
            4..6 if self.errands > 0 => {
                self.ring(Ring::Answered { errand: 1 + chance.below(self.errands) });
            }
            6 => self.clock.advance(TimeDelta::minutes(i64::try_from(chance.below(40)).unwrap())),
            7..9 => drop(self.manager.run_until_settled().unwrap()),
            9 => {
                // Another life begins, from what is written.
                self.manager = Arc::new(errands(&self.annals).unwrap().open().unwrap());
            }
            _ => {
                let head = self.annals.store().head().unwrap().durable;
                self.manager.wait_for(head, std::time::Duration::from_secs(60)).unwrap();
            }
        }
    }
}

#[test]
fn each_thing_happens_once() {
    for seed in 0..SEEDS {
        let (mut play, mut chance) = (Play::new(), Chance(seed));
        for _ in 0..80 {
            play.step(&mut chance);
        }
        play.manager.run_until_settled().unwrap();
        let faults = faults(&play.annals, play.clock.now());
        assert!(faults.is_empty(), "seed {seed}: {faults:#?}");
    }
}
