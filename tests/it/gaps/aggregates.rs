//! Aggregates and views of a store that has gaps.

use std::collections::BTreeMap;
use std::sync::Arc;

use annals::process::ProcessManager;
use annals::repository::History;
use annals::store::{AppendError, Commit, Conflict, EventStore, Expected};
use annals::{Annals, Backoff, ErrorKind, Position, Version};

use super::patient::{Index, Patient, assert_missing, noted, stream, tag};
use crate::account::{Account, Command};

#[test]
fn a_gap_stands_at_the_place_of_the_event_that_is_lost() {
    let patient = Patient::without(&[4, 9, 12, 16], Index::Kept);
    assert_eq!(patient.place(4), ("account/alice".into(), 3));
    assert_eq!(patient.place(9), ("account/bob".into(), 3));
    assert_eq!(patient.place(12), ("account/alice".into(), 5));
    assert_eq!(patient.place(16), ("note/z".into(), 2));
}

#[test]
fn loading_across_a_gap_names_the_versions_that_are_missing() {
    // What is lost, which of it the error tells, and where the first of that stands.
    let cases: [(&[u64], _, u64); 5] = [
        (&[4], (3, 3), 4),
        (&[3, 4], (2, 3), 3),
        (&[1, 3, 4, 8], (1, 4), 1),
        (&[3, 8], (2, 2), 3),
        (&[1], (1, 1), 1),
    ];
    for (lost, versions, position) in cases {
        let patient = Patient::without(lost, Index::Kept);
        let error = patient.accounts.load("alice").unwrap_err();
        assert_missing(&error, "account/alice", versions, position);
        let error = patient.accounts.execute("alice", Command::Deposit(1)).unwrap_err();
        assert!(error.to_string().contains("missing"), "{error:?}");
        assert_eq!(patient.version("account/alice"), 5);
        assert_eq!(patient.accounts.load("bob").unwrap().version(), Version::new(4));
        assert_eq!(patient.accounts.load("carol").unwrap().state().cents, 5);
    }
}

#[test]
fn a_stream_that_has_lost_its_last_events_is_not_taken_for_an_older_state() {
    for (lost, versions, position) in [(&[12][..], (5, 5), 12), (&[8, 12], (4, 5), 8)] {
        let patient = Patient::without(lost, Index::Kept);
        let error = patient.accounts.load("alice").unwrap_err();
        assert_missing(&error, "account/alice", versions, position);
        assert_eq!(patient.version("account/alice"), 5, "the version counts what is lost");
        assert!(patient.accounts.execute("alice", Command::Deposit(1)).is_err());
        assert!(patient.accounts.exists("alice").unwrap());
        let before = Expected::Exactly(Version::new(versions.0 - 1));
        let commit = Commit::new().write(stream("account/alice"), before, [noted("again")]);
        let refused = patient.store.append(commit).unwrap_err();
        let AppendError::Conflict(Conflict::Stream { actual, .. }) = &refused else {
            panic!("{refused:?}")
        };
        assert_eq!(*actual, Version::new(5), "no version is given twice");
        assert_eq!(patient.store.head().unwrap().acknowledged, Position::new(17));
        let told = patient.copied.findings.iter().filter_map(|finding| finding.stream.clone());
        let (from, to) = (Version::new(versions.0), Version::new(versions.1));
        assert!(told.eq([(stream("account/alice"), from, to)]), "{:?}", patient.copied.findings);
    }
}

#[test]
fn the_past_before_a_gap_can_be_loaded() {
    let patient = Patient::without(&[4], Index::Kept);
    let load_at = |at: u64| patient.accounts.load_at("alice", Version::new(at));
    assert_eq!(load_at(2).unwrap().state().cents, 100);
    assert_missing(&load_at(3).unwrap_err(), "account/alice", (3, 3), 4);
    assert_missing(&load_at(5).unwrap_err(), "account/alice", (3, 3), 4);
    let at = |position| patient.accounts.load_at("alice", Position::new(position));
    assert_eq!(at(3).unwrap().version(), Version::new(2));
    assert!(at(4).is_err() && at(17).is_err());
}

#[test]
fn history_stops_at_a_gap_wherever_it_may_be_meant() {
    let patient = Patient::without(&[4], Index::Kept);
    let accounts = &patient.accounts;
    let positions = |history: History<'_, Account>| {
        let mut read = history.read().unwrap();
        let mut found = Vec::new();
        loop {
            match read.next() {
                Some(Ok(event)) => found.push(event.position().get()),
                Some(Err(error)) => {
                    assert_missing(&error, "account/alice", (3, 3), 4);
                    // It does not get past the gap.
                    assert!(read.next().unwrap().is_err());
                    return (found, true);
                }
                None => return (found, false),
            }
        }
    };
    let alice = || accounts.history("alice").unwrap();
    assert_eq!(positions(alice()), (vec![1, 3], true));
    assert_eq!(positions(alice().backwards()), (vec![12, 8], true));
    assert_eq!(positions(alice().after(Position::new(4))), (vec![8, 12], false));
    assert_eq!(positions(accounts.history("bob").unwrap()), (vec![2, 5, 9, 10], false));
    assert_eq!(positions(accounts.events()), (vec![1, 2, 3], true));
    assert_eq!(positions(accounts.events().backwards()), (vec![13, 12, 10, 9, 8, 7, 5], true));
    // It may have been of any type; whoever names the stream sees its own types only.
    assert_eq!(positions(accounts.events().of_types(["Closed"])), (vec![], true));
    assert_eq!(positions(alice().of_types(["Withdrawn"])), (vec![8], false));
    // What is found by a tag has the tag.
    assert_eq!(positions(accounts.events().tagged(tag("owner:ann"))), (vec![1], false));
}

#[test]
fn ids_are_told_as_far_as_they_are_known() {
    let ids =
        |patient: &Patient| -> Vec<String> { patient.accounts.ids().map(Result::unwrap).collect() };
    assert_eq!(ids(&Patient::without(&[1], Index::Kept)), ["alice", "bob", "carol"]);
    // Of what nothing is left, the name is lost.
    let patient = Patient::without(&[7, 13, 14], Index::Kept);
    assert_eq!(ids(&patient), ["alice", "bob"]);
    assert_eq!(patient.place(7), ("$gap/7".into(), 1));
    assert!(!patient.accounts.exists("carol").unwrap());
    let last = patient.accounts.events().backwards().read().unwrap().next().unwrap();
    assert_missing(&last.unwrap_err(), "$gap/14", (1, 1), 14);
}

#[test]
fn a_view_stops_at_a_gap_unless_it_may_skip_it() {
    let patient = Patient::without(&[4, 14], Index::Kept);
    let annals = Annals::with_store(Arc::clone(&patient.store));
    let view = || {
        annals.view::<BTreeMap<String, u64>>("changes").on::<Account>(|changes, event| {
            *changes.entry(event.id().to_owned()).or_default() += 1;
        })
    };
    assert_missing(&view().run().unwrap_err(), "account/alice", (3, 3), 4);
    let changes = view().skip_unknown().run().unwrap();
    assert_eq!(changes.position(), Position::new(17));
    assert_eq!((changes["alice"], changes["bob"], changes["carol"]), (4, 4, 2));
}

/// A history without a gap in the stream itself said nothing of the version that was missing between two others.
#[test]
fn the_history_of_an_aggregate_names_a_version_of_which_nobody_knows_where_it_stood() {
    let patient = Patient::without(&[4], Index::Removed);
    let read = |history: History<'_, Account>| history.read().unwrap().take(4).collect::<Vec<_>>();
    let history = || patient.accounts.history("alice").unwrap();
    let forwards = read(history());
    assert!(forwards[0].is_ok() && forwards[1].is_ok());
    assert_missing(forwards[2].as_ref().unwrap_err(), "account/alice", (3, 3), 8);
    let mut backwards = history().backwards().read().unwrap();
    assert_eq!(backwards.next().unwrap().unwrap().version(), Version::new(5));
    assert_eq!(backwards.next().unwrap().unwrap().version(), Version::new(4));
    assert_missing(&backwards.next().unwrap().unwrap_err(), "account/alice", (3, 3), 3);
    // Who asks for a part has it.
    assert_eq!(read(history().after_version(Version::new(3))).len(), 2);
    assert_eq!(read(history().of_types(["Deposited"])).len(), 2);
}

/// A process that makes a deposit of each event of an account.
fn mirror(patient: &Patient, skips: bool) -> ProcessManager<Account> {
    let mirror = patient.accounts.process("mirror").send(&patient.accounts, |e| {
        (e.id() != "copy").then(|| ("copy".to_owned(), Command::Deposit(1)))
    });
    let mirror = if skips { mirror.skip_unknown() } else { mirror };
    mirror.retry(Backoff::none()).open().unwrap()
}

/// Also where nobody knows to which stream the lost event belonged.
#[test]
fn a_process_stops_before_a_gap_that_may_concern_it() {
    for index in [Index::Kept, Index::Removed] {
        let patient = Patient::without(&[4], index);
        let copies = || patient.accounts.load("copy").unwrap().version().get();
        let error = mirror(&patient, false).run_until_settled().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::MissingEvents { .. }), "{error}");
        assert_eq!((error.position(), copies()), (Some(Position::new(4)), 3));
        mirror(&patient, true).run_until_settled().unwrap();
        assert_eq!(copies(), 10);
    }
    // It is known that this one was a note.
    let patient = Patient::without(&[16], Index::Kept);
    mirror(&patient, false).run_until_settled().unwrap();
    assert_eq!(patient.accounts.load("copy").unwrap().version().get(), 11);
}
