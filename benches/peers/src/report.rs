//! What was found, as tables that a README can quote.

use std::fs;
use std::path::Path;

use crate::contender::{Contender, Setting};
use crate::embedded::Annals;
use crate::fjall::Fjall;
use crate::limit::{CALLS, MAPPED};
use crate::measure::{Taken, Turn, in_turns};
use crate::redb::Redb;
use crate::sqlite::{Queued, Sqlite};

/// The cells of a line: what was done, the limit, and one for each column of contenders.
type Line = Vec<String>;

const COLUMNS: [&str; 6] =
    [MAPPED, Annals::NAME, Sqlite::NAME, Queued::NAME, Redb::NAME, Fjall::NAME];

#[derive(Default)]
pub struct Report {
    speeds: Vec<Line>,
    costs: Vec<Line>,
}

impl Report {
    /// Lets contenders take turns, the limit first, and notes which part of the limit's speed each has.
    pub fn compare(
        &mut self,
        what: &str,
        blocks: usize,
        pieces: f64,
        turns: Vec<Turn<'_>>,
    ) -> Vec<Taken> {
        CALLS.take();
        let taken = in_turns(blocks, pieces, turns);
        let calls = CALLS.take().map(|calls| calls as f64 / (pieces * blocks as f64));
        let (limit, others) = taken.split_first().unwrap();
        let [writes, syncs, reads] = calls;
        println!("{what}: the limit makes {writes:.4} writes, {syncs:.4} syncs, {reads:.4} reads");
        println!("  {:<14} {}", limit.name, shown(limit.median()));
        let parts = others.iter().map(|one| {
            let part = share(one.parts_of(limit));
            println!("  {:<14} {}, {part}", one.name, shown(one.median()));
            (one.name, part)
        });
        self.speeds.push(line(what, shown(limit.median()), parts));
        taken
    }

    /// Notes what the process used beside time, and how many times the limit's that is.
    pub fn add_costs(&mut self, what: &str, taken: &[Taken]) {
        let (limit, others) = taken.split_first().unwrap();
        let times = |own: f64, limit: f64| {
            if limit > 0.0 { format!(" ({:.2})", own / limit) } else { String::new() }
        };
        let cpu = |one: &Taken| format!("{:.1}{}", one.cpu * 1e6, times(one.cpu, limit.cpu));
        let kib = |one: &Taken| {
            format!("{:.2}{}", one.written / 1024.0, times(one.written, limit.written))
        };
        let cpus = others.iter().map(|one| (one.name, cpu(one)));
        let kibs = others.iter().map(|one| (one.name, kib(one)));
        let (limit_cpu, limit_kib) = (limit.cpu * 1e6, limit.written / 1024.0);
        self.costs.push(line(&format!("{what}: µs of CPU"), format!("{limit_cpu:.1}"), cpus));
        self.costs.push(line(&format!("{what}: KiB written"), format!("{limit_kib:.2}"), kibs));
    }

    /// Notes what takes space, and which part of that the limit takes.
    pub fn add_bytes(
        &mut self,
        what: &str,
        limit: f64,
        bytes: impl Iterator<Item = (&'static str, f64)>,
    ) {
        let parts = bytes.map(|(name, bytes)| {
            println!("{name}: {bytes:.1} {what}");
            (name, format!("{:.2}", limit / bytes))
        });
        let parts: Vec<_> = parts.collect();
        self.speeds.push(line(what, format!("{limit:.0} B"), parts.into_iter()));
    }

    pub fn print(&self, directory: &Path) {
        println!("\n{}\n", machine(directory));
        for (name, settings) in [
            (Annals::NAME, Annals::SETTINGS),
            (Sqlite::NAME, Sqlite::SETTINGS),
            (Queued::NAME, Queued::SETTINGS),
            (Redb::NAME, Redb::SETTINGS),
            (Fjall::NAME, Fjall::SETTINGS),
        ] {
            let settings =
                settings.iter().map(|(what, link): &Setting| format!("[{what}]({link})"));
            println!("- {name}: {}", settings.collect::<Vec<_>>().join(", "));
        }
        println!(
            "\nParts of the limit's speed, medians of paired blocks and their 95 % intervals:\n"
        );
        print_table(&self.speeds);
        if !self.costs.is_empty() {
            println!(
                "\nFor each commit (of a bulk load, event), and how many times the limit's:\n"
            );
            print_table(&self.costs);
        }
    }
}

fn line(what: &str, limit: String, cells: impl Iterator<Item = (&'static str, String)>) -> Line {
    let mut line = vec!["–".to_owned(); 2 + COLUMNS.len()];
    (line[0], line[1]) = (what.to_owned(), limit);
    for (name, cell) in cells {
        let column = COLUMNS.iter().position(|column| *column == name).unwrap();
        line[2 + column] = cell;
    }
    line
}

/// A table, without columns that have nothing.
fn print_table(lines: &[Line]) {
    let mut head = vec!["work", "limit"];
    head.extend(COLUMNS);
    let used: Vec<usize> =
        (0..head.len()).filter(|column| lines.iter().any(|line| line[*column] != "–")).collect();
    let print = |cells: &dyn Fn(usize) -> String| {
        let cells: Vec<String> = used.iter().map(|column| cells(*column)).collect();
        println!("| {} |", cells.join(" | "));
    };
    print(&|column| head[column].to_owned());
    print(&|_| "---".to_owned());
    lines.iter().for_each(|line| print(&|column| line[column].clone()));
}

fn share((middle, interval): (f64, Option<[f64; 2]>)) -> String {
    let between = interval.map(|[low, high]| format!(" ({low:.2}–{high:.2})"));
    format!("{middle:.2}{}", between.unwrap_or_default())
}

pub fn shown(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:.0} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.1} µs", s * 1e6),
        s => format!("{:.2} ms", s * 1e3),
    }
}

/// A number, with commas between thousands.
pub fn grouped(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1_000), number % 1_000),
    }
}

/// What all this ran on, and how.
fn machine(directory: &Path) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("?");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mounts = read("/proc/mounts");
    let at = |mount: &str| mount.split(' ').nth(1).unwrap_or("?").to_owned();
    let above = mounts.lines().filter(|mount| directory.starts_with(at(mount)));
    let mount = above.max_by_key(|mount| at(mount).len());
    let kind = mount.and_then(|mount| mount.split(' ').nth(2)).unwrap_or("?");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments = [&["".to_owned()], &arguments[..]].concat().join(" ");
    let command = format!("cargo run --release --{arguments}");
    let command = command.strip_suffix(" --").unwrap_or(&command);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{model}, {cores} cores, Linux {}, {kind}: `{command}`", kernel.trim())
}
