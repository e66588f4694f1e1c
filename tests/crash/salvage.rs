//! Stores that are damaged in all ways and then salvaged: what is salvaged is true, and nothing that is undamaged is lost.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use annals::storage::FileName;
use annals::store::{EventStore, Events, FileStore, Query, care};
use annals::{Position, RecordedEvent};

use crate::author::Author;
use crate::disk::{SimDisk, State};
use crate::golden::{self, Golden};
use crate::log::Fact;
use crate::oracle::{self, Complaint};
use crate::player::Player;
use crate::random::Random;
use crate::records::record_of;
use crate::report::{self, Watch, caught};
use crate::settings::Settings;

/// How many stores are damaged, unless `ANNALS_CRASH_CASES` says otherwise.
const CASES: u64 = 10_000;

/// Where in a segment's file something of an event lies.
#[derive(Debug, Clone)]
struct Place {
    file: FileName,
    record: Range<usize>,
    /// The header of its frame, if the event is the first of its commit.
    header: Option<Range<usize>>,
}

/// A store, and where its events lie.
pub(crate) struct Patient {
    pub(crate) golden: Golden,
    places: Vec<Place>,
}

impl Patient {
    fn of(golden: Golden) -> Self {
        let mut places = Vec::new();
        for fact in golden.log.events() {
            let found = golden.segments().into_iter().map(FileName::Segment).find_map(|file| {
                let record = record_of(&golden.bytes(file), fact)?;
                let header = record.is_first.then_some(record.frame..record.bytes.start);
                Some(Place { file, record: record.bytes, header })
            });
            places.push(found.expect("every event lies somewhere"));
        }
        Self { golden, places }
    }

    fn is_intact(&self, damaged: &State, file: FileName, range: &Range<usize>) -> bool {
        let after = damaged.bytes(file).and_then(|bytes| bytes.get(range.clone()));
        after == self.golden.state.bytes(file).map(|bytes| &bytes[range.clone()])
    }

    /// Whether the tag of a segment can still be known: its header says it, or a frame.
    fn has_tag(&self, damaged: &State, file: FileName) -> bool {
        let is_there = |place: &Place| {
            let header = place.header.as_ref().filter(|_| place.file == file);
            header.is_some_and(|header| {
                self.is_intact(damaged, file, header)
                    && self.is_intact(damaged, file, &place.record)
            })
        };
        self.is_intact(damaged, file, &(0..96)) || self.places.iter().any(is_there)
    }

    /// Whether a segment is there twice, and its copies are not the same: then one of them is read.
    fn is_doubled(&self, damaged: &State, file: FileName) -> bool {
        const TAG: Range<usize> = 44..52;
        let tag = &self.golden.state.bytes(file).unwrap()[TAG];
        let has_tag = |bytes: &&[u8]| bytes.windows(TAG.len()).any(|window| window == tag);
        let files = damaged.files().into_iter();
        let logs = files.filter(|file| matches!(file, FileName::Segment(_)));
        let copies: Vec<&[u8]> =
            logs.filter_map(|file| damaged.bytes(file)).filter(has_tag).collect();
        copies.windows(2).any(|two| two[0] != two[1])
    }

    /// Whether a mark is left that says that all of the log was synced.
    pub(crate) fn is_proven(&self, damaged: &State) -> bool {
        let is_whole = |file: &FileName| damaged.bytes(*file) == self.golden.state.bytes(*file);
        let head = self.golden.log.head().get();
        let last_run = |file: &FileName| matches!(file, FileName::Run(_, last) if *last == head);
        let runs = self.golden.runs();
        let mut named = self.golden.segments().into_iter().map(FileName::Segment);
        let is_known = is_whole(&FileName::Store)
            || named.any(|segment| self.is_intact(damaged, segment, &(0..96)));
        is_known
            && (is_whole(&FileName::Watermark)
                || runs.iter().filter(|run| last_run(run)).any(is_whole))
    }

    /// Behind how many events the last commit ends that is whole. What comes after it, and is not known to be synced, may be an
    /// unfinished write.
    fn end_of_whole_commits(&self, damaged: &State) -> usize {
        let is_whole = |commits: &usize| {
            let (start, end) = (*commits - 1, *commits);
            let events =
                self.golden.log.events_of(start).len()..self.golden.log.events_of(end).len();
            self.places[events].iter().all(|place| {
                let header = place.header.as_ref();
                self.is_intact(damaged, place.file, &place.record)
                    && header.is_none_or(|header| self.is_intact(damaged, place.file, header))
            })
        };
        let last = (1..=self.golden.log.commits().len()).rev().find(is_whole);
        self.golden.log.events_of(last.unwrap_or(0)).len()
    }

    /// The events that have to be in whatever is salvaged, by their index.
    fn undamaged(&self, damaged: &State) -> Vec<usize> {
        let end = match self.is_proven(damaged) {
            true => self.places.len(),
            false => self.end_of_whole_commits(damaged),
        };
        let is_left = |(_, place): &(usize, &Place)| {
            self.is_intact(damaged, place.file, &place.record)
                && self.has_tag(damaged, place.file)
                && !self.is_doubled(damaged, place.file)
        };
        let places = self.places[..end].iter().enumerate();
        places.filter(is_left).map(|(index, _)| index).collect()
    }
}

/// Does something to a file, or to two, and says what.
pub(crate) fn damage(state: &mut State, random: &mut Random) -> String {
    let files: Vec<FileName> =
        state.files().into_iter().filter(|file| *file != FileName::Lock).collect();
    let segments: Vec<FileName> =
        files.iter().copied().filter(|file| matches!(file, FileName::Segment(_))).collect();
    let in_log = random.chance(70) && !segments.is_empty();
    let file = *random.pick(if in_log { &segments } else { &files });
    let mut bytes = state.bytes(file).unwrap().to_vec();
    let at = random.index(bytes.len().max(1));
    let end = (at + 1 + random.index(200)).min(bytes.len());
    let what = random.below(12);
    match what {
        0..=8 if bytes.is_empty() => {}
        0..=3 => bytes[at] ^= 1 << random.below(8),
        4..=5 => bytes[at..end].fill_with(|| random.next().to_le_bytes()[0]),
        6..=7 => bytes[at..end].fill(0),
        8 => bytes[at / 512 * 512..].iter_mut().take(512).for_each(|byte| *byte = 0),
        9 => bytes.truncate(at),
        10 => {
            state.take(file);
            return format!("{file} is gone");
        }
        _ => {
            let other = *random.pick(&files);
            let others = state.bytes(other).unwrap().to_vec();
            if random.chance(50) {
                state.put(other, bytes);
            }
            state.put(file, others);
            return format!("{file} is, or has changed places with, {other}");
        }
    }
    state.put(file, bytes);
    let done = ["a bit", "noise", "zeros", "a sector", "the end"]
        [[0, 0, 0, 0, 1, 1, 2, 2, 3, 4][usize::try_from(what).unwrap()]];
    format!("{file} at {at} to {end}: {done}")
}

/// What a salvaged store holds: every position once, in order, as it was or as a gap.
fn hold(
    patient: &Patient,
    damaged: &State,
    store: &FileStore,
    copied: &care::Copied,
) -> Result<(u64, u64), Complaint> {
    let facts = patient.golden.log.events();
    let mut found: Vec<Fact> = Vec::new();
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    for event in Events::new(store, Query::default()) {
        let event = event.map_err(|error| format!("{error:?}"))?;
        let position = Position::new(found.len() as u64 + 1);
        let right = facts.get(found.len());
        let is_true = match right {
            Some(right) if event.is_gap() => is_true_gap(&event, right),
            right => right.is_some_and(|right| event == **right),
        };
        if event.position() != position || !is_true {
            return Err(format!("{event:?} stands at {position}, where {right:?} stood"));
        }
        let last = versions.insert(event.stream().to_string(), event.version().get());
        if last.is_some_and(|last| last >= event.version().get()) {
            return Err(format!("{event:?} does not follow version {last:?}"));
        }
        found.push(event.into());
    }
    for index in patient.undamaged(damaged) {
        if found.get(index).is_none_or(|event| event.is_gap()) {
            return Err(format!("{:?} is undamaged and lost: {copied:#?}", facts[index]));
        }
    }
    let proven = patient.is_proven(damaged);
    if proven && found.len() != facts.len() {
        return Err(format!("{} positions of {} are there", found.len(), facts.len()));
    }
    oracle::every_answer(store, &found, &patient.golden.terms)?;
    let gaps = || found.iter().filter(|event| event.is_gap());
    let known = gaps().filter(|gap| gap.stream().category() != "$gap");
    Ok((gaps().count() as u64, known.count() as u64))
}

/// A gap says where the event stood, or that nobody knows.
fn is_true_gap(gap: &RecordedEvent<'_>, right: &RecordedEvent<'_>) -> bool {
    let is_known =
        gap.stream() == right.stream().to_stream_id() && gap.version() == right.version();
    is_known || gap.stream().category() == "$gap"
}

#[derive(Debug, Default)]
struct Counts {
    events: AtomicU64,
    gaps: AtomicU64,
    known: AtomicU64,
    untouched: AtomicU64,
}

fn suffer(patient: &Patient, seed: u64, counts: &Counts) -> Result<(), Complaint> {
    let mut random = Random::of(&[seed, 0x5A1F]);
    let mut damaged = patient.golden.state.clone();
    let done: Vec<_> =
        (0..1 + random.below(4)).map(|_| damage(&mut damaged, &mut random)).collect();
    let salvaged = caught(|| salvage(patient, &damaged, seed, counts));
    salvaged.map_err(|complaint| format!("{complaint}\nafter {done:#?}"))
}

fn salvage(
    patient: &Patient,
    damaged: &State,
    seed: u64,
    counts: &Counts,
) -> Result<(), Complaint> {
    let source = SimDisk::holding(damaged.clone(), seed);
    let target = SimDisk::new(seed);
    let copied = care::salvage(source.clone(), target.clone(), |_| {});
    let copied = copied.map_err(|error| format!("salvaging: {error:?}"))?;
    for file in damaged.files() {
        if source.state().bytes(file) != damaged.bytes(file) {
            return Err(format!("{file} of the damaged store was changed"));
        }
    }
    let store = golden::open(&target).map_err(|error| format!("opening: {error:?}"))?;
    let (gaps, known) = hold(patient, damaged, &store, &copied)?;
    if (gaps, store.head().map_err(|e| e.to_string())?.durable) != (copied.gaps, copied.head) {
        return Err(format!("{gaps} gaps are found, and the report says {copied:?}"));
    }
    let is_told = !copied.findings.is_empty();
    if gaps > 0 && !is_told {
        return Err("events are lost, and the report does not say so".to_owned());
    }
    store.close().map_err(|error| error.to_string())?;
    let verified = care::verify(target, Position::START, |_| {}).map_err(|e| format!("{e:?}"))?;
    if !verified.is_sound() || verified.gaps != gaps || verified.up_to != copied.head {
        return Err(format!("the salvaged store is not sound: {verified:?}"));
    }
    counts.events.fetch_add(copied.events, Ordering::Relaxed);
    counts.gaps.fetch_add(gaps, Ordering::Relaxed);
    counts.known.fetch_add(known, Ordering::Relaxed);
    counts.untouched.fetch_add(u64::from(!is_told), Ordering::Relaxed);
    Ok(())
}

pub(crate) fn patients() -> Vec<Patient> {
    let large = |seed| {
        let settings = Settings { segment_bytes: 12 << 10, ..golden::settings() };
        let mut player = Player::new(SimDisk::new(seed), settings, Author::new(seed, true));
        assert!(player.open().unwrap().is_none());
        for _ in 0..40 {
            assert!(player.append().unwrap().is_none());
        }
        player
    };
    let mut closed = large(11);
    assert!(closed.close().is_none());
    let goldens = [
        Golden::closed(),
        Golden::killed(),
        Golden::of("large and closed", closed),
        Golden::of("large and killed", large(12)),
    ];
    goldens.into_iter().map(Patient::of).collect()
}

#[test]
fn what_is_salvaged_is_true_and_nothing_undamaged_is_lost() {
    const TEST: &str = "salvage::what_is_salvaged_is_true_and_nothing_undamaged_is_lost";
    let cases = report::number("ANNALS_CRASH_CASES").unwrap_or(CASES);
    let first = report::number("ANNALS_CRASH_SEED").unwrap_or(1);
    let (patients, counts, next) = (patients(), Counts::default(), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..report::threads() {
            scope.spawn(|| {
                let watch = Watch::begin();
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= cases {
                        break;
                    }
                    let seed = first + nth;
                    let patient = &patients[usize::try_from(seed % 4).unwrap()];
                    let command =
                        || format!("ANNALS_CRASH_CASES=1 {}", report::command(TEST, seed, "''"));
                    watch.next(command);
                    if let Err(complaint) = suffer(patient, seed, &counts) {
                        let name = patient.golden.name;
                        panic!("a {name} store, {complaint}\nrepeat: {}", command());
                    }
                }
            });
        }
    });
    println!("{cases} damaged stores were salvaged: {counts:?}");
}

#[test]
fn of_an_unfinished_commit_that_nothing_proves_no_part_is_salvaged() {
    let mut cases = 0;
    for Patient { golden, places } in patients() {
        let last = FileName::Segment(*golden.segments().last().unwrap());
        for commit in 0..golden.log.commits().len() {
            let first = golden.log.events_of(commit).len();
            let events = &places[first..golden.log.events_of(commit + 1).len()];
            if events.len() < 2 || events[0].file != last {
                continue;
            }
            cases += 1;
            let mut bytes = golden.bytes(last);
            let unfinished = &events[events.len() - 1].record;
            bytes.truncate(unfinished.end);
            bytes[unfinished.start + 20] ^= 1;
            let mut damaged = golden.without_runs_and_watermark();
            damaged.put(last, bytes);
            let (source, target) = (SimDisk::holding(damaged, 1), SimDisk::new(1));
            let copied = care::salvage(source, target.clone(), |_| {}).unwrap();
            let salvaged = golden::open(&target).unwrap();
            let found = Events::new(&salvaged, Query::default()).map(Result::unwrap);
            let found: Vec<Fact> = found.map(Fact::from).collect();
            assert!(found == golden.log.events()[..first], "{}, commit {commit}", golden.name);
            assert_eq!((copied.gaps, copied.head), (0, Position::new(first as u64)));
        }
    }
    assert!(cases > 5, "{cases} cases");
}
