//! Every operation that changes the disk is a point to crash at, in the workload and in the recovery from it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use parking_lot::Mutex;

use crate::oracle::Complaint;
use crate::report::{self, Watch, caught};
use crate::terms::Terms;
use crate::trial::Trial;
use crate::workload::Run;

const TEST: &str = "crash_points::no_crash_takes_what_was_promised";
/// How many images the search makes, unless it is told otherwise.
const IMAGES: u64 = 300_000;
/// How many steps a workload has, and how many images are made of each of its moments.
const STEPS: usize = 45;
const IMAGES_OF_MOMENT: u64 = 3;
/// How many moments the making of a store takes, about.
const YOUNG: usize = 20;

/// What all threads of a search share.
struct Search {
    seeds: AtomicU64,
    images: AtomicU64,
    moments: AtomicU64,
    wanted: u64,
    failure: Mutex<Option<Complaint>>,
    failed: AtomicBool,
    watch: Watch,
}

impl Search {
    fn is_over(&self) -> bool {
        self.images.load(Ordering::Relaxed) >= self.wanted || self.failed.load(Ordering::Relaxed)
    }

    fn fail(&self, complaint: Complaint) {
        self.failed.store(true, Ordering::Relaxed);
        self.failure.lock().get_or_insert(complaint);
    }

    /// Plays one workload after the other, and crashes it everywhere.
    fn work(&self, watch: &Watch) {
        let terms = Terms::new();
        while !self.is_over() {
            let seed = self.seeds.fetch_add(1, Ordering::Relaxed);
            watch.next(|| format!("the workload of seed {seed}"));
            let run = match caught(|| Run::of(seed, STEPS)) {
                Ok(run) => run,
                Err(complaint) => {
                    let command = report::command(TEST, seed, "run");
                    return self.fail(format!("seed {seed}: {complaint}\nrepeat: {command}"));
                }
            };
            self.crash_everywhere(&run, &terms, watch);
        }
    }

    fn crash_everywhere(&self, run: &Run, terms: &Terms, watch: &Watch) {
        for (point, moment) in run.moments.iter().enumerate() {
            self.moments.fetch_add(1, Ordering::Relaxed);
            // Most of what is rare happens while a store is young.
            let images = if point < YOUNG { 4 * IMAGES_OF_MOMENT } else { IMAGES_OF_MOMENT };
            for number in 0..images {
                let case = format!("{point}.{number}");
                if self.is_over() {
                    return;
                }
                if report::is_left_out(&case) {
                    continue;
                }
                let command = || report::command(TEST, run.seed, &case);
                watch.next(command);
                let mut trial = Trial::new(run, terms, point as u64, number);
                let outcome = caught(|| trial.carry_out(moment));
                self.images.fetch_add(trial.images, Ordering::Relaxed);
                if let Err(complaint) = outcome {
                    let (seed, story) = (run.seed, trial.story.join("; "));
                    let repeat = command();
                    let promise = run.promised_at(moment.op);
                    return self.fail(format!(
                        "seed {seed}, crash point {point}, image {number}: {complaint}\n\
                         story: {story}\npromised: {promise:?}\nrepeat: {repeat}"
                    ));
                }
            }
        }
    }
}

#[test]
fn no_crash_takes_what_was_promised() {
    let first = report::number("ANNALS_CRASH_SEED").unwrap_or(1);
    let search = Search {
        seeds: AtomicU64::new(first),
        images: AtomicU64::new(0),
        moments: AtomicU64::new(0),
        wanted: report::number("ANNALS_CRASH_IMAGES").unwrap_or(IMAGES),
        failure: Mutex::new(None),
        failed: AtomicBool::new(false),
        watch: Watch::begin(),
    };
    let began = Instant::now();
    if report::is_one_case() {
        let run = Run::of(first, STEPS).unwrap();
        search.crash_everywhere(&run, &Terms::new(), &search.watch);
    } else {
        thread::scope(|scope| {
            for _ in 0..report::threads() {
                scope.spawn(|| search.work(&Watch::begin()));
            }
        });
    }
    let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{} images of {} crash points in the workloads of the seeds {first}..{}, in {seconds:.1} s",
        count(&search.images),
        count(&search.moments),
        count(&search.seeds),
    );
    if let Some(failure) = search.failure.into_inner() {
        panic!("{failure}");
    }
}
