//! Opens stores whose files somebody has changed and given the right checksums, and uses them: whatever the files say, nothing
//! panics, nothing hangs, no length is believed before it is held against the file, and what is read is in order.
//!
//! With [cargo-fuzz](https://github.com/rust-fuzz/cargo-fuzz), from the root of the repository:
//!
//! ```sh
//! cargo fuzz run --sanitizer none open -- \
//!     -max_len=256 -len_control=0 -timeout=10 -rss_limit_mb=512 -max_total_time=300
//! ```
//!
//! A stable compiler will do: there is no unsafe code that a sanitizer could watch, and without one cargo-fuzz asks for nothing
//! else. An input that fails lies in `fuzz/artifacts/open` afterwards; given as a further argument before the `--`, it
//! is run again, and `ANNALS_FUZZ_SHOW=1` has it printed as the changes that it stands for.

#![no_main]
#![allow(clippy::unwrap_used, reason = "a target fails by panicking")]

#[path = "../../tests/crash/random.rs"]
#[allow(dead_code, reason = "a part of it is needed")]
mod random;
#[path = "../../tests/crash/disk/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a part of it is needed")]
mod disk;
#[path = "../../tests/crash/repair.rs"]
mod repair;
#[path = "open/golden.rs"]
mod golden;
#[path = "open/change.rs"]
mod change;
#[path = "open/exercise.rs"]
mod exercise;

use crate::change::Plan;
use crate::disk::SimDisk;
use crate::exercise::exercise;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let plan = Plan::decode(input);
    if std::env::var_os("ANNALS_FUZZ_SHOW").is_some() {
        eprintln!("{plan:#?}");
    }
    let state = plan.apply();
    let bytes: usize = state.files().iter().map(|file| state.bytes(*file).unwrap().len()).sum();
    let disk = SimDisk::holding(state, 1);
    let measured = allocation_counter::measure(|| {
        let outcome = exercise(&disk, plan.settings, bytes);
        assert!(!plan.is_harmless() || outcome.is_ok(), "an honest store: {outcome:?}");
    });
    // Each of the reads may hold all of the log, and the simulated disk keeps copies; a length that was believed shows
    // as gigabytes.
    let bound = 16 * bytes as u64 + (16 << 20);
    assert!(measured.bytes_max <= bound, "{measured:?}; the files have {bytes} bytes");
});
