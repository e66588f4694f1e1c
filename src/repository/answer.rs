//! What can come of a command beside its outcome.

use std::error::Error as StdError;
use std::fmt;

use crate::error::Error;
use crate::id::InvalidName;
use crate::store::{AppendError, Conflict};

/// Why a command had no effect.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError<E: StdError + 'static> {
    /// The domain said no. Nothing was written.
    #[error(transparent)]
    Refused(E),
    /// Something that the decision rests on does not hold, and taking it again did not help or was not asked for. Nothing was
    /// written.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// Something else was wrong: with a name, with an event, with the store. The error's kind says what, and whether
    /// nothing was written. Where it does not say, as with a [`Store`](crate::ErrorKind::Store) that failed, that is
    /// unknown; a command with a key for [`once`](crate::repository::Execution::once) can simply be repeated.
    #[error(transparent)]
    Store(#[from] Error),
}

impl<E: StdError + 'static> From<AppendError> for ExecuteError<E> {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict(conflict) => Self::Conflict(conflict),
            AppendError::Store(error) => Self::Store(error),
        }
    }
}

impl<E: StdError + 'static> From<InvalidName> for ExecuteError<E> {
    fn from(error: InvalidName) -> Self {
        Self::Store(error.into())
    }
}

impl<E: StdError + 'static> ExecuteError<E> {
    /// The domain's reason, if it was the domain that said no.
    #[must_use]
    pub fn refusal(&self) -> Option<&E> {
        match self {
            Self::Refused(reason) => Some(reason),
            Self::Conflict(_) | Self::Store(_) => None,
        }
    }
}

impl<E: StdError + Send + Sync + 'static> ExecuteError<E> {
    /// The same with the domain's error boxed, so that several domains go together.
    pub(crate) fn boxed(self) -> ExecuteError<Refusal> {
        match self {
            Self::Refused(refused) => ExecuteError::Refused(Refusal::new(refused)),
            Self::Conflict(conflict) => ExecuteError::Conflict(conflict),
            Self::Store(error) => ExecuteError::Store(error),
        }
    }
}

/// A domain's "no", of whatever type; what [`Annals::atomically`](crate::Annals::atomically) gives, where several
/// domains take part. Inside its closure, `Err(Refusal::new(reason))?` ends the unit for a reason of your own.
#[derive(Debug)]
pub struct Refusal(Box<dyn StdError + Send + Sync>);

impl Refusal {
    /// A refusal for this reason.
    #[must_use]
    pub fn new(reason: impl StdError + Send + Sync + 'static) -> Self {
        Self(Box::new(reason))
    }

    /// The reason, if it is of this type.
    #[must_use]
    pub fn reason<E: StdError + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for Refusal {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

impl From<Refusal> for ExecuteError<Refusal> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
