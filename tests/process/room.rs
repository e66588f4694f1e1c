//! No more room.

use std::fs;
use std::path::Path;

use annals::ErrorKind;
use annals::store::{EventStore, FileOptions, FileStore};

use crate::child::{Role, Task};
use crate::history::{self, History, Which, kind};
use crate::places::{Place, SmallDisk};

#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk() {
    for is_small in [false, true] {
        let place = Place::new();
        let task = Task { commits: 400, is_small, ..Task::new(Role::Insists, &place) };
        let kib = if is_small { 10 } else { 48 };
        let limit = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", kib * 2);
        task.run(&["sh".to_owned(), "-c".to_owned(), limit]);
        let notes = place.read_notes();
        let count = |start: &str| notes.iter().filter(|line| line.starts_with(start)).count();
        let (done, refused) = (count("ok "), count("StorageFull "));
        assert_eq!(done + refused, 400, "another answer: {notes:?}");
        assert!(done > 10 && refused > 10, "{done} done, {refused} refused");
        assert_eq!(count("read"), 1, "reads go on");
        let store = history::options(is_small).open(place.store()).unwrap();
        let history = History::of(&store);
        assert_eq!(history.has_all_of(&notes), history.commits.len(), "one was refused");
        Which { life: 1, thread: 0, number: 0 }.append(&store).unwrap();
        println!("files of {kib} KiB: {done} commits, {refused} refused, {:?}", store.recovery());
    }
}

/// A store on a small disk, and the notes of what it acknowledged.
struct Crowded {
    disk: SmallDisk,
    notes: Vec<String>,
    next: u64,
}

impl Crowded {
    /// Appends until there is no room; returns how many commits that took.
    fn fill(&mut self, store: &FileStore) -> u64 {
        let first = self.next;
        loop {
            let which = Which { life: 0, thread: 0, number: self.next };
            self.next += 1;
            match which.append(store) {
                Ok(appended) => self.notes.push(which.acknowledged(&appended)),
                Err(refusal) => {
                    assert_eq!(kind(&refusal), ErrorKind::StorageFull, "{refusal:?}");
                    return self.next - 1 - first;
                }
            }
        }
    }

    /// Everything that was acknowledged is there, and nothing that was refused.
    fn look(&self, store: &FileStore) {
        let history = History::of(store);
        assert_eq!(history.has_all_of(&self.notes), history.commits.len(), "one was refused");
    }
}

fn ballast(disk: &Path, number: u32) -> std::path::PathBuf {
    disk.join(format!("ballast-{number}"))
}

/// Fills a disk, makes room, fills it again, opens the store there, and makes room again.
fn live_on_a_full_disk(name: &str, options: &FileOptions) {
    const BALLAST: usize = 512 << 10;
    let Some(disk) = SmallDisk::new(4096) else {
        eprintln!("NOT TESTED: no disk can be mounted here, so {name} is not tried");
        return;
    };
    let path = disk.path();
    (0..3).for_each(|number| fs::write(ballast(&path, number), vec![0; BALLAST]).unwrap());
    let mut crowded = Crowded { disk, notes: Vec::new(), next: 0 };
    let store = options.clone().open(crowded.disk.path().join("store")).unwrap();
    let first = crowded.fill(&store);
    crowded.look(&store);
    // A little more may fit, where something else has given up its room.
    let again = crowded.fill(&store);
    crowded.look(&store);
    fs::remove_file(ballast(&path, 0)).unwrap();
    let second = crowded.fill(&store);
    crowded.look(&store);
    let closed = store.close();
    drop(store);
    let store = options.clone().open(crowded.disk.path().join("store")).unwrap();
    crowded.look(&store);
    let report = store.recovery().clone();
    fs::remove_file(ballast(&path, 1)).unwrap();
    let third = crowded.fill(&store);
    drop(store);
    fs::remove_file(ballast(&path, 2)).unwrap();
    let store = options.clone().open(crowded.disk.path().join("store")).unwrap();
    crowded.look(&store);
    let fourth = crowded.fill(&store);
    crowded.look(&store);
    println!(
        "{name}: {first}, {again}, {second}, {third}, {fourth} commits; closed {closed:?}; {report:?}"
    );
    let more = [first, second, third + fourth];
    assert!(more.into_iter().all(|commits| commits > 0), "room is of no use: {more:?}");
}

#[test]
fn on_a_disk_that_is_full_at_an_append_reads_go_on_and_appends_after_there_is_room() {
    live_on_a_full_disk("one segment", &FileStore::options());
    live_on_a_full_disk(
        "one segment, buffered",
        &FileStore::options().durability(annals::store::Durability::Buffered),
    );
}

#[test]
fn on_a_disk_that_is_full_at_a_roll_reads_go_on_and_appends_after_there_is_room() {
    live_on_a_full_disk("segments of 64 KiB", &FileStore::options().segment_bytes(64 << 10));
}

#[test]
fn on_a_disk_that_is_full_at_an_index_run_reads_go_on_and_appends_after_there_is_room() {
    live_on_a_full_disk("runs of 8 KiB", &FileStore::options().recent_bytes(8 << 10));
    live_on_a_full_disk("all small", &history::options(true));
}
