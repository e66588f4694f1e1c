//! Which segments there are, and whether their headers make one log; and the making of a store where there is none.

use std::io;
use std::sync::Arc;

use uuid::Uuid;

use crate::error::{Error, ErrorKind};
use crate::payload::Encoding;
use crate::position::Position;
use crate::storage::{FileName, Storage, StorageFile};
use crate::store::file::beginning::{STORE_BYTES, StoreId, decode_store, encode_store};
use crate::store::file::bytes::lower_half_of_large;
use crate::store::file::fault::{Fault, failed, find};
use crate::store::file::index::Workshop;
use crate::store::file::log::{Log, Segment};
use crate::store::file::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::store::file::watermark::Mark;
use crate::store::identity::Identity;

/// The files of the directory.
pub(crate) fn list(storage: &dyn Storage) -> Result<Vec<FileName>, Error> {
    storage.list().map_err(failed("listing the directory of", FileName::Store))
}

/// Refuses a directory in which there is no store: nothing but the lock of somebody who looked for one.
pub(crate) fn check_is_store(names: &[FileName]) -> Result<(), Error> {
    let is_bare = names.iter().all(|name| *name == FileName::Lock);
    if is_bare { Err(Error::new(ErrorKind::NoStore)) } else { Ok(()) }
}

/// The numbers of the segments in the directory, ascending.
pub(crate) fn numbers(names: &[FileName]) -> Vec<u32> {
    let number = |name: &FileName| match name {
        FileName::Segment(number) => Some(*number),
        _ => None,
    };
    let mut numbers: Vec<u32> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}

/// The identity of the store in this directory. If there is none yet, it is made, with this encoding; true if it was.
pub(super) fn identity(
    storage: &Arc<dyn Storage>,
    names: &[FileName],
    encoding: Encoding,
) -> Result<(Identity, bool), Error> {
    if let Some(file) = find(&**storage, FileName::Store)? {
        return Ok((read_identity(&*file)?, false));
    }
    check_nothing_is_lost(storage, names)?;
    Ok((make_store(storage, encoding)?, true))
}

/// The identity in a store file.
pub(crate) fn read_identity(file: &dyn StorageFile) -> Result<Identity, Error> {
    let name = FileName::Store;
    let mut bytes = vec![0; STORE_BYTES + 1];
    let read = file.read_up_to(0, &mut bytes).map_err(failed("reading", name))?;
    decode_store(&bytes[..read]).map_err(|fault| fault.at(name, 0))
}

/// A directory without a store file is one in which a store was never completed: at most a first segment without events.
fn check_nothing_is_lost(storage: &Arc<dyn Storage>, names: &[FileName]) -> Result<(), Error> {
    let lost = || Fault::Wrong("it is missing, but there are events").at(FileName::Store, 0);
    for number in numbers(names) {
        let name = FileName::Segment(number);
        let file = storage.open(name).map_err(failed("opening", name))?;
        let empty = last_non_zero(&*file, name, SEGMENT_HEADER_BYTES.into())?.is_none();
        if number != 1 || !empty {
            return Err(lost());
        }
    }
    if names.iter().any(|name| matches!(name, FileName::Watermark | FileName::Run(..))) {
        return Err(lost());
    }
    Ok(())
}

/// Where the last byte lies that is not zero, from an offset on.
pub(crate) fn last_non_zero(
    file: &dyn StorageFile,
    name: FileName,
    from: u64,
) -> Result<Option<u64>, Error> {
    let (mut at, mut last) = (from, None);
    let mut chunk = vec![0; 64 << 10];
    loop {
        let read = file.read_up_to(at, &mut chunk).map_err(failed("reading", name))?;
        let found = chunk[..read].iter().rposition(|byte| *byte != 0);
        last = found.map(|within| at + within as u64).or(last);
        at += read as u64;
        if read < chunk.len() {
            return Ok(last);
        }
    }
}

fn make_store(storage: &Arc<dyn Storage>, encoding: Encoding) -> Result<Identity, Error> {
    let identity = Identity { encoding, ..Identity::new(Uuid::from_u128_le(storage.random())) };
    let store = identity.id.into_bytes();
    let header = SegmentHeader {
        number: 1,
        tag: random_tag(&**storage),
        first: Position::new(1),
        predecessor_length: 0,
        predecessor_chain: 0,
        last_time: i64::MIN,
    };
    let spare = storage.create(FileName::Spare).map_err(failed("making", FileName::Spare))?;
    write_header(&*spare, &header, store)?;
    name_segment(storage, header.number)?;
    write_store(storage, &identity)?;
    Ok(identity)
}

/// Writes the file that says who a store is. With that it is complete.
pub(crate) fn write_store(storage: &Arc<dyn Storage>, identity: &Identity) -> Result<(), Error> {
    write_whole(storage, (FileName::StoreDraft, FileName::Store), &encode_store(identity))
}

/// A number that no payload contains but by the unlikeliest accident.
pub(crate) fn random_tag(storage: &dyn Storage) -> u64 {
    lower_half_of_large(storage.random())
}

/// Gives the spare file a header, which makes it a segment but for its name.
pub(crate) fn write_header(
    spare: &dyn StorageFile,
    header: &SegmentHeader,
    store: StoreId,
) -> Result<(), Error> {
    let name = FileName::Spare;
    spare.write_all_at(0, &header.encode(store).0).map_err(failed("writing", name))?;
    spare.sync().map_err(failed("syncing", name))
}

/// Turns the spare file into the segment of this number. When this returns, it is one for good.
pub(crate) fn name_segment(storage: &Arc<dyn Storage>, number: u32) -> Result<(), Error> {
    let segment = FileName::Segment(number);
    storage.rename(FileName::Spare, segment).map_err(failed("renaming", FileName::Spare))?;
    storage.sync_names().map_err(failed("syncing the name of", segment))
}

/// Makes a file whole under another name, then renames it.
fn write_whole(
    storage: &Arc<dyn Storage>,
    (draft, name): (FileName, FileName),
    bytes: &[u8],
) -> Result<(), Error> {
    let file = storage.create(draft).map_err(failed("making", draft))?;
    file.write_all_at(0, bytes).map_err(failed("writing", draft))?;
    file.sync().map_err(failed("syncing", draft))?;
    storage.rename(draft, name).map_err(failed("renaming", draft))?;
    storage.sync_names().map_err(failed("syncing the name of", name))
}

/// Reads the headers of all segments into the log, and checks that each follows the one before.
pub(crate) fn collect(workshop: &Workshop, names: &[FileName], log: &Log) -> Result<(), Error> {
    while add_next(workshop, log)? {}
    let found = log.last().map_or(0, |last| last.header.number);
    if found < numbers(names).last().copied().unwrap_or(1) {
        return Err(Fault::Wrong("the segment is missing").at(FileName::Segment(found + 1), 0));
    }
    Ok(())
}

/// Takes the segment that follows the last into the log, if there is one.
pub(crate) fn add_next(workshop: &Workshop, log: &Log) -> Result<bool, Error> {
    let before = log.last();
    let number = before.map_or(1, |before| before.header.number + 1);
    let Some(segment) = read_header(workshop, number)? else { return Ok(false) };
    if let Some(before) = before {
        check_length(&*workshop.storage, &before, segment.header.predecessor_length)?;
    }
    log.add(segment);
    Ok(true)
}

/// Checks that the log has the segment of which a mark tells.
pub(crate) fn confirm_mark(log: &Log, mark: &Mark) -> Result<(), Error> {
    let what = match log.segment(mark.end.segment()) {
        Some(segment) if segment.header.tag == mark.tag => return Ok(()),
        Some(_) => "it is not the segment of which the watermark tells",
        None => "the segment is missing, but the watermark says that it was synced",
    };
    let name = FileName::Segment(mark.end.segment());
    Err(Fault::Wrong(what).at(name, 0).at_position(mark.position))
}

fn read_header(workshop: &Workshop, number: u32) -> Result<Option<Segment>, Error> {
    let name = FileName::Segment(number);
    let file = match workshop.storage.open(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            return Err(Error::new(ErrorKind::Damaged { file: name.to_string(), offset: 0 })
                .caused_by(error));
        }
        Err(error) => return Err(failed("opening", name)(error)),
    };
    let mut bytes = vec![0; SEGMENT_HEADER_BYTES as usize];
    let read = file.read_up_to(0, &mut bytes).map_err(failed("reading", name))?;
    let header = SegmentHeader::decode(&bytes[..read], workshop.store);
    let (header, chain) = header.map_err(|fault| fault.at(name, 0))?;
    if header.number != number {
        return Err(Fault::Wrong("it is another segment of the log").at(name, 0));
    }
    Ok(Some(Segment { header, chain, length: None }))
}

/// A segment that has a successor is exactly as long as that says.
fn check_length(storage: &dyn Storage, segment: &Segment, expected: u32) -> Result<(), Error> {
    let name = FileName::Segment(segment.header.number);
    let file = storage.open(name).map_err(failed("opening", name))?;
    let length = file.len().map_err(failed("measuring", name))?;
    if length == u64::from(expected) {
        return Ok(());
    }
    let offset = length.min(expected.into());
    Err(Fault::Wrong("its length is not the one that its successor names").at(name, offset))
}
