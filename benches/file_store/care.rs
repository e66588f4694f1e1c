//! Verifying and backing up, beside reading the same files and checksumming them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use annals::Position;
use annals::storage::Directory;
use annals::store::care;

use crate::measure::{Scale, Scratch, files, in_turns, length, peak_bytes, print_row, timed};
use crate::open::opened;

/// Reads files from end to end, and checksums them.
fn checksum(files: &[PathBuf]) -> u32 {
    let (mut hasher, mut chunk) = (crc32fast::Hasher::new(), vec![0; 1 << 20]);
    for path in files {
        let (file, mut at) = (File::open(path).unwrap(), 0);
        loop {
            let read = file.read_at(&mut chunk, at).unwrap();
            if read == 0 {
                break;
            }
            hasher.update(&chunk[..read]);
            at += read as u64;
        }
    }
    hasher.finalize()
}

fn to_read(path: &Path) -> Directory {
    Directory::to_read(path).unwrap()
}

/// Has the system let go of what it holds of these files in memory.
fn forget(files: &[PathBuf]) {
    for path in files {
        let input = format!("if={}", path.display());
        let dd =
            Command::new("dd").args([&input, "iflag=nocache", "count=0", "status=none"]).status();
        assert!(dd.unwrap().success());
    }
}

pub(crate) fn caring(scratch: &Scratch, scale: &Scale) {
    let large = std::env::var_os("ANNALS_BENCH_LARGE").is_some_and(|value| value == "1");
    let events = if large { 5_000_000 } else { 2 * scale.small_events };
    let [closed, _] = opened(scratch, events, "caring");
    let all = files(&closed);
    let sum = checksum(&all);
    let before = peak_bytes();
    let verify = || {
        let found = care::verify(to_read(&closed), Position::START, |_| {}).unwrap();
        assert!(found.is_sound() && found.events == events, "{found:?}");
    };
    let back_up = || {
        let copy = Directory::new(scratch.fresh("backup")).unwrap();
        let done = care::backup(to_read(&closed), copy, |_| {}).unwrap();
        assert_eq!(done.up_to, Position::new(events));
    };
    let rounds = if large { 3 } else { scale.rounds };
    let mib = length(&all) >> 20;
    for (from, is_cold) in [("disk", true), ("memory", false)] {
        let prepare = || {
            if is_cold {
                forget(&all)
            }
        };
        let [verified, backed_up, limit] = in_turns(
            rounds,
            1.0,
            [
                &mut || {
                    prepare();
                    timed(verify)
                },
                &mut || {
                    prepare();
                    timed(back_up)
                },
                &mut || {
                    prepare();
                    timed(|| assert_eq!(checksum(&all), sum))
                },
            ],
        );
        let goal = if is_cold { "0.5" } else { "" };
        print_row(&format!("verify {events}, {mib} MiB from {from}"), &verified, &limit, goal);
        print_row(&format!("back up from {from}"), &backed_up, &limit, "");
    }
    println!("  {} MiB more memory at most", (peak_bytes() - before) >> 20);
}
