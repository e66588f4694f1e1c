//! Random histories are the same after they were moved.

use annals::id::{EventType, Tag};
use annals::store::{Commit, EventStore, Expected, Limits, MemoryStore};
use annals::testing::ManualClock;
use annals::{Metadata, NewEvent, SchemaVersion, Tags};
use chrono::TimeDelta;
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::{Just, Strategy, any, any_with};
use proptest::sample::subsequence;
use proptest::strategy::Union;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::Value;
use uuid::Uuid;

use super::history::{append, assert_same, copy, empty, lines_of, start, stream};

/// Commits, each with how much later it comes than the one before.
type Plan = Vec<(i64, Vec<(&'static str, Vec<NewEvent>)>)>;

fn value() -> impl Strategy<Value = Value> {
    let leaf = Union::new(vec![
        Just(Value::Null).boxed(),
        any::<f64>().prop_map(Value::from).boxed(),
        any::<i64>().prop_map(Value::from).boxed(),
        any::<String>().prop_map(Value::from).boxed(),
    ]);
    leaf.prop_recursive(3, 12, 4, |inner| {
        let list = vec(inner.clone(), 0..4).prop_map(Value::from).boxed();
        let object = btree_map(any::<String>(), inner, 0..4);
        Union::new(vec![list, object.prop_map(|map| map.into_iter().collect()).boxed()])
    })
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let headers = btree_map(any::<String>(), any::<String>(), 0..3);
    let ids = (of(any::<u128>()), of(any::<u128>()));
    (ids, of(any::<String>()), of(any::<i32>()), headers).prop_map(
        |((correlation, cause), actor, occurred, headers)| {
            let mut metadata = Metadata::new();
            if let Some(id) = correlation {
                metadata = metadata.with_correlation(Uuid::from_u128(id).into());
            }
            if let Some(id) = cause {
                metadata = metadata.with_causation(Uuid::from_u128(id).into());
            }
            if let Some(actor) = actor {
                metadata = metadata.with_actor(actor);
            }
            if let Some(micros) = occurred {
                metadata =
                    metadata.with_occurred_at(start() + TimeDelta::microseconds(micros.into()));
            }
            headers.into_iter().fold(metadata, |all, (name, value)| all.with_header(name, value))
        },
    )
}

fn event() -> impl Strategy<Value = NewEvent> {
    let name = any_with::<String>("[^\\p{Cc}\u{61C}\u{200E}\u{200F}\u{2028}-\u{202E}\u{2066}-\u{2069}$][^\\p{Cc}\u{61C}\u{200E}\u{200F}\u{2028}-\u{202E}\u{2066}-\u{2069}]{0,9}".into());
    let tags = subsequence(vec!["a", "é \"", "$once:x"], 0..=3);
    (name, value(), any::<bool>(), metadata(), tags, 1..9_u32).prop_map(
        |(name, value, pretty, metadata, tags, schema)| {
            let payload = if pretty {
                serde_json::to_string_pretty(&value)
            } else {
                serde_json::to_string(&value)
            };
            NewEvent::from_json(EventType::new(name).unwrap(), payload.unwrap())
                .unwrap()
                .with_schema(SchemaVersion::new(schema).unwrap())
                .with_metadata(metadata)
                .with_tags(tags.into_iter().map(|tag| Tag::stored(tag).unwrap()).collect::<Tags>())
        },
    )
}

fn plan() -> impl Strategy<Value = Plan> {
    let streams = subsequence(vec!["a/1", "a/2", "b/🦀", "c/\""], 1..=3).prop_shuffle();
    let commit = (streams, vec(vec(event(), 1..4), 3))
        .prop_map(|(streams, events)| streams.into_iter().zip(events).collect());
    vec((-2_000..5_000_i64, commit), 0..12)
}

fn carried_out(plan: &Plan) -> MemoryStore {
    let clock = ManualClock::at(start());
    let store = MemoryStore::with(clock.clone(), Limits::default());
    for (later, writes) in plan {
        clock.advance(TimeDelta::nanoseconds(*later));
        let commit = writes.iter().fold(Commit::new(), |commit, (name, events)| {
            commit.write(stream(name), Expected::Any, events.clone())
        });
        store.append(commit).unwrap();
    }
    store
}

#[test]
fn a_random_history_is_the_same_after_it_was_moved() {
    for seed in 0..4_u8 {
        let config = Config { cases: 50, failure_persistence: None, ..Config::default() };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        // What fails is told as the shortest plan that does.
        let moved = TestRunner::new_with_rng(config, rng).run(&plan(), check);
        assert!(moved.is_ok(), "seed {seed}: {}", moved.unwrap_err());
    }
}

fn check(plan: Plan) -> Result<(), TestCaseError> {
    let source = carried_out(&plan);
    let (lines, copied, appended) = (lines_of(&source), empty(), empty());
    copy(&copied, &lines).unwrap();
    assert_same(&copied, &source);
    append(&appended, &lines).unwrap();
    let twice = append(&appended, &lines).unwrap();
    assert_eq!(twice.already_there, source.head().unwrap().acknowledged.get());
    Ok(())
}
