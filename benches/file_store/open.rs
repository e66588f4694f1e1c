//! Opening a store after a clean close and after a kill: how long it takes, and how much memory.

use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::thread;
use std::time::{Duration, Instant};

use annals::store::{Commit, EventStore, Expected, FileStore, Query};

use crate::measure::{Scale, Scratch, files, length, logs, shown};
use crate::workload::{buffered, metadata, new_event, stream};

const LARGE_EVENTS: u64 = 5_000_000;

/// The directory that a child process is to open.
pub(crate) const OPEN: &str = "ANNALS_BENCH_OPEN";

/// Opens a store, reads an event, and says how long both took, what memory they took, and how far the log goes.
pub(crate) fn open_as_child(directory: &Path) {
    let before = resident_bytes();
    let start = Instant::now();
    let store = FileStore::open(directory).unwrap();
    let last = Query::new(stream("00007")).backwards().limit(NonZeroU64::MIN);
    assert_eq!(store.read(&last).unwrap().0.len(), 1);
    let took = start.elapsed();
    let bytes = resident_bytes().saturating_sub(before);
    println!("{} {bytes} {}", took.as_nanos(), store.head().unwrap().durable.get());
    // The store's thread may be at work still. It is not waited for, as if the process had been killed.
    process::exit(0);
}

fn resident_bytes() -> u64 {
    const PAGE_BYTES: u64 = 4096;
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE_BYTES
}

/// Opens a copy of a directory in a process of its own: how long that took, and how much memory.
pub(crate) fn open(scratch: &Scratch, directory: &Path, events: u64) -> (Duration, u64) {
    let copy = scratch.fresh("copy");
    copy_store(directory, &copy);
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.env(OPEN, &copy).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut numbers = text.split_whitespace().map(|number| number.parse::<u64>().unwrap());
    let (nanos, bytes) = (numbers.next().unwrap(), numbers.next().unwrap());
    assert_eq!(numbers.next(), Some(events));
    (Duration::from_nanos(nanos), bytes)
}

/// Copies what changes in place, and links the rest.
pub(crate) fn copy_store(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let last = logs(from).pop();
    for path in files(from) {
        let name = path.file_name().unwrap();
        let (is_lock, is_mark) = (name == "lock", name == "watermark");
        if is_mark || last.as_ref() == Some(&path) {
            fs::copy(&path, to.join(name)).unwrap();
        } else if !is_lock {
            fs::hard_link(&path, to.join(name)).unwrap();
        }
    }
}

/// A store with so many events, of which the last thousands were commits of their own; and how it lay there while it was
/// open, as a killed process leaves it.
pub(crate) fn opened(scratch: &Scratch, events: u64, name: &str) -> [PathBuf; 2] {
    const STREAMS: u64 = 1_000;
    let [closed, killed] =
        ["closed", "killed"].map(|state| scratch.fresh(&format!("{name}-{state}")));
    let single = 3_000.min(events * 2 / 5);
    let commits = |store: &FileStore, numbers: std::ops::Range<u64>, each: usize| {
        for first in numbers.step_by(each) {
            let (metadata, mut commit) = (metadata(), Commit::new());
            for number in first..first + each as u64 {
                let name = stream(&format!("{:05}", number % STREAMS));
                commit = commit.write(name, Expected::Any, [new_event(number, &metadata)]);
            }
            store.append(commit).unwrap();
        }
    };
    let store = buffered(&closed);
    commits(&store, 0..events - single, 1_000.min(usize::try_from(events - single).unwrap()));
    commits(&store, events - single..events, 1);
    store.sync().unwrap();
    wait_until_idle(&closed);
    copy_store(&closed, &killed);
    store.close().unwrap();
    [closed, killed]
}

/// Waits until nothing changes in a directory any more.
pub(crate) fn wait_until_idle(directory: &Path) {
    let look = || {
        let mut found = files(directory);
        found.sort();
        (length(&found), found)
    };
    let mut before = look();
    loop {
        thread::sleep(Duration::from_millis(300));
        let now = look();
        if now == before {
            return;
        }
        before = now;
    }
}

pub(crate) fn opening(scratch: &Scratch, scale: &Scale) {
    let is_large = std::env::var_os("ANNALS_BENCH_LARGE").is_some_and(|value| value == "1");
    let mut sizes = vec![scale.small_events];
    sizes.extend(is_large.then_some(LARGE_EVENTS));
    let stores: Vec<(u64, [PathBuf; 2])> = sizes
        .iter()
        .map(|events| (*events, opened(scratch, *events, &events.to_string())))
        .collect();
    for (place, state) in ["after a clean close", "after a kill"].into_iter().enumerate() {
        let mut found = vec![(Vec::new(), 0); stores.len()];
        for _ in 0..scale.rounds.div_ceil(2) {
            for ((events, directories), (times, most)) in stores.iter().zip(&mut found) {
                let (took, bytes) = open(scratch, &directories[place], *events);
                times.push(took.as_secs_f64());
                *most = bytes.max(*most);
            }
        }
        for ((events, _), (times, most)) in stores.iter().zip(&mut found) {
            times.sort_by(f64::total_cmp);
            println!(
                "open {state}, {events} events: {}, best {}; {:.1} MiB of memory at most",
                shown(times[times.len() / 2]).trim(),
                shown(times[0]).trim(),
                *most as f64 / f64::from(1 << 20),
            );
        }
        if let [(small, small_bytes), (large, large_bytes)] = &found[..] {
            println!(
                "  {:.2} (medians), {:.2} (best) times as long, goal 3; {:.1} MiB more memory, goal 64",
                large[large.len() / 2] / small[small.len() / 2],
                large[0] / small[0],
                (*large_bytes as f64 - *small_bytes as f64) / f64::from(1 << 20),
            );
        }
    }
}
