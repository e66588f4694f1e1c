//! Space that is prepared behind the last frame, and who may change a segment's length.

use parking_lot::{Condvar, Mutex};

/// How much of the last segment is filled with zeros, and a turn for those who change that.
///
/// Zeros are appended in the background while frames are written. Were both to make the file grow at the same place, zeros could
/// end up on top of frames; so whoever writes behind the prepared space, cuts the file or fills it holds the turn.
#[derive(Debug, Default)]
pub(super) struct Space {
    state: Mutex<State>,
    settled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The length of the last segment's file. All of it behind the last frame is zeros.
    prepared: u64,
    is_taken: bool,
    has_spare: bool,
}

/// The right to change the length of the last segment, until it is dropped.
#[derive(Debug)]
pub(super) struct Claim<'s>(&'s Space);

impl Space {
    pub(super) fn prepared(&self) -> u64 {
        self.state.lock().prepared
    }

    pub(super) fn has_spare(&self) -> bool {
        self.state.lock().has_spare
    }

    /// Takes note that a spare file is there.
    pub(super) fn add_spare(&self) {
        self.state.lock().has_spare = true;
    }

    /// Whether there was a spare file, which is the caller's now.
    pub(super) fn take_spare(&self) -> bool {
        std::mem::take(&mut self.state.lock().has_spare)
    }

    pub(super) fn claim(&self) -> Claim<'_> {
        let mut state = self.state.lock();
        while state.is_taken {
            self.settled.wait(&mut state);
        }
        state.is_taken = true;
        Claim(self)
    }
}

impl Claim<'_> {
    pub(super) fn prepared(&self) -> u64 {
        self.0.prepared()
    }

    pub(super) fn set_prepared(&self, length: u64) {
        self.0.state.lock().prepared = length;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.state.lock().is_taken = false;
        self.0.settled.notify_all();
    }
}
