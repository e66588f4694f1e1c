//! Going through the log, record by record.

use super::address::Address;
use super::fault::Fault;
use super::frame::{FRAME_HEADER_BYTES, FrameHeader};
use super::record::{self, Record};
use super::segment::SEGMENT_HEADER_BYTES;
use super::view::View;
use crate::error::Error;
use crate::position::Position;

/// How much is read at once: little at first, for those who look at little.
const FIRST_BYTES: u32 = 16 << 10;
const CHUNK_BYTES: u32 = 256 << 10;

/// Goes forwards through the log, from a record on or from the beginning of a frame.
pub(super) struct Walker<'v, 's> {
    view: &'v View<'s>,
    next: Address,
    /// Whether `next` is where a frame begins, or would.
    at_frame: bool,
    /// The position of the record before.
    last: Option<Position>,
    /// What was read, and from where on.
    chunk: Vec<u8>,
    chunk_at: Address,
    chunk_bytes: u32,
}

impl<'v, 's> Walker<'v, 's> {
    pub(super) fn from_record(view: &'v View<'s>, next: Address) -> Self {
        let (chunk, chunk_bytes) = (Vec::new(), FIRST_BYTES);
        Self { view, next, at_frame: false, last: None, chunk, chunk_at: next, chunk_bytes }
    }

    pub(super) fn from_frame(view: &'v View<'s>, next: Address) -> Self {
        let mut walker = Self::from_record(view, next);
        walker.at_frame = true;
        walker
    }

    /// The next record and its address; `None` at the end of the view.
    pub(super) fn next(&mut self) -> Result<Option<(Address, Record<'_>)>, Error> {
        if self.at_frame && !self.enter_frame()? {
            return Ok(None);
        }
        let at = self.next;
        self.record().map(|record| Some((at, record)))
    }

    /// Goes to the record at this address. If it has to be read, so many bytes are read with it.
    pub(super) fn go_to(&mut self, at: Address, bytes: u32) -> Result<Record<'_>, Error> {
        (self.next, self.last, self.chunk_bytes) = (at, None, bytes);
        self.record()
    }

    fn record(&mut self) -> Result<Record<'_>, Error> {
        let at = self.next;
        let length = record::claimed_length(self.peek(8)?);
        let length = length.map_err(|fault| self.damage(at, fault))?;
        self.peek(length)?;
        let start = (at.offset() - self.chunk_at.offset()) as usize;
        let decoded = Record::decode(&self.chunk[start..], self.view.seed(at));
        let record = decoded.map_err(|fault| self.damage(at, fault))?;
        let position = record.event.position();
        if self.last.is_some_and(|last| last.checked_add(1) != Some(position)) {
            return Err(self.damage(at, Fault::Wrong("a record is not in its place")));
        }
        self.last = Some(position);
        self.next = at.plus(record.length);
        self.at_frame = record.event.commit().is_last();
        Ok(record)
    }

    /// The error that says that the log is damaged, and at which position if that is known.
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
        let (at, tag) = (self.next, self.view.tag(self.next));
        let header = FrameHeader::decode(self.peek(FRAME_HEADER_BYTES)?, tag);
        header.map_err(|fault| self.damage(at, fault))?;
        self.next = at.plus(FRAME_HEADER_BYTES);
        self.at_frame = false;
        Ok(true)
    }

    /// So many bytes from where the walker stands.
    fn peek(&mut self, bytes: u32) -> Result<&[u8], Error> {
        let left = self.view.limit(self.next).saturating_sub(self.next.offset());
        if bytes > left {
            return Err(self.damage(self.next, Fault::Short));
        }
        let held = u32::try_from(self.chunk.len()).unwrap_or(u32::MAX);
        let within = self.next.segment() == self.chunk_at.segment()
            && self.next >= self.chunk_at
            && self.next.offset() - self.chunk_at.offset() + bytes <= held;
        if !within {
            self.chunk_at = self.next;
            let much = self.chunk_bytes.max(bytes).min(left);
            self.chunk_bytes = (self.chunk_bytes * 4).min(CHUNK_BYTES);
            if self.read(much).is_err() {
                // What is asked for may be readable, and what lies behind it not.
                self.chunk_bytes = bytes;
                self.read(bytes)?;
            }
        }
        let start = (self.next.offset() - self.chunk_at.offset()) as usize;
        Ok(&self.chunk[start..start + bytes as usize])
    }
    fn read(&mut self, bytes: u32) -> Result<(), Error> {
        self.chunk.resize(bytes as usize, 0);
        let read = self.view.read_directly(self.chunk_at, &mut self.chunk);
        read.inspect_err(|_| self.chunk.clear())
    }
}
