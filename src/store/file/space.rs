//! Space that is prepared behind the last frame, and who may change a segment's length.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

/// How much of the last segment is filled with zeros, and a turn for those who change that.
///
/// Zeros are appended in the background while frames are written. Were both to make the file grow at the same place, zeros could
/// end up on top of frames; so whoever writes behind the prepared space, cuts the file or fills it holds the turn.
#[derive(Debug, Default)]
pub(super) struct Space {
    turn: Mutex<()>,
    /// The length of the last segment's file. All of it behind the last frame is zeros.
    prepared: AtomicU64,
    /// The length at which the last segment ends, and that at which the next one will.
    room: AtomicU32,
    next_room: AtomicU32,
    /// How long the next segment's file is, all of it zeros; 0 if there is none.
    spare: AtomicU64,
    /// Where the log ended when the store was opened, if that was in the last segment; else 0.
    opened: AtomicU64,
}

/// The right to change the length of the last segment, until it is dropped.
pub(super) struct Claim<'s> {
    space: &'s Space,
    _turn: MutexGuard<'s, ()>,
}

impl Space {
    /// Of a last segment that ends at the first length and whose successor will at the second, and of which so much is written, in
    /// a file of this length.
    pub(super) fn of(rooms: (u32, u32), end: u64, length: u64) -> Self {
        let space = Self { opened: end.into(), prepared: length.into(), ..Self::default() };
        space.set_rooms(rooms);
        space
    }

    fn set_rooms(&self, (room, next): (u32, u32)) {
        self.room.store(room, Ordering::Release);
        self.next_room.store(next, Ordering::Release);
    }

    pub(super) fn prepared(&self) -> u64 {
        self.prepared.load(Ordering::Acquire)
    }

    pub(super) fn room(&self) -> u32 {
        self.room.load(Ordering::Acquire)
    }

    pub(super) fn next_room(&self) -> u32 {
        self.next_room.load(Ordering::Acquire)
    }

    /// How much of the last segment was there when the store was opened.
    pub(super) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Acquire)
    }

    pub(super) fn spare(&self) -> u64 {
        self.spare.load(Ordering::Acquire)
    }

    pub(super) fn claim(&self) -> Claim<'_> {
        Claim { space: self, _turn: self.turn.lock() }
    }
}

impl Claim<'_> {
    pub(super) fn prepared(&self) -> u64 {
        self.space.prepared()
    }

    pub(super) fn set_prepared(&self, length: u64) {
        self.space.prepared.store(length, Ordering::Release);
    }

    pub(super) fn spare(&self) -> u64 {
        self.space.spare()
    }

    pub(super) fn set_spare(&self, length: u64) {
        self.space.spare.store(length, Ordering::Release);
    }

    /// Takes note of a new last segment that ends at the first length and whose successor will at the second, in a file of this
    /// length.
    pub(super) fn begin(&self, rooms: (u32, u32), length: u64) {
        self.space.set_rooms(rooms);
        self.space.opened.store(0, Ordering::Release);
        self.set_prepared(length);
    }
}
