//! The stores that are changed: one that was closed, and one whose process was killed.

use annals::storage::FileName;

use crate::disk::State;

macro_rules! store {
    ($state:literal: $($name:literal),+ $(,)?) => {
        &[$((
            $name,
            include_bytes!(concat!("../../../tests/fixtures/v1/", $state, "/", $name)),
        )),+]
    };
}

type Files = &'static [(&'static str, &'static [u8])];

const CLOSED: Files = store!(
    "closed":
    "00000000000000000001-00000000000000000093.index",
    "00000000000000000094-00000000000000000116.index",
    "00000000000000000117-00000000000000000132.index",
    "0000000001.log",
    "0000000002.log",
    "0000000003.log",
    "0000000004.log",
    "spare",
    "store",
    "watermark",
);

const KILLED: Files = store!(
    "killed":
    "00000000000000000001-00000000000000000093.index",
    "00000000000000000094-00000000000000000116.index",
    "0000000001.log",
    "0000000002.log",
    "0000000003.log",
    "0000000004.log",
    "spare",
    "store",
    "watermark",
);

/// What lies on the disk before anything is changed.
pub(crate) fn golden(is_closed: bool) -> State {
    let mut state = State::default();
    for (name, bytes) in if is_closed { CLOSED } else { KILLED } {
        state.put(FileName::parse(name).unwrap(), bytes.to_vec());
    }
    state
}
