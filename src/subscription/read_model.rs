//! What follows the log and can be waited for.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::position::Position;

/// Something that follows the log and tells how far it is, such as a [projection](crate::projection::Projection): whoever has written
/// can wait until it knows, with [`wait_for`](crate::repository::Execution::wait_for).
pub trait ReadModel: Sync {
    /// Waits until it has seen everything up to this position. An error of the kind [`Behind`](crate::ErrorKind::Behind) if
    /// that is not so in time.
    fn wait_for(&self, position: Position, timeout: Duration) -> Result<(), Error>;
}

impl<M: ReadModel + Send + ?Sized> ReadModel for Arc<M> {
    fn wait_for(&self, position: Position, timeout: Duration) -> Result<(), Error> {
        (**self).wait_for(position, timeout)
    }
}
