//! States of the past, and the listing of aggregates.

use annals::testing::ManualClock;
use annals::{Annals, At, ErrorKind, Position, Version};
use chrono::{DateTime, TimeDelta, Utc};

use crate::account::{Account, Command};

#[test]
fn a_state_can_be_had_at_a_version_a_position_and_a_time() {
    let start: DateTime<Utc> = "2024-01-01T00:00:00Z".parse().unwrap();
    let clock = ManualClock::at(start);
    let annals = Annals::builder().clock(clock.clone()).in_memory();
    let accounts = annals.of::<Account>().unwrap();
    for cents in 1..=3 {
        accounts.execute("alice", Command::Deposit(cents)).unwrap();
        accounts.execute("bob", Command::Deposit(10 * cents)).unwrap();
        clock.advance(TimeDelta::days(1));
    }
    let cents = |id: &str, at: At| accounts.load_at(id, at).unwrap().into_state().cents;
    let versions = [0, 1, 3, 6];
    for (version, expected) in (0..).zip(versions) {
        assert_eq!(cents("alice", Version::new(version).into()), expected);
    }
    assert_eq!(cents("alice", Position::new(3).into()), 3);
    assert_eq!(cents("bob", Position::new(3).into()), 10);
    assert_eq!(cents("alice", start.into()), 1, "a time is inclusive");
    assert_eq!(cents("alice", (start - TimeDelta::microseconds(1)).into()), 0);
    assert_eq!(cents("alice", (start + TimeDelta::nanoseconds(999)).into()), 1);
    assert_eq!(cents("alice", (start + TimeDelta::hours(25)).into()), 3);
    assert_eq!(cents("alice", DateTime::<Utc>::MAX_UTC.into()), 6);
    assert_eq!(cents("alice", DateTime::<Utc>::MIN_UTC.into()), 0);
}

#[test]
fn what_is_not_there_yet_is_an_error_that_names_the_last_there_is() {
    let accounts = Annals::in_memory().of::<Account>().unwrap();
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    let error = accounts.load_at("alice", Version::new(2)).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::VersionBeyondStream { last: Version::new(1) });
    assert_eq!(
        error.to_string(),
        "the stream ends at version 1: asked for version 2, stream account/alice"
    );
    let error = accounts.load_at("nobody", Version::new(1)).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::VersionBeyondStream { last: Version::ZERO });
    let error = accounts.load_at("alice", Position::new(2)).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::PositionBeyondHead { head: Position::new(1) });
    assert!(!accounts.load_at("nobody", Position::new(1)).unwrap().exists());
}

#[test]
fn ids_come_in_the_order_of_their_first_events() {
    let accounts = Annals::in_memory().of::<Account>().unwrap();
    let expected: Vec<String> = (0..3_000).rev().map(|n| format!("account {n}")).collect();
    for id in &expected {
        accounts.execute(id, Command::Deposit(1)).unwrap();
    }
    accounts.execute(&expected[7], Command::Deposit(1)).unwrap();
    let ids: Vec<String> = accounts.ids().collect::<Result<_, _>>().unwrap();
    assert_eq!(ids, expected);
}
