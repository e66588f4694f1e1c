//! A commit, put together line by line.

use super::line::{Line, Time};
use super::lines::at_line;
use crate::error::{Error, ErrorKind};
use crate::event::{CommitPlace, NewEvent};
use crate::id::StreamId;
use crate::position::{Position, Version};
use crate::store::{AppendError, Appended, Commit, EventStore, Expected, Filter, Limits};

/// What becomes of the places and times in the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Copy,
    Append,
}

/// A commit as far as its lines were read.
pub(super) struct Pending {
    /// The number of its first line.
    line: u64,
    first: Position,
    recorded_at: Time,
    /// The place in the commit that the next line has.
    next: CommitPlace,
    writes: Vec<Write>,
    bytes: usize,
}

struct Write {
    stream: StreamId,
    first: Version,
    events: Vec<NewEvent>,
}

impl Write {
    /// The version of the event at this index.
    fn version(&self, index: usize) -> Option<Version> {
        self.first.checked_add(index as u64)
    }
}

impl Pending {
    /// A commit that begins with this line, which is still to be added.
    pub(super) fn begin(number: u64, line: &Line<'_>) -> Self {
        Self {
            line: number,
            first: line.position,
            recorded_at: line.recorded_at,
            next: CommitPlace { ordinal: 0, count: line.commit.count },
            writes: Vec::new(),
            bytes: 0,
        }
    }

    pub(super) fn add(
        &mut self,
        number: u64,
        line: &Line<'_>,
        mode: Mode,
        limits: &Limits,
    ) -> Result<(), Error> {
        let wrong = |detail: String| Err(at_line(number).detail(detail));
        let (expected, told) = (self.next, line.commit);
        if told != expected || told.ordinal >= told.count {
            let CommitPlace { ordinal, count } = expected;
            return wrong(format!(
                "the event {} of {} of a commit stands where {ordinal} of {count} belongs",
                told.ordinal, told.count
            ));
        }
        if line.recorded_at != self.recorded_at {
            return wrong("the events of a commit have one time of recording".to_owned());
        }
        self.next.ordinal += 1;
        let caused = |source: Error| at_line(number).caused_by(source);
        let (stream, event) = line.event().map_err(caused)?;
        self.bytes += limits.check_event(&event).map_err(caused)?;
        limits.check_commit(told.count as usize, self.bytes).map_err(caused)?;
        let same = self.writes.last_mut().filter(|write| write.stream == stream);
        let expected =
            same.as_ref().map_or(Some(line.version), |write| write.version(write.events.len()));
        if mode == Mode::Copy && (expected != Some(line.version) || line.version == Version::ZERO) {
            return wrong(format!("version {} does not follow in stream {stream}", line.version));
        }
        match same {
            Some(write) => write.events.push(event),
            None => self.writes.push(Write { stream, first: line.version, events: vec![event] }),
        }
        Ok(())
    }

    /// Writes the commit, and tells whether it was there already.
    pub(super) fn write(&self, store: &dyn EventStore, mode: Mode) -> Result<bool, Error> {
        let answer = match mode {
            Mode::Copy => store.append(self.copied()),
            Mode::Append => match store.append(self.committed(stamped)) {
                // It may be there as it was recorded first: in the store that the lines are from, or in a copy.
                Err(AppendError::Store(error)) if *error.kind() == ErrorKind::EventIdTaken => {
                    store.append(self.committed(|event, _| event.clone()))
                }
                answer => answer,
            },
        };
        let appended = answer.map_err(|error| self.refused(error))?;
        if mode == Mode::Copy && !self.stands_as(&appended) {
            let detail = format!("it stands in the store from position {} on", appended.first);
            return Err(at_line(self.line).detail(detail));
        }
        Ok(appended.already_there)
    }

    /// The commit at whatever place is free, with each event changed.
    fn committed(&self, change: fn(&NewEvent, Time) -> NewEvent) -> Commit {
        self.writes.iter().fold(Commit::new(), |commit, write| {
            let events = write.events.iter().map(|event| change(event, self.recorded_at));
            commit.write(write.stream.clone(), Expected::Any, events)
        })
    }

    /// The commit at its place and no other.
    fn copied(&self) -> Commit {
        let before = Position::new(self.first.get() - 1);
        let commit = Commit::new().recorded_at(self.recorded_at.0);
        let commit = commit.require_none(Filter::all(), before);
        self.writes.iter().fold(commit, |commit, write| {
            let before = Expected::Exactly(Version::new(write.first.get() - 1));
            commit.write(write.stream.clone(), before, write.events.iter().cloned())
        })
    }

    fn stands_as(&self, appended: &Appended) -> bool {
        let versions = self.writes.iter().map(|write| write.version(write.events.len() - 1));
        appended.first == self.first
            && appended.recorded_at == self.recorded_at.0
            && appended.versions.iter().map(|(_, version)| Some(*version)).eq(versions)
    }

    /// What is wrong with the commit is so with its lines; what is wrong with the store is not.
    fn refused(&self, error: AppendError) -> Error {
        let here = at_line(self.line).detail(format!("the commit of {} lines", self.next.count));
        match error {
            AppendError::Conflict(conflict) => here.caused_by(conflict),
            AppendError::Store(error) => match error.kind() {
                ErrorKind::InvalidCommit
                | ErrorKind::TooLarge { .. }
                | ErrorKind::EventIdTaken
                | ErrorKind::TimeBeforeLast { .. } => here.caused_by(error),
                _ => error,
            },
        }
    }
}

/// The event with the time of its first recording as that at which it occurred, unless it has one.
fn stamped(event: &NewEvent, Time(recorded_at): Time) -> NewEvent {
    let metadata = event.metadata();
    match metadata.occurred_at() {
        Some(_) => event.clone(),
        None => event.clone().with_metadata(metadata.clone().with_occurred_at(recorded_at)),
    }
}
