//! What a run of the crash suite is told from outside, and what it tells when something goes wrong.
//!
//! * `ANNALS_CRASH_IMAGES`: how many images the search over crash points makes at least.
//! * `ANNALS_CRASH_SEED`: the seed that it begins with.
//! * `ANNALS_CRASH_ONLY`: the one case of that seed that is looked at, as a failure names it.

use std::env;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::oracle::Complaint;
use crate::random::Random;

/// The number that a variable holds, if it is set.
pub(crate) fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

/// Whether only one case is wanted.
pub(crate) fn is_one_case() -> bool {
    env::var("ANNALS_CRASH_ONLY").is_ok()
}

/// Whether only one case is wanted, and not this one.
pub(crate) fn is_left_out(case: &str) -> bool {
    env::var("ANNALS_CRASH_ONLY").is_ok_and(|only| only != case)
}

/// The command that repeats one case of one test.
pub(crate) fn command(test: &str, seed: u64, case: &str) -> String {
    format!(
        "ANNALS_CRASH_SEED={seed} ANNALS_CRASH_ONLY={case} \
         cargo test --all-features --test crash -- --exact {test}"
    )
}

/// The images of the workloads of one test that are looked at.
pub(crate) struct Images {
    test: &'static str,
    watch: Watch,
    pub(crate) count: u64,
}

impl Images {
    pub(crate) fn of(test: &'static str) -> Self {
        Self { test, watch: Watch::begin(), count: 0 }
    }

    /// So many seeds, or the one that is wanted.
    pub(crate) fn seeds(count: u64) -> Range<u64> {
        let first = number("ANNALS_CRASH_SEED").unwrap_or(1);
        first..first + if is_one_case() { 1 } else { count }
    }

    /// Looks at an image, unless only another one is wanted. A complaint ends the test, and tells how it is repeated.
    pub(crate) fn look(
        &mut self,
        (seed, point, number): (u64, usize, u64),
        look: impl FnOnce(&mut Random) -> Result<(), Complaint>,
    ) {
        let case = format!("{point}.{number}");
        if is_left_out(&case) {
            return;
        }
        let command = || command(self.test, seed, &case);
        self.watch.next(command);
        self.count += 1;
        let mut random = Random::of(&[seed, point as u64, number]);
        if let Err(complaint) = caught(|| look(&mut random)) {
            panic!("seed {seed}, image {case}: {complaint}\nrepeat: {}", command());
        }
    }
}

/// Runs one case. A panic in it is a complaint like any other.
pub(crate) fn caught<T>(case: impl FnOnce() -> Result<T, Complaint>) -> Result<T, Complaint> {
    catch_unwind(AssertUnwindSafe(case)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("a panic: {}", text.unwrap_or_default()))
    })
}

/// Ends the program when a case takes longer than this.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sees to it that no case hangs.
#[derive(Debug, Clone)]
pub(crate) struct Watch(Arc<Mutex<Watched>>);

#[derive(Debug)]
struct Watched {
    case: String,
    /// When it began; nothing before the first.
    since: Option<Instant>,
}

impl Watch {
    pub(crate) fn begin() -> Self {
        let watched = Arc::new(Mutex::new(Watched { case: String::new(), since: None }));
        let weak = Arc::downgrade(&watched);
        thread::spawn(move || {
            while let Some(watched) = weak.upgrade() {
                {
                    let watched = watched.lock();
                    if watched.since.is_some_and(|since| since.elapsed() > PATIENCE) {
                        eprintln!("hangs: {}", watched.case);
                        process::abort();
                    }
                }
                drop(watched);
                thread::sleep(Duration::from_secs(1));
            }
        });
        Self(watched)
    }

    /// The next case begins; `text` is how it is repeated.
    pub(crate) fn next(&self, text: impl FnOnce() -> String) {
        *self.0.lock() = Watched { case: text(), since: Some(Instant::now()) };
    }
}

/// How many threads the suite makes use of.
pub(crate) fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
