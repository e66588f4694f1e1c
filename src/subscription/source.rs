//! The loop of every subscription: read up to the durable head, wait for it to move, and on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::event::{Batch, RecordedEvent};
use crate::position::Position;
use crate::store::{EventStore, Filter, Interrupt, Query};

/// Reads the durable log on and on, a batch at a time, and only when it is asked to.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) store: Arc<dyn EventStore>,
    filter: Filter,
    /// Raised once it is over, because it was stopped or the store is closed.
    pub(super) over: Arc<Interrupt>,
    /// Everything up to here is done, or does not match.
    position: Position,
    /// How far the log was durable when that was last asked. What lies between the position and this is still to be read.
    head: Position,
    /// What was read, and is not done; empty once it is.
    batch: Batch,
    /// The first event of the batch that is not done.
    next: usize,
    /// The position once the batch is done.
    end: Position,
}

impl Source {
    pub(super) fn new(store: Arc<dyn EventStore>, filter: Filter) -> Self {
        let over = Arc::new(Interrupt::new());
        let [position, head, end] = [Position::START; 3];
        Self { store, filter, over, position, head, batch: Batch::new(), next: 0, end }
    }

    /// Goes on behind this position.
    pub(super) fn go_to(&mut self, position: Position) {
        (self.position, self.head) = (position, position);
        self.drop_batch();
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// What was read and is not done.
    pub(super) fn batch(&self) -> &Batch {
        &self.batch
    }

    /// The first event that was read and is not done.
    pub(super) fn event(&self) -> Option<RecordedEvent<'_>> {
        self.batch.get(self.next)
    }

    /// Reads the next batch if the last one is done. False if there is nothing in time, or if it is over. An error changes nothing.
    pub(super) fn fill(&mut self, deadline: Option<Instant>) -> Result<bool, Error> {
        match self.read_on(deadline) {
            Err(error) if *error.kind() == ErrorKind::Closed => {
                self.over.raise();
                Ok(false)
            }
            filled => filled,
        }
    }

    fn read_on(&mut self, deadline: Option<Instant>) -> Result<bool, Error> {
        let mut has_asked = false;
        loop {
            if self.over.is_raised() {
                return Ok(false);
            }
            if !self.batch.is_empty() {
                return Ok(true);
            }
            if self.position < self.head {
                self.read()?;
                continue;
            }
            let left = deadline.map_or(Duration::MAX, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if has_asked && left.is_zero() {
                return Ok(false);
            }
            self.head = self.store.wait(self.position, left, &self.over)?;
            has_asked = true;
        }
    }

    fn read(&mut self) -> Result<(), Error> {
        let query = Query::new(self.filter.clone()).after(self.position).up_to(self.head);
        let (batch, rest) = self.store.read(&query)?;
        self.end = rest.map_or(self.head, |rest| rest.positions().0);
        self.batch = batch;
        if self.batch.is_empty() {
            self.position = self.end;
        }
        Ok(())
    }

    /// The first event is done.
    pub(super) fn pass(&mut self) {
        if let Some(event) = self.batch.get(self.next) {
            self.position = event.position();
            self.next += 1;
        }
        if self.next == self.batch.len() {
            self.pass_batch();
        }
    }

    /// All that was read is done.
    pub(super) fn pass_batch(&mut self) {
        self.position = self.end;
        self.drop_batch();
    }

    /// Forgets what was read; what is not done of it will be read again.
    fn drop_batch(&mut self) {
        (self.batch, self.next) = (Batch::new(), 0);
    }

    /// Sees to it that no event of the batch is done, so that it can be handed out whole.
    pub(super) fn make_whole(&mut self) {
        if self.next > 0 {
            self.drop_batch();
        }
    }
}
