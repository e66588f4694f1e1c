//! Why a value has no bytes, or bytes are no value.

use std::error::Error as StdError;
use std::fmt;

/// What is wrong with a payload.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// In binary.
    #[error("{0}")]
    Binary(Box<str>),
    #[error("it serializes as {0}, not as a variant of an enum")]
    NotAVariant(&'static str),
}

impl Fault {
    /// What an error tells as its source.
    pub(crate) fn into_source(self) -> Box<dyn StdError + Send + Sync> {
        match self {
            Self::Json(fault) => fault.into(),
            other => other.into(),
        }
    }

    #[cold]
    pub(super) fn binary(what: impl Into<Box<str>>) -> Self {
        Self::Binary(what.into())
    }
}

impl serde::ser::Error for Fault {
    #[cold]
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self::binary(what.to_string())
    }
}

impl serde::de::Error for Fault {
    #[cold]
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self::binary(what.to_string())
    }
}
