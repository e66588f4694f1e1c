//! Snapshots are a cache: faster, and never different.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use annals::snapshot::{MemorySnapshots, Snapshot, SnapshotStore};
use annals::store::{EventStore, MemoryStore};
use annals::testing::assert_snapshot_equals_refold;
use annals::{Aggregate, Annals, At, Context, Error, ErrorKind, StreamId, Version};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::account::{Account, Command, Event};

type Spoil = fn(&mut Snapshot);

/// Keeps snapshots, shows them to the test, and lets it spoil them.
#[derive(Debug, Default, Clone)]
struct Observed {
    inner: Arc<MemorySnapshots>,
    saved: Arc<Mutex<Vec<u64>>>,
    found: Arc<AtomicUsize>,
    spoil: Arc<Mutex<Option<Spoil>>>,
    broken: bool,
}

impl SnapshotStore for Observed {
    fn newest(
        &self,
        stream: &StreamId,
        fingerprint: u64,
        within: Option<At>,
    ) -> Result<Option<Snapshot>, Error> {
        if self.broken {
            return Err(Error::new(ErrorKind::Store));
        }
        let mut found = self.inner.newest(stream, fingerprint, within)?;
        if let (Some(snapshot), Some(spoil)) = (&mut found, *self.spoil.lock()) {
            spoil(snapshot);
        }
        self.found.fetch_add(usize::from(found.is_some()), Ordering::Relaxed);
        Ok(found)
    }

    fn save(&self, snapshot: Snapshot) -> Result<(), Error> {
        if self.broken {
            return Err(Error::new(ErrorKind::Store));
        }
        self.saved.lock().push(snapshot.version.get());
        self.inner.save(snapshot)
    }

    fn forget(&self, stream: &StreamId) -> Result<(), Error> {
        self.inner.forget(stream)
    }
}

fn observed() -> (Observed, Annals) {
    let snapshots = Observed::default();
    (snapshots.clone(), Annals::builder().snapshots(snapshots).in_memory())
}

#[test]
fn a_snapshot_is_taken_every_so_many_events() {
    let (snapshots, annals) = observed();
    let accounts = annals.of::<Account>().unwrap().snapshot_every(3);
    for cents in 1..=8 {
        accounts.execute("alice", Command::Deposit(cents)).unwrap();
    }
    accounts.clone().execute("alice", Command::Close).unwrap();
    assert_eq!(*snapshots.saved.lock(), [3, 6, 10], "a commit may pass the mark");
    assert!(accounts.load("alice").unwrap().state().closed);
}

#[test]
fn a_long_history_without_snapshots_gets_one_when_it_is_loaded() {
    let (snapshots, annals) = observed();
    let plain = annals.of::<Account>().unwrap();
    for _ in 0..10 {
        plain.execute("alice", Command::Deposit(1)).unwrap();
    }
    assert!(snapshots.saved.lock().is_empty());
    plain.snapshot_every(5).load("alice").unwrap();
    assert_eq!(*snapshots.saved.lock(), [10]);
}

#[test]
fn a_policy_decides_and_zero_means_never() {
    let (snapshots, annals) = observed();
    let accounts = annals
        .of::<Account>()
        .unwrap()
        .snapshot_when(|last, now| last == Version::ZERO && now.get() > 1);
    let never = annals.of::<Account>().unwrap().snapshot_every(0);
    for _ in 0..5 {
        accounts.execute("alice", Command::Deposit(1)).unwrap();
        never.execute("bob", Command::Deposit(1)).unwrap();
    }
    assert_eq!(*snapshots.saved.lock(), [2]);
}

#[test]
fn time_travel_uses_snapshots_and_shows_the_same() {
    let (snapshots, annals) = observed();
    let with = annals.of::<Account>().unwrap().snapshot_every(10);
    let without = annals.of::<Account>().unwrap();
    for cents in 1..=300 {
        with.execute("alice", Command::Deposit(cents)).unwrap();
        with.execute("bob", Command::Deposit(cents)).unwrap();
    }
    for version in (0..=300).map(Version::new) {
        let expected = without.load_at("alice", version).unwrap();
        let found = with.load_at("alice", version).unwrap();
        assert_eq!((found.state(), found.version()), (expected.state(), expected.version()));
        let found = with.load_at("alice", expected.position()).unwrap();
        assert_eq!((found.state(), found.position()), (expected.state(), expected.position()));
    }
    assert!(snapshots.found.load(Ordering::Relaxed) > 400);
}

#[test]
fn a_snapshot_that_does_not_fit_is_passed_over() {
    let (snapshots, annals) = observed();
    let accounts = annals.of::<Account>().unwrap().snapshot_every(2);
    for _ in 0..5 {
        accounts.execute("alice", Command::Deposit(1)).unwrap();
    }
    let spoils: [Spoil; 9] = [
        |s| s.fingerprint ^= 1,
        |s| s.event_id = annals::id::EventId::random(),
        |s| s.version = Version::new(3),
        |s| s.version = Version::new(7),
        |s| s.version = Version::ZERO,
        |s| s.position = annals::Position::new(3),
        |s| s.position = annals::Position::new(7),
        |s| s.position = annals::Position::START,
        |s| s.state.truncate(3),
    ];
    for (index, spoil) in spoils.into_iter().enumerate() {
        *snapshots.spoil.lock() = Some(spoil);
        let loaded = accounts.load("alice").unwrap();
        assert_eq!((loaded.state().cents, loaded.version()), (5, Version::new(5)), "spoil {index}");
    }
    *snapshots.spoil.lock() =
        Some(|s| s.state = br#"{"owner":"","cents":1000,"closed":false}"#.to_vec());
    assert_eq!(snapshots.saved.lock().last(), Some(&5), "refolding leaves a snapshot that fits");
    assert_eq!(accounts.load("alice").unwrap().state().cents, 1000, "which is used");
}

#[test]
fn a_raised_revision_refolds() {
    let (snapshots, annals) = observed();
    let accounts = annals.of::<Account>().unwrap().snapshot_every(2);
    for _ in 0..4 {
        accounts.execute("alice", Command::Deposit(1)).unwrap();
    }
    *snapshots.spoil.lock() =
        Some(|s| s.state = br#"{"owner":"","cents":1000,"closed":false}"#.to_vec());
    assert_eq!(accounts.load("alice").unwrap().state().cents, 1000);
    let raised = annals.of::<Account>().unwrap().snapshot_every(2).snapshot_revision(1);
    assert_eq!(raised.load("alice").unwrap().state().cents, 4);
    let order_does_not_matter =
        annals.of::<Account>().unwrap().snapshot_revision(1).snapshot_every(2);
    assert_eq!(order_does_not_matter.load("alice").unwrap().state().cents, 1000);
}

#[test]
fn a_changed_state_refolds() {
    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Later {
        cents: u64,
        deposits: u64,
    }
    impl Aggregate for Later {
        const TYPE: &'static str = "account";
        type Id = str;
        type Event = Event;
        type Command = ();
        type Error = std::convert::Infallible;
        type Services = ();
        fn apply(&mut self, event: &Event) {
            if let Event::Deposited { cents } = event {
                self.cents += cents;
                self.deposits += 1;
            }
        }
        fn handle(&self, (): (), _: &Context<'_, Self>) -> Result<Vec<Event>, Self::Error> {
            Ok(vec![])
        }
    }
    let (_, annals) = observed();
    let accounts = annals.of::<Account>().unwrap().snapshot_every(2);
    for _ in 0..4 {
        accounts.execute("alice", Command::Deposit(1)).unwrap();
    }
    let later = annals.of::<Later>().unwrap().snapshot_every(2).load("alice").unwrap();
    assert_eq!(later.state().deposits, 4, "the old snapshot would have read as no deposits");
}

#[test]
fn a_place_for_snapshots_that_fails_costs_speed_only() {
    let snapshots = Observed { broken: true, ..Observed::default() };
    let accounts = Annals::builder()
        .snapshots(snapshots)
        .in_memory()
        .of::<Account>()
        .unwrap()
        .snapshot_every(1);
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    assert_eq!(accounts.load("alice").unwrap().state().cents, 2);
}

#[test]
fn a_snapshot_of_another_log_is_noticed() {
    let snapshots = Observed::default();
    let store = Arc::new(MemoryStore::new());
    let first = Annals::builder().snapshots(snapshots.clone()).with_store(Arc::clone(&store));
    let accounts = first.of::<Account>().unwrap().snapshot_every(2);
    for _ in 0..4 {
        accounts.execute("alice", Command::Deposit(1)).unwrap();
    }
    assert_eq!(store.version(&accounts.stream("alice").unwrap()).unwrap(), Version::new(4));
    let other = Annals::builder()
        .snapshots(snapshots)
        .in_memory()
        .of::<Account>()
        .unwrap()
        .snapshot_every(2);
    assert_eq!(other.load("alice").unwrap().state().cents, 0);
    for _ in 0..5 {
        other.execute("alice", Command::Deposit(10)).unwrap();
    }
    assert_eq!(other.load("alice").unwrap().state().cents, 50);
}

#[test]
fn only_what_is_durable_becomes_a_snapshot() {
    /// A store whose events are acknowledged before they are durable.
    #[derive(Debug, Default)]
    struct Buffering {
        inner: MemoryStore,
        durable: Arc<std::sync::atomic::AtomicU64>,
    }
    impl EventStore for Buffering {
        fn identity(&self) -> annals::store::Identity {
            self.inner.identity()
        }
        fn append(
            &self,
            commit: annals::store::Commit,
        ) -> Result<annals::store::Appended, annals::store::AppendError> {
            self.inner.append(commit)
        }
        fn read(
            &self,
            query: &annals::store::Query,
        ) -> Result<(annals::Batch, Option<annals::store::Query>), Error> {
            self.inner.read(query)
        }
        fn version(&self, stream: &StreamId) -> Result<Version, Error> {
            self.inner.version(stream)
        }
        fn head(&self) -> Result<annals::store::Head, Error> {
            let acknowledged = self.inner.head()?.acknowledged;
            let durable = annals::Position::new(self.durable.load(Ordering::Relaxed));
            Ok(annals::store::Head { acknowledged, durable })
        }
        fn wait(
            &self,
            after: annals::Position,
            timeout: std::time::Duration,
            interrupt: &annals::store::Interrupt,
        ) -> Result<annals::Position, Error> {
            self.inner.wait(after, timeout, interrupt)
        }
        fn interrupt(&self, interrupt: &annals::store::Interrupt) {
            self.inner.interrupt(interrupt);
        }
        fn close(&self) -> Result<(), Error> {
            self.inner.close()
        }
    }
    let (snapshots, store) = (Observed::default(), Buffering::default());
    let durable = Arc::clone(&store.durable);
    let annals = Annals::builder().snapshots(snapshots.clone()).with_store(store);
    let accounts = annals.of::<Account>().unwrap().snapshot_every(1);
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    durable.store(1, Ordering::Relaxed);
    accounts.load("alice").unwrap();
    assert!(snapshots.saved.lock().is_empty());
    durable.store(2, Ordering::Relaxed);
    accounts.load("alice").unwrap();
    assert_eq!(*snapshots.saved.lock(), [2]);
}

#[test]
fn snapshots_may_be_saved_in_any_order() {
    let snapshots = MemorySnapshots::new();
    let stream: StreamId = "account/alice".parse().unwrap();
    let save = |version: u64, fingerprint| {
        let snapshot = Snapshot {
            stream: stream.clone(),
            version: Version::new(version),
            position: annals::Position::new(version),
            recorded_at: chrono::DateTime::UNIX_EPOCH,
            event_id: annals::id::EventId::random(),
            fingerprint,
            state: vec![],
        };
        snapshots.save(snapshot).unwrap();
    };
    let newest = |fingerprint, within| {
        let found = snapshots.newest(&stream, fingerprint, within).unwrap();
        found.map(|snapshot| snapshot.version.get())
    };
    save(200, 1);
    save(100, 1);
    save(300, 2);
    assert_eq!((newest(1, None), newest(2, None), newest(3, None)), (Some(200), Some(300), None));
    assert_eq!(newest(1, Some(At::Version(Version::new(150)))), Some(100));
    snapshots.forget(&stream).unwrap();
    assert_eq!(newest(1, None), None);
}

#[test]
fn a_changed_nested_field_refolds() {
    macro_rules! state {
        ($module:ident, $($field:ident),*) => {
            mod $module {
                use super::*;
                #[derive(Default, Serialize, Deserialize)]
                pub(super) struct Inner { $(#[serde(default)] pub(super) $field: u64),* }
                #[derive(Default, Serialize, Deserialize)]
                pub(super) struct State { pub(super) inner: Inner }
                impl Aggregate for State {
                    const TYPE: &'static str = "account";
                    type Id = str;
                    type Event = Event;
                    type Command = ();
                    type Error = std::convert::Infallible;
                    type Services = ();
                    fn apply(&mut self, _: &Event) {
                        $(self.inner.$field += 1;)*
                    }
                    fn handle(&self, (): (), _: &Context<'_, Self>) -> Result<Vec<Event>, Self::Error> {
                        Ok(vec![Event::Closed])
                    }
                }
            }
        };
    }
    state!(before, a);
    state!(after, a, b);
    let (_, annals) = observed();
    let before = annals.of::<before::State>().unwrap().snapshot_every(1);
    before.execute("alice", ()).unwrap();
    let after = annals.of::<after::State>().unwrap().snapshot_every(1).load("alice").unwrap();
    assert_eq!((after.state().inner.a, after.state().inner.b), (1, 1));
}

#[test]
fn floats_are_the_same_from_a_snapshot_and_from_the_events() {
    #[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
    struct Sum(f64);
    #[derive(Serialize, Deserialize)]
    enum Added {
        Added(f64),
    }
    impl Aggregate for Sum {
        const TYPE: &'static str = "sum";
        type Id = str;
        type Event = Added;
        type Command = f64;
        type Error = std::convert::Infallible;
        type Services = ();
        fn apply(&mut self, Added::Added(value): &Added) {
            self.0 += value;
        }
        fn handle(&self, value: f64, _: &Context<'_, Self>) -> Result<Vec<Added>, Self::Error> {
            Ok(vec![Added::Added(value)])
        }
    }
    let (_, annals) = observed();
    let (with, without) =
        (annals.of::<Sum>().unwrap().snapshot_every(1), annals.of::<Sum>().unwrap());
    let mut bits = 0x9E37_79B9_7F4A_7C15_u64;
    let mut expected = 0.0;
    for _ in 0..200 {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        #[expect(clippy::cast_precision_loss, reason = "any float will do")]
        let value = bits as f64 / 3e17;
        expected += value;
        with.execute("a", value).unwrap();
    }
    assert_eq!(with.load("a").unwrap().state().0.to_bits(), f64::to_bits(expected));
    assert_eq!(without.load("a").unwrap().state().0.to_bits(), f64::to_bits(expected));
}

#[test]
fn the_law_of_snapshots_can_be_tested() {
    let history =
        [Event::Opened { owner: "Ann".into() }, Event::Deposited { cents: 1 }, Event::Closed];
    assert_snapshot_equals_refold::<Account>(&history);

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Forgetful {
        #[serde(skip)]
        cents: u64,
    }
    impl Aggregate for Forgetful {
        const TYPE: &'static str = "account";
        type Id = str;
        type Event = Event;
        type Command = ();
        type Error = std::convert::Infallible;
        type Services = ();
        fn apply(&mut self, event: &Event) {
            if let Event::Deposited { cents } = event {
                self.cents += cents;
            }
        }
        fn handle(&self, (): (), _: &Context<'_, Self>) -> Result<Vec<Event>, Self::Error> {
            Ok(vec![])
        }
    }
    let forgets = std::panic::catch_unwind(|| assert_snapshot_equals_refold::<Forgetful>(&history));
    assert!(forgets.is_err());
}
