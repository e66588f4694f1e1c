//! A store that asks before it does something.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use annals::store::{
    AppendError, Appended, Commit, EventStore, Head, Identity, Interrupt, MemoryStore, Query,
};
use annals::{Batch, Error, Position, StreamId, Version};

/// What a store is about to do.
pub(crate) enum Asked<'a> {
    Append(&'a Commit),
    Read,
    Version,
}

type Hook = dyn Fn(Asked<'_>) -> Result<(), Error> + Send + Sync;

/// A store in memory. Where the hook gives an error, that is the answer.
pub(crate) struct Hooked {
    inner: Arc<MemoryStore>,
    hook: Box<Hook>,
}

impl Hooked {
    pub(crate) fn new(
        inner: &Arc<MemoryStore>,
        hook: impl Fn(Asked<'_>) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Self {
        Self { inner: Arc::clone(inner), hook: Box::new(hook) }
    }
}

impl EventStore for Hooked {
    fn identity(&self) -> Identity {
        self.inner.identity()
    }

    fn append(&self, commit: Commit) -> Result<Appended, AppendError> {
        (self.hook)(Asked::Append(&commit))?;
        self.inner.append(commit)
    }

    fn read(&self, query: &Query) -> Result<(Batch, Option<Query>), Error> {
        (self.hook)(Asked::Read)?;
        self.inner.read(query)
    }

    fn version(&self, stream: &StreamId) -> Result<Version, Error> {
        (self.hook)(Asked::Version)?;
        self.inner.version(stream)
    }

    fn head(&self) -> Result<Head, Error> {
        self.inner.head()
    }

    fn wait(
        &self,
        after: Position,
        timeout: Duration,
        interrupt: &Interrupt,
    ) -> Result<Position, Error> {
        self.inner.wait(after, timeout, interrupt)
    }

    fn interrupt(&self, interrupt: &Interrupt) {
        self.inner.interrupt(interrupt);
    }

    fn close(&self) -> Result<(), Error> {
        self.inner.close()
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooked").field("inner", &self.inner).finish_non_exhaustive()
    }
}
