//! Verifying a store.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

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
use crate::store::file::index::{Coverage, Ought, Place, Run, Sum, Terms};
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
    let mut audit = Audit::of(sections, progress)?;
    let mut next = Some(Share { from: 0, below: u64::MAX });
    while let Some(share) = next {
        audit.versions = Versions { share, ..Versions::default() };
        Survey::new(sections, thoroughness).run(&mut |piece| {
            if audit.is_first_pass {
                also(&piece);
            }
            audit.see(piece)
        })?;
        audit.is_first_pass = false;
        let below = audit.versions.share.below;
        next = (below < u64::MAX).then_some(Share { from: below, below: u64::MAX });
    }
    audit.pass_runs(Address::MAX);
    Ok(audit.found)
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

/// The streams whose hash lies in a range.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    from: u64,
    below: u64,
}

/// The versions of streams, as far as they were seen.
#[derive(Default)]
struct Versions {
    share: Share,
    /// By a hash of the stream's name that no other stream shares but by an accident that nobody lives to see.
    last: HashMap<u64, Version>,
}

const STREAMS_MAX: usize = 1 << 20;

impl Versions {
    /// Takes note of an event, and returns the version that its stream had before it, if one is known; `None` if another pass is for
    /// this stream.
    fn replace(&mut self, stream: u64, version: Version) -> Option<Option<Version>> {
        if !(self.share.from..self.share.below).contains(&stream) {
            return None;
        }
        let before = self.last.insert(stream, version);
        if self.last.len() > STREAMS_MAX {
            // The upper half is left for another pass.
            let share = &mut self.share;
            let highest = self.last.keys().max().map_or(share.below, |highest| highest + 1);
            share.below = share.from + (highest - share.from) / 2;
            self.last.retain(|stream, _| *stream < share.below);
        }
        Some(before)
    }
}

/// A run that is held against the log.
struct Audited {
    run: Arc<Run>,
    sum: Sum,
    /// Which of its places comes after the next.
    next_place: u32,
    place: Place,
    /// Whether anything was told of it, or of what it covers, already.
    is_told: bool,
}

impl Audited {
    /// Holds the place that is due against the event at this address, and goes on to the next.
    fn compare_place(
        &mut self,
        at: Address,
        event: &RecordedEvent<'_>,
    ) -> Result<Option<Finding>, Error> {
        let time = event.recorded_at().timestamp_micros();
        if self.place != (Place { position: event.position(), time, address: at }) {
            let what = "a place is not where it says";
            return Ok(Some(Finding::new(self.run.name, 0, what)));
        }
        match self.run.place_at(self.next_place) {
            Ok(Some(next)) => (self.next_place, self.place) = (self.next_place + 1, next),
            Ok(None) => self.place.address = Address::MAX,
            Err(error) => return Finding::from_error(error).map(Some),
        }
        Ok(None)
    }
}

/// Holds what a survey finds against the laws.
struct Audit<'a> {
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
    /// The run that covers what is read, then those behind it.
    runs: VecDeque<Audited>,
    ought: Ought,
}

impl<'a> Audit<'a> {
    fn of(sections: &Sections, tell: &'a mut dyn FnMut(Progress)) -> Result<Self, Error> {
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
            runs: VecDeque::new(),
            ought: Ought::new(terms),
        };
        audit.check_runs(sections)?;
        Ok(audit)
    }

    /// Checks the runs by themselves. Those count that recovery would choose, and that lie in what is read.
    fn check_runs(&mut self, sections: &Sections) -> Result<(), Error> {
        sections.index_findings.iter().for_each(|one| self.add(one.clone()));
        for run in sections.chosen_runs() {
            let checked = run.check().and_then(|sum| Ok((sum, run.place_at(0)?)));
            let (sum, place) = match checked {
                Ok((sum, place)) => (sum, place.expect("a run has places")),
                Err(error) => {
                    self.add(Finding::from_error(error)?);
                    continue;
                }
            };
            if !sections.has_end_of(run)? {
                let what = "the log has not the frame that it ends with";
                self.add(Finding::new(run.name, 0, what));
            }
            let run = Arc::clone(run);
            self.runs.push_back(Audited { run, sum, next_place: 1, place, is_told: false });
        }
        Ok(())
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
                self.progress.done += bytes;
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
        let time = record.event.recorded_at().timestamp_micros();
        let goes_on = self.found.up_to.checked_add(1) == Some(record.event.position());
        let is_same_commit = goes_on && !record.event.commit().is_first();
        if time < self.time || (is_same_commit && time != self.time) {
            self.add(finding_at(at, "a time of recording is not as in the commit, or before it"));
        }
        self.time = time;
    }

    /// Adds an event to what the run that covers it has to hold, and returns a hash of its stream.
    fn see_in_index(&mut self, at: Address, event: &RecordedEvent<'_>) -> Result<u64, Error> {
        if self.is_first_pass {
            self.pass_runs(at);
            if let Some(audited) = self.runs.front_mut().filter(|one| one.run.coverage.from <= at) {
                self.ought.add(event, at);
                if audited.place.address <= at
                    && !audited.is_told
                    && let Some(finding) = audited.compare_place(at, event)?
                {
                    audited.is_told = true;
                    self.found.findings.add(finding);
                }
            }
        }
        let name = event.stream().as_str().as_bytes();
        Ok(self.terms.stream_name(name) << 16 | u64::from(checksum(0, name) & 0xFFFF))
    }

    /// Lets go of the runs that end at this address or before it, after holding each against what was seen.
    fn pass_runs(&mut self, at: Address) {
        while let Some(audited) = self.runs.front().filter(|one| one.run.coverage.to <= at) {
            let ought = std::mem::replace(&mut self.ought, Ought::new(self.terms));
            if !audited.is_told
                && (ought.sum != audited.sum || audited.place.address != Address::MAX)
            {
                let what = "it does not hold what the log holds";
                self.found.findings.add(Finding::new(audited.run.name, 0, what));
            }
            self.runs.pop_front();
        }
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
            self.missing += event.version().get() - first.get();
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
