//! The crash suite itself: it finds the bugs that are put into the store for it.
//!
//! A copy of the crate is made with every bug of [`writing`], [`reading`] and [`care`] in it, each asleep until a variable names it. The copy is built
//! once. Then its crash suite runs once for each bug, and has to fail within seconds; and once for none, and has to pass.
//! A bug whose place in the source is not found is a failure too, so that the list stays current.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bugs;
mod writing;
mod reading;
mod care;
mod workbench;

use std::time::Duration;

use bugs::Bug;
use workbench::{Outcome, Workbench};

/// How long the suite may take to find a bug: a few seconds, and many more on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to find none.
const CALM: Duration = Duration::from_secs(300);

#[test]
fn every_seeded_bug_is_found_within_seconds_and_none_where_there_is_none() {
    let bugs = [writing::BUGS, reading::BUGS, care::BUGS].concat();
    let bench = Workbench::with(&bugs);
    // Where it fails without a bug, it finds nothing. The long searches are left out: the same suite runs by itself.
    let outcome = bench.run(None, &["--skip", "damage::no_damage"], CALM);
    assert!(matches!(outcome, Outcome::Passed), "without a bug: {outcome:?}");
    let mut missed = Vec::new();
    for Bug { name, found_by, .. } in &bugs {
        match bench.run(Some(name), &[found_by], PATIENCE) {
            Outcome::Failed { test, after } => {
                println!("{name}: found by {test} after {:.2} s", after.as_secs_f64());
            }
            outcome => missed.push(format!("{name}: {outcome:?}")),
        }
    }
    println!("{} of {} seeded bugs were found", bugs.len() - missed.len(), bugs.len());
    assert!(missed.is_empty(), "not found:\n{}", missed.join("\n"));
}
