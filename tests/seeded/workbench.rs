//! A copy of the crate with bugs in it, built once.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::bugs::Bug;

/// The variable that names the bug that is awake.
const VARIABLE: &str = "ANNALS_SEEDED_BUG";

/// What every bug asks whether it is awake.
const ASKED: &str = r#"
pub(crate) fn bug(name: &str) -> bool {
    static AWAKE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    AWAKE.get_or_init(|| std::env::var("ANNALS_SEEDED_BUG").unwrap_or_default()) == name
}
"#;

/// A built copy.
#[derive(Debug)]
pub(crate) struct Workbench {
    crash: PathBuf,
}

/// What became of a run.
#[derive(Debug)]
pub(crate) enum Outcome {
    Passed,
    /// This test failed.
    Failed {
        test: String,
        after: Duration,
    },
    /// It ended otherwise, or not in time.
    Ended(String),
}

impl Workbench {
    /// A copy of the crate with these bugs in it.
    pub(crate) fn with(bugs: &[Bug]) -> Self {
        let original = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("seeded");
        let copy = folder.join("annals");
        let mut kept = BTreeSet::new();
        for part in ["Cargo.toml", "Cargo.lock", "README.md", "src", "tests", "benches"] {
            take_over(&original.join(part), &copy.join(part), bugs, &mut kept);
        }
        remove_all_but(&copy, &kept);
        Self { crash: build(&copy, &folder.join("target")) }
    }

    /// Runs the crash suite with one bug awake, or none, until a test fails or the time is over.
    pub(crate) fn run(&self, bug: Option<&str>, arguments: &[&str], time: Duration) -> Outcome {
        let began = Instant::now();
        let mut suite = Command::new(&self.crash)
            .args(arguments)
            .env(VARIABLE, bug.unwrap_or_default())
            .env("ANNALS_CRASH_IMAGES", if bug.is_some() { "200000" } else { "20000" })
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = lines_of(&mut suite);
        let outcome = watch(&lines, began, time);
        // It may have ended by itself.
        let _ = suite.kill();
        let status = suite.wait().unwrap();
        match outcome {
            Outcome::Ended(text) => Outcome::Ended(format!("{text} ({status})")),
            outcome => outcome,
        }
    }
}

/// The lines that the suite writes, as they come.
fn lines_of(suite: &mut Child) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    let stdout = BufReader::new(suite.stdout.take().unwrap());
    thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

fn watch(lines: &Receiver<String>, began: Instant, time: Duration) -> Outcome {
    loop {
        match lines.recv_timeout(time.saturating_sub(began.elapsed())) {
            Ok(line) if line.ends_with("... FAILED") => {
                let test = line.split_whitespace().nth(1).unwrap_or_default().to_owned();
                return Outcome::Failed { test, after: began.elapsed() };
            }
            Ok(line) if line.starts_with("test result: ok") => return Outcome::Passed,
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => return Outcome::Ended(format!("not in {time:?}")),
            Err(RecvTimeoutError::Disconnected) => {
                return Outcome::Ended("it ended without a word".to_owned());
            }
        }
    }
}

/// Copies a file or a folder. What is the same already stays as it is, so that it is not built again.
fn take_over(from: &Path, to: &Path, bugs: &[Bug], kept: &mut BTreeSet<PathBuf>) {
    if from.is_dir() {
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            take_over(&from.join(&name), &to.join(&name), bugs, kept);
        }
        return;
    }
    let mut bytes = fs::read(from).unwrap();
    if let Some(place) = from.to_str().and_then(|path| path.split_once("/src/")) {
        bytes = seeded(place.1, String::from_utf8(bytes).unwrap(), bugs).into_bytes();
    }
    kept.insert(to.to_owned());
    if fs::read(to).ok().as_ref() != Some(&bytes) {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
}

/// A source file with the bugs that belong into it.
fn seeded(file: &str, mut source: String, bugs: &[Bug]) -> String {
    if file == "lib.rs" {
        source.push_str(ASKED);
    }
    for bug in bugs {
        for (_, right, wrong) in bug.changes.iter().filter(|(place, _, _)| *place == file) {
            let found = source.matches(right).count();
            assert_eq!(found, 1, "{}: its place in {file} is found {found} times", bug.name);
            source = source.replacen(right, wrong, 1);
        }
    }
    source
}

/// Files that the original no longer has would be built as well.
fn remove_all_but(folder: &Path, kept: &BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            remove_all_but(&path, kept);
        } else if !kept.contains(&path) {
            fs::remove_file(path).unwrap();
        }
    }
}

/// Builds the crash suite of a copy, and says where it is.
fn build(copy: &Path, target: &Path) -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["test", "--offline", "--test", "crash", "--no-run", "--message-format=json"])
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", target)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "the copy does not build:\n{errors}");
    let messages = String::from_utf8(built.stdout).unwrap();
    let executable = messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_crash = message["target"]["name"] == "crash";
        message["executable"].as_str().filter(|_| is_crash).map(PathBuf::from)
    });
    executable.expect("cargo says where the suite is")
}
