//! Which files there are: what a process sees, what is durable, and what is on its way from the one to the other.

use std::collections::BTreeMap;

use annals::storage::FileName;

use crate::random::Random;

/// The names in a directory, each with the number of its inode.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    live: BTreeMap<FileName, usize>,
    durable: BTreeMap<FileName, usize>,
    /// What was done since the last sync, in its order.
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Link(FileName, usize),
    Rename(FileName, FileName, usize),
    Remove(FileName, usize),
}

impl Names {
    pub(super) fn get(&self, name: FileName) -> Option<usize> {
        self.live.get(&name).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (FileName, usize)> {
        self.live.iter().map(|(name, inode)| (*name, *inode))
    }

    pub(super) fn link(&mut self, name: FileName, inode: usize) {
        self.change(Change::Link(name, inode));
    }

    /// Whether there is a file of this name to rename.
    pub(super) fn rename(&mut self, from: FileName, to: FileName) -> bool {
        let inode = self.get(from);
        inode.into_iter().for_each(|inode| self.change(Change::Rename(from, to, inode)));
        inode.is_some()
    }

    /// Whether there is a file of this name to remove.
    pub(super) fn remove(&mut self, name: FileName) -> bool {
        let inode = self.get(name);
        inode.into_iter().for_each(|inode| self.change(Change::Remove(name, inode)));
        inode.is_some()
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.live, &change);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        self.durable.clone_from(&self.live);
        self.pending.clear();
    }

    /// What a power cut leaves: any part of what is pending.
    pub(super) fn cut(&self, kept_percent: u64, random: &mut Random) -> Self {
        let mut live = self.durable.clone();
        let kept = self.pending.iter().filter(|_| random.chance(kept_percent));
        kept.for_each(|change| apply(&mut live, change));
        Self { durable: live.clone(), live, pending: Vec::new() }
    }
}

/// A change is applied also where those before it were lost, as far as it means anything there.
fn apply(names: &mut BTreeMap<FileName, usize>, change: &Change) {
    let mut unlink = |name: &FileName, inode: &usize| {
        if names.get(name) == Some(inode) {
            names.remove(name);
        }
    };
    match change {
        Change::Link(name, inode) => drop(names.insert(*name, *inode)),
        Change::Remove(name, inode) => unlink(name, inode),
        Change::Rename(from, to, inode) => {
            unlink(from, inode);
            names.insert(*to, *inode);
        }
    }
}
