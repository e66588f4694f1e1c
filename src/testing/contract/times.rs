//! Times of recording that commits bring.

use chrono::{DateTime, TimeDelta, Utc};

use super::law::Law;
use super::material::{event, id, stream};
use super::oracle::Verdict;
use super::report::{Held, hold};
use super::trial::Trial;
use crate::clock::Clock;
use crate::position::Version;
use crate::store::{Commit, Expected};

/// Times before the clock's and after it, equal ones, and such as go back.
pub(super) fn brought(trial: &mut Trial) -> Held {
    let one = |expected| Commit::new().write(stream("a/1"), expected, [event("X")]);
    let ordinary = || one(Expected::Any);
    let known = || Commit::new().write(stream("a/2"), Expected::Any, [event("X").with_id(id(1))]);
    let later = |time: DateTime<Utc>, nanos| time + TimeDelta::nanoseconds(nanos);
    let now = trial.clock.now();
    trial.append(&ordinary().recorded_at(DateTime::<Utc>::MIN_UTC))?;
    trial.append(&known().recorded_at(DateTime::UNIX_EPOCH))?;
    trial.append(&ordinary())?;
    trial.append(&ordinary().recorded_at(later(now, 7_999)))?;
    let last = later(now, 7_000);
    for nanos in [-1, -1_000, -1_000_000_000] {
        let verdict = trial.append(&ordinary().recorded_at(later(last, nanos)))?;
        let refused = matches!(verdict, Verdict::TooEarly(_));
        hold!(Law::OwnTime, refused, "{nanos} ns after {last} is judged {verdict:?}")?;
    }
    trial.append(&ordinary().recorded_at(later(last, 1)))?;
    trial.append(&ordinary())?;
    trial.append(&known().recorded_at(DateTime::UNIX_EPOCH))?;
    trial.append(&known().recorded_at(later(last, 1_000)))?;
    let stale = one(Expected::Exactly(Version::new(99)));
    trial.append(&stale.recorded_at(DateTime::UNIX_EPOCH))?;
    trial.append(&ordinary().recorded_at(DateTime::<Utc>::MAX_UTC))?;
    trial.append(&ordinary())?;
    trial.read_all()
}
