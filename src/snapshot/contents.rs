//! The file of snapshots, and what is known of it.

use std::io;
use std::sync::Arc;

use super::record::{self, BEGINNING_BYTES, FIXED_BYTES};
use super::table::{Key, Place, Table};
use crate::error::Error;
use crate::storage::{FileName, Storage, StorageFile};
use crate::store::{failed, find};

pub(super) const FILE: FileName = FileName::Snapshots;
const DRAFT: FileName = FileName::SnapshotsDraft;

/// How much is read and written at once.
const PART_BYTES: usize = 1 << 20;

/// The file, and what is known of it.
pub(super) struct Contents {
    /// `None` if there is no file.
    pub(super) file: Option<Arc<dyn StorageFile>>,
    /// Where the next record goes: behind the last one that is whole. Zero if the file lacks its beginning.
    end: u64,
    /// Something else may lie there. It is cut off before a record is written: behind that it could come to count again.
    is_torn: bool,
    pub(super) table: Table,
    /// How many snapshots are let go before the file is to be written anew.
    pub(super) pause: u32,
}

impl Contents {
    /// Reads the file up to where it ends or is damaged. Changes nothing: as long as nothing is saved, it is anybody's.
    pub(super) fn read(storage: &dyn Storage) -> Result<Self, Error> {
        let mut table = Table::default();
        let Some(file) = find(storage, FILE)? else {
            return Ok(Self { file: None, end: 0, is_torn: false, table, pause: 0 });
        };
        let end = read_records(&*file, &mut table).map_err(failed("reading", FILE))?;
        Ok(Self { file: Some(file), end, is_torn: true, table, pause: 0 })
    }

    pub(super) fn is_mostly_dead(&self, worthwhile: u64) -> bool {
        let live = self.table.bytes() + BEGINNING_BYTES as u64;
        self.end > worthwhile && self.end > 2 * live
    }

    /// Writes a record behind the others, and says where it begins. After an error it is as if nothing had been written.
    pub(super) fn append(&mut self, storage: &dyn Storage, record: &[u8]) -> Result<u64, Error> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(storage.create(FILE).map_err(failed("making", FILE))?),
        };
        if self.is_torn {
            file.set_len(self.end).map_err(failed("cutting", FILE))?;
            self.is_torn = false;
        }
        if self.end == 0 {
            file.write_all_at(0, &record::beginning()).map_err(failed("writing", FILE))?;
            self.end = BEGINNING_BYTES as u64;
        }
        let offset = self.end;
        file.write_all_at(offset, record).map_err(|error| {
            self.is_torn = file.set_len(offset).is_err();
            failed("writing", FILE)(error)
        })?;
        self.end += record.len() as u64;
        Ok(offset)
    }

    /// Replaces the file, in one step and for good, by one that holds only what the table has.
    pub(super) fn write_anew(&mut self, storage: &dyn Storage) -> Result<(), Error> {
        let made = storage.create(DRAFT).and_then(|draft| {
            let (places, end) = self.copy_to(&*draft)?;
            draft.sync()?;
            // Crash here: the file is as before, and the draft is of no meaning to anybody.
            storage.rename(DRAFT, FILE)?;
            Ok((draft, places, end))
        });
        let (draft, places, end) = made.map_err(|error| {
            // What was written of it takes room.
            let _ = storage.remove(DRAFT);
            failed("writing", DRAFT)(error)
        })?;
        self.file = Some(draft);
        self.end = end;
        self.is_torn = false;
        self.table.replace(places);
        self.pause = 0;
        storage.sync_names().map_err(failed("renaming", DRAFT))
    }

    /// Copies what the table has, as far as it is whole; says where it lies there, and where that ends.
    fn copy_to(&self, draft: &dyn StorageFile) -> io::Result<(Vec<(Key, Place)>, u64)> {
        let (mut copied, mut written, mut part) = (Vec::new(), 0, record::beginning().to_vec());
        if let Some(file) = &self.file {
            let mut window = Window { file: &**file, start: 0, bytes: Vec::new() };
            for (key, place) in self.table.in_order() {
                let record = window.at(place.offset, place.length)?;
                if !record::is_whole(record) {
                    continue;
                }
                copied.push((key, place.moved_to(written + part.len() as u64)));
                part.extend_from_slice(record);
                if part.len() >= PART_BYTES {
                    draft.write_all_at(written, &part)?;
                    written += part.len() as u64;
                    part.clear();
                }
            }
        }
        draft.write_all_at(written, &part)?;
        Ok((copied, written + part.len() as u64))
    }
}

/// Takes up the records of a file as far as they are whole, and says where that ends.
fn read_records(file: &dyn StorageFile, table: &mut Table) -> io::Result<u64> {
    let file_bytes = file.len()?;
    let mut window = Window { file, start: 0, bytes: Vec::new() };
    let mut end = 0;
    if window.at(0, BEGINNING_BYTES)? == record::beginning() {
        end = BEGINNING_BYTES as u64;
        while let Some(length) = record::length(window.at(end, FIXED_BYTES)?) {
            // A damaged length must not be believed: so much memory may not be there.
            if length as u64 > file_bytes.saturating_sub(end) {
                break;
            }
            let Some(snapshot) = record::decode(window.at(end, length)?) else {
                break;
            };
            table.insert(&snapshot, end, length);
            end += length as u64;
        }
    }
    Ok(end)
}

/// A part of a file in memory, for going through it from front to back.
struct Window<'f> {
    file: &'f dyn StorageFile,
    /// Where in the file the part begins.
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// These bytes of the file; fewer where it ends.
    fn at(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let inside = offset.checked_sub(self.start).and_then(|inside| usize::try_from(inside).ok());
        let range = inside.and_then(|inside| Some(inside..inside.checked_add(length)?));
        if let Some(range) = range.filter(|range| range.end <= self.bytes.len()) {
            return Ok(&self.bytes[range]);
        }
        self.start = offset;
        self.bytes.resize(length.max(PART_BYTES), 0);
        let read = self.file.read_up_to(offset, &mut self.bytes)?;
        self.bytes.truncate(read);
        Ok(&self.bytes[..length.min(read)])
    }
}
