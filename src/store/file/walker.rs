//! Going through the log, record by record.

use super::address::Address;
use super::cache::CachedFile;
use super::fault::Fault;
use super::frame::{FRAME_HEADER_BYTES, FrameHeader};
use super::record::{self, Header};
use super::segment::{SEGMENT_HEADER_BYTES, seed};
use super::view::View;
use crate::error::Error;
use crate::event::{Batch, RecordedEvent, Sheet};
use crate::position::Position;

/// How much is read at once: little at first, for those who look at little.
const FIRST_BYTES: u32 = 16 << 10;
const CHUNK_BYTES: u32 = 256 << 10;

/// Goes forwards through the log, from a record on or from the beginning of a frame, and takes what is wanted along.
pub(super) struct Walker<'v, 's> {
    view: &'v View<'s>,
    next: Address,
    /// Whether `next` is where a frame begins, or would.
    at_frame: bool,
    /// The position of the record before.
    last: Option<Position>,
    segment: Option<OpenSegment>,
    sheet: Sheet,
    /// What was read last: where it begins in the log and in the sheet. It goes on to the end of the sheet.
    piece: (Address, usize),
    read_bytes: u32,
}

/// What is to be known of the segment that the walker is in.
struct OpenSegment {
    number: u32,
    file: CachedFile,
    tag: u64,
    limit: u32,
}

/// A record that the walker has come to, and where it lies in what was read.
#[derive(Clone, Copy)]
pub(super) struct Met {
    pub(super) at: Address,
    pub(super) header: Header,
    start: usize,
}

impl Met {
    pub(super) fn position(&self) -> Position {
        self.header.outline.position
    }
}

impl<'v, 's> Walker<'v, 's> {
    pub(super) fn from_record(view: &'v View<'s>, next: Address) -> Self {
        let (sheet, piece, read_bytes) = (Sheet::new(view.buffers), (next, 0), FIRST_BYTES);
        let (at_frame, last, segment) = (false, None, None);
        Self { view, next, at_frame, last, segment, sheet, piece, read_bytes }
    }

    pub(super) fn from_frame(view: &'v View<'s>, next: Address) -> Self {
        let mut walker = Self::from_record(view, next);
        walker.at_frame = true;
        walker
    }

    /// Reads much at once from the beginning: most of what comes is wanted.
    pub(super) fn at_full_speed(mut self) -> Self {
        self.read_bytes = CHUNK_BYTES;
        self
    }

    /// The next record; `None` at the end of the view.
    pub(super) fn next(&mut self) -> Result<Option<Met>, Error> {
        if self.at_frame && !self.enter_frame()? {
            return Ok(None);
        }
        self.record().map(Some)
    }

    /// Goes to the record at this address. If it has to be read, so many bytes are read with it.
    pub(super) fn go_to(&mut self, at: Address, bytes: u32) -> Result<Met, Error> {
        (self.next, self.last, self.read_bytes) = (at, None, bytes);
        self.record()
    }

    /// The event of a record that was met last.
    pub(super) fn event(&self, met: &Met) -> RecordedEvent<'_> {
        met.header.event(&self.sheet.bytes()[met.start..])
    }

    /// Takes the event of a record that was met last along.
    pub(super) fn take(&mut self, met: &Met) {
        self.sheet.take(met.header.outline, met.start + met.header.before_texts());
    }

    /// How many events were taken along, and how many bytes they take.
    pub(super) fn taken(&self) -> (usize, usize) {
        self.sheet.taken()
    }

    /// What was taken along.
    pub(super) fn into_batch(self) -> Batch {
        self.sheet.into_batch()
    }

    /// Whether what was read is used up, if all records are about as long as this one.
    pub(super) fn is_used_up(&self, met: &Met) -> bool {
        self.sheet.bytes().len() - met.start < 2 * met.header.length as usize
    }

    fn record(&mut self) -> Result<Met, Error> {
        let at = self.next;
        let start = self.peek(8)?;
        let length = record::claimed_length(&self.sheet.bytes()[start..]);
        let length = length.map_err(|fault| self.damage(at, fault))?;
        let start = self.peek(length)?;
        let bytes = &self.sheet.bytes()[start..];
        let header = Header::decode(bytes, seed(self.tag())).and_then(|header| {
            header.check_pieces(bytes)?;
            Ok(header)
        });
        let header = header.map_err(|fault| self.damage(at, fault))?;
        let position = header.outline.position;
        if self.last.is_some_and(|last| last.checked_add(1) != Some(position)) {
            return Err(self.damage(at, Fault::Wrong("a record is not in its place")));
        }
        self.last = Some(position);
        self.next = at.plus(header.length);
        self.at_frame = header.outline.commit.is_last();
        Ok(Met { at, header, start })
    }

    /// The error that says that the log is damaged, and at which position if that is known.
    #[cold]
    fn damage(&self, at: Address, fault: Fault) -> Error {
        let error = self.view.damage(at, fault);
        match self.last.and_then(|last| last.checked_add(1)) {
            Some(position) => error.at_position(position),
            None => error,
        }
    }

    /// Steps over the header of a frame, and into the next segment where there is one. False at the end.
    fn enter_frame(&mut self) -> Result<bool, Error> {
        while self.next.offset() == self.view.limit(self.next) {
            if self.next.segment() == self.view.end.segment() {
                return Ok(false);
            }
            self.next = Address::new(self.next.segment() + 1, SEGMENT_HEADER_BYTES);
        }
        if self.next >= self.view.end {
            return Ok(false);
        }
        let at = self.next;
        let start = self.peek(FRAME_HEADER_BYTES)?;
        let header = FrameHeader::decode(&self.sheet.bytes()[start..], self.tag());
        header.map_err(|fault| self.damage(at, fault))?;
        self.next = at.plus(FRAME_HEADER_BYTES);
        self.at_frame = false;
        Ok(true)
    }

    fn tag(&self) -> u64 {
        self.segment.as_ref().map_or(0, |segment| segment.tag)
    }

    /// Sees to it that so many bytes are read from where the walker stands; and where they begin in the sheet.
    #[inline]
    fn peek(&mut self, bytes: u32) -> Result<usize, Error> {
        let (piece, start) = self.piece;
        let known = self.sheet.bytes().len() - start;
        let within = self.next.number().wrapping_sub(piece.number());
        let is_read = within.saturating_add(bytes.into()) <= known as u64;
        if !is_read || piece.segment() != self.next.segment() {
            self.read_on(bytes)?;
        }
        let (piece, start) = self.piece;
        Ok(start + (self.next.offset() - piece.offset()) as usize)
    }

    /// Reads from where the walker stands on, at least so much.
    fn read_on(&mut self, bytes: u32) -> Result<(), Error> {
        let segment = self.open()?;
        let left = segment.limit.saturating_sub(self.next.offset());
        if bytes > left {
            return Err(self.damage(self.next, Fault::Short));
        }
        let much = self.read_bytes.max(bytes).min(left);
        self.read_bytes = (self.read_bytes * 4).clamp(FIRST_BYTES, CHUNK_BYTES);
        self.read(much).or_else(|_| {
            // What is asked for may be readable, and what lies behind it not.
            self.read_bytes = bytes;
            self.read(bytes)
        })
    }

    fn read(&mut self, bytes: u32) -> Result<(), Error> {
        let bytes = bytes as usize;
        if self.sheet.is_full_with(bytes) {
            self.sheet.turn();
        }
        self.piece = (self.next, self.sheet.bytes().len());
        let Self { view, next, segment, sheet, .. } = self;
        let file = segment.as_ref().map(|segment| &segment.file);
        let read = view.read_directly(*next, file, sheet.room(bytes));
        read.inspect_err(|_| sheet.give_back(bytes))
    }

    fn open(&mut self) -> Result<&OpenSegment, Error> {
        let number = self.next.segment();
        let known = self.segment.take().filter(|segment| segment.number == number);
        let segment = match known {
            Some(known) => known,
            None => {
                let (limit, tag) = (self.view.limit(self.next), self.view.tag(self.next));
                OpenSegment { number, file: self.view.log.file(number)?, tag, limit }
            }
        };
        Ok(self.segment.insert(segment))
    }
}
