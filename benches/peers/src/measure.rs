//! Turns, medians and intervals; what the process used; how all that is shown.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A directory that is removed at the end.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("annals-peers-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    /// A path at which nothing is.
    pub fn fresh(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        path
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a piece of work took: time, the processor's time, and bytes written.
#[derive(Clone, Copy, Default)]
pub struct Cost {
    pub seconds: f64,
    cpu: f64,
    written: f64,
}

impl std::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            seconds: self.seconds + other.seconds,
            cpu: self.cpu + other.cpu,
            written: self.written + other.written,
        }
    }
}

pub fn timed(work: impl FnOnce()) -> Cost {
    let (before, start) = (Used::now(), Instant::now());
    work();
    before.until_now(start)
}

/// What the process has used so far.
#[derive(Clone, Copy)]
pub struct Used {
    /// Hundredths of seconds, of user and system together.
    cpu: f64,
    written: f64,
}

impl Used {
    /// What was used since then, which was at this time.
    pub fn until_now(self, start: Instant) -> Cost {
        let (seconds, now) = (start.elapsed().as_secs_f64(), Self::now());
        Cost { seconds, cpu: (now.cpu - self.cpu) / 100.0, written: now.written - self.written }
    }

    pub fn now() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks = |field: usize| fields[field].parse::<f64>().unwrap();
        let io = fs::read_to_string("/proc/self/io").unwrap();
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap();
        Self { cpu: ticks(11) + ticks(12), written: written.parse().unwrap() }
    }
}

/// What one contender took, block by block.
#[derive(Default, Clone)]
pub struct Taken {
    pub name: String,
    seconds: Vec<f64>,
    cpu: f64,
    written: f64,
}

/// A name, and what is done in one block.
pub type Turn<'t> = (&'static str, Box<dyn FnMut() -> Cost + 't>);

/// Lets contenders take turns. Each measures itself, apart from what it needs before and after.
pub fn in_turns(blocks: usize, pieces: f64, contenders: Vec<Turn<'_>>) -> Vec<Taken> {
    let (mut turns, mut all): (Vec<_>, Vec<_>) = contenders
        .into_iter()
        .map(|(name, turn)| (turn, Taken { name: name.to_owned(), ..Taken::default() }))
        .unzip();
    for block in 0..blocks {
        // Nobody always follows the same one.
        for place in 0..turns.len() {
            let place = (place + block) % turns.len();
            let cost = turns[place]();
            let taken = &mut all[place];
            taken.seconds.push(cost.seconds / pieces);
            taken.cpu += cost.cpu / pieces / blocks as f64;
            taken.written += cost.written / pieces / blocks as f64;
        }
    }
    all
}

/// The middle one of some numbers, and between which two the median of all lies in 95 of 100 cases.
fn median(mut numbers: Vec<f64>) -> [f64; 3] {
    numbers.sort_by(f64::total_cmp);
    let count = numbers.len() as f64;
    let away = 0.98 * count.sqrt();
    let at = |rank: f64| numbers[rank.clamp(0.0, count - 1.0) as usize];
    [at(count / 2.0), at((count / 2.0 - away).floor()), at((count / 2.0 + away).ceil())]
}

fn shown(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:.0} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.1} µs", s * 1e6),
        s => format!("{:.2} ms", s * 1e3),
    }
}

/// A line of the table: the limit, and which part of its speed the others reach.
pub fn print_row(what: &str, taken: &[Taken]) {
    let (limit, others) = taken.split_first().unwrap();
    print!("| {what} | {} |", shown(median(limit.seconds.clone())[0]));
    for other in others {
        let parts = limit.seconds.iter().zip(&other.seconds).map(|(limit, own)| limit / own);
        let [middle, low, high] = median(parts.collect());
        print!(" {} {middle:.2} ({low:.2}–{high:.2}) |", other.name);
    }
    println!();
}

/// What a commit costs beside its time: processor and bytes written, and how many times the limit's that is.
pub fn print_costs(taken: &[Taken]) {
    let limit = &taken[0];
    for one in taken {
        println!(
            "    {:<14} {:7.1} µs CPU ({:.2}), {:7.2} KiB written ({:.2})",
            one.name,
            one.cpu * 1e6,
            one.cpu / limit.cpu,
            one.written / 1024.0,
            one.written / limit.written,
        );
    }
}

pub fn bytes_in(path: &Path) -> u64 {
    let metadata = fs::metadata(path).unwrap();
    if metadata.is_file() {
        return metadata.len();
    }
    fs::read_dir(path).unwrap().map(|entry| bytes_in(&entry.unwrap().path())).sum()
}

pub fn print_machine(directory: &Path) {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("?");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mounts = read("/proc/mounts");
    let parent = |mount: &&str| directory.starts_with(mount.split(' ').nth(1).unwrap_or("?"));
    let mount =
        mounts.lines().filter(parent).max_by_key(|mount| mount.split(' ').nth(1).map(str::len));
    let kind = mount.and_then(|mount| mount.split(' ').nth(2)).unwrap_or("?");
    println!("{model}, {cores} cores, Linux {}, {kind}", read("/proc/sys/kernel/osrelease").trim());
}
