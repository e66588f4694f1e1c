//! The log as it stands at one moment, and how single records are read from it.

use std::sync::Arc;

use super::address::Address;
use super::cache::CachedFile;
use super::fault::Fault;
use super::index::{Cursor, Latest, Search, Sought, Sources, TermCursor, Terms};
use super::log::Log;
use super::record::{Claim, Record};
use super::segment::seed;
use crate::error::{Error, ErrorKind};
use crate::event::Buffers;
use crate::id::StreamId;
use crate::position::{Position, Version};
use crate::storage::FileName;
use crate::store::query::Direction;

/// Everything up to one place of the log. What lies behind it is not seen, even if it is there already.
#[derive(Clone)]
pub(super) struct View<'s> {
    pub(super) log: &'s Log,
    pub(super) terms: Terms,
    pub(super) sources: Arc<Sources>,
    pub(super) end: Address,
    pub(super) head: Position,
    pub(super) buffers: &'s Arc<Buffers>,
    /// Frames that are not written yet, and the address they will have.
    pub(super) staged: Option<(Address, &'s [u8])>,
}

/// How many bytes of a record are read at first, before its length is known.
const GUESS_BYTES: u32 = 768;

impl View<'_> {
    /// Where the segment of this address ends.
    pub(super) fn limit(&self, at: Address) -> u32 {
        self.log.limit(at.segment(), self.end)
    }

    /// Behind where no record goes on that begins at this address: a segment's end, and the border to what is staged, which
    /// is also where the file may end.
    fn record_limit(&self, at: Address) -> u32 {
        match self.staged {
            Some((start, _)) if start.segment() == at.segment() && at < start => start.offset(),
            _ => self.limit(at),
        }
    }

    /// What the checksums in the segment of this address begin with.
    pub(super) fn seed(&self, at: Address) -> u32 {
        seed(self.tag(at))
    }

    pub(super) fn tag(&self, at: Address) -> u64 {
        self.log.segment(at.segment()).map_or(0, |segment| segment.header.tag)
    }

    /// Fills the buffer from an address on; all of it lies below the segment's limit.
    fn read(&self, at: Address, into: &mut [u8]) -> Result<(), Error> {
        match self.staged {
            Some((start, staged)) if at >= start => {
                let offset = (at.offset() - start.offset()) as usize;
                into.copy_from_slice(&staged[offset..offset + into.len()]);
                Ok(())
            }
            _ => self.log.read_cached(at, self.record_limit(at), into),
        }
    }

    /// Like [`read`](Self::read), past the cache, and also across the border between what is written and what is staged.
    /// `file` is that of the segment, if it is at hand.
    pub(super) fn read_directly(
        &self,
        at: Address,
        file: Option<&CachedFile>,
        into: &mut [u8],
    ) -> Result<(), Error> {
        let Some((start, _)) = self.staged.filter(|(start, _)| at.segment() == start.segment())
        else {
            return match file {
                Some(file) => file.read(at, into),
                None => self.log.read(at, into),
            };
        };
        let written = start.offset().saturating_sub(at.offset()) as usize;
        let (written, staged) = into.split_at_mut(written.min(into.len()));
        if !written.is_empty() {
            self.log.read(at, written)?;
        }
        if staged.is_empty() { Ok(()) } else { self.read(start.max(at), staged) }
    }

    /// The bytes of the record at an address, not verified yet.
    pub(super) fn record_bytes(&self, at: Address) -> Result<Vec<u8>, Error> {
        let left = self.record_limit(at).saturating_sub(at.offset());
        let mut bytes = vec![0; left.min(GUESS_BYTES) as usize];
        self.read(at, &mut bytes)?;
        let length = Claim::of(&bytes).and_then(|Claim { length, .. }| {
            if length > left {
                Err(Fault::Wrong("a record reaches beyond the log"))
            } else {
                Ok(length)
            }
        });
        let length = length.map_err(|fault| self.damage(at, fault))?;
        if length as usize > bytes.len() {
            let known = bytes.len();
            bytes.resize(length as usize, 0);
            let rest = at.plus(u32::try_from(known).expect("at most the guess"));
            self.read(rest, &mut bytes[known..])?;
        }
        Ok(bytes)
    }

    /// Verifies the record that these bytes from an address begin with.
    pub(super) fn record<'b>(&self, at: Address, bytes: &'b [u8]) -> Result<Record<'b>, Error> {
        Record::decode(bytes, self.seed(at)).map_err(|fault| self.damage(at, fault))
    }

    /// The error that says that the log is damaged, and near which position.
    pub(super) fn damage(&self, at: Address, fault: Fault) -> Error {
        let error = fault.at(FileName::Segment(at.segment()), at.offset().into());
        match self.sources.places_around(|place| place.address <= at) {
            Ok((Some(place), _)) => error.at_position(place.position),
            _ => error,
        }
    }

    /// The version of a stream's last event, if that lies at this address or behind it.
    pub(super) fn version(
        &self,
        stream: &StreamId,
        from: Address,
    ) -> Result<Option<Version>, Error> {
        let mut end = self.end;
        for part in self.sources.recents.iter().rev().filter(|part| part.from < self.end) {
            match part.recent.read().latest(stream) {
                Latest::None => end = part.from,
                Latest::Is(version, address) if address < end => {
                    return Ok((address >= from).then_some(version));
                }
                Latest::Is(..) | Latest::Unknown => break,
            }
        }
        let mut cursor = Cursor::Term(TermCursor::new(self.terms.stream(stream)));
        let search = Search::new(&self.sources, from, end);
        let mut at = end.before();
        while let Sought::At(found) = cursor.seek(&search, at, Direction::Backwards)? {
            let bytes = self.record_bytes(found)?;
            let record = self.record(found, &bytes)?;
            if record.event.stream() == *stream {
                return Ok(Some(record.event.version()));
            }
            at = found.before();
        }
        Ok(None)
    }
}

/// Whether an error is damage of an index run, which can be made again; and of which.
pub(super) fn damaged_run(error: &Error) -> Option<FileName> {
    let ErrorKind::Damaged { file, .. } = error.kind() else { return None };
    FileName::parse(file).filter(|name| matches!(name, FileName::Run(..)))
}
