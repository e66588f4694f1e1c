//! annals beside SQLite, redb and fjall, and beside what the machine can do at most.
//!
//! `cargo run --release`, and which work: `single`, `batch`, `threads`, `bulk`, `read`; `--quick` does little of each, to show that
//! all give back what they were given. Every contender stores the same fields, makes a unique id for each event, and checks the
//! version of its stream in the same transaction. They take turns, and figures are parts of the limit's speed in the same turn.

mod contender;
mod embedded;
mod fjall;
mod limit;
mod measure;
mod peer;
mod reading;
mod redb;
mod report;
mod sqlite;
mod values;
mod workload;
mod writing;

use measure::Scratch;
use report::Report;

/// How much is done.
struct Scale {
    blocks: usize,
    commits: usize,
    bulk_commits: usize,
    streams: u64,
    long: u64,
    rounds: usize,
}

const FULL: Scale = Scale {
    blocks: 40,
    commits: 64,
    bulk_commits: 200,
    streams: 10_000,
    long: 100_000,
    rounds: 15,
};
const QUICK: Scale =
    Scale { blocks: 2, commits: 3, bulk_commits: 3, streams: 1_000, long: 2_000, rounds: 2 };

const EVENTS_OF_BULK: u64 = 1_000;
const PARTS: [&str; 5] = ["single", "batch", "threads", "bulk", "read"];

fn main() {
    let (options, asked): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    assert!(options.iter().all(|option| option == "--quick"), "{options:?}");
    assert!(asked.iter().all(|part| PARTS.contains(&&**part)), "{asked:?}: there are {PARTS:?}");
    let scale = if options.is_empty() { FULL } else { QUICK };
    let (scratch, mut report) = (Scratch::new(), Report::default());
    for part in PARTS {
        if !asked.is_empty() && !asked.iter().any(|asked| asked == part) {
            continue;
        }
        match part {
            "single" => writing::durable(&scratch, &scale, &mut report, 1),
            "batch" => writing::durable(&scratch, &scale, &mut report, 100),
            "threads" => writing::threads(&scratch, &scale, &mut report),
            "bulk" => writing::bulk(&scratch, &scale, &mut report),
            _ => reading::reading(&scratch, &scale, &mut report),
        }
    }
    report.print(scratch.path());
}
