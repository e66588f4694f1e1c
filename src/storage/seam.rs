//! What a store asks of a disk.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::file_name::FileName;

/// A directory of files, as a store on disk sees it.
///
/// Nothing is durable before it is synced: neither what was written ([`StorageFile::sync`]) nor that a file exists, is
/// gone, or has another name ([`sync_names`](Self::sync_names)). Calls may come from several threads at once.
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// Opens a file that exists, to read and to write. An error of the kind `NotFound` if there is none; of another kind
    /// if what has this name is not a plain file.
    fn open(&self, name: FileName) -> io::Result<Arc<dyn StorageFile>>;

    /// Makes an empty file, in place of one that has this name.
    fn create(&self, name: FileName) -> io::Result<Arc<dyn StorageFile>>;

    /// Writes zeros between two offsets of a file that has nothing else there, and nothing behind. They are durable once the
    /// handle is synced that is returned. Nobody reads them soon, so they need not be cached.
    fn fill(&self, name: FileName, zeros: Range<u64>) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.open(name)?;
        file.write_zeros(zeros)?;
        Ok(file)
    }

    /// All files whose names a store gives, in any order. Others are passed over.
    fn list(&self) -> io::Result<Vec<FileName>>;

    /// Gives a file another name, in place of one that has it, in one step.
    fn rename(&self, from: FileName, to: FileName) -> io::Result<()>;

    /// Removes a file. Those who have it open may go on reading it.
    fn remove(&self, name: FileName) -> io::Result<()>;

    /// Makes durable which files exist under which names.
    fn sync_names(&self) -> io::Result<()>;

    /// A number that nobody can guess.
    fn random(&self) -> u128 {
        Uuid::new_v4().as_u128()
    }

    /// Where it lies, if that can be told: two that lie at the same place are the same.
    fn place(&self) -> Option<PathBuf> {
        None
    }

    /// Takes the one lock of the directory. An error of the kind `WouldBlock` if somebody has it; its text may say who.
    fn lock(&self) -> io::Result<Box<dyn StorageLock>>;
}

/// An open file.
pub trait StorageFile: fmt::Debug + Send + Sync {
    /// Reads what stands from this offset on, and says how many bytes that were; 0 only at the end of the file.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Writes from this offset on, and says how many of the bytes it wrote.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Cuts the file, or extends it with zeros.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// How long the file is.
    fn len(&self) -> io::Result<u64>;

    /// Makes durable everything that was written before, and the length.
    fn sync(&self) -> io::Result<()>;

    /// Whether there is nothing in it.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

impl dyn StorageFile + '_ {
    /// Fills the buffer from this offset on; an error of the kind `UnexpectedEof` if the file ends before.
    pub(crate) fn read_exact_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        match self.read_up_to(offset, into)? {
            read if read == into.len() => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Fills the buffer from this offset on as far as the file goes, and says how far that was.
    pub(crate) fn read_up_to(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < into.len() {
            match self.read_at(offset + done as u64, &mut into[done..]) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Copies what lies between two offsets to the beginning of another file, as far as there is so much.
    pub(crate) fn copy_to(&self, into: &Self, Range { start, end }: Range<u64>) -> io::Result<()> {
        let (mut chunk, mut at) = (vec![0; 1 << 20], start);
        while at < end {
            let most = chunk.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
            let read = self.read_up_to(at, &mut chunk[..most])?;
            into.write_all_at(at - start, &chunk[..read])?;
            at += read as u64;
            if read < most {
                break;
            }
        }
        Ok(())
    }

    /// Writes zeros, page by page. What is written at once is cached as one piece, and each commit then writes all pieces anew that
    /// it touches: with pieces of 64 KiB that is 60 KiB for the smallest commit.
    pub(crate) fn write_zeros(&self, zeros: Range<u64>) -> io::Result<()> {
        let page = [0; PAGE_BYTES];
        pieces(zeros, page.len(), |at, length| self.write_all_at(at, &page[..length]))
    }

    /// Writes all bytes from this offset on.
    pub(crate) fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match self.write_at(offset + done as u64, &bytes[done..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What a file's parts are cached in, by nearly every system, and a multiple of what every disk writes at once.
pub(crate) const PAGE_BYTES: usize = 4096;

/// Goes from one offset to another by pieces that end where a multiple of a length does.
pub(super) fn pieces(
    Range { start, end }: Range<u64>,
    most: usize,
    mut write: impl FnMut(u64, usize) -> io::Result<()>,
) -> io::Result<()> {
    let mut at = start;
    while at < end {
        let length = (most as u64 - at % most as u64).min(end - at);
        write(at, usize::try_from(length).expect("a piece fits into memory"))?;
        at += length;
    }
    Ok(())
}

/// The lock of a directory, held until it is dropped.
pub trait StorageLock: fmt::Debug + Send + Sync {
    /// Whether this process took it: not a child that was forked from the one that did.
    fn is_ours(&self) -> bool;
}
