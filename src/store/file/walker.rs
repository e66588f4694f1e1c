//! Going through the log, record by record.

use super::address::Address;
use super::cache::CachedFile;
use super::fault::Fault;
use super::frame::{FRAME_HEADER_BYTES, FrameHeader};
use super::record::{Claim, Header, LENGTH_END_MAX};
use super::segment::{SEGMENT_HEADER_BYTES, seed};
use super::view::View;
use crate::error::Error;
use crate::event::{Batch, Outline, RecordedEvent, Sheet};
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
    met: Option<Met>,
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

/// The record that the walker has come to.
#[derive(Clone, Copy)]
struct Met {
    at: Address,
    header: Header,
    /// Where it begins in the sheet.
    start: usize,
}

impl<'v, 's> Walker<'v, 's> {
    pub(super) fn from_record(view: &'v View<'s>, next: Address) -> Self {
        let (sheet, piece, read_bytes) = (Sheet::new(view.buffers), (next, 0), FIRST_BYTES);
        let (at_frame, last, segment, met) = (false, None, None, None);
        Self { view, next, at_frame, last, segment, met, sheet, piece, read_bytes }
    }

    pub(super) fn from_frame(view: &'v View<'s>, next: Address) -> Self {
        let mut walker = Self::from_record(view, next);
        walker.at_frame = true;
        walker
    }

    /// Reads much at once from the beginning.
    pub(super) fn expect_much(&mut self) {
        self.read_bytes = CHUNK_BYTES;
        self.sheet.expect_much();
    }

    /// Comes to the next record; false at the end of the view.
    #[inline]
    pub(super) fn next(&mut self) -> Result<bool, Error> {
        if self.at_frame && !self.enter_frame()? {
            return Ok(false);
        }
        self.record().map(|()| true)
    }

    /// Goes to the record at this address. If it has to be read, so many bytes are read with it.
    pub(super) fn go_to(&mut self, at: Address, bytes: u32) -> Result<(), Error> {
        (self.next, self.last, self.read_bytes) = (at, None, bytes);
        self.record()
    }

    fn met(&self) -> &Met {
        self.met.as_ref().expect("the walker has come to a record")
    }

    /// Where the record begins that the walker has come to.
    #[inline]
    pub(super) fn at(&self) -> Address {
        self.met().at
    }

    /// How many bytes that record takes.
    #[inline]
    pub(super) fn record_bytes(&self) -> u32 {
        self.met().header.length
    }

    /// The event of that record, without its texts and bytes.
    #[inline]
    pub(super) fn outline(&self) -> &Outline {
        &self.met().header.outline
    }

    /// The event of that record.
    pub(super) fn event(&self) -> RecordedEvent<'_> {
        self.met().header.event(&self.sheet.bytes()[self.met().start..])
    }

    /// The name of its stream.
    #[inline]
    pub(super) fn stream(&self) -> &[u8] {
        let Met { header, start, .. } = self.met();
        &self.sheet.bytes()[start + header.before_texts()..][..header.outline.stream]
    }

    /// Takes the event of that record along.
    #[inline]
    pub(super) fn take(&mut self) {
        let Met { header, start, .. } = self.met.as_ref().expect("the walker has come to a record");
        self.sheet.take(&header.outline, start + header.before_texts());
    }

    /// Whether what was read is used up, if all records are about as long as that one.
    #[inline]
    pub(super) fn is_used_up(&self) -> bool {
        let Met { header, start, .. } = self.met();
        self.sheet.bytes().len() - start < 2 * header.length as usize
    }

    /// How many events were taken along, and how many bytes they take.
    #[inline]
    pub(super) fn taken(&self) -> (usize, usize) {
        self.sheet.taken()
    }

    /// What was taken along.
    pub(super) fn into_batch(self) -> Batch {
        self.sheet.into_batch()
    }

    #[inline]
    fn record(&mut self) -> Result<(), Error> {
        let at = self.next;
        let mut start = self.peek(LENGTH_END_MAX)?;
        let claim = Claim::of(&self.sheet.bytes()[start..]);
        let claim = claim.map_err(|fault| self.damage(at, fault))?;
        if self.sheet.bytes().len() - start < claim.length as usize {
            start = self.peek(claim.length)?;
        }
        let header = Header::decode(&self.sheet.bytes()[start..], claim, seed(self.tag()));
        let header = header.map_err(|fault| self.damage(at, fault))?;
        let Outline { position, commit, .. } = header.outline;
        if self.last.is_some_and(|last| last.checked_add(1) != Some(position)) {
            return Err(self.damage(at, Fault::Wrong("a record is not in its place")));
        }
        self.last = Some(position);
        self.next = at.plus(header.length);
        self.at_frame = commit.is_last();
        self.met = Some(Met { at, header, start });
        Ok(())
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
