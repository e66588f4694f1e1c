//! What has to hold of subscriptions under every schedule: the hand-over from catching up to following, and being stopped.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use annals::id::{Category, EventType};
use annals::store::{
    AppendError, Appended, Commit, EventStore, Expected, Head, Identity, Interrupt, MemoryStore,
    Query,
};
use annals::{Batch, Error, NewEvent, Position, StreamId, Version};
use shuttle::thread;

use super::address::Address;
use super::heads::Heads;
use super::source::Source;
use crate::sync::Mutex;

/// A log in memory that is published through the heads of the store on disk, as that one does: acknowledged, then durable.
struct Store {
    log: MemoryStore,
    heads: Heads,
    /// How many events are durable. Held by who appends.
    durable: Mutex<u64>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.log.fmt(f)
    }
}

impl EventStore for Store {
    fn identity(&self) -> Identity {
        self.log.identity()
    }

    fn append(&self, commit: Commit) -> Result<Appended, AppendError> {
        let mut durable = self.durable.lock();
        let done = self.log.append(commit)?;
        let head = Head { acknowledged: done.last, durable: Position::new(*durable) };
        self.heads.publish(Address(done.last.get()), head);
        thread::yield_now();
        self.heads.publish(Address(done.last.get()), Head { durable: done.last, ..head });
        *durable = done.last.get();
        Ok(done)
    }

    /// Two events at a time.
    fn read(&self, query: &Query) -> Result<(Batch, Option<Query>), Error> {
        thread::yield_now();
        let (_, head) = self.heads.see()?;
        let (_, up_to) = query.positions();
        assert!(up_to.is_some_and(|up_to| up_to <= head.durable), "it reads what is not durable");
        let two = NonZeroU64::MIN.saturating_add(1);
        let (batch, _) = self.log.read(&query.clone().limit(two))?;
        let last = batch.get(1).map(|last| last.position());
        thread::yield_now();
        Ok((batch, last.and_then(|last| query.rest(last, 0, head.acknowledged))))
    }

    fn version(&self, stream: &StreamId) -> Result<Version, Error> {
        self.log.version(stream)
    }

    fn head(&self) -> Result<Head, Error> {
        Ok(self.heads.see()?.1)
    }

    fn wait(
        &self,
        after: Position,
        timeout: Duration,
        interrupt: &Interrupt,
    ) -> Result<Position, Error> {
        self.heads.wait(after, timeout, interrupt)
    }

    fn interrupt(&self, interrupt: &Interrupt) {
        self.heads.interrupt(interrupt);
    }

    fn close(&self) -> Result<(), Error> {
        self.heads.close();
        Ok(())
    }
}

fn store() -> Arc<Store> {
    crate::sync::forget_arrivals();
    let heads = Heads::new(Address(0), Position::START);
    Arc::new(Store { log: MemoryStore::new(), heads, durable: Mutex::new(0) })
}

/// Appends two commits, of an event that is subscribed to and one that is not, and of one that is.
fn write(store: &dyn EventStore) {
    let event = || [NewEvent::new(EventType::new("X").unwrap(), &()).unwrap()];
    let write = |commit: Commit, stream: &str| {
        commit.write(stream.parse().unwrap(), Expected::Any, event())
    };
    store.append(write(write(Commit::new(), "a/1"), "b/1")).unwrap();
    store.append(write(Commit::new(), "a/1")).unwrap();
}

const MEANT: usize = 4;

fn subscribe(store: &Arc<Store>, after: Position) -> Source {
    let store: Arc<dyn EventStore> = Arc::<Store>::clone(store);
    let mut source = Source::new(store, Category::new("a").unwrap().into());
    source.go_to(after);
    source
}

/// Waits for so many events too many, and cannot be interrupted.
#[allow(dead_code, reason = "only the faulty copy does")]
pub(super) fn wait_too_long(source: &Source, more: u64) {
    let after = source.position().checked_add(more).unwrap();
    drop(source.store.wait(after, Duration::MAX, &Interrupt::new()));
}

/// Takes events until there are as many, or until it is over: by turns one event, and what is read at once.
fn take(source: &mut Source, seen: &mut Vec<Position>, most: usize) {
    while seen.len() < most && source.fill(None).unwrap() {
        seen.push(source.event().unwrap().position());
        source.pass();
        source.make_whole();
        if seen.len() < most && source.fill(None).unwrap() {
            seen.extend(source.batch().iter().map(|event| event.position()));
            source.pass_batch();
        }
        assert!(source.position() >= *seen.last().unwrap());
    }
}

/// What is seen is what is meant, in its order, and all of it.
fn check(store: &Store, seen: &[Position]) {
    let all = Query::new(Category::new("a").unwrap());
    let meant: Vec<_> = store.log.read(&all).unwrap().0.iter().map(|e| e.position()).collect();
    assert_eq!(seen, meant);
}

pub(crate) fn a_subscription_sees_each_event_once_and_in_order() {
    let store = store();
    let writers = [Arc::clone(&store), Arc::clone(&store)];
    let writers = writers.map(|store| thread::spawn(move || write(&*store)));
    let mut seen = Vec::new();
    take(&mut subscribe(&store, Position::START), &mut seen, MEANT);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    check(&store, &seen);
}

pub(crate) fn a_stopped_subscription_ends_and_another_goes_on_where_it_was() {
    let store = store();
    let mut source = subscribe(&store, Position::START);
    let (stopped, over) = (Arc::clone(&store), Arc::clone(&source.over));
    let stopper = thread::spawn(move || {
        write(&*stopped);
        stopped.interrupt(&over);
    });
    let writing = Arc::clone(&store);
    let writer = thread::spawn(move || write(&*writing));
    let mut seen = Vec::new();
    take(&mut source, &mut seen, usize::MAX);
    take(&mut subscribe(&store, source.position()), &mut seen, MEANT);
    stopper.join().unwrap();
    writer.join().unwrap();
    check(&store, &seen);
}

pub(crate) fn a_subscription_ends_when_its_store_is_closed() {
    let store = store();
    let closing = Arc::clone(&store);
    let closer = thread::spawn(move || closing.close().unwrap());
    let writing = Arc::clone(&store);
    let writer = thread::spawn(move || write(&*writing));
    let (mut source, mut seen) = (subscribe(&store, Position::START), Vec::new());
    take(&mut source, &mut seen, usize::MAX);
    assert!(source.over.is_raised() && seen.len() <= MEANT / 2);
    closer.join().unwrap();
    writer.join().unwrap();
}
