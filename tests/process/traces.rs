//! What a process asks of the system, seen from outside.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use crate::child::{Role, Task};
use crate::places::Place;

/// Whether `strace` may attach to processes here; if not, whoever runs the tests has to say that this is known.
pub(crate) fn can_trace() -> bool {
    if env::var("ANNALS_NO_STRACE").is_ok_and(|value| value == "1") {
        eprintln!("NOT TESTED: ANNALS_NO_STRACE is set, and nothing is traced");
        return false;
    }
    let tried = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    let works = tried.as_ref().is_ok_and(|done| done.status.success());
    assert!(
        works,
        "strace is missing or may not attach; ANNALS_NO_STRACE=1 leaves it out: {tried:?}"
    );
    true
}

/// A system call that has returned.
#[derive(Debug, Clone)]
struct Call {
    thread: u32,
    name: String,
    /// The file that it is about.
    file: String,
    result: i64,
}

/// The calls in a trace, in the order in which they returned.
fn calls(trace: &Path) -> Vec<Call> {
    let mut unfinished: BTreeMap<u32, String> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in fs::read_to_string(trace).unwrap().lines() {
        let (thread, rest) = line.trim_start().split_once(' ').unwrap();
        let (thread, rest) = (thread.parse().unwrap(), rest.trim_start());
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            unfinished.insert(thread, begun.to_owned());
            continue;
        }
        let whole = match rest.split_once(" resumed>") {
            Some((_, end)) => unfinished.remove(&thread).unwrap_or_default() + end,
            None => rest.to_owned(),
        };
        let Some((name, arguments)) = whole.split_once('(') else { continue };
        let Some((arguments, result)) = arguments.rsplit_once(" = ") else { continue };
        let file = arguments.split_once('<').and_then(|(_, file)| file.split_once('>'));
        let file = file.map_or("", |(file, _)| file).rsplit('/').next().unwrap_or("").to_owned();
        let result = result.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(-1);
        calls.push(Call { thread, name: name.to_owned(), file, result });
    }
    calls
}

/// Runs a child under `strace` and returns its calls.
fn traced(task: &Task, place: &Place) -> Vec<Call> {
    let trace = place.path().join("trace");
    let words = ["strace", "-f", "-y", "-s", "0", "-o", trace.to_str().unwrap(), "-e"];
    let which = "trace=fdatasync,fsync,write,pwrite64,pwritev,writev,ftruncate,fallocate,msync,sync_file_range";
    let words = words.into_iter().chain([which]).map(str::to_owned).collect::<Vec<_>>();
    task.run(&words);
    calls(&trace)
}

#[test]
fn a_commit_costs_one_write_one_sync_and_one_watermark_and_is_answered_after_the_sync() {
    const COMMITS: usize = 3000;
    if !can_trace() {
        return;
    }
    let place = Place::new();
    let task = Task { commits: COMMITS as u64, ..Task::new(Role::Steps, &place) };
    let calls = traced(&task, &place);
    let syncs = calls.iter().filter(|call| call.name == "fdatasync").count();
    let is_answer = |call: &&Call| call.name == "write" && call.file == "notes";
    let committing = calls.iter().find(is_answer).unwrap().thread;
    let own: Vec<&Call> = calls.iter().filter(|call| call.thread == committing).collect();
    let first = own.iter().position(|call| call.file == "notes").unwrap();
    let start = own[..first]
        .iter()
        .rposition(|call| call.name == "pwrite64" && call.file.ends_with(".log"))
        .unwrap();
    let (mut steps, mut answers) = (Vec::new(), 0);
    for call in &own[start..] {
        assert!(call.result >= 0, "{call:?}");
        steps.push((call.name.as_str(), call.file.as_str()));
        if is_answer(call) {
            let expected = [
                ("pwrite64", "0000000001.log"),
                ("fdatasync", "0000000001.log"),
                ("pwrite64", "watermark"),
                ("write", "notes"),
            ];
            assert_eq!(steps, expected, "at the answer {answers}");
            answers += 1;
            steps.clear();
            if answers == COMMITS {
                break;
            }
        }
    }
    assert_eq!(answers, COMMITS);
    let each = syncs as f64 / COMMITS as f64;
    println!(
        "{COMMITS} commits: {syncs} syncs of the whole process, {each:.4} a commit; on the committing thread one write of the \
         log, one sync, one write of the watermark, then the answer, each time"
    );
    assert!(each <= 1.05, "{each} syncs a commit");
}

#[test]
fn eight_threads_share_their_syncs() {
    if !can_trace() {
        return;
    }
    let place = Place::new();
    let task = Task { threads: 8, ..Task::new(Role::Work, &place) };
    let trace = place.path().join("trace");
    let words = ["strace", "-f", "-y", "-s", "0", "-o", trace.to_str().unwrap(), "-e"];
    let words = words.into_iter().chain(["trace=fdatasync,write,pwrite64"]);
    let mut child = task.command(&words.map(str::to_owned).collect::<Vec<_>>()).spawn().unwrap();
    while place.read_notes().len() < 2000 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let inner = fs::read_to_string(place.store().join("lock")).unwrap();
    let inner = inner.trim().trim_start_matches("process ").to_owned();
    assert!(Command::new("kill").args(["-9", &inner]).status().unwrap().success());
    child.wait().unwrap();
    let calls = calls(&trace);
    let count = |name: &str, file: &str| {
        calls.iter().filter(|call| call.name == name && call.file.ends_with(file)).count()
    };
    let (answers, syncs) = (count("write", "notes"), count("fdatasync", ".log"));
    let history =
        crate::history::History::of(&annals::store::FileStore::open(place.store()).unwrap());
    let found = history.has_all_of(&place.read_notes());
    println!("{answers} answers to 8 threads after {syncs} syncs, {found} commits found");
    assert!(syncs * 2 < answers, "syncs are not shared");
}
