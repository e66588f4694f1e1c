//! Stores that do not know a commit again, or take another one for it.

use std::collections::HashMap;
use std::sync::Mutex;

use annals::id::EventId;
use annals::store::{AppendError, Appended, Conflict, EventStore, Expected, StreamWrite};
use annals::testing::contract::Law;
use annals::{Error, ErrorKind, StreamId, Version};

use super::broken::{Answer, breaks, with_events, without_id};

fn is_taken(answer: &Answer) -> bool {
    matches!(answer, Err(AppendError::Store(error)) if *error.kind() == ErrorKind::EventIdTaken)
}

fn repeats(answer: &Answer) -> bool {
    matches!(answer, Ok(appended) if appended.already_there)
}

fn some_conflict() -> Conflict {
    let stream = "a/1".parse().unwrap();
    Conflict::Stream { stream, expected: Expected::Empty, actual: Version::new(1) }
}

#[test]
fn a_repetition_is_answered_by_a_conflict() {
    breaks(Law::RepetitionIsRecognised, |store, _| {
        store.append(|inner, commit| {
            let answer = inner.append(commit);
            if repeats(&answer) { Err(some_conflict().into()) } else { answer }
        })
    });
}

#[test]
fn a_repetition_is_refused_as_a_duplicate() {
    breaks(Law::RepetitionIsRecognised, |store, _| {
        store.append(|inner, commit| {
            let answer = inner.append(commit);
            if repeats(&answer) { Err(Error::new(ErrorKind::EventIdTaken).into()) } else { answer }
        })
    });
}

#[test]
fn a_repetition_is_judged_by_its_expectations_first() {
    breaks(Law::RepetitionIsRecognised, |store, _| {
        store.append(|inner, commit| {
            let answer = inner.append(commit.clone());
            let met =
                |write: &StreamWrite| write.expected.allows(inner.version(&write.stream).unwrap());
            if repeats(&answer) && !commit.writes().iter().all(met) {
                return Err(some_conflict().into());
            }
            answer
        })
    });
}

#[test]
fn a_repetition_is_written_again() {
    breaks(Law::RepetitionIsRecognised, |store, _| {
        store.append(|inner, commit| {
            let answer = inner.append(commit.clone());
            if repeats(&answer) { inner.append(with_events(&commit, without_id)) } else { answer }
        })
    });
}

#[test]
fn a_known_id_is_accepted_elsewhere() {
    breaks(Law::IdsAreUnique, |store, _| {
        store.append(|inner, commit| {
            let answer = inner.append(commit.clone());
            if is_taken(&answer) { inner.append(with_events(&commit, without_id)) } else { answer }
        })
    });
}

#[test]
fn other_content_under_known_ids_is_taken_for_a_repetition() {
    breaks(Law::RepetitionIsExact, |store, _| {
        type Known = Vec<(StreamId, Option<EventId>)>;
        let known: Mutex<HashMap<Known, Appended>> = Mutex::default();
        store.append(move |inner, commit| {
            let ids: Known =
                commit.events().map(|(stream, event)| (stream.clone(), event.id())).collect();
            let answer = inner.append(commit);
            let mut known = known.lock().unwrap();
            if let Ok(appended) = &answer {
                known.insert(ids, Appended { already_there: true, ..appended.clone() });
            } else if let (true, Some(appended)) = (is_taken(&answer), known.get(&ids)) {
                return Ok(appended.clone());
            }
            answer
        })
    });
}
