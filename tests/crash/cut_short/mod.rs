//! Backups, salvaging and restoring that are cut short everywhere, by a crash or a failing disk: what is left is never taken for
//! more than it is, the store that is read stays what it was, and a backup that is made again is whole.

mod backups;
mod made_of_others;

use std::error::Error as _;
use std::io::ErrorKind as Io;

use annals::store::care;
use annals::{Error, ErrorKind};

use crate::author::Author;
use crate::disk::{Crash, Failure, Fault, SimDisk, State};
use crate::golden::{self, Golden};
use crate::oracle::Complaint;
use crate::player::Player;
use crate::report;
use crate::settings::Settings;

const FAILURES: [Failure; 6] = [
    Failure::Error(Io::Other),
    Failure::Error(Io::StorageFull),
    Failure::Error(Io::Interrupted),
    Failure::Short,
    Failure::PartThenError(Io::StorageFull),
    Failure::AllThenError(Io::Other),
];

pub(super) const CRASHES: [Crash; 8] = [
    Crash::Kill,
    Crash::GivenUp,
    Crash::Cut,
    Crash::Cut,
    Crash::Cut,
    Crash::Cut,
    Crash::Cut,
    Crash::Cut,
];

/// How many commits the store has when the earlier backup is made, and after that.
pub(super) const COMMITS: [usize; 2] = [8, 9];

/// A store, and what a backup of it held at an earlier time.
pub(super) struct Source {
    pub(super) golden: Golden,
    earlier: State,
}

impl Source {
    pub(super) fn of(seed: u64) -> Self {
        // In every second pair of sources everything lies in one segment.
        let segment_bytes = if seed % 4 < 2 { 1536 } else { 1 << 16 };
        let settings = Settings { segment_bytes, ..golden::settings() };
        let mut player = Player::new(SimDisk::new(seed), settings, Author::new(seed, true));
        assert!(player.open().unwrap().is_none());
        for _ in 0..COMMITS[0] {
            assert!(player.append().unwrap().is_none());
        }
        assert!(player.close().is_none());
        let target = SimDisk::new(seed);
        care::backup(SimDisk::holding(player.disk.state(), seed), target.clone(), |_| {}).unwrap();
        assert!(player.open().unwrap().is_none());
        for _ in 0..COMMITS[1] {
            assert!(player.append().unwrap().is_none());
        }
        if seed.is_multiple_of(2) {
            assert!(player.close().is_none());
        }
        Self { golden: Golden::of("source", player), earlier: target.state() }
    }

    /// What a backup begins with, and how many commits are in that.
    pub(super) fn targets(&self) -> [(State, usize); 2] {
        [(State::default(), 0), (self.earlier.clone(), COMMITS[0])]
    }
}

/// Reads what is on a disk for something else, and holds that it stays as it is.
pub(super) fn reading<T>(
    state: &State,
    fault: Option<Fault>,
    act: impl FnOnce(SimDisk) -> Result<T, Error>,
) -> Result<Result<T, Error>, Complaint> {
    let disk = SimDisk::holding(state.clone(), 1);
    disk.set_fault(fault);
    let done = act(disk.clone());
    for file in state.files() {
        if disk.state().bytes(file) != state.bytes(file) {
            return Err(format!("{file} of what is only read was changed"));
        }
    }
    Ok(done)
}

pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Damaged { .. })
}

pub(super) fn seeds(count: u64) -> std::ops::Range<u64> {
    let first = report::number("ANNALS_CRASH_SEED");
    first.map_or(1..1 + count, |seed| seed..seed + 1)
}

/// Fails with the command that repeats the case.
#[track_caller]
pub(super) fn judge(done: Result<(), Complaint>, test: &str, seed: u64, case: &str) {
    if let Err(complaint) = done {
        let repeat = report::command(&format!("cut_short::{test}"), seed, &format!("'{case}'"));
        panic!("seed {seed}, {case}: {complaint}\nrepeat: {repeat}");
    }
}

/// All ways in which each of so many operations can fail.
pub(super) fn faults(ops: u64) -> impl Iterator<Item = Fault> {
    let at = |after| {
        FAILURES.into_iter().flat_map(move |failure| {
            [false, true].map(|lasting| Fault { of: None, after, lasting, failure })
        })
    };
    (0..ops).flat_map(at)
}

/// An error says what failed: the operation, and the file or the directory.
pub(super) fn is_fair(error: &Error) -> Result<(), Complaint> {
    let text = error.to_string();
    let is_named = ["log", "index", "store", "watermark", "spare", "draft", "directory"]
        .iter()
        .any(|name| text.contains(name));
    let failed =
        matches!(error.kind(), ErrorKind::Store | ErrorKind::StorageFull | ErrorKind::Poisoned);
    let why = ["told to fail", " failed: "];
    let says_why = error.source().is_some() || why.iter().any(|why| text.contains(why));
    if failed && is_named && says_why {
        return Ok(());
    }
    Err(format!("it does not say what failed: {error:?}"))
}
