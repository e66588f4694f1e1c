//! What has to hold once something has gone wrong: nothing that was acknowledged is lost, nothing that was seen is lost
//! later, and nobody has to lend a hand.

use annals::{Error, ErrorKind};

use crate::disk::{Crash, SimDisk};
use crate::oracle::{self, Complaint, Trouble};
use crate::player::Player;
use crate::random::Random;

/// An error that a fault may bring about. That a disk fails is not damage to what is on it.
pub(crate) fn is_fair(error: &Error) -> Result<(), Complaint> {
    match error.kind() {
        ErrorKind::Store | ErrorKind::Poisoned | ErrorKind::StorageFull => Ok(()),
        _ => Err(format!("a fault of the disk is reported as {error:?}")),
    }
}

/// What a store shows that has met a fault: what was acknowledged, or, where reads may fail, an error.
pub(crate) fn reads_go_on(player: &Player, may_fail: bool) -> Result<(), Complaint> {
    let Some(store) = &player.store else { return Ok(()) };
    let all = player.log.commits().len();
    match oracle::recovered(store, &player.log, all..=all) {
        Ok(_) => Ok(()),
        Err(Trouble::Error(error)) if may_fail => is_fair(&error),
        Err(trouble) => Err(format!("after a fault: {trouble}")),
    }
}

/// A store that was poisoned stays so, and its reads go on.
pub(crate) fn is_poisoned(player: &mut Player, reads_may_fail: bool) -> Result<(), Complaint> {
    let commit = player.author.commit(&player.log);
    let unknown = player.unknown.len();
    let answer = player.append_this(commit)?;
    // It was refused from the outset: only those before it may turn out to be there.
    player.unknown.truncate(unknown);
    match answer {
        Some(error) if *error.kind() == ErrorKind::Poisoned => reads_go_on(player, reads_may_fail),
        answer => Err(format!("a poisoned store answers an append with {answer:?}")),
    }
}

/// Cuts the power right after an error, so many times: what was refused is not there, and what was acknowledged is.
pub(crate) fn crash_now(player: &Player, times: usize) -> Result<(), Complaint> {
    let mut random = Random::of(&[player.disk.ops()]);
    let state = player.disk.state();
    for _ in 0..times {
        let cut = state.after(Crash::Cut, &mut random);
        let mut heir = player.heir(SimDisk::holding(cut, random.next()));
        let opened = must(heir.open()?);
        opened.map_err(|complaint| format!("a power cut after an error: {complaint}"))?;
    }
    Ok(())
}

/// Ends the process in every way, heals the disk, and looks at what is left.
pub(crate) fn judge(mut player: Player, seed: u64) -> Result<(), Complaint> {
    player.disk.set_fault(None);
    player.disk.set_capacity(usize::MAX);
    reads_go_on(&player, false)?;
    let state = player.disk.state();
    let mut random = Random::of(&[seed, player.disk.ops()]);
    for crash in [Crash::Kill, Crash::Cut, Crash::GivenUp] {
        let disk = SimDisk::holding(state.after(crash, &mut random), random.next());
        live_on(player.heir(disk))
            .map_err(|complaint| format!("after a {crash:?}: {complaint}"))?;
    }
    let worst = player.heir(SimDisk::holding(state.after_losing_all(), 1));
    live_on(worst).map_err(|complaint| format!("after losing all: {complaint}"))?;
    if let Some(error) = player.close() {
        is_fair(&error)?;
    }
    live_on(player).map_err(|complaint| format!("opened again: {complaint}"))
}

/// Opens a store on a disk that does nothing wrong any more: it has to recover, to keep what it shows, and to go on.
pub(crate) fn live_on(mut player: Player) -> Result<(), Complaint> {
    must(player.open()?)?;
    let after_cut = SimDisk::holding(player.disk.state().after_losing_all(), 1);
    let mut after_cut = player.heir(after_cut);
    must(after_cut.open()?).map_err(|complaint| format!("and a cut after that: {complaint}"))?;
    for _ in 0..3 {
        must(player.append()?)?;
    }
    must(player.close())?;
    must(player.open()?)?;
    player.disk.freeze();
    Ok(())
}

fn must(error: Option<Error>) -> Result<(), Complaint> {
    error
        .map_or(Ok(()), |error| Err(format!("the disk is well again, and the answer is {error:?}")))
}
