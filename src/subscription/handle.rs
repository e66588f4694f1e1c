//! The handle to a subscription.

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::source::Source;
use super::stopper::Stopper;
use crate::aggregate::{Aggregate, Recorded};
use crate::codec::EventCodec;
use crate::error::Error;
use crate::event::{Batch, GAP, RecordedEvent};
use crate::id::Category;
use crate::position::Position;
use crate::store::{EventStore, Filter};

/// The events that a filter matches, from any place of the log on, and then those that come: first it catches up, then it
/// follows, in one sequence without a gap, a duplicate or a change of order. Made by
/// [`Annals::subscribe`](crate::Annals::subscribe) and [`Repository::subscribe`](crate::Repository::subscribe).
///
/// It is an iterator that blocks until there is another event, so it belongs on a thread of its own. It works on any store: on
/// disk, in memory, on a [`Follower`](crate::store::Follower) in another process.
///
/// ```
/// use annals::store::{Commit, Expected, Filter};
/// use annals::{Annals, NewEvent, id::EventType};
/// use std::thread;
///
/// let annals = Annals::in_memory();
/// let subscription = annals.subscribe(Filter::all());
/// let stopper = subscription.stopper();
/// let follower = thread::spawn(move || {
///     let mut seen = Vec::new();
///     for event in subscription {
///         seen.push(event?.event_type().to_owned());
///         if seen.len() == 2 {
///             stopper.stop(); // here or on any thread: the loop ends
///         }
///     }
///     Ok::<_, annals::Error>(seen)
/// });
/// for name in ["Opened", "Deposited"] {
///     let event = NewEvent::new(EventType::new(name)?, &())?;
///     annals.store().append(Commit::new().write("account/alice".parse()?, Expected::Any, [event]))?;
/// }
/// assert_eq!(follower.join().expect("no panic")?, ["Opened", "Deposited"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What it sees
///
/// What is durable, and nothing else: what it has handed out is never lost. Of a store that
/// [buffers](crate::store::Durability::Buffered) it sees what is synced. [`checkpoint`](Self::checkpoint) says how far it is;
/// another subscription that begins [`after`](Self::after) it goes on exactly there. Whoever keeps the checkpoint once an event is
/// handled handles each event at least once, also across crashes.
///
/// # How it ends
///
/// By a [`Stopper`], and when the store is closed; neither is an error. An error is no end: the next call tries the same place
/// again, and an event that cannot be read is never passed over. So stop at the first error, or wait before the next try.
///
/// # Cost
///
/// Nothing is read before it is asked for, so whoever is slow slows down nobody else; the memory is that of one batch
/// ([`EventStore`] says how large that is). While nothing comes, the thread sleeps and takes no time of a processor (on a
/// follower: next to none).
#[must_use = "nothing is read before it is asked for"]
pub struct Subscription<T = RecordedEvent<'static>> {
    source: Source,
    read: Box<Read<T>>,
    /// What is left of a stored event that is being handed out.
    ready: VecDeque<T>,
}

/// Makes of a stored event what is handed out.
type Read<T> = dyn Fn(RecordedEvent<'_>, &mut VecDeque<T>) -> Result<(), Error> + Send + Sync;

impl Subscription {
    pub(crate) fn new(store: &Arc<dyn EventStore>, filter: impl Into<Filter>) -> Self {
        let source = Source::new(Arc::clone(store), filter.into());
        let read = |stored: RecordedEvent<'_>, ready: &mut VecDeque<_>| {
            ready.push_back(stored.into_owned());
            Ok(())
        };
        Self { source, read: Box::new(read), ready: VecDeque::new() }
    }

    /// With their meaning of today: the events of the filter that are of this aggregate type, and no others.
    ///
    /// What an upcaster splits is handed out whole before [`checkpoint`](Self::checkpoint) moves on. A
    /// [gap](RecordedEvent::is_gap) is an error of the kind [`MissingEvents`](crate::ErrorKind::MissingEvents), where it
    /// stands in a stream of the type, or nobody knows where.
    ///
    /// Which stored events a restriction by types, tags or correlation comes to, [`History::filter`] knows:
    /// `annals.subscribe(accounts.events().tagged(tag).filter()?).typed::<Account>()?`. All events of a type are had by
    /// [`Repository::subscribe`](crate::Repository::subscribe).
    ///
    /// [`History::filter`]: crate::repository::History::filter
    pub fn typed<A: Aggregate>(self) -> Result<Subscription<Recorded<'static, A>>, Error> {
        let codec = EventCodec::new(A::upcasters())?;
        Ok(self.read_by(Category::new(A::TYPE)?, Arc::new(codec)))
    }

    pub(crate) fn read_by<A: Aggregate>(
        self,
        category: Category,
        codec: Arc<EventCodec<A::Event>>,
    ) -> Subscription<Recorded<'static, A>> {
        let read = move |stored: RecordedEvent<'_>, ready: &mut VecDeque<_>| {
            if !stored.stream().is_in(&category) && stored.stream().category() != GAP {
                return Ok(());
            }
            Recorded::<A>::read(&codec, stored, |recorded| {
                ready.push_back(recorded.into_owned());
                Ok(())
            })
        };
        Subscription { source: self.source, read: Box::new(read), ready: VecDeque::new() }
    }

    /// Hands the next events to `handle`, as many as were read at once, without a copy of any. `None` if none came in this time, or
    /// if the subscription has ended.
    ///
    /// Only when `handle` has succeeded does [`checkpoint`](Self::checkpoint) move on. After an error, which is handed through, the next
    /// call brings the same events again.
    ///
    /// ```
    /// # use annals::{Annals, Error, store::Filter};
    /// # use std::time::Duration;
    /// # let annals = Annals::in_memory();
    /// let mut subscription = annals.subscribe(Filter::all());
    /// let bytes = subscription.next_batch(Duration::ZERO, |batch| {
    ///     Ok::<_, Error>(batch.iter().map(|event| event.payload().len()).sum::<usize>())
    /// })?;
    /// assert_eq!(bytes, None);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn next_batch<R, E: From<Error>>(
        &mut self,
        timeout: Duration,
        handle: impl FnOnce(&Batch) -> Result<R, E>,
    ) -> Result<Option<R>, E> {
        self.source.make_whole();
        if !self.source.fill(Instant::now().checked_add(timeout))? {
            return Ok(None);
        }
        let handled = handle(self.source.batch())?;
        self.source.pass_batch();
        Ok(Some(handled))
    }
}

impl<T> Subscription<T> {
    /// From behind this position on. It begins with the first event of the log unless that is said. A position that the store does
    /// not have yet is waited for.
    pub fn after(mut self, position: Position) -> Self {
        self.go_to(position);
        self
    }

    pub(crate) fn go_to(&mut self, position: Position) {
        self.ready.clear();
        self.source.go_to(position);
    }

    /// Only what becomes durable from now on.
    pub fn from_now(self) -> Result<Self, Error> {
        let head = self.source.store.head()?.durable;
        Ok(self.after(head))
    }

    /// Everything up to this position was handed out, or does not match. It moves on with each event, and also over those that do
    /// not match.
    #[must_use]
    pub fn checkpoint(&self) -> Position {
        self.source.position()
    }

    /// What ends it, from any thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper::new(&self.source.store, &self.source.over)
    }

    /// Whether it was stopped, or has found the store closed: nothing will come any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.source.over.is_raised()
    }

    /// The next event, if there is one by now. It does not wait for one.
    pub fn try_next(&mut self) -> Result<Option<T>, Error> {
        self.next_timeout(Duration::ZERO)
    }

    /// The next event. `None` if none came in this time, or if the subscription [has ended](Self::has_ended). Reading what is there
    /// may take longer.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<T>, Error> {
        self.pull(Instant::now().checked_add(timeout))
    }

    fn pull(&mut self, deadline: Option<Instant>) -> Result<Option<T>, Error> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                if self.ready.is_empty() {
                    self.source.pass();
                }
                return Ok(Some(item));
            }
            if !self.source.fill(deadline)? {
                return Ok(None);
            }
            if let Some(stored) = self.source.event() {
                (self.read)(stored, &mut self.ready)?;
            }
            if self.ready.is_empty() {
                self.source.pass();
            }
        }
    }
}

/// Waits for each event for as long as it takes.
impl<T> Iterator for Subscription<T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.pull(None).transpose()
    }
}

impl<T> FusedIterator for Subscription<T> {}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("source", &self.source).finish_non_exhaustive()
    }
}
