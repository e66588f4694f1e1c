//! The physical limit: as many bytes, written, synced, read, summed and decoded, and nothing else.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use memmap2::Mmap;

use crate::workload::Commit;

/// The system calls that limits have made.
#[derive(Default)]
pub struct Calls {
    writes: AtomicU64,
    syncs: AtomicU64,
    reads: AtomicU64,
}

pub static CALLS: Calls =
    Calls { writes: AtomicU64::new(0), syncs: AtomicU64::new(0), reads: AtomicU64::new(0) };

impl Calls {
    /// Writes, syncs and reads since the last time.
    pub fn take(&self) -> [u64; 3] {
        [&self.writes, &self.syncs, &self.reads].map(|calls| calls.swap(0, Ordering::Relaxed))
    }
}

fn count(calls: &AtomicU64) {
    calls.fetch_add(1, Ordering::Relaxed);
}

/// A file that is written to from front to back.
pub struct Bare {
    file: File,
    at: AtomicU64,
    /// Where writing begins anew; the file has so many zeros.
    length: u64,
}

impl Bare {
    pub fn growing(path: &Path) -> Self {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(path).unwrap();
        Self { file, at: AtomicU64::new(0), length: u64::MAX }
    }

    /// With space that is prepared as annals prepares it.
    pub fn prepared(path: &Path, length: u64) -> Self {
        let bare = Self::growing(path);
        for step in 0..length.div_ceil(4096) {
            bare.file.write_all_at(&[0; 4096], step * 4096).unwrap();
        }
        bare.file.sync_all().unwrap();
        Self { length, ..bare }
    }

    pub fn write(&self, bytes: &[u8]) {
        let at = self.at.load(Ordering::Relaxed);
        let at = if at + bytes.len() as u64 > self.length { 0 } else { at };
        self.file.write_all_at(bytes, at).unwrap();
        self.at.store(at + bytes.len() as u64, Ordering::Relaxed);
        count(&CALLS.writes);
    }

    pub fn sync(&self) {
        self.file.sync_data().unwrap();
        count(&CALLS.syncs);
    }
}

/// A file that threads write to together: one of them writes and syncs what all that wait have brought.
pub struct Shared {
    bare: Bare,
    queue: Mutex<Queue>,
    /// Signalled when nobody leads.
    freed: Condvar,
}

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    waiting: usize,
    group: Arc<Group>,
    /// How many the last group had.
    last: usize,
    is_led: bool,
}

/// How often a leader gives way in vain to those whom it expects.
const PATIENCE: u32 = 32;

/// Those who wait for the same sync.
#[derive(Default)]
struct Group {
    is_done: Mutex<bool>,
    done: Condvar,
}

impl Shared {
    pub fn new(bare: Bare) -> Self {
        Self { bare, queue: Mutex::default(), freed: Condvar::new() }
    }

    pub fn append(&self, bytes: &[u8]) {
        let mut queue = self.queue.lock().unwrap();
        queue.bytes.extend_from_slice(bytes);
        queue.waiting += 1;
        if queue.waiting > 1 {
            let group = Arc::clone(&queue.group);
            drop(queue);
            let is_done = group.is_done.lock().unwrap();
            drop(group.done.wait_while(is_done, |is_done| !*is_done).unwrap());
            return;
        }
        queue = self.freed.wait_while(queue, |queue| queue.is_led).unwrap();
        queue.is_led = true;
        let (all, group) = self.collect(queue);
        self.bare.write(&all);
        self.bare.sync();
        *group.is_done.lock().unwrap() = true;
        group.done.notify_all();
        self.queue.lock().unwrap().is_led = false;
        self.freed.notify_one();
    }

    /// Takes what waits, once those are back who were answered last.
    fn collect<'s>(&'s self, mut queue: MutexGuard<'s, Queue>) -> (Vec<u8>, Arc<Group>) {
        let mut patience = PATIENCE;
        while queue.waiting < queue.last && patience > 0 {
            let before = queue.waiting;
            drop(queue);
            thread::yield_now();
            queue = self.queue.lock().unwrap();
            if queue.waiting == before {
                patience -= 1;
            }
        }
        queue.last = std::mem::take(&mut queue.waiting);
        (std::mem::take(&mut queue.bytes), std::mem::take(&mut queue.group))
    }
}

/// What reading out of a map is called, where the limit makes system calls.
pub const MAPPED: &str = "limit, mapped";

/// Records whose places are known: of all events, in order, and of each stream.
pub struct Known {
    file: File,
    path: PathBuf,
    /// The length of each: an envelope, and a payload of this length behind it.
    record: usize,
    payload: usize,
    kinds: Vec<&'static str>,
    streams: HashMap<String, Vec<u32>>,
}

impl Known {
    pub fn write(
        path: &Path,
        (record, payload): (usize, usize),
        commits: impl FnOnce(&mut dyn FnMut(Commit)),
    ) -> Self {
        let bare = Bare::growing(path);
        let (mut kinds, mut streams) = (Vec::new(), HashMap::<String, Vec<u32>>::new());
        commits(&mut |commit: Commit| {
            let mut bytes = Vec::new();
            for write in &commit.writes {
                let of_stream = streams.entry(write.stream.clone()).or_default();
                for fact in &write.facts {
                    of_stream.push(kinds.len() as u32);
                    kinds.push(fact.kind);
                    bytes.resize(bytes.len() + record - payload, 0xA5);
                    bytes.extend_from_slice(&fact.payload);
                    assert_eq!(fact.payload.len(), payload);
                }
            }
            bare.write(&bytes);
        });
        bare.sync();
        Self { file: bare.file, path: path.to_owned(), record, payload, kinds, streams }
    }

    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    pub fn reopen(&mut self) {
        self.file = File::open(&self.path).unwrap();
    }

    fn show(&self, record: &[u8], kind: &str, look: &mut impl FnMut(&str, &[u8])) {
        black_box(crc32fast::hash(record));
        look(kind, &record[self.record - self.payload..]);
    }

    fn read(&self, bytes: &mut [u8], number: usize) {
        self.file.read_exact_at(bytes, (number * self.record) as u64).unwrap();
        count(&CALLS.reads);
    }

    /// Reads the records from one to another, in large pieces.
    pub fn replay_part(&self, (from, to): (usize, usize), mut look: impl FnMut(&str, &[u8])) {
        let in_piece = (256 << 10) / self.record;
        let mut piece = vec![0; in_piece * self.record];
        for first in (from..to).step_by(in_piece) {
            let kinds = &self.kinds[first..to.min(first + in_piece)];
            let piece = &mut piece[..kinds.len() * self.record];
            self.read(piece, first);
            for (record, kind) in piece.chunks_exact(self.record).zip(kinds) {
                self.show(record, kind, &mut look);
            }
        }
    }

    /// Whether the records of a stream lie behind one another.
    pub fn is_dense(&self, stream: &str) -> bool {
        let records = &self.streams[stream];
        (records[records.len() - 1] - records[0]) as usize == records.len() - 1
    }

    /// Finds a stream by its name, and reads each of its records.
    pub fn scattered_stream(&self, stream: &str, mut look: impl FnMut(&str, &[u8])) {
        let mut record = vec![0; self.record];
        for number in &self.streams[stream] {
            let number = *number as usize;
            self.read(&mut record, number);
            self.show(&record, self.kinds[number], &mut look);
        }
    }

    /// The same without a system call, out of a map of the whole file.
    pub fn mapped_stream(&self, map: &Mmap, stream: &str, look: &mut dyn FnMut(&str, &[u8])) {
        for number in &self.streams[stream] {
            let number = *number as usize;
            let record = &map[number * self.record..][..self.record];
            self.show(record, self.kinds[number], &mut &mut *look);
        }
    }

    pub fn map(&self) -> Mmap {
        // SAFETY: nobody changes the file any more.
        unsafe { Mmap::map(&self.file).unwrap() }
    }

    /// Like [`scattered_stream`](Self::scattered_stream), of one that is dense.
    pub fn dense_stream(&self, stream: &str, look: impl FnMut(&str, &[u8])) {
        let records = &self.streams[stream];
        let (first, last) = (records[0] as usize, records[records.len() - 1] as usize);
        self.replay_part((first, last + 1), look);
    }
}
