//! Where snapshots are kept.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::at::At;
use crate::error::Error;
use crate::id::{EventId, StreamId};
use crate::position::{Position, Version};

/// The state of an aggregate after one of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The aggregate's stream.
    pub stream: StreamId,
    /// The version of the last event that is folded in.
    pub version: Version,
    /// Its position.
    pub position: Position,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// Its identity. A log that has another event at this version is not the one the snapshot was made from.
    pub event_id: EventId,
    /// What the state's meaning depends on beside the events: a digest of the state's type and fields, the upcasters, and
    /// the revision that the repository declares.
    pub fingerprint: u64,
    /// The state, as JSON.
    pub state: Vec<u8>,
}

impl Snapshot {
    /// Whether everything that is folded in had happened at this point.
    #[must_use]
    pub fn is_within(&self, at: At) -> bool {
        at.includes(self.version, self.position, self.recorded_at)
    }
}

/// Keeps snapshots. It may lose any of them at any time; it never makes one up.
///
/// An error is not an obstacle: whoever loads folds the events instead.
pub trait SnapshotStore: fmt::Debug + Send + Sync + 'static {
    /// The newest snapshot of the stream with this fingerprint, or the newest that lies
    /// [within](Snapshot::is_within) a point in history.
    fn newest(
        &self,
        stream: &StreamId,
        fingerprint: u64,
        within: Option<At>,
    ) -> Result<Option<Snapshot>, Error>;

    /// Keeps a snapshot, and lets go of those of the same stream and fingerprint that are no longer [`kept`]. They may
    /// come in any order.
    fn save(&self, snapshot: Snapshot) -> Result<(), Error>;

    /// Lets go of all snapshots of the stream.
    fn forget(&self, stream: &StreamId) -> Result<(), Error>;
}

/// Which of a stream's snapshots to keep: the newest, and a few at growing distances behind it, so that time travel
/// finds one near to wherever it goes. The versions ascend; the answer has the same order.
///
/// For each power of two one snapshot at a distance between it and its double is kept, so their number grows with the
/// logarithm of the stream's length.
#[must_use]
pub fn kept(versions: &[Version]) -> Vec<bool> {
    let Some(newest) = versions.last() else {
        return Vec::new();
    };
    let scale = |version: &Version| (newest.get() - version.get()).checked_ilog2();
    // The oldest at each scale is kept: it is the one that reaches the next scale first.
    let is_first =
        |index: usize| index == 0 || scale(&versions[index - 1]) != scale(&versions[index]);
    (0..versions.len()).map(is_first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_snapshots_stay_near_every_distance() {
        let mut versions: Vec<Version> = Vec::new();
        for version in (100..=1_000_000).step_by(100).map(Version::new) {
            versions.push(version);
            let keep = kept(&versions);
            let mut keep = keep.iter();
            versions.retain(|_| *keep.next().unwrap());
            assert_eq!(*versions.last().unwrap(), version, "the newest is kept");
            assert!(versions.len() <= 2 + version.get().ilog2() as usize);
            let first_distance = version.get() - versions[0].get();
            assert!(
                first_distance * 4 >= version.get() - 100,
                "the oldest is a good part of the way back"
            );
            for pair in versions.windows(2) {
                let (far, near) = (version.get() - pair[0].get(), version.get() - pair[1].get());
                assert!(far <= 4 * near.max(100), "{far} behind, then {near}, at {version}");
            }
        }
    }
}
