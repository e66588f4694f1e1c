//! Turns, medians and intervals; what the process used.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A directory that is removed at the end.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Beside the program: that is on a disk, where a directory for temporary files may be none.
    pub fn new() -> Self {
        let program = std::env::current_exe().unwrap();
        let directory = program.with_file_name(format!("peers-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    /// A path at which nothing is.
    pub fn fresh(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        Self::remove(&path);
        path
    }

    pub fn remove(path: &Path) {
        let _ = fs::remove_dir_all(path).or_else(|_| fs::remove_file(path));
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
#[derive(Default)]
pub struct Taken {
    pub name: &'static str,
    seconds: Vec<f64>,
    /// For each piece of work, as the bytes are.
    pub cpu: f64,
    pub written: f64,
}

impl Taken {
    pub fn median(&self) -> f64 {
        median_of(&self.seconds)
    }

    /// Which part of another's speed it has, block by block: the median, and an interval for it.
    pub fn parts_of(&self, limit: &Self) -> (f64, Option<[f64; 2]>) {
        let parts = limit.seconds.iter().zip(&self.seconds).map(|(limit, own)| limit / own);
        let parts: Vec<f64> = parts.collect();
        (median_of(&parts), interval_of(&parts))
    }
}

/// A name, and what is done in one block.
pub type Turn<'t> = (&'static str, Box<dyn FnMut() -> Cost + 't>);

/// Lets contenders take turns. Each measures itself, apart from what it needs before and after.
pub fn in_turns(blocks: usize, pieces: f64, contenders: Vec<Turn<'_>>) -> Vec<Taken> {
    let (mut turns, mut all): (Vec<_>, Vec<_>) = contenders
        .into_iter()
        .map(|(name, turn)| (turn, Taken { name, ..Taken::default() }))
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

/// The middle one of some numbers; between two of them, if there are two in the middle.
pub fn median_of(numbers: &[f64]) -> f64 {
    let sorted = sorted(numbers);
    let half = sorted.len() / 2;
    (sorted[half] + sorted[(sorted.len() - 1) / 2]) / 2.0
}

/// Between which of some numbers the median of what they are drawn from lies in at least 95 of 100 cases; few do not tell.
fn interval_of(numbers: &[f64]) -> Option<[f64; 2]> {
    // How likely it is that so many of the numbers, or fewer, lie below the median: as if by tossing a coin for each.
    let (mut exactly, mut at_most, mut rank) = (0.5_f64.powi(numbers.len() as i32), 0.0, 0);
    while at_most + exactly <= 0.025 {
        at_most += exactly;
        exactly *= (numbers.len() - rank) as f64 / (rank + 1) as f64;
        rank += 1;
    }
    let place = rank.checked_sub(1)?;
    let sorted = sorted(numbers);
    Some([sorted[place], sorted[sorted.len() - 1 - place]])
}

fn sorted(numbers: &[f64]) -> Vec<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// What is allotted to a file, or to all in a directory.
pub fn bytes_in(path: &Path) -> u64 {
    let metadata = fs::metadata(path).unwrap();
    if metadata.is_file() {
        return metadata.blocks() * 512;
    }
    fs::read_dir(path).unwrap().map(|entry| bytes_in(&entry.unwrap().path())).sum()
}
