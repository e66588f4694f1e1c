//! What can be known of events that are lost: the index still names their terms.

use std::collections::{BTreeMap, HashMap};

use super::finding::{Finding, Findings};
use super::sections::Sections;
use super::survey::{Piece, Survey, Thoroughness};
use super::verify::audit;
use crate::error::{Error, ErrorKind};
use crate::event::RecordedEvent;
use crate::id::StreamId;
use crate::position::{Position, Version};
use crate::progress::Progress;
use crate::storage::FileName;
use crate::store::file::address::Address;
use crate::store::file::beginning::StoreId;
use crate::store::file::index::{Hash, Terms};

/// Of more lost events than this, nothing is looked up.
const LOOKED_UP_MAX: usize = 1 << 20;

/// A stream that has lost events, at the place that a reader in the order of the log has reached.
struct Stream {
    id: StreamId,
    last: Version,
    /// How many lost events of unknown streams lie before that: if more have come since, its next version is not known.
    unknown: u64,
    /// Where the lost events lay behind which none of the stream has come yet, and their versions.
    end: Option<(Address, Version)>,
}

/// The lost events of which the index knows.
pub(super) struct Lost {
    terms: Terms,
    /// Where each lay, and the hashes of its terms.
    events: BTreeMap<Position, (Address, Vec<Hash>)>,
    /// The streams among those hashes, as far as events of them are left.
    streams: HashMap<Hash, Stream>,
    /// How many lost events have come that may be of any stream.
    unknown: u64,
}

/// Positions that are lost, and between which addresses they lay.
struct Range {
    first: Position,
    last: Position,
    from: Address,
    to: Address,
}

impl Lost {
    /// Where nothing is known to be lost.
    pub(super) fn nothing(store: StoreId) -> Self {
        let terms = Terms::of_store(store);
        Self { terms, events: BTreeMap::new(), streams: HashMap::new(), unknown: 0 }
    }

    /// Finds out what is lost, and what is wrong besides.
    pub(super) fn of(
        sections: &Sections,
        read: &mut dyn FnMut(u64),
    ) -> Result<(Self, Findings), Error> {
        let (mut ranges, mut end): (Vec<Range>, _) = (Vec::new(), Address::MIN);
        let mut see = |piece: &Piece<'_>| match piece {
            Piece::Finding(finding) => {
                let is_new = |(first, _): &(Position, Position)| {
                    ranges.last().is_none_or(|range| range.first != *first)
                };
                if let Some((first, last)) = finding.lost.filter(is_new) {
                    ranges.push(Range { first, last, from: end, to: Address::MAX });
                }
            }
            Piece::Record(at, record) => {
                if let Some(range) = ranges.last_mut().filter(|range| range.to == Address::MAX) {
                    range.to = *at;
                }
                end = at.plus(record.length);
            }
            _ => {}
        };
        let mut progress = |progress: Progress| read(progress.done);
        let found = audit(sections, Thoroughness::Everything, &mut progress, &mut see)?;
        let mut lost = Self::nothing(sections.store);
        lost.look_up(sections, &ranges)?;
        lost.name_streams(sections)?;
        Ok((lost, found.findings))
    }

    /// Looks for the lost events in the runs that are whole.
    fn look_up(&mut self, sections: &Sections, ranges: &[Range]) -> Result<(), Error> {
        if ranges.is_empty() || !sections.is_certain {
            return Ok(());
        }
        let mut found: BTreeMap<Address, Vec<Hash>> = BTreeMap::new();
        for run in sections.chosen_runs() {
            let looked = run.each_pair(|hash, address| {
                let behind = ranges.partition_point(|range| range.to <= address);
                let is_lost = ranges.get(behind).is_some_and(|range| range.from <= address);
                if is_lost && found.len() < LOOKED_UP_MAX {
                    found.entry(address).or_default().push(hash);
                }
            });
            match looked {
                // What a damaged run lacks is not known; what it has is true.
                Err(error) if matches!(error.kind(), ErrorKind::Damaged { .. }) => {}
                looked => looked?,
            }
        }
        if found.len() == LOOKED_UP_MAX {
            return Ok(());
        }
        for range in ranges {
            let lay: Vec<_> = found.range(range.from..range.to).collect();
            // Where the index does not know all of them, nobody knows which of them it knows.
            if lay.len() as u64 == range.last.get() - range.first.get() + 1 {
                for (position, (address, hashes)) in (range.first.get()..).zip(lay) {
                    self.events.insert(Position::new(position), (*address, hashes.clone()));
                }
            }
        }
        Ok(())
    }

    /// Finds the names of the lost events' streams.
    fn name_streams(&mut self, sections: &Sections) -> Result<(), Error> {
        if self.events.is_empty() {
            return Ok(());
        }
        let hashes: std::collections::HashSet<Hash> =
            self.events.values().flat_map(|(_, hashes)| hashes).copied().collect();
        Survey::new(sections, Thoroughness::Everything).run(&mut |piece| {
            if let Piece::Record(_, record) = piece {
                let stream = record.event.stream();
                let hash = self.terms.stream(stream.as_str());
                if hashes.contains(&hash) {
                    let new = || Stream {
                        id: stream.to_stream_id(),
                        last: Version::ZERO,
                        unknown: 0,
                        end: None,
                    };
                    self.streams.entry(hash).or_insert_with(new);
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    /// The streams whose last events are lost.
    pub(super) fn ends(self) -> impl Iterator<Item = Finding> {
        self.streams.into_values().filter_map(|stream| {
            let (address, first) = stream.end?;
            let (file, offset) = (FileName::Segment(address.segment()), address.offset());
            let mut finding =
                Finding::new(file, offset.into(), "the last events of a stream are lost");
            finding.stream = Some((stream.id, first, stream.last));
            Some(finding)
        })
    }

    /// The stream and the version of the lost event at this position, if they are known. It is asked, and told, in the order of
    /// the log.
    pub(super) fn was_in(&mut self, position: Position) -> Option<(String, Version)> {
        let Some((address, hashes)) = self.events.get(&position) else {
            self.unknown += 1;
            return None;
        };
        let hash = hashes.iter().find(|hash| self.streams.contains_key(hash))?;
        let stream = self.streams.get_mut(hash).filter(|stream| stream.unknown == self.unknown);
        let Some(stream) = stream else {
            self.unknown += 1;
            return None;
        };
        stream.last = Version::new(stream.last.get().saturating_add(1));
        stream.end.get_or_insert((*address, stream.last));
        Some((stream.id.to_string(), stream.last))
    }

    /// Takes note of an event that is left.
    pub(super) fn pass(&mut self, event: &RecordedEvent<'_>) {
        if self.streams.is_empty() {
            return;
        }
        let hash = self.terms.stream(event.stream().as_str());
        if let Some(stream) = self.streams.get_mut(&hash) {
            (stream.last, stream.unknown, stream.end) = (event.version(), self.unknown, None);
        }
    }
}
