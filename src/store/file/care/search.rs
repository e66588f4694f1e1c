//! Looking for whole records and frames where the ones before are damaged.

use crate::error::Error;
use crate::position::Position;
use crate::storage::{FileName, StorageFile};
use crate::store::file::bytes::Fields;
use crate::store::file::fault::failed;
use crate::store::file::frame::{FRAME_HEADER_BYTES, FrameHeader, verify_records};
use crate::store::file::record::{RECORD_BYTES_MIN, Record, may_begin};
use crate::store::file::scan::windows;
use crate::store::file::segment::{SEGMENT_HEADER_BYTES, seed};

/// A part of a segment's file that is searched.
pub(super) struct Search<'f> {
    pub(super) file: &'f dyn StorageFile,
    pub(super) name: FileName,
    pub(super) tag: u64,
    /// Where the segment ends.
    pub(super) limit: u64,
}

/// What is whole.
pub(super) enum Found {
    /// A frame's header begins here; the frame lies inside the segment.
    Frame(u32, FrameHeader),
    /// A record begins here; its bytes.
    Record(u32, Vec<u8>),
}

impl Search<'_> {
    pub(super) fn seed(&self) -> u32 {
        seed(self.tag)
    }

    /// The first frame or record from an offset on whose positions lie behind `head`. A frame that is not whole is one whose
    /// records are found one by one.
    pub(super) fn next(&self, from: u64, head: Position) -> Result<Option<Found>, Error> {
        windows(self.file, self.name, (from, self.limit), |offset, bytes| {
            if let Some(header) = self.header(offset, bytes, head) {
                return Ok(Some(Found::Frame(offset, header)));
            }
            let Some(length) = may_begin(bytes).filter(|length| self.fits(offset, *length)) else {
                return Ok(None);
            };
            let bytes = self.read(offset, length)?;
            let is_behind = |record: Record<'_>| record.event.position() > head;
            let is_whole = Record::decode(&bytes, self.seed()).is_ok_and(is_behind);
            Ok(is_whole.then_some(Found::Record(offset, bytes)))
        })
    }

    /// The first frame from an offset on all of which is whole, and whose positions lie behind `head`.
    pub(super) fn next_whole_frame(
        &self,
        from: u32,
        head: Position,
    ) -> Result<Option<(u32, FrameHeader)>, Error> {
        windows(self.file, self.name, (from.into(), self.limit), |offset, bytes| {
            let Some(header) = self.header(offset, bytes, head) else { return Ok(None) };
            let frame = self.read(offset, header.length)?;
            let is_whole = verify_records(&frame, self.tag, &header, |_, _| {}).is_ok();
            Ok(is_whole.then_some((offset, header)))
        })
    }

    fn header(&self, offset: u32, bytes: &[u8], head: Position) -> Option<FrameHeader> {
        let (header, _) = FrameHeader::decode(bytes, self.tag).ok()?;
        (header.first > head && self.fits(offset, header.length)).then_some(header)
    }

    fn fits(&self, offset: u32, length: u32) -> bool {
        u64::from(offset) + u64::from(length) <= self.limit
    }

    fn read(&self, offset: u32, length: u32) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; length as usize];
        let read = self.file.read_up_to(offset.into(), &mut bytes);
        bytes.truncate(read.map_err(failed("reading", self.name))?);
        Ok(bytes)
    }
}

/// The tag of a segment whose header is damaged, and the position that it begins with: those of the first frame that bears a tag
/// out, together with its first record.
pub(super) fn learn_tag(
    file: &dyn StorageFile,
    name: FileName,
    limit: u64,
) -> Result<Option<(u64, Position)>, Error> {
    windows(file, name, (SEGMENT_HEADER_BYTES.into(), limit), |offset, bytes| {
        let Some(tag) = Fields(bytes).u64().filter(|tag| *tag != 0) else { return Ok(None) };
        let Ok((header, _)) = FrameHeader::decode(bytes, tag) else { return Ok(None) };
        let search = Search { file, name, tag, limit };
        let start = offset.saturating_add(FRAME_HEADER_BYTES);
        let length = header.length.max(FRAME_HEADER_BYTES + RECORD_BYTES_MIN) - FRAME_HEADER_BYTES;
        let left = limit.saturating_sub(start.into());
        let bytes = search.read(start, length.min(u32::try_from(left).unwrap_or(length)))?;
        Ok(Record::decode(&bytes, seed(tag)).is_ok().then_some((tag, header.first)))
    })
}
