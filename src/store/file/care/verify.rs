//! Verifying a store.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::ops::Range;
use std::sync::Arc;
use std::thread;

use super::finding::{Finding, Findings};
use super::sections::Sections;
use super::survey::{Piece, Survey, Thoroughness};
use crate::error::Error;
use crate::event::{GAP, RecordedEvent};
use crate::position::{Position, Version};
use crate::progress::Progress;
use crate::storage::{FileName, Storage};
use crate::store::file::address::Address;
use crate::store::file::bytes::checksum;
use crate::store::file::index::{AlreadyHashed, Coverage, Ought, Place, Run, Sum, Terms};
use crate::store::file::record::Record;

/// Verifies a store: every checksum, the chain of frames, the laws of positions, versions and times, and the index against the
/// log. It changes nothing, and may run beside a writer; what it has not seen synced yet is left to another time.
///
/// After [`Position::START`] it verifies everything; after another position, which [`Verification::up_to`] of the last time gives,
/// only the segments that hold events after it, and the runs of the index that are about nothing else.
///
/// ```
/// use annals::Position;
/// use annals::storage::Directory;
/// use annals::store::care;
/// # use annals::store::{Commit, EventStore, Expected, FileStore};
/// # use annals::{NewEvent, id::EventType};
///
/// # let directory = std::env::temp_dir().join(format!("annals-doc-verify-{}", std::process::id()));
/// # let store = FileStore::open(&directory)?;
/// # let opened = NewEvent::new(EventType::new("Opened")?, &())?;
/// # store.append(Commit::new().write("account/alice".parse()?, Expected::Any, [opened]))?;
/// let found = care::verify(Directory::to_read(&directory)?, Position::START, |progress| {
///     println!("{} of {} bytes", progress.done, progress.total);
/// })?;
/// for finding in found.findings.iter() {
///     println!("{finding}");
/// }
/// assert!(found.is_sound());
/// # store.close()?;
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Cost
///
/// It reads every file once, in large pieces, and takes about 64 MiB of memory. Where there are more than a million streams,
/// each further million costs another pass over the log.
pub fn verify(
    store: impl Storage,
    after: Position,
    mut progress: impl FnMut(Progress),
) -> Result<Verification, Error> {
    let storage: Arc<dyn Storage> = Arc::new(store);
    let mut sections = Sections::of(&storage)?;
    sections.leave_out(after);
    audit(&sections, Thoroughness::Proven, &mut progress, &mut |_| {})
}

/// Holds everything that a survey finds against the laws; `also` sees it, too.
pub(super) fn audit(
    sections: &Sections,
    thoroughness: Thoroughness,
    progress: &mut dyn FnMut(Progress),
    also: &mut dyn FnMut(&Piece<'_>),
) -> Result<Verification, Error> {
    let runs: Vec<&Run> = sections.chosen_runs().map(|run| &**run).collect();
    thread::scope(|scope| {
        // The runs are read by another thread, while this one reads the log.
        let checks = scope.spawn(|| runs.iter().map(|run| run.check()).collect::<Vec<_>>());
        let mut audit = Audit::of(sections, &runs, progress)?;
        let mut next = Some(0..u64::MAX);
        while let Some(share) = next {
            audit.versions = Versions { share, ..Versions::default() };
            Survey::new(sections, thoroughness).run(&mut |piece| {
                if audit.is_first_pass {
                    also(&piece);
                }
                audit.see(piece)
            })?;
            audit.is_first_pass = false;
            let end = audit.versions.share.end;
            next = (end < u64::MAX).then_some(end..u64::MAX);
        }
        let checks = checks.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        audit.finish(checks)
    })
}

/// What verifying a store found.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Verification {
    /// Up to where the log was verified: as far as it was known to be synced.
    pub up_to: Position,
    /// How many events were read.
    pub events: u64,
    /// How many of them are [gaps](RecordedEvent::is_gap), which were lost before and are known to be.
    pub gaps: u64,
    /// What is wrong.
    pub findings: Findings,
}

impl Verification {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

/// The versions of streams, as far as they were seen.
#[derive(Default)]
struct Versions {
    /// Those whose hash lies in this range.
    share: Range<u64>,
    /// By a hash of the stream's name that no other stream shares but by an accident that nobody lives to see.
    last: HashMap<u64, Version, BuildHasherDefault<AlreadyHashed>>,
}

const STREAMS_MAX: usize = 1 << 20;

impl Versions {
    /// Takes note of an event, and returns the version that its stream had before it, if one is known; `None` if another pass is for
    /// this stream.
    fn replace(&mut self, stream: u64, version: Version) -> Option<Option<Version>> {
        if !self.share.contains(&stream) {
            return None;
        }
        let before = self.last.insert(stream, version);
        if self.last.len() > STREAMS_MAX {
            // The upper half is left for another pass.
            let share = &mut self.share;
            let highest = self.last.keys().max().map_or(share.end, |one| one.saturating_add(1));
            share.end = share.start + (highest - share.start) / 2;
            self.last.retain(|stream, _| *stream < share.end);
        }
        Some(before)
    }
}

/// What the log says that a run has to hold.
struct Audited<'r> {
    run: &'r Run,
    ought: Ought,
    /// Which of its places is due, and which number the next one has; none is due behind the last.
    place: Option<Place>,
    next_place: u32,
    /// Whether anything was told of it, or of what it covers, already.
    is_told: bool,
}

impl Audited<'_> {
    /// Adds an event, which may be one that a place is due for. Returns a hash of its stream.
    fn add(
        &mut self,
        at: Address,
        event: &RecordedEvent<'_>,
    ) -> Result<(u64, Option<Finding>), Error> {
        let stream = self.ought.add(event, at);
        let Some(due) = self.place.filter(|due| due.address <= at && !self.is_told) else {
            return Ok((stream, None));
        };
        let time = event.recorded_micros();
        let next = self.run.place_at(self.next_place);
        let finding = if due == (Place { position: event.position(), time, address: at }) {
            (self.place, self.next_place) = (None, self.next_place + 1);
            match next {
                Ok(next) => {
                    self.place = next;
                    return Ok((stream, None));
                }
                Err(error) => Finding::from_error(error)?,
            }
        } else {
            Finding::new(self.run.name, 0, "a place is not where it says")
        };
        self.is_told = true;
        Ok((stream, Some(finding)))
    }
}

/// Holds what a survey finds against the laws.
struct Audit<'a, 'r> {
    progress: Progress,
    tell: &'a mut dyn FnMut(Progress),
    found: Verification,
    /// Whether the log is read from its beginning.
    is_whole: bool,
    is_first_pass: bool,
    terms: Terms,
    versions: Versions,
    /// The last time of recording.
    time: i64,
    /// How many events are missing in streams, beside those that stand as gaps in them.
    missing: u64,
    unknown_gaps: u64,
    /// In the order of the log; those before the one that covers what is read are done with.
    runs: Vec<Audited<'r>>,
    current: usize,
}

impl<'a, 'r> Audit<'a, 'r> {
    fn of(
        sections: &Sections,
        runs: &[&'r Run],
        tell: &'a mut dyn FnMut(Progress),
    ) -> Result<Self, Error> {
        let terms = Terms::of_store(sections.store);
        let mut audit = Self {
            progress: Progress::new(0, sections.bytes()),
            tell,
            found: Verification::default(),
            is_whole: sections.before == Position::START,
            is_first_pass: true,
            terms,
            versions: Versions::default(),
            time: i64::MIN,
            missing: 0,
            unknown_gaps: 0,
            runs: Vec::new(),
            current: 0,
        };
        sections.index_findings.iter().for_each(|one| audit.add(one.clone()));
        for run in runs {
            let ought = Ought::new(terms);
            let (place, is_told) = match run.place_at(0) {
                Ok(place) => (place, false),
                Err(error) => {
                    audit.add(Finding::from_error(error)?);
                    (None, true)
                }
            };
            if !sections.has_end_of(run)? {
                let at = run.coverage.last_frame;
                audit.add(finding_at(
                    at,
                    &format!("it is not the frame that {} ends with", run.name),
                ));
            }
            audit.runs.push(Audited { run, ought, place, next_place: 1, is_told });
        }
        Ok(audit)
    }

    /// Holds what the runs hold against what they have to.
    fn finish(mut self, checks: Vec<Result<Sum, Error>>) -> Result<Verification, Error> {
        for (audited, check) in std::mem::take(&mut self.runs).into_iter().zip(checks) {
            match check {
                Err(error) => self.found.findings.add(Finding::from_error(error)?),
                Ok(_) if audited.is_told => {}
                Ok(sum) if audited.ought.is_in(audited.run, sum) && audited.place.is_none() => {}
                Ok(_) => {
                    let what = "it does not hold what the log holds";
                    self.found.findings.add(Finding::new(audited.run.name, 0, what));
                }
            }
        }
        Ok(self.found)
    }

    fn add(&mut self, finding: Finding) {
        // What is read again in a further pass was told in the first.
        if self.is_first_pass || finding.stream.is_some() {
            self.found.findings.add(finding);
        }
    }

    fn see(&mut self, piece: Piece<'_>) -> Result<(), Error> {
        match piece {
            Piece::Record(at, record) => self.see_record(at, record)?,
            Piece::Finding(finding) => {
                for audited in &mut self.runs {
                    let Coverage { first, last, .. } = audited.run.coverage;
                    let is_about = |lost: (Position, Position)| lost.0 <= last && lost.1 >= first;
                    audited.is_told |= finding.lost.is_some_and(is_about);
                }
                self.add(finding);
            }
            Piece::Torn { .. } => {}
            Piece::Read(bytes) => {
                self.progress.add(bytes);
                (self.tell)(self.progress);
            }
        }
        Ok(())
    }

    fn see_record(&mut self, at: Address, record: &Record<'_>) -> Result<(), Error> {
        let event = &record.event;
        if self.is_first_pass {
            self.check_time(at, record);
            self.found.up_to = event.position();
            self.found.events += 1;
            self.found.gaps += u64::from(event.is_gap());
            self.unknown_gaps += u64::from(event.is_gap() && event.stream().category() == GAP);
        }
        let stream = self.see_in_index(at, event)?;
        self.check_version(stream, at, event);
        Ok(())
    }

    /// The time of recording is one in a commit, and never goes back.
    fn check_time(&mut self, at: Address, record: &Record<'_>) {
        let time = record.event.recorded_micros();
        let goes_on = self.found.up_to.checked_add(1) == Some(record.event.position());
        let is_same_commit = goes_on && !record.event.commit().is_first();
        if time < self.time || (is_same_commit && time != self.time) {
            self.add(finding_at(at, "a time of recording is not as in the commit, or before it"));
        }
        self.time = time;
    }

    /// Adds an event to what the run that covers it has to hold, and returns a hash of its stream.
    fn see_in_index(&mut self, at: Address, event: &RecordedEvent<'_>) -> Result<u64, Error> {
        let name = event.stream().as_str();
        let mut stream = None;
        if self.is_first_pass {
            let ended = |audited: &Audited<'_>| audited.run.coverage.to <= at;
            self.current += self.runs[self.current..].iter().take_while(|run| ended(run)).count();
            if let Some(audited) =
                self.runs.get_mut(self.current).filter(|one| one.run.coverage.from <= at)
            {
                let (hash, finding) = audited.add(at, event)?;
                stream = Some(hash);
                finding.into_iter().for_each(|finding| self.found.findings.add(finding));
            }
        }
        let stream = stream.unwrap_or_else(|| self.terms.stream(name));
        Ok(stream << 16 | u64::from(checksum(0, name.as_bytes()) & 0xFFFF))
    }

    fn check_version(&mut self, stream: u64, at: Address, event: &RecordedEvent<'_>) {
        let Some(before) = self.versions.replace(stream, event.version()) else { return };
        // What came before the part that is read is taken on trust.
        let Some(before) = before.or(self.is_whole.then_some(Version::ZERO)) else { return };
        let first = Version::new(before.get().saturating_add(1));
        if event.version() == first {
            return;
        }
        let mut finding = finding_at(at, "a version does not follow the one before it");
        if event.version() > first {
            let missing = event.version().get() - first.get();
            self.missing = self.missing.saturating_add(missing);
            if self.missing <= self.unknown_gaps {
                return;
            }
            let last = Version::new(event.version().get() - 1);
            finding.stream = Some((event.stream().to_stream_id(), first, last));
        }
        self.add(finding);
    }
}

fn finding_at(at: Address, what: &str) -> Finding {
    Finding::new(FileName::Segment(at.segment()), at.offset().into(), what)
}
