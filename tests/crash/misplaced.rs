//! Files that are whole and in the wrong place: missing, doubled, exchanged, of another store, or older than the rest.
//! Nothing of that is taken for the store that was written.

use annals::ErrorKind;
use annals::storage::FileName;
use annals::store::Durability;

use crate::aftermath::live_on;
use crate::author::{Author, altered};
use crate::disk::{SimDisk, State};
use crate::golden::{self, Golden};
use crate::oracle::Trouble;
use crate::player::Player;
use crate::random::Random;
use crate::settings::Settings;

/// Where the frames of a segment begin.
const HEADER: usize = 96;

/// Where the last frame of a segment ends: with the quotation mark that ends its last payload.
fn end_of(state: &State, segment: FileName) -> usize {
    let last = state.bytes(segment).unwrap().iter().rposition(|byte| *byte != 0);
    HEADER.max(last.unwrap() + 1)
}

/// The store has to say that it is damaged, and to leave everything as it is.
fn refused(golden: &Golden, state: &State, what: &str) -> (String, u64) {
    let disk = SimDisk::holding(state.clone(), 1);
    let answer = golden::open(&disk).map_err(Trouble::from).and_then(|store| golden.ask(&store));
    let damage = match &answer {
        Err(Trouble::Error(error)) => match error.kind() {
            ErrorKind::Damaged { file, offset } => Some((file.clone(), *offset)),
            _ => None,
        },
        _ => None,
    };
    for file in state.files().into_iter().filter(|file| matches!(file, FileName::Segment(_))) {
        assert_eq!(disk.state().bytes(file), state.bytes(file), "{what}: {file} was changed");
    }
    damage.unwrap_or_else(|| panic!("{what}, and the store says {answer:?}"))
}

/// The store has to give every answer as if nothing had happened.
fn harmless(golden: &Golden, state: &State, what: &str) {
    golden.look_at(state).unwrap_or_else(|trouble| panic!("{what}: {trouble}"));
}

fn both() -> [Golden; 2] {
    [Golden::closed(), Golden::killed()]
}

/// A store with other events and other ids.
fn foreign() -> Player {
    let mut player = golden::filled_from(8, 16);
    assert!(player.close().is_none());
    player
}

#[test]
fn a_missing_segment_is_damage_wherever_it_was() {
    for golden in both() {
        for number in golden.segments() {
            let file = FileName::Segment(number);
            let (named, _) = refused(&golden, &golden.without(file), &format!("{file} is missing"));
            assert!(named.ends_with(".log"), "{named}");
        }
        let mut state = golden.state.clone();
        golden.segments().into_iter().for_each(|number| state.take(FileName::Segment(number)));
        refused(&golden, &state, "every segment is missing");
    }
}

#[test]
fn exchanged_segments_are_damage() {
    for golden in both() {
        for pair in golden.segments().windows(2) {
            let (first, second) = (FileName::Segment(pair[0]), FileName::Segment(pair[1]));
            let mut state = golden.with(first, golden.bytes(second));
            state.put(second, golden.bytes(first));
            refused(&golden, &state, &format!("{first} and {second} are exchanged"));
        }
    }
}

#[test]
fn a_doubled_segment_is_damage() {
    for golden in both() {
        let segments = golden.segments();
        let next = FileName::Segment(segments.iter().max().unwrap() + 1);
        for number in segments {
            let state = golden.with(next, golden.bytes(FileName::Segment(number)));
            refused(&golden, &state, &format!("segment {number} stands again as {next}"));
        }
        let beyond = golden.bytes(FileName::Segment(2));
        let state = golden.with(FileName::Segment(4_000_000_000), beyond);
        refused(&golden, &state, "there is a segment far beyond the last");
    }
}

#[test]
fn a_segment_of_another_store_is_damage() {
    let foreign = foreign().disk.state();
    for golden in both() {
        for file in golden.segments().into_iter().map(FileName::Segment) {
            let Some(bytes) = foreign.bytes(file) else { continue };
            let state = golden.with(file, bytes.to_vec());
            refused(&golden, &state, &format!("{file} is another store's"));
        }
    }
}

/// A file system may give a file the blocks of one that was deleted, and after a power cut show what they held. That is
/// no part of this log, and no reason to refuse it, also where it is a whole beginning of a log.
#[test]
fn frames_of_a_former_life_of_a_segment_are_a_torn_tail() {
    let former = foreign().disk.state();
    for commits in 0..=16 {
        let player = golden::filled(commits);
        let state = player.disk.state();
        player.disk.freeze();
        let is_segment = |file: &FileName| matches!(file, FileName::Segment(_));
        let last = state.files().into_iter().filter(is_segment).max().unwrap();
        let (Some(remains), end) = (former.bytes(last), end_of(&state, last)) else { continue };
        for from in [HEADER, end.min(remains.len())] {
            let bytes = [&state.bytes(last).unwrap()[..end], &remains[from..]].concat();
            let mut state = state.clone();
            state.put(last, bytes);
            live_on(player.heir(SimDisk::holding(state, 1))).unwrap_or_else(|complaint| {
                panic!("{commits} commits, and {last} of another store from {from}: {complaint}")
            });
        }
    }
}

/// Of two frames that were not synced, a power cut leaves the second. What is written in the place of the first is as long,
/// and must not be followed by it.
#[test]
fn a_frame_that_was_cut_off_does_not_come_back_behind_another() {
    let settings =
        Settings { durability: Durability::Buffered, segment_bytes: 1 << 20, ..golden::settings() };
    let file = FileName::Segment(1);
    for seed in 0..20 {
        let mut player = Player::new(SimDisk::new(seed), settings, Author::new(seed, true));
        assert!(player.open().unwrap().is_none());
        let mut ends = Vec::new();
        for _ in 0..3 {
            assert!(player.append().unwrap().is_none());
            ends.push(end_of(&player.disk.state(), file));
        }
        let mut state = player.disk.state();
        player.disk.freeze();
        let mut bytes = state.bytes(file).unwrap().to_vec();
        bytes[ends[0]..ends[1]].fill(0);
        state.put(file, bytes);
        let mut heir = player.heir(SimDisk::holding(state, seed));
        assert!(heir.open().unwrap().is_none());
        assert_eq!(heir.log.commits().len(), 1, "seed {seed}");
        let other = altered(&player.log.commits()[1], &mut Random::new(seed));
        assert!(heir.append_this(other).unwrap().is_none());
        assert_eq!(end_of(&heir.disk.state(), file), ends[1], "seed {seed}: it is as long");
        let killed = heir.heir(SimDisk::holding(heir.disk.state(), seed));
        heir.disk.freeze();
        live_on(killed).unwrap_or_else(|complaint| panic!("seed {seed}: {complaint}"));
    }
}

#[test]
fn the_identity_of_a_store_is_not_made_anew() {
    let foreign = foreign().disk.state();
    for golden in both() {
        refused(&golden, &golden.without(FileName::Store), "the store file is missing");
        let other = foreign.bytes(FileName::Store).unwrap().to_vec();
        refused(&golden, &golden.with(FileName::Store, other), "the store file is another's");
    }
}

#[test]
fn a_sealed_segment_that_is_longer_or_shorter_than_it_was_is_damage() {
    for golden in both() {
        let segments = golden.segments();
        for number in &segments[..segments.len() - 1] {
            let file = FileName::Segment(*number);
            for (added, what) in [(&b"\0"[..], "a zero"), (&[0; 4096], "zeros"), (b"x", "a byte")] {
                let bytes = [golden.bytes(file), added.to_vec()].concat();
                let what = format!("{file} has {what} more");
                refused(&golden, &golden.with(file, bytes), &what);
            }
            let mut bytes = golden.bytes(file);
            bytes.pop();
            refused(&golden, &golden.with(file, bytes), &format!("{file} lacks a byte"));
        }
    }
}

#[test]
fn an_older_copy_of_the_last_segment_is_damage_as_long_as_the_watermark_is_newer() {
    let mut player = golden::filled(13);
    assert!(player.close().is_none());
    let older = player.disk.state();
    let golden = Golden::closed();
    let last = FileName::Segment(*golden.segments().last().unwrap());
    // The ids and tags are drawn in the same order, so the older store is what the newer one was.
    let segments = older.files().into_iter().filter(|file| matches!(file, FileName::Segment(_)));
    let last_older = segments.max().unwrap();
    assert!(golden.bytes(FileName::Segment(1)) == older.bytes(FileName::Segment(1)).unwrap());
    let mut state = golden.without(last);
    state.put(last_older, older.bytes(last_older).unwrap().to_vec());
    refused(&golden, &state, "the last segments are older than the watermark");
}

#[test]
fn without_its_watermark_a_store_opens_as_before() {
    for golden in both() {
        harmless(&golden, &golden.without(FileName::Watermark), "the watermark is missing");
        let foreign = foreign().disk.state().bytes(FileName::Watermark).unwrap().to_vec();
        let state = golden.with(FileName::Watermark, foreign);
        harmless(&golden, &state, "the watermark is another store's");
    }
}

#[test]
fn index_runs_that_are_missing_or_not_of_this_log_are_made_anew() {
    let foreign = foreign();
    let foreign = foreign.disk.state();
    for golden in both() {
        for run in golden.runs() {
            harmless(&golden, &golden.without(run), &format!("{run} is missing"));
            let FileName::Run(first, last) = run else { unreachable!("it is a run") };
            for other in [FileName::Run(first, last + 1), FileName::Run(last + 1, 2 * last)] {
                let state = golden.with(other, golden.bytes(run));
                let what = format!("{run} stands again as {other}");
                let disk = SimDisk::holding(state, 1);
                let store = golden::open(&disk).unwrap_or_else(|error| panic!("{what}: {error:?}"));
                golden.ask(&store).unwrap_or_else(|trouble| panic!("{what}: {trouble}"));
            }
            for other in
                foreign.files().into_iter().filter(|file| matches!(file, FileName::Run(..)))
            {
                let bytes = foreign.bytes(other).unwrap().to_vec();
                let what = format!("{run} is another store's {other}");
                harmless(&golden, &golden.with(run, bytes.clone()), &what);
                harmless(&golden, &golden.with(other, bytes), &format!("{what}, beside it"));
            }
        }
        harmless(&golden, &golden.without_runs(), "every run is missing");
    }
}

#[test]
fn drafts_and_spares_are_never_taken_for_what_they_were_to_become() {
    for golden in both() {
        let last = FileName::Segment(*golden.segments().last().unwrap());
        for draft in [
            FileName::Spare,
            FileName::StoreDraft,
            FileName::RunDraft,
            FileName::MergeDraft,
            FileName::SnapshotsDraft,
        ] {
            for like in [last, FileName::Segment(1), FileName::Store] {
                let state = golden.with(draft, golden.bytes(like));
                let disk = SimDisk::holding(state, 1);
                let store = golden::open(&disk).unwrap();
                golden.ask(&store).unwrap();
                let bytes = disk.state().bytes(draft).map(<[u8]>::to_vec);
                assert_ne!(bytes, Some(golden.bytes(like)), "{draft} is still there");
            }
        }
    }
}
