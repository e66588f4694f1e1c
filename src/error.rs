//! The one opaque error of everything that is not an answer of the domain.

use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::{DateTime, Utc};

use crate::id::{EventType, InvalidName, StreamId};
use crate::position::{Position, SchemaVersion, Version};

/// Why the crate could not do what it was asked.
///
/// [`kind`](Self::kind) says what happened and what to do about it; the other methods say where. Answers are not
/// errors of this type: a lost race is a [`Conflict`](crate::Conflict), a domain's "no" is
/// [`ExecuteError::Refused`](crate::ExecuteError::Refused).
pub struct Error(Box<Inner>);

type Source = Box<dyn StdError + Send + Sync>;

struct Inner {
    kind: ErrorKind,
    detail: Option<String>,
    stream: Option<StreamId>,
    position: Option<Position>,
    event: Option<(EventType, SchemaVersion)>,
    source: Option<Source>,
}

/// What an [`Error`] is about. Each kind's documentation says what its reader should do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store was closed. Open it again.
    Closed,
    /// A name breaks a rule; the source, an [`InvalidName`], says which. Correct the name.
    InvalidName,
    /// A commit is not well-formed: without events, twice the same stream, or twice the same event id. Nothing was
    /// written. Correct the commit.
    InvalidCommit,
    /// Something is larger than the store's [`Limits`](crate::store::Limits) allow. Nothing was written. Make it
    /// smaller, keep large bodies elsewhere and refer to them, or raise the limit.
    TooLarge {
        /// What the limit allows.
        limit: usize,
        /// What was asked for.
        actual: usize,
    },
    /// An event id of the commit already stands in the store, and the commit is not a repetition of the one that
    /// wrote it. Nothing was written. Give a new event a new id; repeat a commit unchanged.
    EventIdTaken,
    /// A commit brings a time of recording that lies before that of the last commit in the store. Nothing was written.
    /// Write history in the order in which it was recorded, or leave the time to the store.
    TimeBeforeLast {
        /// When the last commit was recorded.
        last: DateTime<Utc>,
    },
    /// A line of what is imported cannot be: it is malformed, breaks a limit, or does not follow what stands before it; the
    /// detail and the source say why. The commits before it were written, and nothing of its own. Correct the lines and import
    /// them all again: what is there already is recognised.
    Line {
        /// Which line, from 1; of a commit that cannot be written, its first.
        line: u64,
        /// Where in the line, from 1; 0 if it is about the line as a whole.
        column: u64,
    },
    /// What an export is written to failed, or what an import is read from; the source says how. Nothing is wrong with the
    /// store, and an import has written the commits before. Try it again.
    Transfer,
    /// A stream lacks events that it once had: the store has lost them. Stop writing to the stream, and restore the store; or, if
    /// it was [salvaged](crate::store::care::salvage) and is all there is, go on in a new stream with what is known.
    MissingEvents {
        /// The first version that is missing.
        from: Version,
        /// The last version that is missing.
        to: Version,
    },
    /// A version was asked for that the stream does not have yet. Ask for one up to the last.
    VersionBeyondStream {
        /// The last version of the stream.
        last: Version,
    },
    /// A position was asked for that the store does not have yet. Wait for it, or ask for one up to the head.
    PositionBeyondHead {
        /// The last position of the store.
        head: Position,
    },
    /// The event's type is none that the aggregate reads, and no upcaster leads from it to one. Correct the name that
    /// was asked for; or add the variant or an upcaster for what was recorded; a view may [skip](crate::view::ViewBuilder::skip_unknown) such events.
    UnknownEvent,
    /// The event was written by a newer program: its schema version is above the one that this program's chain of
    /// upcasters ends at. Update the program.
    NewerSchema {
        /// The version that this program writes.
        known: SchemaVersion,
    },
    /// The event's payload does not have the shape of its type. If the type's shape changed, add an upcaster.
    Decode,
    /// An upcaster failed, or produced a type that it did not declare. Correct the upcaster.
    Upcast,
    /// An event could not be turned into a payload that reads back. Nothing was written. Correct the event type's
    /// `Serialize` and `Deserialize`.
    Encode,
    /// The event type of an aggregate is not one that can be stored: it must be an externally tagged enum (serde's
    /// default), all of whose variants are named.
    EventShape,
    /// A chain of upcasters has a gap, a duplicate or a cycle, or leads to a type that the aggregate does not read.
    Upcasters,
    /// The id of an aggregate does not survive being written and read back. Nothing was written. Correct the id
    /// type's `Display` and `FromStr`.
    AggregateId,
    /// A unit was given a repository of another store, and nothing was written; or a follower finds another store in its directory, as
    /// after a restore: open a new follower.
    OtherStore,
    /// Two aggregate types claim the same stream. Give each its own [`TYPE`](crate::Aggregate::TYPE).
    AggregateType,
    /// The handler of a view failed; the source is what it returned. Correct it, and build the view anew; a projection tries the
    /// event again when it is [resumed](crate::projection::Projection::resume).
    View,
    /// A process manager could not do something for an instance; the detail says why, and
    /// [`stuck`](crate::process::ProcessManager::stuck) whether it is tried again. Or one of its routes failed at an event: correct it,
    /// and [resume](crate::process::ProcessManager::resume) the manager. Nothing is lost.
    Process,
    /// What a projection keeps its view in failed, as a database; the source says how. The view and its checkpoint are as they were
    /// before. Mend the cause, and resume the projection.
    ReadModel,
    /// The checkpoint of a projection, or what a process manager has noted, does not belong to this store: it is of another one, or
    /// names an event that this store does not have, as after a backup was put back. Nothing was changed. Look whether it is the store
    /// that is meant. If it is, open the projection once so that it [starts over](crate::projection::ProjectionBuilder::start_over);
    /// give the manager another name, and say where it [begins](crate::process::ProcessBuilder::begin_after).
    Checkpoint,
    /// A projection's view was made by another revision of it. Nothing was changed. Let the projection
    /// [start over where the revision has changed](crate::projection::ProjectionBuilder::start_over_if_changed).
    Revision {
        /// The revision that made the view.
        kept: u64,
    },
    /// A read model is not yet as far as was asked for. Whatever it was waited for because of is done. Ask it again, or look at its
    /// status, which says what holds it up.
    Behind {
        /// How far it is.
        position: Position,
    },
    /// What is stored is damaged: it is not what was written. Nothing was changed. Copy the directory before anything else,
    /// and restore from a backup; [`guarantees`](crate::docs::guarantees) says what is told apart here.
    Damaged {
        /// The file that is damaged.
        file: String,
        /// Where in the file the damage begins.
        offset: u64,
    },
    /// What is stored makes use of something that this version of annals does not know. Nothing was changed. Update the
    /// program.
    Unsupported {
        /// The file that makes use of it.
        file: String,
    },
    /// There is no store in the directory. Nothing was changed. Correct the path; a follower can be opened once there is a store.
    NoStore,
    /// A store is to be made in a directory that holds files of one. Nothing was changed. Choose an empty directory.
    Occupied,
    /// Somebody has the store open for writing already, or a process manager of the name is at work. Use the handle that is open, or
    /// wait for the other process to end.
    InUse,
    /// The store was opened to be read: nothing can be appended through this handle, and nothing was written. Append through the
    /// process that has the store open for writing.
    ReadOnly,
    /// More of the log is covered by no index run than may be held in memory to follow it. Nothing was changed. Where a
    /// writer is at work, try again: it makes the runs. Else open the store for writing once, which makes them, or follow it with larger
    /// [`recent_bytes`](crate::store::FileOptions::recent_bytes).
    IndexBehind {
        /// How many bytes of log may be covered by no run.
        limit: u64,
    },
    /// There is no room, or no more is allowed. Nothing was written, and what is stored is safe. Make room; appending goes
    /// on then.
    StorageFull,
    /// The store takes no more writes because one failed in a way that leaves unknown what is on disk; the source says how.
    /// Reads go on. Close the store and open it again: that finds out. Whether the commits that were answered with this
    /// error were written is unknown; repeat them with the ids that they had, or the commands with their keys.
    Poisoned,
    /// The process is a child forked from the one that opened the store. Open a store of your own after forking.
    Forked,
    /// The store failed; the source says how. Whether a commit was written is unknown, unless the store promises that it was
    /// not: repeat it with the ids that it had, or the command with its key.
    Store,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => write!(f, "the store is closed"),
            Self::InvalidName => write!(f, "a name is not allowed"),
            Self::InvalidCommit => write!(f, "the commit is not well-formed"),
            Self::TooLarge { limit, actual } => {
                write!(f, "too large: {actual} where at most {limit} is allowed")
            }
            Self::EventIdTaken => write!(f, "an event with this id already stands in the store"),
            Self::TimeBeforeLast { last } => write!(f, "the last commit was recorded at {last}"),
            Self::Line { line, column: 0 } => write!(f, "line {line} cannot be imported"),
            Self::Line { line, column } => {
                write!(f, "line {line} cannot be imported from column {column} on")
            }
            Self::Transfer => write!(f, "history could not be moved"),
            Self::MissingEvents { from, to } => {
                write!(f, "the events of versions {from} to {to} are missing")
            }
            Self::VersionBeyondStream { last } => {
                write!(f, "the stream ends at version {last}")
            }
            Self::PositionBeyondHead { head } => write!(f, "the store ends at position {head}"),
            Self::UnknownEvent => write!(f, "no reader for this event type"),
            Self::NewerSchema { known } => {
                write!(f, "written by a newer program: this one knows schema version {known}")
            }
            Self::Decode => write!(f, "the payload does not have the shape of its event type"),
            Self::Upcast => write!(f, "an upcaster failed"),
            Self::Encode => write!(f, "the event cannot be stored"),
            Self::EventShape => write!(f, "the event type is not an externally tagged enum"),
            Self::Upcasters => write!(f, "the chain of upcasters is not sound"),
            Self::AggregateId => write!(f, "the id does not survive being written and read back"),
            Self::OtherStore => write!(f, "it is another store"),
            Self::AggregateType => write!(f, "two aggregate types claim the same stream"),
            Self::View => write!(f, "the handler of a view failed"),
            Self::Process => write!(f, "a process does not get on"),
            Self::ReadModel => write!(f, "what a projection is kept in failed"),
            Self::Checkpoint => write!(f, "the checkpoint does not belong to this store"),
            Self::Revision { kept } => write!(f, "the view was made by revision {kept}"),
            Self::Behind { position } => write!(f, "the read model is at position {position}"),
            Self::Damaged { file, offset } => {
                write!(f, "{file} is damaged at offset {offset}")
            }
            Self::Unsupported { file } => {
                write!(f, "{file} was written by a newer version of annals")
            }
            Self::NoStore => write!(f, "there is no store in the directory"),
            Self::Occupied => write!(f, "the directory is taken"),
            Self::InUse => write!(f, "it is in use already"),
            Self::ReadOnly => write!(f, "the store is open to be read only"),
            Self::IndexBehind { limit } => {
                write!(f, "more than {limit} bytes of the log are covered by no index run")
            }
            Self::StorageFull => write!(f, "there is no room"),
            Self::Poisoned => write!(f, "the store takes no more writes until it is opened anew"),
            Self::Forked => {
                write!(f, "the store was opened by the process that this one was forked from")
            }
            Self::Store => write!(f, "the store failed"),
        }
    }
}

impl Error {
    /// An error of this kind. For those who implement a store or a place for snapshots.
    #[must_use]
    pub fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Inner {
            kind,
            detail: None,
            stream: None,
            position: None,
            event: None,
            source: None,
        }))
    }

    /// A failure below the store: of a disk, a connection, a driver.
    #[must_use]
    pub fn store(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Store).caused_by(source)
    }

    /// Adds a half-sentence that says more than the kind does.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds a further half-sentence to the detail.
    pub(crate) fn also(mut self, more: &str) -> Self {
        let so_far = self.0.detail.take().map(|detail| format!("{detail}; "));
        self.0.detail = Some(so_far.unwrap_or_default() + more);
        self
    }

    /// Adds the stream that the error is about.
    #[must_use]
    pub fn in_stream(mut self, stream: StreamId) -> Self {
        self.0.stream = Some(stream);
        self
    }

    /// Adds the position that the error is about.
    #[must_use]
    pub fn at_position(mut self, position: Position) -> Self {
        self.0.position = Some(position);
        self
    }

    /// Adds the type and schema version of the event that the error is about.
    #[must_use]
    pub fn of_event(mut self, event_type: EventType, schema: SchemaVersion) -> Self {
        self.0.event = Some((event_type, schema));
        self
    }

    /// Adds what brought the error about.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error for somebody else whom it concerns; what brought it about is there as text.
    pub(crate) fn replica(&self) -> Self {
        let inner = &*self.0;
        Self(Box::new(Inner {
            kind: inner.kind.clone(),
            detail: inner.detail.clone(),
            stream: inner.stream.clone(),
            position: inner.position,
            event: inner.event.clone(),
            source: inner.source.as_ref().map(|source| source.to_string().into()),
        }))
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The stream it is about, where there is one.
    #[must_use]
    pub fn stream(&self) -> Option<&StreamId> {
        self.0.stream.as_ref()
    }

    /// The position it is about, where there is one.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.0.position
    }

    /// The stored type of the event it is about, where there is one.
    #[must_use]
    pub fn event_type(&self) -> Option<&EventType> {
        self.0.event.as_ref().map(|(event_type, _)| event_type)
    }

    /// The stored schema version of the event it is about, where there is one.
    #[must_use]
    pub fn schema_version(&self) -> Option<SchemaVersion> {
        self.0.event.as_ref().map(|(_, schema)| *schema)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        write!(f, "{}", inner.kind)?;
        if let Some(detail) = &inner.detail {
            write!(f, ": {detail}")?;
        }
        if let Some((event_type, schema)) = &inner.event {
            write!(f, ", event {event_type} v{schema}")?;
        }
        if let Some(stream) = &inner.stream {
            write!(f, ", stream {stream}")?;
        }
        if let Some(position) = inner.position {
            write!(f, ", position {position}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self}", self.0.kind)?;
        let mut cause = self.source();
        while let Some(source) = cause {
            write!(f, ": {source}")?;
            cause = source.source();
        }
        write!(f, ")")
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<InvalidName> for Error {
    fn from(source: InvalidName) -> Self {
        Self::new(ErrorKind::InvalidName).caused_by(source)
    }
}

/// What a call gives, or what a panic in it says. What the call has changed by then is not to be looked at.
pub(crate) fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("it panicked: {}", text.unwrap_or("without a message"))
    })
}

/// An error and what brought it about, as one text.
pub(crate) fn with_sources(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
