//! Stores that write or tell something else than they were given.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};

use annals::event::{CommitPlace, Placement};
use annals::store::{AppendError, Commit, Conflict, EventStore, Expected, MemoryStore, Query};
use annals::testing::contract::Law;
use annals::{Clock, ErrorKind, Metadata, StreamId, Version};
use chrono::DateTime;

use super::broken::{breaks, commit_of, placed, with_events, with_writes};

#[test]
fn half_a_commit_is_written() {
    breaks(Law::Atomicity, |store, _| {
        store.append(|inner, commit| match commit.writes() {
            [kept @ .., _] if !kept.is_empty() => {
                let last: StreamId = "no/such".parse().unwrap();
                match inner.append(commit.clone().guard(last.clone(), Expected::Exists)) {
                    Err(AppendError::Conflict(Conflict::Stream { stream, .. }))
                        if stream == last => {}
                    answer => return answer,
                }
                inner.append(with_writes(&commit, kept.to_vec()))
            }
            _ => inner.append(commit),
        })
    });
}

#[test]
fn a_header_is_lost() {
    breaks(Law::Content, |store, _| {
        store.append(|inner, commit| {
            inner.append(with_events(&commit, |event| {
                let told = event.metadata();
                let mut kept = Metadata::new();
                kept = told.correlation().map_or(kept.clone(), |id| kept.with_correlation(id));
                kept = told.causation().map_or(kept.clone(), |id| kept.with_causation(id));
                kept = told.occurred_at().map_or(kept.clone(), |time| kept.with_occurred_at(time));
                kept = told.actor().map_or(kept.clone(), |actor| kept.with_actor(actor));
                for (name, value) in told.headers().filter(|(name, _)| !name.is_empty()) {
                    kept = kept.with_header(name, value);
                }
                event.clone().with_metadata(kept)
            }))
        })
    });
}

#[test]
fn versions_are_counted_from_zero() {
    breaks(Law::DenseVersions, |store, _| {
        store.read(|inner, query| {
            let (batch, rest) = inner.read(query)?;
            let from_zero = |version: Version| Version::new(version.get() - 1);
            Ok((
                placed(&batch, |placement| {
                    placement.version = from_zero(placement.version);
                }),
                rest,
            ))
        })
    });
}

#[test]
fn every_event_passes_for_a_commit_of_its_own() {
    breaks(Law::CommitPlaces, |store, _| {
        store.read(|inner, query| {
            let (batch, rest) = inner.read(query)?;
            let alone = |placement: &mut Placement| {
                placement.commit = CommitPlace { ordinal: 0, count: 1 };
            };
            Ok((placed(&batch, alone), rest))
        })
    });
}

#[test]
fn the_time_of_recording_follows_the_clock_backwards() {
    breaks(Law::RecordedAt, |store, clock| {
        let times = Arc::new(Mutex::new(BTreeMap::new()));
        let told = Arc::clone(&times);
        let append = move |inner: &MemoryStore, commit| {
            let mut times = times.lock().unwrap();
            let commit: Commit = commit;
            let now = commit.own_time().unwrap_or(clock.now());
            let mut appended = inner.append(commit)?;
            if !appended.already_there {
                // The clock may have gone back since: a time later than the one that is kept breaks another law.
                let told = now.min(appended.recorded_at);
                let micros = DateTime::from_timestamp_micros(told.timestamp_micros()).unwrap();
                times.insert(appended.first, micros);
            }
            appended.recorded_at = times[&appended.first];
            Ok(appended)
        };
        store.append(append).read(move |inner, query| {
            let times = told.lock().unwrap();
            let (batch, rest) = inner.read(query)?;
            let batch = placed(&batch, |placement| {
                let (_, time) = times.range(..=placement.position).next_back().unwrap();
                placement.recorded_at = *time;
            });
            Ok((batch, rest))
        })
    });
}

#[test]
fn the_time_that_a_commit_brings_is_ignored() {
    breaks(Law::OwnTime, |store, _| {
        store.append(|inner, commit| {
            let whole = commit_of(
                commit.writes().to_vec(),
                commit.guards().to_vec(),
                commit.conditions().to_vec(),
            );
            inner.append(whole)
        })
    });
}

#[test]
fn a_time_that_goes_back_is_brought_forward() {
    breaks(Law::OwnTime, |store, _| {
        store.append(|inner, commit| match inner.append(commit.clone()) {
            Err(AppendError::Store(error)) => match error.kind() {
                ErrorKind::TimeBeforeLast { last } => inner.append(commit.recorded_at(*last)),
                _ => Err(error.into()),
            },
            answer => answer,
        })
    });
}

#[test]
fn the_time_that_a_commit_brings_is_judged_before_its_expectations() {
    breaks(Law::OrderOfJudgement, |store, _| {
        store.append(|inner, commit| {
            let answer = inner.append(commit.clone());
            let Err(AppendError::Conflict(_)) = answer else { return answer };
            let newest = Query::default().backwards().limit(NonZeroU64::MIN);
            let (batch, _) = inner.read(&newest)?;
            let last = batch.get(0).map(|last| last.recorded_at());
            commit.time_of_recording(DateTime::UNIX_EPOCH, last)?;
            answer
        })
    });
}

#[test]
fn the_ids_are_told_in_the_wrong_order() {
    breaks(Law::TrueAnswers, |store, _| {
        store.append(|inner, commit| {
            let mut appended = inner.append(commit)?;
            if !appended.already_there {
                appended.ids.reverse();
            }
            Ok(appended)
        })
    });
}

#[test]
fn a_version_is_told_from_a_cache_that_other_streams_share() {
    breaks(Law::HeadsAndVersions, |store, _| {
        store.version(|inner, stream| {
            let version = inner.version(stream)?;
            Ok(Version::new(version.get() & 3))
        })
    });
}
