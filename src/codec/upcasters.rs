//! How old event shapes become new ones, as the domain declares it.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::payload::{Encoding, Fault, decode};

/// The history of an aggregate's events: what each old shape turns into.
///
/// Each rule names the stored type and the schema version that it reads. A type starts at version 1; each step, split
/// or discard takes it one version further, and new events are stamped with the version at which the chain ends.
/// Rules are never changed once events were written under them: history only grows.
///
/// ```
/// use annals::codec::{Upcasted, Upcasters};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize)]
/// struct DepositedV1 { amount: f64 }
/// #[derive(Serialize)]
/// struct DepositedV2 { cents: i64 }
/// #[derive(Deserialize)]
/// struct Moved { cents: i64 }
///
/// let upcasters = Upcasters::new()
///     // Deposited v1 { amount } becomes v2 { cents }.
///     .step("Deposited", 1, |old: DepositedV1| DepositedV2 { cents: (old.amount * 100.0).round() as i64 })
///     // What was once called MoneyIn has the shape that Deposited has from version 2 on.
///     .rename("MoneyIn", ("Deposited", 2))
///     // One Moved was two things; each goes on from the version named here.
///     .split("Moved", 1, [("Withdrawn", 1), ("Deposited", 2)], |old: Moved| vec![
///         Upcasted::new("Withdrawn", &DepositedV2 { cents: old.cents }),
///         Upcasted::new("Deposited", &DepositedV2 { cents: old.cents }),
///     ])
///     // Nobody needs these any more.
///     .discard("Noticed", 1);
/// ```
///
/// The closures take and give whatever reads and writes the payloads of a shape: a struct that stays as it is for ever,
/// or `serde_json::Value` (which holds no integers beyond 64 bits, and sees a struct [in binary](crate::event::Encoding::Binary) as an array).
///
/// The chain is checked when a [`Repository`](crate::Repository) is made: a gap, a duplicate, a cycle, or a rule that leads to a type
/// the aggregate does not read is an error of the kind [`Upcasters`](crate::ErrorKind::Upcasters).
#[derive(Debug, Default)]
#[must_use = "upcasters do nothing before an aggregate returns them"]
pub struct Upcasters {
    pub(super) rules: Vec<Rule>,
}

/// Where a rule leads: a stored type, and the version of its shape at which it is entered.
///
/// A bare name means version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub(super) event_type: String,
    pub(super) version: u32,
}

impl From<&str> for Target {
    fn from(event_type: &str) -> Self {
        (event_type, 1).into()
    }
}

impl From<(&str, u32)> for Target {
    fn from((event_type, version): (&str, u32)) -> Self {
        Self { event_type: event_type.to_owned(), version }
    }
}

/// One of the events that a [split](Upcasters::split) gives.
#[derive(Debug)]
pub struct Upcasted {
    pub(super) event_type: String,
    pub(super) encoding: Encoding,
    pub(super) payload: Result<Vec<u8>, serde_json::Error>,
}

impl Upcasted {
    /// An event of this type; the version of its shape is the one that the split declares for the type.
    #[must_use]
    pub fn new<T: Serialize + ?Sized>(event_type: &str, payload: &T) -> Self {
        let (event_type, payload) = (event_type.to_owned(), serde_json::to_vec(payload));
        Self { event_type, encoding: Encoding::Json, payload }
    }
}

/// Why an upcaster failed: anything that is an error.
pub(super) type Failure = Box<dyn StdError + Send + Sync>;
type Convert = dyn Fn(Encoding, &[u8]) -> Result<Vec<Upcasted>, Failure> + Send + Sync;

/// What a stored type and version turns into.
#[derive(Clone)]
pub(super) struct Rule {
    pub(super) event_type: String,
    /// The version that is read; `None` for a rename, which reads whatever version its type has come to.
    pub(super) version: Option<u32>,
    pub(super) targets: Vec<Target>,
    pub(super) convert: Arc<Convert>,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("event_type", &self.event_type)
            .field("version", &self.version)
            .field("targets", &self.targets)
            .finish_non_exhaustive()
    }
}

impl Upcasters {
    /// A history without changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Version `version` of `event_type` becomes the version after it.
    pub fn step<Old: DeserializeOwned, New: Serialize>(
        self,
        event_type: &str,
        version: u32,
        upcast: impl Fn(Old) -> New + Send + Sync + 'static,
    ) -> Self {
        self.try_step(event_type, version, move |old| Ok::<_, Failure>(upcast(old)))
    }

    /// As [`step`](Self::step), where the old event may turn out to make no sense.
    pub fn try_step<
        Old: DeserializeOwned,
        New: Serialize,
        E: Into<Box<dyn StdError + Send + Sync>>,
    >(
        self,
        event_type: &str,
        version: u32,
        upcast: impl Fn(Old) -> Result<New, E> + Send + Sync + 'static,
    ) -> Self {
        let name = event_type.to_owned();
        let target = (event_type, version.saturating_add(1)).into();
        self.rule(event_type, Some(version), vec![target], move |encoding, payload| {
            let old = decode(encoding, payload).map_err(Fault::into_source)?;
            Ok(vec![Upcasted::new(&name, &upcast(old).map_err(Into::into)?)])
        })
    }

    /// Events stored as `from`, a type that exists no longer, are events of another type, by default in the first
    /// version of its shape.
    pub fn rename(self, from: &str, to: impl Into<Target>) -> Self {
        let target = to.into();
        let name = target.event_type.clone();
        self.rule(from, None, vec![target], move |encoding, payload| {
            let (event_type, payload) = (name.clone(), Ok(payload.to_vec()));
            Ok(vec![Upcasted { event_type, encoding, payload }])
        })
    }

    /// Version `version` of `event_type` becomes several events, or one of another type, or none. All types that can
    /// come of it are declared.
    pub fn split<Old: DeserializeOwned, T: Into<Target>>(
        self,
        event_type: &str,
        version: u32,
        targets: impl IntoIterator<Item = T>,
        upcast: impl Fn(Old) -> Vec<Upcasted> + Send + Sync + 'static,
    ) -> Self {
        self.try_split(event_type, version, targets, move |old| Ok::<_, Failure>(upcast(old)))
    }

    /// As [`split`](Self::split), where the old event may turn out to make no sense.
    pub fn try_split<
        Old: DeserializeOwned,
        T: Into<Target>,
        E: Into<Box<dyn StdError + Send + Sync>>,
    >(
        self,
        event_type: &str,
        version: u32,
        targets: impl IntoIterator<Item = T>,
        upcast: impl Fn(Old) -> Result<Vec<Upcasted>, E> + Send + Sync + 'static,
    ) -> Self {
        let targets = targets.into_iter().map(Into::into).collect();
        self.rule(event_type, Some(version), targets, move |encoding, payload| {
            let old = decode(encoding, payload).map_err(Fault::into_source)?;
            upcast(old).map_err(Into::into)
        })
    }

    /// Version `version` of `event_type` means nothing any more. Its events keep their versions and positions and are
    /// not seen.
    pub fn discard(self, event_type: &str, version: u32) -> Self {
        self.rule(event_type, Some(version), Vec::new(), |_, _| Ok(Vec::new()))
    }

    fn rule(
        mut self,
        event_type: &str,
        version: Option<u32>,
        targets: Vec<Target>,
        convert: impl Fn(Encoding, &[u8]) -> Result<Vec<Upcasted>, Failure> + Send + Sync + 'static,
    ) -> Self {
        let (event_type, convert) = (event_type.to_owned(), Arc::new(convert));
        self.rules.push(Rule { event_type, version, targets, convert });
        self
    }
}
