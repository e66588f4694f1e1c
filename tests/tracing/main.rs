//! What the crate `tracing` is told. A program of its own, since whoever meets a span for the first time while nobody listens may decide for
//! a while that nobody does.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "other programs need more of it")]
#[path = "../it/account.rs"]
mod account;
#[path = "../it/directory.rs"]
mod directory;
#[path = "../subjects/errands.rs"]
mod errands;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use annals::testing::ManualClock;
use annals::{Annals, Metadata};
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};

use crate::account::{Account, Command};
use crate::directory::Directory;
use crate::errands::{Bell, Ring, errands};

type Fields = BTreeMap<&'static str, String>;

/// Keeps all spans, and what is told in them.
#[derive(Debug, Clone, Default)]
struct Listener {
    next: Arc<AtomicU64>,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    spans: BTreeMap<u64, Span>,
    entered: Vec<u64>,
    events: Vec<Fields>,
}

#[derive(Debug, Clone)]
struct Span {
    name: &'static str,
    parent: Option<u64>,
    fields: Fields,
}

struct Visitor<'f>(&'f mut Fields);

impl Visit for Visitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl Subscriber for Listener {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let id = 1 + self.next.fetch_add(1, Ordering::Relaxed);
        let (mut heard, mut fields) = (self.heard.lock(), Fields::new());
        attributes.record(&mut Visitor(&mut fields));
        let parent = heard.entered.last().copied();
        heard.spans.insert(id, Span { name: attributes.metadata().name(), parent, fields });
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut heard = self.heard.lock();
        values.record(&mut Visitor(&mut heard.spans.get_mut(&span.into_u64()).unwrap().fields));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::new();
        event.record(&mut Visitor(&mut fields));
        fields.insert("level", event.metadata().level().to_string());
        self.heard.lock().events.push(fields);
    }

    fn enter(&self, span: &Id) {
        self.heard.lock().entered.push(span.into_u64());
    }

    fn exit(&self, span: &Id) {
        assert_eq!(self.heard.lock().entered.pop(), Some(span.into_u64()));
    }
}

impl Listener {
    fn spans(&self, name: &str) -> Vec<Span> {
        let heard = self.heard.lock();
        assert!(heard.entered.is_empty(), "all are left");
        heard.spans.values().filter(|span| span.name == name).cloned().collect()
    }

    /// The names of the spans that this one is in, from the outside.
    fn path(&self, span: &Span) -> Vec<&'static str> {
        let heard = self.heard.lock();
        let mut path = vec![span.name];
        let mut parent = span.parent;
        while let Some(id) = parent {
            path.insert(0, heard.spans[&id].name);
            parent = heard.spans[&id].parent;
        }
        path
    }
}

/// Does something on this thread, and keeps what is told meanwhile.
fn listen(to: impl FnOnce()) -> Listener {
    let listener = Listener::default();
    tracing::subscriber::with_default(listener.clone(), to);
    listener
}

#[test]
fn commands_appends_syncs_and_recovery_are_spans() {
    let directory = Directory::new();
    let mut correlation = None;
    let listener = listen(|| {
        let annals = Annals::open(directory.path()).unwrap();
        let accounts = annals.of::<Account>().unwrap();
        accounts.execute("alice", Command::Open("ann".to_owned())).unwrap();
        let close = accounts.to("alice").once("1").execute(Command::Close).unwrap();
        accounts.to("alice").once("1").execute(Command::Close).unwrap();
        correlation = close.correlation();
        annals.close().unwrap();
    });
    let [_, close, again] = &listener.spans("execute")[..] else { panic!("three commands") };
    let correlation = correlation.unwrap().to_string();
    let expected = [("stream", "account/alice"), ("correlation", &correlation), ("version", "3")];
    let more = [("position", "3"), ("events", "2"), ("repeated", "false")];
    for (name, value) in expected.into_iter().chain(more) {
        assert_eq!(close.fields[name], value, "{name}");
    }
    assert_eq!(again.fields["repeated"], "true");
    let [_, append] = &listener.spans("append")[..] else { panic!("two appends") };
    assert_eq!(listener.path(append), ["execute", "append"]);
    let expected = [("stream", "account/alice"), ("correlation", &correlation), ("position", "3")];
    for (name, value) in expected.into_iter().chain([("events", "2")]) {
        assert_eq!(append.fields[name], value, "{name}");
    }
    let syncs = listener.spans("sync");
    assert_eq!(listener.path(&syncs[0]), ["execute", "append", "sync"]);

    let listener = listen(|| drop(Annals::open(directory.path()).unwrap()));
    let [recover] = &listener.spans("recover")[..] else { panic!("it is opened once") };
    assert_eq!((&*recover.fields["position"], &*recover.fields["clean"]), ("3", "true"));
}

#[test]
fn units_and_lost_races_are_told_of() {
    let listener = listen(|| {
        let annals = Annals::in_memory();
        let accounts = annals.of::<Account>().unwrap();
        let mut tries = 0;
        annals
            .atomically(|unit| {
                unit.load(&accounts, "alice")?;
                tries += 1;
                if tries == 1 {
                    accounts.execute("alice", Command::Deposit(1)).unwrap();
                }
                unit.execute(&accounts, "alice", Command::Deposit(2))
            })
            .unwrap();
        let statistics = annals.statistics().unwrap();
        assert_eq!((statistics.conflicts, statistics.retries, statistics.appended), (1, 1, 2));
    });
    let [unit] = &listener.spans("atomically")[..] else { panic!("one unit") };
    assert_eq!(unit.fields["position"], "2");
    let heard = listener.heard.lock();
    let [conflict] = &heard.events[..] else { panic!("one race is lost") };
    assert_eq!((&*conflict["level"], &*conflict["stream"]), ("DEBUG", "account/alice"));
}

#[test]
fn batches_of_projections_are_spans_and_their_failures_are_warnings() {
    use annals::projection::Memory;
    let listener = listen(|| {
        let annals = Annals::in_memory();
        let accounts = annals.of::<Account>().unwrap();
        for cents in [1, 2, 3] {
            accounts.execute("alice", Command::Deposit(cents)).unwrap();
        }
        let view = annals.view::<u64>("sum").on::<Account>(|sum, e| {
            *sum += 1;
            if e.version().get() == 3 { Err("three is too many") } else { Ok(()) }
        });
        let projection = view.kept_in(Memory::new()).batch(2.try_into().unwrap()).open().unwrap();
        projection.run_until_caught_up().unwrap_err();
    });
    let batches = listener.spans("project");
    assert_eq!(batches[0].fields["projection"], "sum");
    let first = ["position", "events"].map(|name| &*batches[0].fields[name]);
    assert_eq!(first, ["2", "2"]);
    let heard = listener.heard.lock();
    let warning = heard.events.first().unwrap();
    assert_eq!((&*warning["level"], &*warning["projection"]), ("WARN", "sum"));
    assert!(warning["message"].ends_with("three is too many"), "{}", warning["message"]);
}

#[test]
fn dispatches_and_deadlines_are_spans() {
    let mut correlation = None;
    let listener = listen(|| {
        let clock = ManualClock::at("2024-05-06T09:00:00Z".parse().unwrap());
        let annals = Annals::builder().clock(clock.clone()).in_memory();
        let manager = errands(&annals).unwrap().open().unwrap();
        let by = Some("2024-05-07T09:00:00Z".parse().unwrap());
        let bells = annals.of::<Bell>().unwrap();
        let ring = Ring::Rang { errand: 1, asks: 1, by };
        let rang = bells.to("front").with(Metadata::new()).execute(ring).unwrap();
        correlation = rang.correlation();
        manager.run_until_settled().unwrap();
        clock.advance(chrono::TimeDelta::days(2));
        manager.run_until_settled().unwrap();
    });
    let dispatches = listener.spans("dispatch");
    let told = &dispatches[0].fields;
    let expected = [
        ("process", "errands"),
        ("instance", "1"),
        ("lane", "Inbox"),
        ("stream", "bell/front"),
        ("position", "1"),
    ];
    for (name, value) in expected {
        assert_eq!(told[name], value, "{name}");
    }
    assert_eq!(told["correlation"], correlation.unwrap().to_string());
    assert_eq!(dispatches[1].fields["lane"], "Outbox");
    let [deadline] = &listener.spans("deadline")[..] else { panic!("one deadline") };
    assert_eq!(deadline.fields["at"], "2024-05-07 09:00:00 UTC");
    let commands: Vec<_> =
        listener.spans("execute").iter().map(|execute| listener.path(execute)).collect();
    let under = |parent: &str| commands.iter().filter(|path| path[0] == parent).count();
    assert_eq!((under("execute"), under("deadline")), (1, 1));
    assert_eq!(under("dispatch"), dispatches.len());
}
