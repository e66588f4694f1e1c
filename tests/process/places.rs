//! Places for stores, gone when the test ends.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs, process};

/// A directory of its own, with room for a store and for what is noted about it.
pub(crate) struct Place(PathBuf);

fn name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("annals-process-{}-{number}", process::id())
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::under(&env::temp_dir())
    }

    /// In memory where the system has a place for that: for what opens a store thousands of times, and is not about disks.
    pub(crate) fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::under(memory) } else { Self::new() }
    }

    fn under(parent: &Path) -> Self {
        let path = parent.join(name());
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// Where a child writes down what it was answered.
    pub(crate) fn notes(&self) -> PathBuf {
        self.0.join("notes")
    }

    pub(crate) fn read_notes(&self) -> Vec<String> {
        let text = fs::read_to_string(self.notes()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// A copy of the store, as anybody would make it.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::under(self.0.parent().unwrap());
        let copied = Command::new("cp").arg("-r").arg(self.store()).arg(copy.path()).status();
        assert!(copied.unwrap().success());
        copy
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A small file system of its own.
pub(crate) struct SmallDisk(Place);

impl SmallDisk {
    /// `None` if this process may not mount one.
    pub(crate) fn new(kib: u32) -> Option<Self> {
        let place = Place::new();
        fs::create_dir_all(place.store()).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"]).arg(place.store());
        mount.output().is_ok_and(|done| done.status.success()).then(|| Self(place))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.store()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.store()).status();
    }
}
