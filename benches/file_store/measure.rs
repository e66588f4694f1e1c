//! How much is done, how it is measured, and how that is shown.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How much is done.
pub(crate) struct Scale {
    pub(crate) rounds: usize,
    /// Rounds of durable commits, and how many commits are in one.
    pub(crate) durable_rounds: usize,
    pub(crate) commits: usize,
    pub(crate) bulk_events: u64,
    pub(crate) streams: u64,
    pub(crate) space_events: u64,
    pub(crate) small_events: u64,
}

pub(crate) const FULL: Scale = Scale {
    rounds: 25,
    durable_rounds: 100,
    commits: 16,
    bulk_events: 100_000,
    streams: 10_000,
    space_events: 100_000,
    small_events: 50_000,
};

/// For a run as a test.
pub(crate) const QUICK: Scale = Scale {
    rounds: 1,
    durable_rounds: 1,
    commits: 2,
    bulk_events: 2_000,
    streams: 20,
    space_events: 2_000,
    small_events: 5_000,
};

const PARTS: [&str; 9] =
    ["append", "batch", "threads", "bulk", "replay", "stream", "open", "space", "care"];

pub(crate) fn is_test() -> bool {
    let is = |name: &str| std::env::args().any(|argument| argument == name);
    is("--test") || !is("--bench")
}

/// Whether a part was asked for, or none in particular.
pub(crate) fn is_wanted(part: &str) -> bool {
    let asked = std::env::args().skip(1).find(|name| PARTS.contains(&name.as_str()));
    asked.is_none_or(|asked| asked == part)
}

/// A directory that is removed at the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let name = format!("file-store-{}", process::id());
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    /// A path at which nothing is.
    pub(crate) fn fresh(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        fs::create_dir_all(&self.0).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// The seconds that one piece of work takes, round by round.
#[derive(Debug, Clone)]
pub(crate) struct Taken(Vec<f64>);

impl Taken {
    fn median(&self) -> f64 {
        median(self.0.clone())
    }

    pub(crate) fn best(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// How many times as long another takes: the median of the rounds, for a disk is now fast and now slow, and of the best.
    pub(crate) fn times_in(&self, other: &Self) -> [f64; 2] {
        let rounds = other.0.iter().zip(&self.0).map(|(other, own)| other / own);
        [median(rounds.collect()), other.best() / self.best()]
    }
}

pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Lets the contenders take turns. Each measures itself, and takes what it needs before and after out of account.
pub(crate) fn in_turns<const N: usize>(
    rounds: usize,
    pieces: f64,
    mut contenders: [&mut dyn FnMut() -> Duration; N],
) -> [Taken; N] {
    let mut times = [const { Vec::new() }; N];
    for _ in 0..rounds {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            times.push(contender().as_secs_f64() / pieces);
        }
    }
    times.map(Taken)
}

pub(crate) fn print_head() {
    println!("{:<44}{:>21}{:>23}{:>16}  goal", "time (median, best)", "annals", "limit", "share");
}

pub(crate) fn print_row(what: &str, annals: &Taken, limit: &Taken, goal: &str) {
    let share = annals.times_in(limit);
    println!(
        "{what:<44}{} {}  {} {}   {:5.2} {:5.2}  {goal}",
        shown(annals.median()),
        shown(annals.best()),
        shown(limit.median()),
        shown(limit.best()),
        share[0],
        share[1],
    );
}

pub(crate) fn shown(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:7.0} ns", s * 1e9),
        s if s < 1e-3 => format!("{:7.1} µs", s * 1e6),
        s => format!("{:7.2} ms", s * 1e3),
    }
}

pub(crate) fn logs(directory: &Path) -> Vec<PathBuf> {
    let mut logs = files(directory);
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.sort();
    logs
}

pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

pub(crate) fn length(paths: &[PathBuf]) -> u64 {
    paths.iter().filter_map(|path| fs::metadata(path).ok()).map(|file| file.len()).sum()
}

/// The most memory that the process has had so far. The system counts it roughly, and may tell less than it has told before.
pub(crate) fn peak_bytes() -> u64 {
    static TOLD: AtomicU64 = AtomicU64::new(0);
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    let told = kib.unwrap_or(0) << 10;
    TOLD.fetch_max(told, Relaxed).max(told)
}
