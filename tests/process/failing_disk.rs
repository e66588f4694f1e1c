//! System calls that fail.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crate::child::{Role, Task};
use crate::history::{self, History, Which};
use crate::places::Place;
use crate::traces::can_trace;

const COMMITS: u64 = 60;

/// The files of the store: only calls that are about them, or about its directory, fail.
const FILES: [&str; 13] = [
    "store",
    "store.draft",
    "lock",
    "watermark",
    "spare",
    "index.draft",
    "merge.draft",
    "0000000001.log",
    "0000000002.log",
    "0000000003.log",
    "0000000004.log",
    "0000000005.log",
    "0000000006.log",
];

/// What became of a child whose system call failed.
struct Outcome {
    fault: String,
    notes: Vec<String>,
}

impl Outcome {
    fn count(&self, start: &str) -> u64 {
        self.notes.iter().filter(|line| line.starts_with(start)).count() as u64
    }

    /// Neither done nor refused for another reason than these.
    fn has_only(&self, kinds: &[&str]) {
        let answers = self.count("ok ") + kinds.iter().map(|kind| self.count(kind)).sum::<u64>();
        let not_open = self.count("not open");
        assert!(answers == COMMITS || not_open == 1, "{}: {:?}", self.fault, self.notes);
    }
}

/// Runs a child one of whose system calls fails; then opens its store, in which everything acknowledged has to be, and
/// nothing of which it was said that it is not.
fn outcome(fault: &str) -> Outcome {
    let place = Place::new();
    let task = Task { commits: COMMITS, is_small: true, ..Task::new(Role::Insists, &place) };
    let inject = format!("inject={fault}");
    let traced = format!("trace={}", fault.split(':').next().unwrap());
    let words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &traced, "-e", &inject];
    let files = FILES.iter().map(|name| place.store().join(name));
    let files = files.chain([place.store()]).map(|path| path.to_str().unwrap().to_owned());
    let only = files.flat_map(|file| ["-P".to_owned(), file]);
    task.run(&words.into_iter().map(str::to_owned).chain(only).collect::<Vec<_>>());
    let notes = place.read_notes();
    let is_open = notes.iter().any(|line| line == "open");
    assert_eq!(notes.iter().any(|line| line == "read"), is_open, "{fault}: reads do not go on");
    for number in 0..2 {
        let store = history::options(true).open(place.store());
        let store = store.unwrap_or_else(|error| panic!("{fault}: {error:?}\n{notes:?}"));
        let history = History::of(&store);
        history.has_all_of(&notes);
        for line in notes.iter().filter_map(|line| line.strip_prefix("StorageFull ")) {
            let refused = Which { life: 0, thread: 0, number: line.parse().unwrap() };
            assert!(!history.commits.contains_key(&refused), "{fault}: {refused:?} was refused");
        }
        Which { life: 1, thread: 0, number }.append(&store).unwrap();
    }
    Outcome { fault: fault.to_owned(), notes }
}

/// Tries all these faults.
fn try_all(faults: Vec<String>) -> Vec<Outcome> {
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = outcome(fault);
                    outcomes.lock().unwrap().push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}

/// How the answers are spread over all outcomes.
fn summary(outcomes: &[Outcome]) -> String {
    let kinds = ["ok ", "Poisoned ", "StorageFull ", "Store ", "not open", "not closed"];
    let counts = kinds.map(|kind| {
        let with = outcomes.iter().filter(|outcome| outcome.count(kind) > 0).count();
        let all: u64 = outcomes.iter().map(|outcome| outcome.count(kind)).sum();
        format!("{}: {all} in {with}", kind.trim())
    });
    format!("{} faults; {}", outcomes.len(), counts.join(", "))
}

#[test]
fn a_sync_that_fails_poisons_the_store_and_loses_nothing() {
    if !can_trace() {
        return;
    }
    let began = Instant::now();
    let outcomes = try_all((1..=36).map(|k| format!("fdatasync:error=EIO:when={k}")).collect());
    for outcome in &outcomes {
        outcome.has_only(&["Poisoned ", "Store ", "StorageFull "]);
        let mut later = outcome.notes.iter().skip_while(|line| !line.starts_with("Poisoned"));
        let is_answer = |line: &&String| !["read", "closed"].contains(&line.as_str());
        let refused =
            |line: &String| line.starts_with("Poisoned") || line.starts_with("not closed");
        assert!(
            later.by_ref().filter(is_answer).all(refused),
            "{}: {:?}",
            outcome.fault,
            outcome.notes
        );
    }
    println!("a failing sync: {}; {:?}", summary(&outcomes), began.elapsed());
    let poisoned = outcomes.iter().filter(|outcome| outcome.count("Poisoned") > 0).count();
    assert!(poisoned > 18, "only {poisoned} faults met a commit");
}

#[test]
fn a_write_that_fails_is_refused_or_made_good_and_appends_go_on() {
    if !can_trace() {
        return;
    }
    let began = Instant::now();
    let faults = |how: &str| -> Vec<String> {
        (1..=112).step_by(7).map(|k| format!("pwrite64:{how}:when={k}")).collect()
    };
    for (how, refusals) in [
        ("error=ENOSPC", &["StorageFull "] as &[&str]),
        ("error=EIO", &["Store "]),
        ("retval=0", &["Store "]),
        ("error=EINTR", &[]),
    ] {
        let outcomes = try_all(faults(how));
        for outcome in &outcomes {
            outcome.has_only(refusals);
            let refused = COMMITS - outcome.count("ok ");
            assert!(
                refused <= 1 || outcome.count("not open") == 1,
                "{}: {:?}",
                outcome.fault,
                outcome.notes
            );
        }
        println!("writes, {how}: {}", summary(&outcomes));
    }
    println!("{:?}", began.elapsed());
}

#[test]
fn what_fails_while_a_segment_is_begun_is_answered_and_loses_nothing() {
    if !can_trace() {
        return;
    }
    let began = Instant::now();
    let mut faults = Vec::new();
    for (call, error, most) in [
        ("openat", "EMFILE", 40),
        ("openat", "EIO", 40),
        ("rename", "EIO", 12),
        ("ftruncate", "EIO", 24),
        ("ftruncate", "ENOSPC", 24),
        ("fsync", "EIO", 24),
        ("unlink", "EIO", 8),
    ] {
        let step = if call == "openat" { 2 } else { 1 };
        faults.extend((1..=most).step_by(step).map(|k| format!("{call}:error={error}:when={k}")));
    }
    let outcomes = try_all(faults);
    for outcome in &outcomes {
        outcome.has_only(&["Poisoned ", "Store ", "StorageFull "]);
    }
    println!("around rolls: {}; {:?}", summary(&outcomes), began.elapsed());
    assert!(outcomes.iter().any(|outcome| outcome.count("Poisoned") > 0), "no roll was met");
}

#[test]
fn a_disk_that_stays_full_refuses_appends_and_goes_on_reading() {
    if !can_trace() {
        return;
    }
    let faults = [5, 20, 45].map(|k| format!("pwrite64:error=ENOSPC:when={k}+"));
    let outcomes = try_all(faults.into());
    println!("writes that all fail from one on: {}", summary(&outcomes));
}
