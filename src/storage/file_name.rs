//! What the files of a store are called.

use std::fmt;

/// The name of a file in the directory of a store. There are no others: no text from outside becomes a file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FileName {
    /// The identity of the store.
    Store,
    /// A store file that is being made.
    StoreDraft,
    /// The file that the writer holds locked.
    Lock,
    /// How far the log is synced.
    Watermark,
    /// A segment of the log, by its number.
    Segment(u32),
    /// A segment that is made ahead of its use.
    Spare,
    /// An index run, by the first and the last position it covers.
    Run(u64, u64),
    /// An index run that is being made of recent events.
    RunDraft,
    /// An index run that is being made of others.
    MergeDraft,
    /// Snapshots of aggregates.
    Snapshots,
    /// A snapshot file that is being made.
    SnapshotsDraft,
    /// What recovery cut off a segment, by its number and the offset of the cut.
    Torn(u32, u32),
}

const FIXED: [(FileName, &str); 9] = [
    (FileName::Store, "store"),
    (FileName::StoreDraft, "store.draft"),
    (FileName::Lock, "lock"),
    (FileName::Watermark, "watermark"),
    (FileName::Spare, "spare"),
    (FileName::RunDraft, "index.draft"),
    (FileName::MergeDraft, "merge.draft"),
    (FileName::Snapshots, "snapshots"),
    (FileName::SnapshotsDraft, "snapshots.draft"),
];

impl FileName {
    /// The file of this name, if a store has one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        if let Some((file, _)) = FIXED.iter().find(|(_, fixed)| *fixed == name) {
            return Some(*file);
        }
        let (stem, extension) = name.rsplit_once('.')?;
        let pair = || stem.split_once('-');
        let file = match extension {
            "log" => Self::Segment(stem.parse().ok()?),
            "index" => Self::Run(pair()?.0.parse().ok()?, pair()?.1.parse().ok()?),
            "torn" => Self::Torn(pair()?.0.parse().ok()?, pair()?.1.parse().ok()?),
            _ => return None,
        };
        // Only the one spelling that is written counts.
        (file.to_string() == name).then_some(file)
    }

    /// Whether it is of no use once the store that made it is gone.
    #[must_use]
    pub fn is_unfinished(self) -> bool {
        matches!(
            self,
            Self::StoreDraft
                | Self::RunDraft
                | Self::MergeDraft
                | Self::SnapshotsDraft
                | Self::Spare
        )
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(number) => write!(f, "{number:010}.log"),
            Self::Run(first, last) => write!(f, "{first:020}-{last:020}.index"),
            Self::Torn(segment, offset) => write!(f, "{segment:010}-{offset:010}.torn"),
            fixed => {
                let name = FIXED.iter().find(|(file, _)| file == fixed).map(|(_, name)| *name);
                f.write_str(name.expect("every other name is fixed"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_as_they_are_written() {
        let mut names: Vec<FileName> = FIXED.iter().map(|(file, _)| *file).collect();
        names.extend([FileName::Segment(1), FileName::Segment(u32::MAX), FileName::Torn(3, 96)]);
        names.extend([FileName::Run(1, 2), FileName::Run(1, u64::MAX)]);
        for name in names {
            assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }
        for other in ["", "1.log", "00000000001.log", "+000000001.log", "a.index", "1-2.index"] {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
    }
}
