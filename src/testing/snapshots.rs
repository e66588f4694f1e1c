//! The law of snapshots.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aggregate::Aggregate;

/// Checks that it makes no difference where in this history a snapshot is taken: the state, written and read back at
/// any point and folded on from there, is the state that folding everything gives. Panics with the first version at
/// which it is not.
///
/// What usually breaks it is a field of the state with `#[serde(skip)]`.
#[track_caller]
pub fn assert_snapshot_equals_refold<A>(history: &[A::Event])
where
    A: Aggregate + Serialize + DeserializeOwned + PartialEq + Debug,
{
    let fold = |state: A, events: &[A::Event]| {
        events.iter().fold(state, |mut state, event| {
            state.apply(event);
            state
        })
    };
    let expected = fold(A::default(), history);
    for version in 0..=history.len() {
        let (before, after) = history.split_at(version);
        let snapshot = serde_json::to_vec(&fold(A::default(), before));
        let state = snapshot.and_then(|json| serde_json::from_slice::<A>(&json));
        match state {
            Ok(state) => {
                assert_eq!(fold(state, after), expected, "with a snapshot at version {version}");
            }
            Err(error) => panic!("the state at version {version} is no snapshot: {error}"),
        }
    }
}
