//! Durable commits, alone and side by side, and bulk loads.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::contender::{Contender, Mode};
use crate::embedded::Annals;
use crate::limit::{Bare, Shared};
use crate::measure::{Scratch, median_of, timed};
use crate::peer::{Peer, THREADS, peers, shared_peers, side_by_side, turns};
use crate::report::{Report, shown};
use crate::workload::{Account, Commit};
use crate::{EVENTS_OF_BULK, Scale};

/// How much space the limit has before it begins anew.
const SPACE: u64 = 16 << 20;

/// How many bytes commits take in the log of annals.
pub fn log_bytes(scratch: &Scratch, commits: &[Commit]) -> usize {
    let path = scratch.fresh("probe");
    let lengths = [&[], commits].map(|commits: &[Commit]| {
        let store = Annals::open(&path, Mode::Durable);
        commits.iter().for_each(|commit| store.append(Annals::prepare(commit)));
        store.close();
        let files = std::fs::read_dir(&path).unwrap().map(|file| file.unwrap().path());
        let logs = files.filter(|file| file.extension().is_some_and(|it| it == "log"));
        logs.map(|log| std::fs::metadata(log).unwrap().len()).sum::<u64>()
    });
    usize::try_from(lengths[1] - lengths[0]).unwrap()
}

/// As many bytes as a commit of so many events of one stream takes.
fn commit_bytes(scratch: &Scratch, events: u64) -> Vec<u8> {
    const COMMITS: usize = 40;
    let commits = Account::new("0").commits(COMMITS, events);
    vec![0xA5; log_bytes(scratch, &commits) / COMMITS]
}

/// Durable commits of so many events, one after the other.
pub fn durable(scratch: &Scratch, scale: &Scale, report: &mut Report, events: u64) {
    let bytes = commit_bytes(scratch, events);
    let bare = Bare::prepared(&scratch.fresh("bare"), SPACE);
    let write = || {
        bare.write(&bytes);
        bare.sync();
    };
    let limit = || timed(|| (0..scale.commits).for_each(|_| write()));
    let mut peers = peers(scratch, Mode::Durable);
    let all = turns(limit, &mut peers, |peer| peer.append(scale.commits, events));
    let what = if events == 1 { "one event" } else { &format!("{events} events") };
    let what = format!("durable commit of {what}");
    let taken = report.compare(&what, scale.blocks, scale.commits as f64, all);
    report.add_costs(&what, &taken);
    peers.iter().for_each(|peer| peer.check());
}

/// The same on many threads, each with a stream of its own. What is shown is the time for one commit, of all that are made.
pub fn threads(scratch: &Scratch, scale: &Scale, report: &mut Report) {
    // Longer blocks: at the end of one, threads run out of others to share a sync with.
    let commits = 2 * scale.commits;
    let bytes = commit_bytes(scratch, 1);
    let shared = Shared::new(Bare::prepared(&scratch.fresh("bare"), SPACE));
    let limit = || side_by_side(vec![vec![(); commits]; THREADS], |()| shared.append(&bytes));
    let mut peers = shared_peers(scratch);
    let all = turns(limit, &mut peers, |peer| peer.append_side_by_side(commits));
    let what = format!("durable commit of one event, {THREADS} threads");
    let taken = report.compare(&what, scale.blocks.div_ceil(2), (commits * THREADS) as f64, all);
    report.add_costs(&what, &taken);
    peers.iter().for_each(|peer| peer.check());
}

/// Loads in large commits, with one sync at the end, up to where it is closed; then it is opened again and read.
pub fn bulk(scratch: &Scratch, scale: &Scale, report: &mut Report) {
    let (commits, bytes) = (scale.bulk_commits, commit_bytes(scratch, EVENTS_OF_BULK));
    let limit = || {
        let bare = Bare::growing(&scratch.fresh("bare"));
        timed(|| {
            (0..commits).for_each(|_| bare.write(&bytes));
            bare.sync();
        })
    };
    let opened = RefCell::new(HashMap::<_, Vec<f64>>::new());
    let load = |peer: &mut dyn Peer| {
        peer.renew();
        let took = peer.append(commits, EVENTS_OF_BULK) + peer.close();
        let seconds = peer.open("account/0").seconds;
        opened.borrow_mut().entry(peer.name()).or_default().push(seconds);
        peer.check();
        took
    };
    let mut peers = peers(scratch, Mode::Bulk);
    let events = commits as f64 * EVENTS_OF_BULK as f64;
    let all = turns(limit, &mut peers, load);
    let what = "bulk load, 1,000 events a commit, an event";
    let taken = report.compare(what, scale.rounds, events, all);
    report.add_costs(what, &taken);
    for peer in &peers {
        let seconds = median_of(&opened.borrow()[peer.name()]);
        let name = peer.name();
        println!("  {name}: opening it then, and reading all in its stream: {}", shown(seconds));
    }
}

/// How many bytes of disk a directory takes for each event.
pub fn space(peers: &[Box<dyn Peer>], limit: usize, events: usize, report: &mut Report) {
    let each = peers.iter().map(|peer| (peer.name(), peer.bytes() as f64 / events as f64));
    report.add_bytes("bytes on disk, an event", limit as f64, each);
}
