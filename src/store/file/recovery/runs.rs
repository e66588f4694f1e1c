//! Which index runs are of use.

use std::sync::Arc;

use crate::error::Error;
use crate::storage::FileName;
use crate::store::file::address::Address;
use crate::store::file::fault::{Fault, find};
use crate::store::file::frame::{FRAME_HEADER_BYTES, FrameHeader};
use crate::store::file::index::{Coverage, Run, Workshop};
use crate::store::file::log::Log;

/// The runs of a directory.
#[derive(Default)]
pub(crate) struct Runs {
    /// Those of use: they lie behind one another, from the beginning of the log on.
    pub(crate) kept: Vec<Arc<Run>>,
    /// Those of no use, and why.
    pub(super) useless: Vec<(FileName, String)>,
    /// Up to where the log was synced, as the runs know.
    pub(crate) proven: Address,
    /// Whether one is missing, perhaps because a writer has just merged it into another.
    pub(crate) is_one_missing: bool,
}

/// Opens all runs but those that are known already, and chooses.
pub(crate) fn choose(
    workshop: &Workshop,
    names: &[FileName],
    log: &Log,
    known: &[Arc<Run>],
) -> Result<Runs, Error> {
    let Workshop { storage, store, cache } = workshop;
    let (mut found, mut runs) = (Vec::new(), Runs::default());
    for name in names.iter().copied().filter(|name| matches!(name, FileName::Run(..))) {
        if let Some(run) = known.iter().find(|run| run.name == name) {
            found.push(Arc::clone(run));
            continue;
        }
        let Some(file) = find(&**storage, name)? else {
            runs.is_one_missing = true;
            continue;
        };
        match Run::open(name, cache.adopt(file), *store, Arc::clone(cache))? {
            Ok(run) => found.push(Arc::new(run)),
            Err(fault @ Fault::Unknown { .. }) => return Err(fault.at(name, 0)),
            Err(fault) => runs.useless.push((name, fault.to_string())),
        }
    }
    // Of runs that begin at one place the longest comes first.
    found.sort_by_key(|run| (run.coverage.from, std::cmp::Reverse(run.coverage.to)));
    let mut end = log.start();
    for run in found {
        runs.proven = runs.proven.max(run.coverage.to);
        if run.coverage.from == end {
            end = run.coverage.to;
            runs.kept.push(run);
        } else {
            let is_covered = run.coverage.to <= end;
            runs.is_one_missing |= !is_covered;
            let reason = if is_covered { "covered by another" } else { "one before it is missing" };
            runs.useless.push((run.name, reason.to_owned()));
        }
    }
    Ok(runs)
}

/// Checks that the log holds the frame that a run ends with.
pub(crate) fn confirm(log: &Log, run: &Run) -> Result<(), Error> {
    let Coverage { last_frame, last, .. } = run.coverage;
    let name = FileName::Segment(last_frame.segment());
    let damaged = |fault: Fault| fault.at(name, last_frame.offset().into()).at_position(last);
    let Some(segment) = log.segment(last_frame.segment()) else {
        let what = Fault::Wrong("the segment is missing, but an index run covers it");
        return Err(damaged(what));
    };
    let mut bytes = vec![0; FRAME_HEADER_BYTES as usize];
    log.read(last_frame, &mut bytes)?;
    let (header, sum) = FrameHeader::decode(&bytes, segment.header.tag).map_err(damaged)?;
    if run.coverage.ends_with(&header, sum) {
        return Ok(());
    }
    Err(damaged(Fault::Wrong("an index run that is whole was made of another frame")))
}
