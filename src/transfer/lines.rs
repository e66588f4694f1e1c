//! Lines on their way in.

use std::io::{BufRead, Read};

use super::line::Line;
use crate::error::{Error, ErrorKind};
use crate::id::Tag;
use crate::store::Limits;

/// Reads line by line, none of them longer than limits allow.
pub(super) struct Lines<R> {
    from: R,
    /// The line that was read last, and its number from 1.
    line: Vec<u8>,
    pub(super) number: u64,
    bytes_max: usize,
}

/// What the text of an event takes at most in a line for each of its bytes: six as an escape, and six around a short header.
const ESCAPE_BYTES: usize = 12;
/// More than the names of an event and the fields of fixed size take.
const EXTRA_BYTES: usize = 1024;

impl<R: BufRead> Lines<R> {
    pub(super) fn new(from: R, limits: &Limits) -> Self {
        let tags = limits.tags_max.saturating_add(1).saturating_mul(Tag::BYTES_MAX);
        let text = limits.payload_bytes_max.saturating_add(limits.metadata_bytes_max);
        let bytes = text.saturating_add(tags).saturating_add(EXTRA_BYTES);
        Self { from, line: Vec::new(), number: 0, bytes_max: bytes.saturating_mul(ESCAPE_BYTES) }
    }

    /// The next line that is not blank, and its number; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Line<'_>)>, Error> {
        while self.read()? {
            if self.line.trim_ascii().is_empty() {
                continue;
            }
            return match serde_json::from_slice(self.line.trim_ascii_end()) {
                Ok(line) => Ok(Some((self.number, line))),
                Err(error) => Err(malformed(self.number, &error)),
            };
        }
        Ok(None)
    }

    /// Reads a line; false at the end.
    fn read(&mut self) -> Result<bool, Error> {
        self.line.clear();
        let longest = (self.bytes_max as u64).saturating_add(1);
        let read = Read::by_ref(&mut self.from).take(longest).read_until(b'\n', &mut self.line);
        let read = read.map_err(|source| {
            let detail = format!("reading behind line {}", self.number);
            Error::new(ErrorKind::Transfer).detail(detail).caused_by(source)
        })?;
        if read == 0 {
            return Ok(false);
        }
        self.number += 1;
        if read > self.bytes_max && !self.line.ends_with(b"\n") {
            let (limit, actual) = (self.bytes_max, read);
            let source =
                Error::new(ErrorKind::TooLarge { limit, actual }).detail("bytes of a line");
            return Err(at_line(self.number).caused_by(source));
        }
        Ok(true)
    }
}

/// The error of a line as a whole.
pub(super) fn at_line(line: u64) -> Error {
    Error::new(ErrorKind::Line { line, column: 0 })
}

/// The parser sees only one line, and calls it the first.
fn malformed(line: u64, error: &serde_json::Error) -> Error {
    let (text, column) = (error.to_string(), error.column());
    let place = format!(" at line {} column {column}", error.line());
    let kind = ErrorKind::Line { line, column: column as u64 };
    Error::new(kind).detail(text.strip_suffix(&place).unwrap_or(&text))
}
