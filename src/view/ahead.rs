//! Reading ahead: while one thread folds, others read and decode what comes.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::{Condvar, Mutex};

use super::decoder::{Ahead, AnyDecoder};
use crate::error::{Error, ErrorKind, caught};
use crate::event::Batch;
use crate::position::Position;
use crate::store::{EventStore, Filter, Query};

/// How many positions a thread takes on at a time. What lies less than a few of these behind is read without help.
const PART: u64 = 2048;
const PARTS_MIN: u64 = 4;

/// About how many bytes of events wait to be folded at most.
const WAITING_BYTES: usize = 16 << 20;

/// Some events, read and perhaps decoded.
pub(crate) struct Page {
    pub(crate) batch: Batch,
    pub(crate) ahead: Ahead,
    /// Everything up to here was looked at.
    pub(crate) end: Position,
    used: Arc<Used>,
}

/// What a thread has decoded and nobody needs any more: that thread drops it, or decodes what comes next in its place.
type Used = Mutex<Vec<Ahead>>;

impl Drop for Page {
    fn drop(&mut self) {
        self.used.lock().push(mem::take(&mut self.ahead));
    }
}

/// What is read ahead of one who folds it in order.
pub(crate) struct ReadAhead {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What is to be read.
pub(crate) struct Wanted {
    pub(crate) filter: Filter,
    pub(crate) after: Position,
    pub(crate) up_to: Position,
}

struct Shared {
    store: Arc<dyn EventStore>,
    decoders: Vec<Arc<AnyDecoder>>,
    wanted: Wanted,
    parts: u64,
    state: Mutex<State>,
    /// Signalled when there is a page more.
    read: Condvar,
    /// Signalled when there is room for more.
    folded: Condvar,
}

#[derive(Default)]
struct State {
    /// The part that is taken on next, and the one that is folded.
    next: u64,
    folding: u64,
    /// What was read of parts that are not folded yet.
    parts: BTreeMap<u64, Part>,
    waiting_bytes: usize,
    is_over: bool,
}

#[derive(Default)]
struct Part {
    pages: VecDeque<Result<Page, Error>>,
    is_complete: bool,
}

impl ReadAhead {
    /// Begins to read on so many threads, if there is enough to be read for that to be of use.
    pub(crate) fn begin(
        store: &Arc<dyn EventStore>,
        decoders: Vec<Arc<AnyDecoder>>,
        wanted: Wanted,
        threads: usize,
    ) -> Option<Self> {
        let parts = wanted.up_to.get().saturating_sub(wanted.after.get()).div_ceil(PART);
        if threads < 2 || parts < PARTS_MIN {
            return None;
        }
        let (store, state) = (Arc::clone(store), Mutex::default());
        let (read, folded) = (Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { store, decoders, wanted, parts, state, read, folded });
        let mut ahead = Self { shared, threads: Vec::new() };
        for _ in 0..threads {
            let shared = Arc::clone(&ahead.shared);
            let reader = thread::Builder::new().name("annals read-ahead".to_owned());
            // Without any thread nothing is read ahead; with fewer it takes longer.
            ahead.threads.extend(reader.spawn(move || shared.read_parts()));
        }
        (!ahead.threads.is_empty()).then_some(ahead)
    }

    /// The next page, in the order of the log; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Result<Page, Error>> {
        let mut state = self.shared.state.lock();
        loop {
            let folding = state.folding;
            if folding == self.shared.parts {
                return None;
            }
            let part = state.parts.entry(folding).or_default();
            if let Some(page) = part.pages.pop_front() {
                state.waiting_bytes -= bytes_of(&page);
                self.shared.folded.notify_all();
                return Some(page);
            }
            if part.is_complete {
                state.parts.remove(&folding);
                state.folding += 1;
                self.shared.folded.notify_all();
            } else {
                self.shared.read.wait(&mut state);
            }
        }
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.shared.state.lock().is_over = true;
        self.shared.folded.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that has panicked has said so.
            let _ = thread.join();
        }
    }
}

fn bytes_of(page: &Result<Page, Error>) -> usize {
    page.as_ref().map_or(0, |page| page.batch.byte_len())
}

impl Shared {
    /// Reads one part after the other, until all are taken on or nobody wants more.
    fn read_parts(&self) {
        let used = Arc::default();
        loop {
            let number = {
                let mut state = self.state.lock();
                if state.is_over || state.next == self.parts {
                    return;
                }
                state.next += 1;
                state.next - 1
            };
            if !self.read_part(number, &used) {
                return;
            }
        }
    }

    /// Reads a part; false if nobody wants it any more.
    fn read_part(&self, number: u64, used: &Arc<Used>) -> bool {
        let Wanted { filter, after, up_to } = &self.wanted;
        let from = after.get() + number * PART;
        let to = Position::new(from + PART).min(*up_to);
        let mut next = Some(Query::new(filter.clone()).after(Position::new(from)).up_to(to));
        while let Some(query) = next.take() {
            // A store that panics must not leave others waiting.
            let read = caught(|| self.store.read(&query)).unwrap_or_else(|message| {
                Err(Error::new(ErrorKind::Store).detail(format!("reading: {message}")))
            });
            let page = read.map(|(batch, rest)| {
                let end = rest.as_ref().map_or(to, |rest| rest.positions().0);
                next = rest;
                // Not dropped under the lock, which the one that folds may want.
                let mut done = mem::take(&mut *used.lock());
                let ahead = self.decode(&batch, done.pop().unwrap_or_default());
                Page { ahead, batch, end, used: Arc::clone(used) }
            });
            if !self.hand_over(number, page, next.is_none()) {
                return false;
            }
        }
        true
    }

    /// What panics here does so once more where it is folded, and there it is in its place.
    fn decode(&self, batch: &Batch, done: Ahead) -> Ahead {
        let mut done = done.into_iter();
        let all = || {
            let decoders = self.decoders.iter();
            decoders.map(|decoder| decoder.decode(batch, done.next())).collect()
        };
        caught(all).unwrap_or_default()
    }

    /// Hands a page over, once there is room for it. For the one that is folded next there always is.
    fn hand_over(&self, number: u64, page: Result<Page, Error>, is_last: bool) -> bool {
        let mut state = self.state.lock();
        while !state.is_over && state.waiting_bytes > WAITING_BYTES && !state.is_awaited(number) {
            self.folded.wait(&mut state);
        }
        state.waiting_bytes += bytes_of(&page);
        let part = state.parts.entry(number).or_default();
        part.pages.push_back(page);
        part.is_complete = is_last;
        self.read.notify_one();
        !state.is_over
    }
}

impl State {
    /// Whether a page of this part is what is folded next.
    fn is_awaited(&self, number: u64) -> bool {
        self.folding == number && self.parts.get(&number).is_none_or(|part| part.pages.is_empty())
    }
}

impl fmt::Debug for ReadAhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadAhead").field("parts", &self.shared.parts).finish_non_exhaustive()
    }
}
