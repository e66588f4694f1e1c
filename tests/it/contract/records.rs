//! Stores that write or tell something else than they were given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use annals::event::{CommitPlace, Placement};
use annals::store::{AppendError, Conflict, EventStore, Expected, MemoryStore};
use annals::testing::contract::Law;
use annals::{Clock, Metadata, StreamId, Version};

use super::broken::{breaks, placed, with_events, with_writes};

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
            let now = clock.now();
            let mut appended = inner.append(commit)?;
            if !appended.already_there {
                let micros =
                    chrono::DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap();
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
