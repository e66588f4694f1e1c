//! All that a disk holds at one moment, and what a crash makes of it.

use annals::storage::FileName;

use super::inode::{Inode, Tearing};
use super::names::Names;
use crate::random::Random;

/// All that a disk holds at one moment. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(super) inodes: Vec<Inode>,
    pub(super) names: Names,
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The power fails: what was not synced is kept in part, or lost.
    Cut,
    /// The process is killed: what it wrote stays visible, and is still not durable.
    Kill,
    /// The disk gives up all that was to be written, and then the process is killed: what it wrote stays visible, and will
    /// never be durable.
    GivenUp,
}

impl State {
    /// The disk after a crash.
    pub(crate) fn after(&self, crash: Crash, random: &mut Random) -> Self {
        match crash {
            Crash::Cut => self.after_cut(random),
            Crash::Kill => self.clone(),
            Crash::GivenUp => {
                let mut after = self.clone();
                after.inodes.iter_mut().for_each(Inode::fail_sync);
                after
            }
        }
    }

    fn after_cut(&self, random: &mut Random) -> Self {
        let kept_percent = chosen_percent(random);
        let piece_bytes = *random.pick(&[4096, 512, 64, 1]);
        let names = self.names.cut(chosen_percent(random), random);
        let mut after = Self { inodes: Vec::with_capacity(self.inodes.len()), names };
        for inode in &self.inodes {
            // Most cuts treat all files alike; in some, one file has luck that another has not.
            let kept_percent =
                if random.chance(25) { chosen_percent(random) } else { kept_percent };
            after.inodes.push(inode.cut(Tearing { piece_bytes, kept_percent }, random));
        }
        after
    }

    /// The worst cut: all that is pending is lost.
    pub(crate) fn after_losing_all(&self) -> Self {
        let mut random = Random::new(0);
        let tearing = Tearing { piece_bytes: 4096, kept_percent: 0 };
        let mut after = Self { inodes: Vec::new(), names: self.names.cut(0, &mut random) };
        for inode in &self.inodes {
            let mut durable = inode.clone();
            durable.fail_sync();
            after.inodes.push(durable.cut(tearing, &mut random));
        }
        after
    }

    /// The files that there are, as a process sees them.
    pub(crate) fn files(&self) -> Vec<FileName> {
        self.names.iter().map(|(name, _)| name).collect()
    }

    /// What is in a file, as a process sees it.
    pub(crate) fn bytes(&self, name: FileName) -> Option<&[u8]> {
        self.names.get(name).map(|inode| self.inodes[inode].live().as_slice())
    }

    /// Puts a file of these bytes there, durably and behind the back of whoever uses the disk.
    pub(crate) fn put(&mut self, name: FileName, bytes: Vec<u8>) {
        self.inodes.push(Inode::settled(bytes));
        self.names.link(name, self.inodes.len() - 1);
        self.names.sync();
    }

    /// Takes a file away, likewise.
    pub(crate) fn take(&mut self, name: FileName) {
        self.names.remove(name);
        self.names.sync();
    }

    /// How many bytes the files take.
    pub(super) fn byte_len(&self) -> usize {
        self.names.iter().map(|(_, inode)| self.inodes[inode].live().len()).sum()
    }
}

/// All, nothing, or anything between.
fn chosen_percent(random: &mut Random) -> u64 {
    match random.below(4) {
        0 => 0,
        1 => 100,
        _ => 1 + random.below(99),
    }
}
