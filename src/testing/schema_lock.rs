//! What was once recorded stays readable.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use chrono::DateTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::scenario::Causes;
use crate::aggregate::Aggregate;
use crate::codec::{Content, EventCodec, Name};
use crate::error::Error;
use crate::event::{NewEvent, Placement, RecordedEvent};
use crate::id::{Category, EventId, EventType, StreamId};
use crate::position::{Position, SchemaVersion, Version};

/// A file beside the tests that holds what the events of an aggregate type look like, and a test that fails when
/// that changes unnoticed.
///
/// The file lists the event types, the lengths of their upcaster chains, and their fields as far as serde reveals
/// them, and it keeps every sample that the test ever supplied, as JSON. All of them must still be read.
///
/// ```no_run
/// # use annals::{Aggregate, Context};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Default)] struct Counter { total: u64 }
/// # #[derive(Serialize, Deserialize)] enum Counted { Added { amount: u64 } }
/// # impl Aggregate for Counter {
/// #   const TYPE: &'static str = "counter";
/// #   type Id = str; type Event = Counted; type Command = u64; type Services = ();
/// #   type Error = std::convert::Infallible;
/// #   fn apply(&mut self, event: &Counted) { let Counted::Added { amount } = event; self.total += amount; }
/// #   fn handle(&self, amount: u64, _: &Context<'_, Self>) -> Result<Vec<Counted>, Self::Error> { Ok(vec![]) }
/// # }
/// use annals::testing::{SchemaLock, SchemaLockError};
///
/// // In a test:
/// # fn counted_events_stay_readable() -> Result<(), SchemaLockError> {
/// SchemaLock::of::<Counter>([Counted::Added { amount: 5 }])?.check("tests/counter.schema.json")
/// # }
/// ```
///
/// The file is written, and after an intended change written anew, by running the test once with the environment
/// variable `ANNALS_SCHEMA_LOCK=update`. What would make recorded events unreadable is never written: that needs an
/// upcaster.
#[derive(Debug)]
pub struct SchemaLock {
    /// What the program looks like now.
    now: Lock,
    /// What is wrong with the samples themselves.
    findings: Vec<String>,
    /// What is wrong with reading a sample from a file.
    unreadable: fn(&Sample) -> Option<String>,
    /// Whether events of this stored type are read somehow.
    known: BTreeSet<String>,
}

/// The content of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Lock {
    aggregate: String,
    /// The event types that are read, each with the version that is written and its fields.
    events: BTreeMap<String, Shape>,
    /// The length of each chain of upcasters.
    upcasters: BTreeMap<String, usize>,
    samples: Vec<Sample>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Shape {
    version: u32,
    content: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sample {
    event: String,
    version: u32,
    payload: Value,
}

/// What a [`SchemaLock`] found.
#[derive(Debug)]
pub struct SchemaLockError {
    findings: Vec<String>,
}

impl SchemaLockError {
    /// One sentence for each finding.
    #[must_use]
    pub fn findings(&self) -> &[String] {
        &self.findings
    }
}

impl fmt::Display for SchemaLockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "recorded events are at risk: {}", self.findings.join("; "))
    }
}

impl std::error::Error for SchemaLockError {}

impl From<Error> for SchemaLockError {
    fn from(error: Error) -> Self {
        Self { findings: vec![format!("{error}{}", Causes(&error))] }
    }
}

impl SchemaLock {
    /// What the aggregate's events look like now: at least one sample for each variant.
    pub fn of<A: Aggregate>(
        samples: impl IntoIterator<Item = A::Event>,
    ) -> Result<Self, SchemaLockError> {
        let codec = EventCodec::<A::Event>::new(A::upcasters())?;
        let (mut now, mut sampled) = (current::<A>(&codec), BTreeSet::new());
        for event in samples {
            let (event, _) = codec.encode(&event)?;
            let payload = serde_json::from_slice(event.payload()).unwrap_or_default();
            sampled.extend(codec.variants(&[event.event_type().to_string()])?);
            let (event, version) = (event.event_type().to_string(), event.schema().get());
            now.samples.push(Sample { event, version, payload });
        }
        let missing = codec.names().filter(|(name, _)| !sampled.contains(&name.variant));
        let findings =
            missing.map(|(name, _)| format!("there is no sample of {}", name.name)).collect();
        let known = now.events.keys().chain(now.upcasters.keys()).cloned().collect();
        Ok(Self { now, findings, unreadable: unreadable::<A>, known })
    }

    /// Compares with the file. With `ANNALS_SCHEMA_LOCK=update` in the environment, [updates](Self::update) it.
    pub fn check(&self, path: impl AsRef<Path>) -> Result<(), SchemaLockError> {
        if std::env::var("ANNALS_SCHEMA_LOCK").is_ok_and(|mode| mode == "update") {
            return self.update(path);
        }
        let path = path.as_ref();
        let Some(locked) = read(path)? else {
            return Err(because(format!(
                "{} is not there; run the test with ANNALS_SCHEMA_LOCK=update",
                path.display()
            )));
        };
        let mut findings = self.damage(&locked);
        if findings.is_empty() {
            findings = self.drift(&locked);
        }
        finish(findings)
    }

    /// Writes the file, and keeps the samples that it has. Refuses to write what would make one unreadable.
    pub fn update(&self, path: impl AsRef<Path>) -> Result<(), SchemaLockError> {
        let path = path.as_ref();
        let mut lock = self.now.clone();
        if let Some(locked) = read(path)? {
            finish(self.damage(&locked))?;
            let kept = locked.samples.into_iter();
            lock.samples =
                kept.chain(lock.samples.drain(..)).fold(Vec::new(), |mut samples, sample| {
                    if !samples.contains(&sample) {
                        samples.push(sample);
                    }
                    samples
                });
        }
        finish(self.findings.clone())?;
        let json =
            serde_json::to_string_pretty(&lock).map_err(|error| because(error.to_string()))?;
        std::fs::write(path, json + "\n")
            .map_err(|error| because(format!("{}: {error}", path.display())))
    }

    /// What can no longer be read, or could not be told apart. No update makes that good.
    fn damage(&self, locked: &Lock) -> Vec<String> {
        let mut findings = Vec::new();
        for (event, shape) in &locked.events {
            if !self.known.contains(event) {
                findings.push(format!(
                    "{event} was recorded and is not read any more; add an upcaster"
                ));
            } else if let Some(now) = self.now.events.get(event)
                && now.version < shape.version
            {
                findings.push(format!(
                    "{event} was recorded at v{}, and now ends at v{}",
                    shape.version, now.version
                ));
            }
        }
        for (event, length) in &locked.upcasters {
            if self.now.upcasters.get(event).is_none_or(|now| now < length) {
                findings.push(format!("an upcaster of {event} is gone"));
            }
        }
        findings.extend(locked.samples.iter().filter_map(self.unreadable));
        findings
    }

    /// What differs and may be intended.
    fn drift(&self, locked: &Lock) -> Vec<String> {
        let mut findings = self.findings.clone();
        if self.now.aggregate != locked.aggregate {
            findings.push(format!(
                "the aggregate is {}, it was {}",
                self.now.aggregate, locked.aggregate
            ));
        }
        for (event, shape) in &self.now.events {
            match locked.events.get(event) {
                None => findings.push(format!("{event} is new")),
                Some(old) if old != shape => findings.push(format!(
                    "{event} is v{} {}, it was v{} {}",
                    shape.version, shape.content, old.version, old.content
                )),
                Some(_) => {}
            }
        }
        for sample in &self.now.samples {
            if !locked.samples.contains(sample) {
                findings.push(format!(
                    "{} v{} is now written {}",
                    sample.event, sample.version, sample.payload
                ));
            }
        }
        for event in locked.events.keys().filter(|event| !self.now.events.contains_key(*event)) {
            findings.push(format!("{event} is only read by an upcaster now"));
        }
        if self.now.upcasters != locked.upcasters && findings.is_empty() {
            findings.push("the upcasters have grown".to_owned());
        }
        if !findings.is_empty() {
            findings.push(
                "if that is intended, run the test with ANNALS_SCHEMA_LOCK=update".to_owned(),
            );
        }
        findings
    }
}

fn current<A: Aggregate>(codec: &EventCodec<A::Event>) -> Lock {
    let content = |content: &Content| match content {
        Content::Unit => "(nothing)".to_owned(),
        Content::Fields(fields) => format!("{{ {} }}", fields.join(", ")),
        Content::Items(count) => format!("({count} values)"),
        Content::Value => "(one value)".to_owned(),
    };
    let event = |(name, version): (&Name, SchemaVersion)| {
        (name.name.to_owned(), Shape { version: version.get(), content: content(&name.content) })
    };
    let chain = |(event_type, length): (&str, usize)| (event_type.to_owned(), length);
    Lock {
        aggregate: A::TYPE.to_owned(),
        events: codec.names().map(event).collect(),
        upcasters: codec.chain_lengths().map(chain).collect(),
        samples: Vec::new(),
    }
}

/// Why a sample cannot be read, if it cannot.
fn unreadable<A: Aggregate>(sample: &Sample) -> Option<String> {
    let read = || -> Result<(), Error> {
        let codec = EventCodec::<A::Event>::new(A::upcasters())?;
        let event = NewEvent::new(EventType::new(&sample.event)?, &sample.payload)?
            .with_schema(SchemaVersion::new(sample.version).unwrap_or_default());
        let placement = Placement {
            stream: StreamId::new(&Category::new(A::TYPE)?, "sample")?,
            version: Version::new(1),
            position: Position::new(1),
            recorded_at: DateTime::UNIX_EPOCH,
            id: EventId::random(),
        };
        codec.decode(&RecordedEvent::new(&placement, &event)).map(drop)
    };
    let error = read().err()?;
    Some(format!(
        "the sample {} of {} v{}: {error}{}",
        sample.payload,
        sample.event,
        sample.version,
        Causes(&error)
    ))
}

fn read(path: &Path) -> Result<Option<Lock>, SchemaLockError> {
    let describe = |error: &dyn fmt::Display| because(format!("{}: {error}", path.display()));
    match std::fs::read(path) {
        Ok(json) => serde_json::from_slice(&json).map(Some).map_err(|error| describe(&error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(describe(&error)),
    }
}

fn because(finding: String) -> SchemaLockError {
    SchemaLockError { findings: vec![finding] }
}

fn finish(findings: Vec<String>) -> Result<(), SchemaLockError> {
    if findings.is_empty() { Ok(()) } else { Err(SchemaLockError { findings }) }
}
