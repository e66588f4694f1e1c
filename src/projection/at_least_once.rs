//! Views that are not ours: only the checkpoint is kept.

use std::fmt;
use std::path::{Path, PathBuf};

use super::checkpoint::Checkpoint;
use super::keep::{Change, Keep, Standing};
use crate::error::{Error, ErrorKind};
use crate::storage::paths;

/// Keeps nothing but the checkpoint, in a file; the view is a value that reaches somewhere else: a search index, a mail server, a
/// cache.
///
/// **Events are handled at least once.** The checkpoint is written once the handlers have returned, so after a crash, or after a handler
/// that failed, the events since the last checkpoint come again: those of a [batch](super::ProjectionBuilder::batch), or fewer. So
/// handlers do what does not matter if it is done twice, or let the other side know an event by its id. For the same reason a projection
/// that starts over lets the handlers see everything again and empties nothing.
pub struct AtLeastOnce<V> {
    path: PathBuf,
    view: V,
}

impl<V: Send + 'static> AtLeastOnce<V> {
    /// Hands this value to the handlers, and keeps the checkpoint in the file at this path, which is replaced as a whole. It belongs to
    /// one projection.
    pub fn new(path: impl AsRef<Path>, view: V) -> Self {
        Self { path: path.as_ref().to_owned(), view }
    }

    fn write(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let json = checkpoint.to_json()?;
        paths::replace(&self.path, json.as_bytes())
            .map_err(|source| self.failed().caused_by(source))
    }

    fn failed(&self) -> Error {
        Error::new(ErrorKind::ReadModel).detail(self.path.display().to_string())
    }
}

impl<V: Send + 'static> Keep for AtLeastOnce<V> {
    type View = V;
    type Reader = ();

    fn reader(&self) {}

    fn recover(&mut self, start: &Checkpoint) -> Result<Standing, Error> {
        let json = paths::read(&self.path).map_err(|source| self.failed().caused_by(source))?;
        let checkpoint = json.map_or_else(
            || Ok(start.clone()),
            |json| {
                Checkpoint::from_json(&json).map_err(|e| e.also(&self.path.display().to_string()))
            },
        )?;
        Ok(Standing { checkpoint, old: None })
    }

    fn keep(&mut self, checkpoint: &Checkpoint, change: Change<'_, V>) -> Result<(), Error> {
        change(&mut self.view)?;
        self.write(checkpoint)
    }

    fn start_over(&mut self, start: &Checkpoint) -> Result<Standing, Error> {
        self.write(start)?;
        Ok(Standing { checkpoint: start.clone(), old: None })
    }

    fn finish(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        self.write(checkpoint)
    }
}

impl<V> fmt::Debug for AtLeastOnce<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtLeastOnce").field("path", &self.path).finish_non_exhaustive()
    }
}
