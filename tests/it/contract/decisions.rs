//! Stores that accept what they should refuse, or refuse it for the wrong reason.

use annals::id::EventType;
use annals::store::{AppendError, Conflict, EventStore, Events, Expected, Query, StreamWrite};
use annals::testing::contract::Law;

use super::broken::{breaks, commit_of, timed_as, with_writes};

#[test]
fn a_stale_version_is_accepted() {
    breaks(Law::ExpectedVersions, |store, _| {
        store.append(|inner, commit| {
            let lenient = |write: &StreamWrite| {
                let mut write = write.clone();
                if matches!(write.expected, Expected::Exactly(version) if version < inner.version(&write.stream).unwrap()) {
                    write.expected = Expected::Any;
                }
                write
            };
            let answer = inner.append(commit.clone());
            match answer {
                Err(AppendError::Conflict(_)) => {
                    inner.append(with_writes(&commit, commit.writes().iter().map(lenient)))
                }
                answer => answer,
            }
        })
    });
}

#[test]
fn guards_are_ignored() {
    breaks(Law::Guards, |store, _| {
        store.append(|inner, commit| {
            let unguarded = commit_of(commit.writes().to_vec(), [], commit.conditions().to_vec());
            inner.append(timed_as(&commit, unguarded))
        })
    });
}

#[test]
fn conditions_are_ignored() {
    breaks(Law::Conditions, |store, _| {
        store.append(|inner, commit| {
            let free = commit_of(commit.writes().to_vec(), commit.guards().to_vec(), []);
            inner.append(timed_as(&commit, free))
        })
    });
}

#[test]
fn conditions_are_judged_before_versions() {
    breaks(Law::OrderOfJudgement, |store, _| {
        store.append(|inner, commit| {
            let answer = inner.append(commit.clone());
            let Err(AppendError::Conflict(Conflict::Stream { .. })) = answer else {
                return answer;
            };
            for condition in commit.conditions() {
                let query = Query::new(condition.none_of.clone()).after(condition.after);
                if let Some(event) = Events::new(inner, query).next() {
                    let event = event?;
                    return Err(AppendError::Conflict(Conflict::Event {
                        stream: event.stream().to_stream_id(),
                        event_type: EventType::new(event.event_type()).unwrap(),
                        position: event.position(),
                    }));
                }
            }
            answer
        })
    });
}

#[test]
fn a_write_without_events_is_passed_over() {
    breaks(Law::WellFormed, |store, _| {
        store.append(|inner, commit| {
            let writes = commit.writes().iter().filter(|write| !write.events.is_empty());
            inner.append(with_writes(&commit, writes.cloned()))
        })
    });
}
