//! Whether a commit may be written.

use super::address::Address;
use super::index::{Search, Sought, cursor_for_id};
use super::pages::{Hints, page};
use super::view::View;
use super::walker::Walker;
use crate::error::{Error, ErrorKind};
use crate::event::{NewEvent, RecordedEvent};
use crate::id::EventId;
use crate::position::{Position, Version};
use crate::store::commit::{AppendError, Appended, Commit, Condition, Conflict, StreamWrite};
use crate::store::query::{Direction, Query};

/// What was found out about a commit, for the log up to some address.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    pub(super) end: Address,
    /// The version of each stream that the commit writes, then of each that it guards.
    pub(super) versions: Vec<Version>,
}

/// What becomes of a commit that nothing speaks against.
pub(super) enum Verdict {
    /// It may be written behind what was looked at.
    Accept(Judged),
    /// It was written before.
    AlreadyThere(Appended),
}

/// Judges a commit against the log of a view. What is known for the log up to some address is not looked at again.
pub(super) fn judge(
    view: &View<'_>,
    commit: &Commit,
    known: Option<&Judged>,
) -> Result<Verdict, AppendError> {
    let from = known.map_or(Address::MIN, |known| known.end);
    if from == view.end
        && let Some(known) = known
    {
        return Ok(Verdict::Accept(known.clone()));
    }
    if let Some(earlier) = repeated(view, commit, from)? {
        return Ok(Verdict::AlreadyThere(earlier));
    }
    let writes = commit.writes().iter().map(|write| (&write.stream, write.expected));
    let guards = commit.guards().iter().map(|guard| (&guard.stream, guard.expected));
    let mut versions = Vec::with_capacity(writes.len() + guards.len());
    for (place, (stream, expected)) in writes.chain(guards).enumerate() {
        let before = known.map_or(Version::ZERO, |known| known.versions[place]);
        let actual = view.version(stream, from)?.unwrap_or(before);
        if !expected.allows(actual) {
            return Err(Conflict::Stream { stream: stream.clone(), expected, actual }.into());
        }
        versions.push(actual);
    }
    for condition in commit.conditions() {
        require_none(view, condition, from)?;
    }
    Ok(Verdict::Accept(Judged { end: view.end, versions }))
}

fn require_none(view: &View<'_>, condition: &Condition, from: Address) -> Result<(), AppendError> {
    let query = Query::new(condition.none_of.clone()).after(condition.after);
    let (hints, mut next) = (Hints::default(), Some(query.limit(std::num::NonZeroU64::MIN)));
    while let Some(query) = next {
        let (batch, rest) = page(view, &query, &hints, from)?;
        if let Some(event) = batch.get(0) {
            let (stream, event_type) = (event.stream().to_stream_id(), event.to_event_type());
            let position = event.position();
            return Err(Conflict::Event { stream, event_type, position }.into());
        }
        next = rest;
    }
    Ok(())
}

/// Where an event stands in the log, and in its commit.
#[derive(Debug, Clone, Copy)]
struct Standing {
    address: Address,
    position: Position,
    /// The position of the commit's first event.
    first: Position,
    count: u32,
}

/// The event with this id, at this address or behind it.
fn standing(view: &View<'_>, id: EventId, from: Address) -> Result<Option<Standing>, Error> {
    let mut cursor = cursor_for_id(id, view.terms);
    let search = Search::new(&view.sources, from, view.end);
    let mut at = from;
    while let Sought::At(address) = cursor.seek(&search, at, Direction::Forwards)? {
        let bytes = view.record_bytes(address)?;
        let record = view.record(address, &bytes)?;
        if record.event.event_id() == id {
            let (position, count) = (record.event.position(), record.event.commit().count);
            let (first, _) = record.event.commit_positions();
            return Ok(Some(Standing { address, position, first, count }));
        }
        at = address.next();
    }
    Ok(None)
}

/// Where a commit stands already, if it repeats one at this address or behind it.
fn repeated(view: &View<'_>, commit: &Commit, from: Address) -> Result<Option<Appended>, Error> {
    let mut found = None;
    for (stream, event) in commit.events() {
        if let Some(id) = event.id()
            && let Some(standing) = standing(view, id, from)?
        {
            found = Some((stream, id, standing));
            break;
        }
    }
    let Some((stream, id, standing)) = found else { return Ok(None) };
    match same_commit(view, commit, &standing)? {
        Some(appended) => Ok(Some(appended)),
        None => Err(Error::new(ErrorKind::EventIdTaken)
            .detail(id.to_string())
            .in_stream(stream.clone())
            .at_position(standing.position)),
    }
}

/// The answer for a commit that is the same as an earlier one, of which one event is known.
fn same_commit(
    view: &View<'_>,
    commit: &Commit,
    one: &Standing,
) -> Result<Option<Appended>, Error> {
    if commit.events().count() != one.count as usize {
        return Ok(None);
    }
    let mut appended = Appended {
        first: one.first,
        last: Position::new(one.first.get() - 1 + u64::from(one.count)),
        versions: Vec::with_capacity(commit.writes().len()),
        ids: commit.events().filter_map(|(_, event)| event.id()).collect(),
        recorded_at: chrono::DateTime::UNIX_EPOCH,
        already_there: true,
    };
    for write in commit.writes() {
        let Some(last) = same_write(view, write, one)? else { return Ok(None) };
        appended.versions.push((write.stream.clone(), last.version()));
        appended.recorded_at = last.recorded_at();
    }
    Ok(Some(appended))
}

/// The last event of a write, if all of it stands in the earlier commit with the same content.
fn same_write(
    view: &View<'_>,
    write: &StreamWrite,
    one: &Standing,
) -> Result<Option<RecordedEvent<'static>>, Error> {
    let Some(id) = write.events.first().and_then(NewEvent::id) else { return Ok(None) };
    let Some(start) = standing(view, id, Address::MIN)? else { return Ok(None) };
    if start.first != one.first {
        return Ok(None);
    }
    let mut walker = Walker::from_record(view, start.address);
    let mut last = None;
    for event in &write.events {
        if !walker.next()? {
            return Ok(None);
        }
        let recorded = walker.event();
        let is_same = recorded.position() < Position::new(one.first.get() + u64::from(one.count))
            && recorded.stream() == write.stream
            && Some(recorded.event_id()) == event.id()
            && recorded.has_content_of(event);
        if !is_same {
            return Ok(None);
        }
        last = Some(recorded.into_owned());
    }
    Ok(last)
}
