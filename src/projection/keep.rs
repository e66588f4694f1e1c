//! What a projection asks of whatever keeps its view.

use super::checkpoint::Checkpoint;
use crate::error::Error;

/// Keeps the view of a projection, and with it the checkpoint.
///
/// [`Memory`](super::Memory) keeps a value for as long as the process lives, `Sqlite` tables in a database (with the feature `sqlite`),
/// and [`AtLeastOnce`](super::AtLeastOnce) nothing but the checkpoint. A database of another kind is an implementation of this trait.
///
/// # Laws
///
/// * After [`keep`](Self::keep) has succeeded, the change and the checkpoint are kept, both. After it has failed, neither is once
///   [`recover`](Self::recover) has returned. (A keeper that cannot hold to the second part says so, and that its events may be
///   handled more than once.)
/// * What stands in a checkpoint comes back from `recover` as it was, also after a crash, or the view starts at the beginning.
/// * Errors are of the kind [`ReadModel`](crate::ErrorKind::ReadModel), unless they come from the change.
pub trait Keep: Send + 'static {
    /// What the handlers change.
    type View;

    /// What the view is read through. Cheap to clone, for other threads.
    type Reader: Clone + Send + Sync + 'static;

    /// What the view is read through.
    fn reader(&self) -> Self::Reader;

    /// Brings the view into a state that a checkpoint belongs to, and says where it stands. Called before anything else, and again after
    /// whatever failed. Where there is no view yet, an empty one is made, which stands at `start`.
    fn recover(&mut self, start: &Checkpoint) -> Result<Standing, Error>;

    /// Lets `change` change the view, and keeps this checkpoint with it.
    fn keep(
        &mut self,
        checkpoint: &Checkpoint,
        change: Change<'_, Self::View>,
    ) -> Result<(), Error>;

    /// Begins a new, empty view, which stands at `start`. Where that is possible, the old one is what is read until the new one is
    /// finished.
    fn start_over(&mut self, start: &Checkpoint) -> Result<Standing, Error>;

    /// The new view is as far as the old one was: from now on it is what is read, with this checkpoint.
    fn finish(&mut self, checkpoint: &Checkpoint) -> Result<(), Error>;

    /// Whether an error that a handler has returned is one of what the view is kept in, and not the fault of the event.
    #[must_use]
    fn is_own(error: &Error) -> bool {
        let _ = error;
        false
    }
}

/// What is done to a view.
pub type Change<'c, V> = &'c mut dyn FnMut(&mut V) -> Result<(), Error>;

/// Where a view stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The checkpoint that was kept last.
    pub checkpoint: Checkpoint,
    /// While a new view is being made, and the old one is what is read: the checkpoint of that.
    pub old: Option<Checkpoint>,
}
