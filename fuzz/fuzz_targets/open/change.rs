//! What an input stands for: how a store is opened, and what is done to its files before.

use std::collections::BTreeSet;

use annals::storage::FileName;

use crate::disk::State;
use crate::golden::golden;
use crate::repair::{relink, repair};

/// No more changes are taken from an input than this.
const CHANGES_MAX: usize = 16;
/// No file grows by more than this at a time.
const GROWTH_MAX: u16 = 8192;

/// How the store is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) recent_bytes: u32,
    pub(crate) cache_bytes: usize,
    pub(crate) is_synced: bool,
}

/// What an input stands for.
#[derive(Debug)]
pub(crate) struct Plan {
    is_closed: bool,
    /// Whether the checksums of what was changed are put right.
    is_repaired: bool,
    /// Whether what each segment says of the one before it is put right, too.
    is_relinked: bool,
    pub(crate) settings: Settings,
    changes: Vec<(u8, Change)>,
}

/// A change to the bytes of a file. Places wrap around at its end.
#[derive(Debug)]
enum Change {
    Byte(u16, u8),
    Number16(u16, u16),
    Number32(u16, u32),
    Number64(u16, u64),
    /// A number of 4 or 8 bytes becomes a little larger, or smaller.
    Moved(u16, bool, i8),
    /// So many bytes of another place, of this or another file, stand here.
    Copied {
        at: u16,
        file: u8,
        from: u16,
        count: u16,
    },
    Zeros(u16, u16),
    Truncated(u16),
    Extended(u16, u8),
    Removed,
    /// The file takes the name and the place of another one.
    Renamed(u8),
    /// The file is as it is in the other one of the stores.
    Exchanged,
}

/// Bytes that are taken one after the other; behind the end there are zeros.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        let count = N.min(self.0.len());
        taken[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    fn short(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    /// A number of any size that is likely to be at an end of some range.
    fn number(&mut self) -> u64 {
        let [kind, small] = self.take();
        match kind % 5 {
            0 => small.into(),
            1 => 1 << (small % 64),
            2 => (1 << (small % 64)) - 1,
            3 => u64::MAX - u64::from(small),
            _ => u64::from_le_bytes(self.take()),
        }
    }

    fn change(&mut self) -> Change {
        match self.byte() % 16 {
            0 | 1 => Change::Byte(self.short(), self.byte()),
            2 => Change::Number16(self.short(), self.short()),
            3 | 4 => Change::Number32(self.short(), low(self.number())),
            5 | 6 => Change::Number64(self.short(), self.number()),
            7 | 8 => Change::Moved(self.short(), self.byte() % 2 == 1, self.byte().cast_signed()),
            9 | 10 => Change::Copied {
                at: self.short(),
                file: self.byte(),
                from: self.short(),
                count: self.short() % 4097,
            },
            11 => Change::Zeros(self.short(), self.short()),
            12 => Change::Truncated(self.short()),
            13 => Change::Extended(self.short() % GROWTH_MAX, self.byte()),
            14 => Change::Renamed(self.byte()),
            _ if self.byte().is_multiple_of(2) => Change::Removed,
            _ => Change::Exchanged,
        }
    }
}

impl Plan {
    pub(crate) fn decode(input: &[u8]) -> Self {
        let mut bytes = Bytes(input);
        let [flags] = bytes.take();
        let is = |bit: u8| flags & (1 << bit) != 0;
        let mut changes = Vec::new();
        while !bytes.0.is_empty() && changes.len() < CHANGES_MAX {
            changes.push((bytes.byte(), bytes.change()));
        }
        Self {
            is_closed: is(0),
            is_relinked: is(1),
            is_repaired: !is(2),
            settings: Settings {
                recent_bytes: if is(3) { 1024 } else { 8192 },
                cache_bytes: if is(4) { 0 } else { 1 << 16 },
                is_synced: is(5),
            },
            changes,
        }
    }

    /// Whether nothing is changed.
    pub(crate) fn is_harmless(&self) -> bool {
        self.changes.is_empty() && !self.is_relinked
    }

    /// The files after all changes.
    pub(crate) fn apply(&self) -> State {
        let mut state = golden(self.is_closed);
        let other = golden(!self.is_closed);
        let mut changed = BTreeSet::new();
        for (number, change) in &self.changes {
            let files = state.files();
            let Some(file) = nth(&files, *number) else { break };
            changed.extend(change.apply(&mut state, &other, &files, file));
        }
        for file in changed.into_iter().filter(|_| self.is_repaired) {
            if let Some(mut bytes) = state.bytes(file).map(<[u8]>::to_vec) {
                repair(file, &mut bytes);
                state.put(file, bytes);
            }
        }
        if self.is_relinked {
            relink(&mut state);
        }
        state
    }
}

impl Change {
    /// The file that is another one now.
    fn apply(
        &self,
        state: &mut State,
        other: &State,
        files: &[FileName],
        file: FileName,
    ) -> Option<FileName> {
        let mut bytes = state.bytes(file)?.to_vec();
        let target = match self {
            Self::Removed => {
                state.take(file);
                return None;
            }
            Self::Renamed(number) => {
                state.take(file);
                nth(files, *number)?
            }
            Self::Exchanged => {
                bytes = other.bytes(file)?.to_vec();
                file
            }
            Self::Copied { at, file: source, from, count } => {
                let source = state.bytes(nth(files, *source)?)?;
                let from = &source[place(*from, source.len())..];
                let copied = &from[..from.len().min((*count).into())];
                put(&mut bytes, *at, copied);
                file
            }
            within => {
                within.apply_within(&mut bytes);
                file
            }
        };
        state.put(target, bytes);
        Some(target)
    }

    /// Changes that are about one file alone.
    fn apply_within(&self, bytes: &mut Vec<u8>) {
        match *self {
            Self::Byte(at, byte) => put(bytes, at, &[byte]),
            Self::Number16(at, number) => put(bytes, at, &number.to_le_bytes()),
            Self::Number32(at, number) => put(bytes, at, &number.to_le_bytes()),
            Self::Number64(at, number) => put(bytes, at, &number.to_le_bytes()),
            Self::Moved(at, is_long, by) => {
                let mut number = [0; 8];
                let from = &bytes[place(at, bytes.len())..];
                let count = from.len().min(if is_long { 8 } else { 4 });
                number[..count].copy_from_slice(&from[..count]);
                let moved = u64::from_le_bytes(number).wrapping_add_signed(by.into());
                put(bytes, at, &moved.to_le_bytes()[..count]);
            }
            Self::Zeros(at, count) => {
                let zeros = vec![0; usize::from(count).min(bytes.len())];
                put(bytes, at, &zeros);
            }
            Self::Truncated(at) => bytes.truncate(place(at, bytes.len())),
            Self::Extended(count, byte) => bytes.resize(bytes.len() + usize::from(count), byte),
            Self::Copied { .. } | Self::Removed | Self::Renamed(_) | Self::Exchanged => {}
        }
    }
}

fn low(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap()
}

fn nth(files: &[FileName], number: u8) -> Option<FileName> {
    let place = usize::from(number).checked_rem(files.len())?;
    files.get(place).copied()
}

fn place(at: u16, len: usize) -> usize {
    usize::from(at).checked_rem(len).unwrap_or_default()
}

/// Writes over what is there, as far as the file goes.
fn put(bytes: &mut [u8], at: u16, new: &[u8]) {
    let at = place(at, bytes.len());
    let count = new.len().min(bytes.len() - at);
    bytes[at..at + count].copy_from_slice(&new[..count]);
}
