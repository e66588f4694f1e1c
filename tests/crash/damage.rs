//! Every bit, every sector, every length, every zeroed end of every file of a small store: damage is reported with its
//! file and offset, or it changes no answer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use annals::storage::FileName;
use annals::store::FileStore;
use annals::{Error, ErrorKind};
use parking_lot::Mutex;

use crate::golden::Golden;
use crate::oracle::{self, Complaint, Trouble};
use crate::report::{self, Watch, caught};

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    /// The bit of this number is another.
    Flip(usize),
    /// The sector of this number is zeros.
    Sector(usize),
    /// The file ends here.
    Truncated(usize),
    /// From here on there are zeros.
    Zeros(usize),
}

const SECTOR: usize = 512;

impl Damage {
    /// The damaged bytes, and the last place where they differ; nothing if they do not.
    fn of(self, bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
        let mut damaged = bytes.to_vec();
        match self {
            Self::Flip(bit) => damaged[bit / 8] ^= 1 << (bit % 8),
            Self::Sector(number) => {
                let end = ((number + 1) * SECTOR).min(bytes.len());
                damaged[number * SECTOR..end].fill(0);
            }
            Self::Truncated(length) => damaged.truncate(length),
            Self::Zeros(start) => damaged[start..].fill(0),
        }
        let differs = |at: &usize| damaged.get(*at) != Some(&bytes[*at]);
        let last = (0..bytes.len()).rev().find(differs)?;
        Some((damaged, last))
    }

    /// All that can be done to a file of this length.
    fn all(len: usize) -> impl Iterator<Item = Self> {
        let flips = (0..len * 8).map(Self::Flip);
        let sectors = (0..len.div_ceil(SECTOR)).map(Self::Sector);
        flips.chain(sectors).chain((0..len).map(Self::Truncated)).chain((0..len).map(Self::Zeros))
    }
}

/// How often a kind of damage to a kind of file was reported, and how often it changed nothing.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    reported: u64,
    harmless: u64,
}

#[derive(Debug, Default)]
struct Counts(Mutex<BTreeMap<(String, &'static str), Count>>);

impl Counts {
    fn add(&self, file: FileName, damage: Damage, reported: bool) {
        let kind = match damage {
            Damage::Flip(_) => "flipped bits",
            Damage::Sector(_) => "zeroed sectors",
            Damage::Truncated(_) => "truncations",
            Damage::Zeros(_) => "zeroed ends",
        };
        let file = match file {
            FileName::Segment(_) => "segments".to_owned(),
            FileName::Run(..) => "index runs".to_owned(),
            other => other.to_string(),
        };
        let mut counts = self.0.lock();
        let count = counts.entry((file, kind)).or_default();
        if reported { count.reported += 1 } else { count.harmless += 1 }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = Count::default();
        for ((file, kind), count) in &*self.0.lock() {
            let Count { reported, harmless } = count;
            writeln!(f, "  {file}: {kind}: {reported} reported, {harmless} harmless")?;
            all.reported += reported;
            all.harmless += harmless;
        }
        write!(f, "  in all: {} reported, {} harmless, 0 silent", all.reported, all.harmless)
    }
}

/// An error that names the damage: the file, and an offset in it, or the beginning of what it is a part of.
fn names(error: &Error, damaged: FileName, last: usize) -> Result<(), Complaint> {
    let right = match error.kind() {
        ErrorKind::Damaged { file, offset } => {
            *file == damaged.to_string() && *offset <= last as u64
        }
        ErrorKind::Unsupported { file } => *file == damaged.to_string(),
        _ => false,
    };
    right
        .then_some(())
        .ok_or_else(|| format!("damage at {damaged}:{last} is reported as {error:?}"))
}

/// Whether the damage was reported. `None` if there was none.
fn suffer(golden: &Golden, file: FileName, damage: Damage) -> Result<Option<bool>, Complaint> {
    let bytes = golden.state.bytes(file).expect("it is one of its files");
    let Some((damaged, last)) = damage.of(bytes) else { return Ok(None) };
    let is_thorough = last % 256 == 0 || matches!(damage, Damage::Sector(_));
    let ask = if is_thorough { Golden::ask } else { Golden::ask_briefly };
    let state = golden.with(file, damaged);
    if is_thorough {
        // What only the watermark proves is not shown without it.
        let least = golden.log.commits().len() - usize::from(file == FileName::Watermark);
        match golden.follow(&state, least) {
            Ok(()) => {}
            Err(Trouble::Error(error)) => names(&error, file, last)?,
            Err(Trouble::Wrong(complaint)) => return Err(format!("to a follower: {complaint}")),
        }
    }
    match golden.look(&state, ask) {
        Ok(()) => Ok(Some(false)),
        Err(Trouble::Error(error)) => names(&error, file, last).map(|()| Some(true)),
        Err(Trouble::Wrong(complaint)) => Err(format!("silently wrong: {complaint}")),
    }
}

/// All of a list in an order that is soon everywhere.
fn nth_of<T>(all: &[T], n: usize) -> Option<&T> {
    // A prime that divides no list's length.
    (n < all.len()).then(|| &all[n * 1_000_003 % all.len()])
}

fn suffer_all(golden: &Golden, test: &str) {
    golden.look_at(&golden.state).unwrap_or_else(|trouble| panic!("undamaged: {trouble}"));
    let files = golden.state.files();
    let len = |file| golden.state.bytes(file).unwrap().len();
    let damages = |file| Damage::all(len(file)).map(move |damage| (file, damage));
    let all: Vec<(FileName, Damage)> = files.into_iter().flat_map(damages).collect();
    let (counts, next, failure) = (Counts::default(), AtomicUsize::new(0), Mutex::new(None));
    thread::scope(|scope| {
        for _ in 0..report::threads() {
            scope.spawn(|| {
                let watch = Watch::begin();
                while let Some(nth) = nth_of(&all, next.fetch_add(1, Ordering::Relaxed)) {
                    let (file, damage) = nth;
                    let case = format!("{file}.{damage:?}");
                    if report::is_left_out(&case) || failure.lock().is_some() {
                        continue;
                    }
                    let command = || report::command(test, 0, &format!("'{case}'"));
                    watch.next(command);
                    match caught(|| suffer(golden, *file, *damage)) {
                        Ok(None) => {}
                        Ok(Some(reported)) => counts.add(*file, *damage, reported),
                        Err(complaint) => {
                            let repeat = command();
                            let text = format!("{case}: {complaint}\nrepeat: {repeat}");
                            failure.lock().get_or_insert(text);
                        }
                    }
                }
            });
        }
    });
    println!("{} damages to a {} store:\n{counts}", all.len(), golden.name);
    if let Some(failure) = failure.into_inner() {
        panic!("{failure}");
    }
}

#[test]
fn no_damage_to_a_closed_store_is_silent() {
    suffer_all(&Golden::closed(), "damage::no_damage_to_a_closed_store_is_silent");
}

#[test]
fn no_damage_to_a_killed_store_is_silent() {
    suffer_all(&Golden::killed(), "damage::no_damage_to_a_killed_store_is_silent");
}

/// With nothing but the log itself, every bit is still told from a torn tail by the frames behind it. Behind the last frame
/// there are none.
#[test]
fn without_watermark_and_index_a_flipped_bit_costs_at_most_the_last_commit() {
    let killed = Golden::killed();
    let all = killed.log.commits().len();
    let bare = Golden { state: killed.without_runs_and_watermark(), ..killed };
    let (last_segment, last_frame) = bare.last_frame();
    let mut lost = 0;
    for segment in bare.segments().into_iter().map(FileName::Segment) {
        for bit in 0..bare.bytes(segment).len() * 8 {
            let (bytes, at) = Damage::Flip(bit).of(&bare.bytes(segment)).unwrap();
            let mut found = all;
            let read = |golden: &Golden, store: &FileStore| {
                found = oracle::recovered(store, &golden.log, all - 1..=all)?;
                Ok(())
            };
            match bare.look(&bare.with(segment, bytes), read) {
                Ok(()) if found == all => {}
                Ok(()) if (segment, at) >= (last_segment, last_frame) => lost += 1,
                Ok(()) => panic!("{segment} bit {bit}: the last commit is lost"),
                Err(Trouble::Error(error)) => names(&error, segment, at).unwrap(),
                Err(trouble) => panic!("{segment} bit {bit}: {trouble}"),
            }
        }
    }
    println!("{lost} of the bits of a log without watermark and index cost its last commit");
}

#[test]
fn the_store_that_is_damaged_has_several_segments_and_runs() {
    let golden = Golden::closed();
    assert!(golden.segments().len() >= 3, "{:?}", golden.state.files());
    assert!(!golden.runs().is_empty(), "{:?}", golden.state.files());
}
