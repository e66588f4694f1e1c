//! What was once recorded stays readable.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use chrono::DateTime;
use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::codec::{Content, EventCodec, Name};
use crate::error::{Error, with_sources};
use crate::event::{CommitPlace, NewEvent, Placement, RecordedEvent};
use crate::id::{Category, EventId, EventType, StreamId};
use crate::payload::Encoding;
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
/// The samples have to be the same in every run: no random ids, no current time, and no hash map with more than one
/// entry, whose order changes.
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
    /// What an event means to the program now.
    meaning: fn(&Form) -> Result<Vec<Form>, Error>,
}

/// The content of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Lock {
    aggregate: String,
    /// The event types that are read, each with the version that is written and its fields.
    events: BTreeMap<String, Shape>,
    /// Where each rule of each chain of upcasters leads.
    upcasters: BTreeMap<String, Vec<String>>,
    samples: Vec<Sample>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Shape {
    version: u32,
    content: String,
}

/// An event as it was stored, and what it meant when the file was written.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Sample {
    #[serde(flatten)]
    stored: Form,
    /// Left out where it is what was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    means: Option<Vec<Form>>,
}

/// An event in one of its forms. The payload is kept as text, so that no number loses digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Form {
    event: String,
    version: u32,
    payload: String,
}

impl From<&NewEvent> for Form {
    fn from(event: &NewEvent) -> Self {
        Self {
            event: event.event_type().to_string(),
            version: event.schema().get(),
            payload: String::from_utf8_lossy(event.payload()).into_owned(),
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} v{} {}", self.event, self.version, self.payload)
    }
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
        Self { findings: vec![with_sources(&error)] }
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
            let stored = Form::from(&codec.encode(Encoding::Json, &event)?.0);
            let variants = codec.variants(std::slice::from_ref(&stored.event))?;
            // Under an alias the same event may have been stored.
            for (name, version) in
                codec.names().filter(|(name, _)| variants.contains(&name.variant))
            {
                let (event, version) = (name.name.to_owned(), version.get());
                let stored = Form { event, version, payload: stored.payload.clone() };
                now.samples.push(Sample { means: told(&stored, meaning::<A>(&stored)?), stored });
            }
            sampled.extend(variants);
        }
        let missing = codec.names().filter(|(name, _)| !sampled.contains(&name.variant));
        let findings =
            missing.map(|(name, _)| format!("there is no sample of {}", name.name)).collect();
        Ok(Self { now, findings, meaning: meaning::<A> })
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
            let is_old =
                |sample: &Sample| !lock.samples.iter().any(|now| now.stored == sample.stored);
            let old: Vec<Form> =
                locked.samples.into_iter().filter(is_old).map(|sample| sample.stored).collect();
            for stored in old {
                lock.samples
                    .push(Sample { means: told(&stored, (self.meaning)(&stored)?), stored });
            }
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
        if self.now.aggregate != locked.aggregate {
            let (now, then) = (&self.now.aggregate, &locked.aggregate);
            findings.push(format!("events were recorded for {then}, which {now} does not read"));
        }
        for (event, shape) in &locked.events {
            match self.now.events.get(event) {
                Some(now) if now.version < shape.version => findings.push(format!(
                    "{event} was recorded at v{}, and now ends at v{}",
                    shape.version, now.version
                )),
                None if !self.now.upcasters.contains_key(event) => findings.push(format!(
                    "{event} was recorded and is not read any more; add an upcaster"
                )),
                _ => {}
            }
        }
        for (event, rules) in &locked.upcasters {
            if self.now.upcasters.get(event).is_none_or(|now| now.len() < rules.len()) {
                findings.push(format!("an upcaster of {event} is gone"));
            }
        }
        for Sample { stored, .. } in &locked.samples {
            if let Err(error) = (self.meaning)(stored) {
                findings.push(format!("the sample {stored}: {}", with_sources(&error)));
            }
        }
        findings
    }

    /// What differs and may be intended.
    fn drift(&self, locked: &Lock) -> Vec<String> {
        let mut findings = self.findings.clone();
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
        for Sample { stored, .. } in &self.now.samples {
            if !locked.samples.iter().any(|sample| sample.stored == *stored) {
                findings.push(format!("now written, and not yet locked: {stored}"));
            }
        }
        for Sample { stored, means } in &locked.samples {
            let Ok(now) = (self.meaning)(stored) else { continue };
            if told(stored, now.clone()) != *means {
                let now: Vec<String> = now.iter().map(Form::to_string).collect();
                let now = now.join(", ");
                findings.push(format!("the sample {stored} means something else now: [{now}]"));
            }
        }
        for event in locked.events.keys().filter(|event| !self.now.events.contains_key(*event)) {
            findings.push(format!("{event} is only read by an upcaster now"));
        }
        for (event, rules) in &self.now.upcasters {
            if locked.upcasters.get(event) != Some(rules) {
                findings.push(format!("the upcasters of {event} lead to {}", rules.join("; ")));
            }
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
    let history = |(event_type, rules): (&str, Vec<String>)| (event_type.to_owned(), rules);
    Lock {
        aggregate: A::TYPE.to_owned(),
        events: codec.names().map(event).collect(),
        upcasters: codec.histories().map(history).collect(),
        samples: Vec::new(),
    }
}

/// What an event that was stored in this form means today.
fn meaning<A: Aggregate>(stored: &Form) -> Result<Vec<Form>, Error> {
    let codec = EventCodec::<A::Event>::new(A::upcasters())?;
    let schema = SchemaVersion::new(stored.version).unwrap_or_default();
    let event = NewEvent::from_json(EventType::new(&stored.event)?, &stored.payload)?;
    let placement = Placement {
        stream: StreamId::new(&Category::new(A::TYPE)?, "sample")?,
        version: Version::new(1),
        position: Position::new(1),
        recorded_at: DateTime::UNIX_EPOCH,
        id: EventId::random(),
        commit: CommitPlace { ordinal: 0, count: 1 },
    };
    let decoded = codec.decode(&RecordedEvent::new(&placement, &event.with_schema(schema)))?;
    let mut forms = Vec::new();
    decoded.for_each(|event| {
        forms.push(codec.encode(Encoding::Json, &event).map(|(event, _)| Form::from(&event)))
    });
    forms.into_iter().collect()
}

/// A meaning as the file tells it: not at all, where it is what was stored.
fn told(stored: &Form, meaning: Vec<Form>) -> Option<Vec<Form>> {
    (meaning != std::slice::from_ref(stored)).then_some(meaning)
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
