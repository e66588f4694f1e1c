//! What came of a run.

use std::collections::BTreeMap;
use std::fmt;

use super::law::Law;

/// Events may be large; what is told about them need not be.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// A law that was seen broken.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) law: Law,
    pub(super) message: String,
}

/// What a trial comes to: a value, or the law that was seen broken on the way.
pub(super) type Held<T = ()> = Result<T, Failure>;

impl Failure {
    pub(super) fn of(law: Law, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if let Some((end, _)) = message.char_indices().nth(MESSAGE_CHARS_MAX) {
            message.truncate(end);
            message.push('…');
        }
        Self { law, message }
    }
}

/// Blames the law, with this message, unless it is seen to hold.
macro_rules! hold {
    ($law:expr, $holds:expr, $($message:tt)+) => {
        if $holds {
            Ok(())
        } else {
            Err($crate::testing::contract::report::Failure::of($law, format!($($message)+)))
        }
    };
}
pub(super) use hold;

/// Which laws a store was seen to break, and how.
///
/// ```
/// use annals::store::{Limits, MemoryStore};
/// use annals::testing::contract::{self, Law};
///
/// let report = contract::run(|clock| MemoryStore::with(clock, Limits::default()), 0..2);
/// assert!(report.is_clean(), "{report}");
/// assert_eq!(report.failure(Law::Atomicity), None);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Report {
    /// How each broken law was first seen broken.
    failures: BTreeMap<Law, String>,
}

impl Report {
    /// Whether every law held.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty()
    }

    /// The laws that were broken.
    pub fn broken(&self) -> impl Iterator<Item = Law> {
        self.failures.keys().copied()
    }

    /// How a law was first seen broken: the trial with its seed, and what happened there. `None` if it held.
    #[must_use]
    pub fn failure(&self, law: Law) -> Option<&str> {
        self.failures.get(&law).map(String::as_str)
    }

    /// Takes up what came of a trial.
    pub(super) fn note(&mut self, trial: &str, held: Held) {
        if let Err(Failure { law, message }) = held {
            let message = format!("{trial}: {message}");
            self.failures.entry(law).or_insert(message);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (broken, all) = (self.failures.len(), Law::ALL.len());
        write!(f, "{broken} of {all} laws of the event store are broken")?;
        for (law, message) in &self.failures {
            write!(f, "\n\n{law}: {}\n  {message}", law.statement())?;
        }
        Ok(())
    }
}
