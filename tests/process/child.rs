//! The program as a child of itself.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};
use std::{env, process};

use crate::history::{self, History, Which, kind};
use crate::places::Place;
use annals::ErrorKind;
use annals::store::{EventStore, FileStore, Upkeep};

/// What a child does. Everything it needs to know stands in its environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Appends until it is killed.
    Work,
    /// Appends so many commits, one after the other, on a thread of its own.
    Steps,
    /// Goes on appending when a commit is refused, and looks at everything then.
    Insists,
    /// Opens a store that is open elsewhere.
    Knocks,
    /// Forks with a store open.
    Forks,
    /// Appends, and keeps a view of it, until it is killed.
    Projects,
    /// Rings, and lets a process manager do what comes of that, until it is killed.
    Manages,
}

const ROLES: [Role; 7] = [
    Role::Work,
    Role::Steps,
    Role::Insists,
    Role::Knocks,
    Role::Forks,
    Role::Projects,
    Role::Manages,
];

/// How long a child may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a child is made.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) role: Role,
    pub(crate) directory: PathBuf,
    pub(crate) notes: PathBuf,
    /// Which of the children that have worked on this store it is.
    pub(crate) life: u64,
    pub(crate) threads: u64,
    pub(crate) commits: u64,
    pub(crate) is_small: bool,
}

impl Task {
    pub(crate) fn new(role: Role, place: &Place) -> Self {
        let (directory, notes) = (place.store(), place.notes());
        Self { role, directory, notes, life: 0, threads: 1, commits: 0, is_small: false }
    }

    /// The command that starts the child, behind the words of another program that starts it, if there are any.
    pub(crate) fn command(&self, behind: &[String]) -> Command {
        let program = env::current_exe().unwrap();
        let mut command = match behind {
            [first, others @ ..] => {
                let mut command = Command::new(first);
                command.args(others).arg(program);
                command
            }
            [] => Command::new(program),
        };
        command.args(["--exact", "child::it_does_what_its_role_says", "--nocapture"]);
        command.env("ANNALS_ROLE", format!("{:?}", self.role));
        command.env("ANNALS_DIRECTORY", &self.directory).env("ANNALS_NOTES", &self.notes);
        command.env("ANNALS_LIFE", self.life.to_string());
        command.env("ANNALS_THREADS", self.threads.to_string());
        command.env("ANNALS_COMMITS", self.commits.to_string());
        command.env("ANNALS_SMALL", self.is_small.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&self) -> Child {
        self.command(&[]).spawn().unwrap()
    }

    /// Runs the child to its end, which has to be a good one.
    pub(crate) fn run(&self, behind: &[String]) {
        let mut child = self.command(behind).spawn().unwrap();
        let status = ended(&mut child, 2 * PATIENCE);
        let mut said = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            let _ = std::io::Read::read_to_string(&mut stderr, &mut said);
        }
        assert!(status.success(), "{self:?} {behind:?}: {status}\n{said}");
    }

    fn from_environment(role: Role) -> Self {
        let word = |name: &str| env::var(format!("ANNALS_{name}")).unwrap();
        Self {
            role,
            directory: word("DIRECTORY").into(),
            notes: word("NOTES").into(),
            life: word("LIFE").parse().unwrap(),
            threads: word("THREADS").parse().unwrap(),
            commits: word("COMMITS").parse().unwrap(),
            is_small: word("SMALL").parse().unwrap(),
        }
    }
}

/// Waits until a child ends, but not for ever.
pub(crate) fn ended(child: &mut Child, patience: Duration) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > patience {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it does not end");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// What a child writes down, line by line: each is with the system before the next thing is done.
pub(crate) struct Notes(Mutex<File>);

impl Notes {
    pub(crate) fn open(task: &Task) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(&task.notes).unwrap();
        Self(Mutex::new(file))
    }

    pub(crate) fn write(&self, line: &str) {
        self.0.lock().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

/// Does nothing in an ordinary run: it is for children.
#[test]
fn it_does_what_its_role_says() {
    let Ok(role) = env::var("ANNALS_ROLE") else { return };
    let role = ROLES.into_iter().find(|known| format!("{known:?}") == role).unwrap();
    let task = Task::from_environment(role);
    let notes = Notes::open(&task);
    // Its own thread, whose system calls are counted from the first one on.
    let work = thread::spawn(move || match role {
        Role::Work => work(&task, &notes),
        Role::Steps => steps(&task, &notes),
        Role::Insists => insist(&task, &notes),
        Role::Knocks => crate::locks::knock(&task, &notes),
        Role::Forks => crate::forks::fork_with_a_store(&task, &notes),
        #[cfg(feature = "sqlite")]
        Role::Projects => crate::projections::project(&task, notes),
        #[cfg(not(feature = "sqlite"))]
        Role::Projects => unreachable!("only the tests of what needs SQLite have such children"),
        Role::Manages => crate::processes::manage(&task, notes),
    });
    // Should it hang, it ends all the same, also when nobody is left who would kill it.
    let began = Instant::now();
    while !work.is_finished() {
        if began.elapsed() > PATIENCE {
            eprintln!("it hangs");
            process::exit(70);
        }
        thread::sleep(Duration::from_millis(1));
    }
    work.join().unwrap();
}

fn work(task: &Task, notes: &Notes) {
    let life = task.life;
    let store = history::options(task.is_small).open(&task.directory).unwrap();
    notes.write("open");
    thread::scope(|scope| {
        for thread in 0..task.threads {
            let store = &store;
            scope.spawn(move || {
                for number in 0.. {
                    let which = Which { life, thread, number };
                    let appended = which.append(store).unwrap();
                    notes.write(&which.acknowledged(&appended));
                }
            });
        }
    });
}

fn steps(task: &Task, notes: &Notes) {
    let life = task.life;
    let store = history::options(task.is_small).open(&task.directory).unwrap();
    for number in 0..task.commits {
        // Of each three, the first has one event.
        let which = Which { life, thread: 0, number: number * 3 };
        let appended = which.append(&store).unwrap();
        notes.write(&which.acknowledged(&appended));
    }
}

/// Appends come what may, and notes each answer; then reads everything. Without a thread of the store's own, so that all
/// system calls are this thread's.
fn insist(task: &Task, notes: &Notes) {
    let options = history::options(task.is_small).upkeep(Upkeep::Inline);
    let store: FileStore = match options.open(&task.directory) {
        Ok(store) => store,
        Err(error) => return notes.write(&format!("not open {:?}", error.kind())),
    };
    notes.write("open");
    let mut acknowledged = Vec::new();
    for number in 0..task.commits {
        let which = Which { life: task.life, thread: 0, number };
        let answer = match which.append(&store) {
            Ok(appended) => which.acknowledged(&appended),
            Err(refusal) => format!("{:?} {number}", kind(&refusal)),
        };
        notes.write(&answer);
        acknowledged.push(answer);
    }
    History::of(&store).has_all_of(&acknowledged);
    notes.write("read");
    match store.close() {
        Ok(()) => notes.write("closed"),
        Err(error) => notes.write(&format!("not closed {:?}", error.kind())),
    }
    assert_eq!(store.head().unwrap_err().kind(), &ErrorKind::Closed);
}
