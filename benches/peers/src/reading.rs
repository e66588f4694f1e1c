//! Replaying everything, views, loading streams, opening.

use std::thread;

use crate::contender::{Contender, Mode};
use crate::embedded::{Annals, Binary};
use crate::limit::{Known, MAPPED};
use crate::measure::{Cost, Scratch, Turn, timed};
use crate::peer::{Look, Peer, peers, turns};
use crate::report::{Report, grouped};
use crate::workload::{COMPACT, Digest, Event, PAYLOAD, compact, scattered};
use crate::writing::{log_bytes, space};
use crate::{EVENTS_OF_BULK, Scale};

/// What is read: from records at known places, or from a peer.
trait Source {
    fn replay(&self, look: Look<'_>);
    fn stream(&self, stream: &str, look: Look<'_>);
}

impl Source for Known {
    fn replay(&self, look: Look<'_>) {
        self.replay_part((0, self.len()), look);
    }

    fn stream(&self, stream: &str, look: Look<'_>) {
        if self.is_dense(stream) {
            self.dense_stream(stream, look);
        } else {
            self.scattered_stream(stream, look);
        }
    }
}

impl Source for dyn Peer + '_ {
    fn replay(&self, look: Look<'_>) {
        Peer::replay(self, look);
    }

    fn stream(&self, stream: &str, look: Look<'_>) {
        Peer::stream(self, stream, look);
    }
}

/// The sum of what is read, decoded into the enum.
fn weight(read: impl FnOnce(Look<'_>)) -> u64 {
    let mut weight = 0;
    read(&mut |kind, payload| weight += Event::decode(kind, payload).weight());
    weight
}

fn weight_of_all(source: &(impl Source + ?Sized)) -> u64 {
    weight(|look| source.replay(look))
}

fn weight_of_streams(source: &(impl Source + ?Sized), streams: &[String]) -> u64 {
    weight(|look| streams.iter().for_each(|stream| source.stream(stream, look)))
}

fn digest(source: &(impl Source + ?Sized)) -> (u64, u32) {
    let mut digest = Digest::default();
    source.replay(&mut |_, payload| digest.add(payload));
    digest.finish()
}

/// Work that has to come upon this weight.
fn weighed(weight: u64, work: impl FnOnce() -> u64) -> Cost {
    let mut found = 0;
    let took = timed(|| found = work());
    assert_eq!(found, weight);
    took
}

pub fn reading(scratch: &Scratch, scale: &Scale, report: &mut Report) {
    let record = record_bytes(scratch, scale);
    let fill = |each: &mut dyn FnMut(_)| scattered(scale.streams, scale.long, each);
    let mut known = Known::write(&scratch.fresh("known"), (record, PAYLOAD), fill);
    let mut peers = peers(scratch, Mode::Bulk);
    scattered(scale.streams, scale.long, |commit| {
        peers.iter_mut().for_each(|peer| peer.append_one(&commit));
    });
    for peer in &mut peers {
        peer.close();
    }
    space(&peers, record, known.len(), report);
    let stream = "account/000007";
    peers.iter_mut().for_each(|peer| _ = peer.open(stream));
    assert!(peers.iter().all(|peer| digest(&**peer) == digest(&known)));
    opening(scale, report, &mut known, &mut peers, stream);

    let (known, all) = (&known, weight_of_all(&known));
    let limit = || weighed(all, || weight_of_all(known));
    let each = |peer: &mut dyn Peer| weighed(all, || weight_of_all(peer));
    let replays = turns(limit, &mut peers, each);
    report.compare("replay everything, typed, an event", scale.rounds, known.len() as f64, replays);

    // One far from the other, so that what was read of one is of no use for the next.
    let some = (0..scale.streams.min(50)).map(|n| n * 7_919 % scale.streams);
    let some: Vec<String> = some.map(|n| format!("account/{n:06}")).collect();
    loading(report, "load a stream of 100, typed", scale.blocks, (known, &mut peers, &some));
    let what = format!("load a stream of {}, typed", grouped(scale.long));
    loading(report, &what, scale.rounds, (known, &mut peers, &["account/long".to_owned()]));

    drop(peers);
    views(scratch, scale, report, (known, all));
    binary(scratch, scale, report, (known, record, all, &some));
}

/// Payloads in binary: beside the limit of JSON, and beside one that decodes postcard.
fn binary(
    scratch: &Scratch,
    scale: &Scale,
    report: &mut Report,
    (known, record, all, some): (&Known, usize, u64, &[String]),
) {
    let fill = |each: &mut dyn FnMut(_)| scattered(scale.streams, scale.long, each);
    let annals = Binary::load(&scratch.fresh("binary"), fill);
    let lengths = (record - PAYLOAD + COMPACT, COMPACT);
    let known_compact = Known::write(&scratch.fresh("compact"), lengths, |each| {
        fill(&mut |commit| each(compact(commit)));
    });
    let weight = |read: &dyn Fn(Look<'_>)| {
        let mut weight = 0;
        read(&mut |kind, payload| weight += Event::decode_compact(kind, payload).weight());
        weight
    };
    let each = |stream: &String, look: Look<'_>| Source::stream(&known_compact, stream, look);
    let compact_all = || weight(&|look| known_compact.replay(look));
    let compact_some = || weight(&|look| some.iter().for_each(|stream| each(stream, look)));
    let (of_some, count) = (weight_of_streams(known, some), known.len() as f64);
    let replay = || annals.weight_of_all();
    let json = || weight_of_all(known);
    let what = "replay everything in binary, beside the limit of JSON, an event";
    report.compare(what, scale.rounds, count, beside(all, json, replay));
    let what = "replay everything in binary, beside a limit in binary, an event";
    report.compare(what, scale.rounds, count, beside(all, compact_all, replay));
    let streams = || annals.weight_of_streams(some);
    let what = "load a stream of 100 in binary, beside a limit in binary";
    let turns = beside(of_some, compact_some, streams);
    report.compare(what, scale.blocks, some.len() as f64, turns);
}

/// How long a record of annals is when streams are as scattered as here.
fn record_bytes(scratch: &Scratch, scale: &Scale) -> usize {
    let mut commits = Vec::new();
    let streams = scale.streams.min(EVENTS_OF_BULK);
    scattered(streams, 0, |commit| commits.push(commit));
    let events: usize = commits.iter().map(|commit| commit.events()).sum();
    log_bytes(scratch, &commits) / events
}

/// A new handle, and the first stream that it reads. Closing the old one is not on the clock.
fn opening(
    scale: &Scale,
    report: &mut Report,
    known: &mut Known,
    peers: &mut [Box<dyn Peer>],
    stream: &str,
) {
    let all = weight_of_streams(known, &[stream.to_owned()]);
    let what = format!("open {} events, read a stream of 100", grouped(known.len() as u64));
    let limit = || {
        weighed(all, || {
            known.reopen();
            weight_of_streams(known, &[stream.to_owned()])
        })
    };
    let open = |peer: &mut dyn Peer| {
        peer.close();
        peer.open(stream)
    };
    report.compare(&what, scale.blocks.div_ceil(2), 1.0, turns(limit, peers, open));
}

fn loading(
    report: &mut Report,
    what: &str,
    blocks: usize,
    (known, peers, streams): (&Known, &mut [Box<dyn Peer>], &[String]),
) {
    let all = weight_of_streams(known, streams);
    let limit = || weighed(all, || weight_of_streams(known, streams));
    let load = |peer: &mut dyn Peer| weighed(all, || weight_of_streams(peer, streams));
    let map = known.map();
    let mapped =
        || weight(|look| streams.iter().for_each(|stream| known.mapped_stream(&map, stream, look)));
    let mut turns = turns(limit, peers, load);
    turns.push((MAPPED, Box::new(|| weighed(all, mapped))));
    report.compare(what, blocks, streams.len() as f64, turns);
}

/// Everything through a view of annals, with its checks and types, on one thread and on all.
fn views(scratch: &Scratch, scale: &Scale, report: &mut Report, (known, all): (&Known, u64)) {
    let annals = Annals::open(&scratch.path().join(Annals::NAME), Mode::Durable);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    for (what, threads) in [("one thread", 1), ("all threads", threads)] {
        let limit = || weight_of_parts(known, threads);
        let turns = beside(all, limit, || annals.weight(threads));
        let what = format!("a view of everything, {what}, an event");
        report.compare(&what, scale.rounds, known.len() as f64, turns);
    }
}

/// Turns of annals alone, behind a limit; both come upon this weight.
fn beside<'t>(
    all: u64,
    limit: impl Fn() -> u64 + 't,
    annals: impl Fn() -> u64 + 't,
) -> Vec<Turn<'t>> {
    vec![
        ("limit", Box::new(move || weighed(all, &limit))),
        (Annals::NAME, Box::new(move || weighed(all, &annals))),
    ]
}

/// The weight of all, read by so many threads, each a part of its own.
fn weight_of_parts(known: &Known, threads: usize) -> u64 {
    let size = known.len().div_ceil(threads);
    thread::scope(|scope| {
        let part = |first: usize| {
            let part = (first, known.len().min(first + size));
            scope.spawn(move || weight(|look| known.replay_part(part, look)))
        };
        let parts: Vec<_> = (0..known.len()).step_by(size).map(part).collect();
        parts.into_iter().map(|part| part.join().unwrap()).sum()
    })
}
