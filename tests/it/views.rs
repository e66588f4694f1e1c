//! Views over several aggregates.

use std::collections::BTreeMap;

use annals::id::EventType;
use annals::projection::Memory;
use annals::store::{Commit, Expected};
use annals::view::ViewBuilder;
use annals::{Aggregate, Annals, Context, ErrorKind, NewEvent, Position};
use serde::{Deserialize, Serialize};

use crate::account::{Account, Command, Event};

#[derive(Default)]
struct Customer;

#[derive(Serialize, Deserialize)]
enum Moved {
    MovedTo(String),
}

impl Aggregate for Customer {
    const TYPE: &'static str = "customer";
    type Id = u64;
    type Event = Moved;
    type Command = String;
    type Error = std::convert::Infallible;
    type Services = ();
    fn apply(&mut self, _: &Moved) {}
    fn handle(&self, town: String, _: &Context<'_, Self>) -> Result<Vec<Moved>, Self::Error> {
        Ok(vec![Moved::MovedTo(town)])
    }
}

#[derive(Default, Debug, PartialEq)]
struct Report {
    balances: BTreeMap<String, u64>,
    towns: BTreeMap<u64, String>,
    order: Vec<u64>,
}

fn report(annals: &Annals) -> ViewBuilder<Report> {
    annals
        .view::<Report>("report")
        .on::<Account>(|report, e| {
            if let Event::Deposited { cents } = e.event() {
                *report.balances.entry(e.id().to_owned()).or_default() += cents;
            }
            report.order.push(e.position().get());
        })
        .on::<Customer>(|report, e| {
            let Moved::MovedTo(town) = e.event();
            report.towns.insert(*e.id(), town.clone());
            report.order.push(e.position().get());
        })
}

#[test]
fn a_view_folds_what_is_registered_in_the_order_of_the_log() {
    let annals = Annals::in_memory();
    let (accounts, customers) = (annals.of::<Account>().unwrap(), annals.of::<Customer>().unwrap());
    accounts.execute("alice", Command::Deposit(5)).unwrap();
    customers.execute(&7, "Ulm".into()).unwrap();
    accounts.execute("alice", Command::Deposit(6)).unwrap();
    let mut report = report(&annals).run().unwrap();
    assert_eq!(report.balances["alice"], 11);
    assert_eq!(report.towns[&7], "Ulm");
    assert_eq!(report.order, [1, 2, 3]);
    assert_eq!(report.position(), Position::new(3));

    customers.execute(&7, "Bonn".into()).unwrap();
    assert_eq!(report.towns[&7], "Ulm");
    assert_eq!(report.refresh().unwrap(), Position::new(4));
    assert_eq!(report.towns[&7], "Bonn");
    let report = report.into_inner();
    assert_eq!(report.order, [1, 2, 3, 4]);

    let kept = self::report(&annals).kept_in(Memory::new()).open().unwrap();
    kept.run_until_caught_up().unwrap();
    assert_eq!(*kept.reader().view(), report);
}

#[test]
fn a_view_of_nothing_sees_nothing() {
    let annals = Annals::in_memory();
    annals.of::<Account>().unwrap().execute("alice", Command::Deposit(5)).unwrap();
    let view = annals.view::<Report>("nothing").run().unwrap();
    assert_eq!(*view, Report::default());
    assert_eq!(view.position(), Position::new(1));
}

#[test]
fn a_handler_that_fails_stops_the_view_at_its_event() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    for cents in [1, 2, 3] {
        accounts.execute("alice", Command::Deposit(cents)).unwrap();
    }
    let error = annals
        .view::<u64>("sum")
        .on::<Account>(|sum, e| match e.event() {
            Event::Deposited { cents: 2 } => Err("two is too much"),
            Event::Deposited { cents } => {
                *sum += cents;
                Ok(())
            }
            _ => Ok(()),
        })
        .run()
        .unwrap_err();
    assert_eq!((error.kind(), error.position().unwrap().get()), (&ErrorKind::View, 2));
    assert!(error.to_string().contains("sum"));
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "two is too much");
}

#[test]
fn a_view_whose_handler_failed_stays_where_it_is() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    let mut view = annals
        .view::<u64>("sum")
        .on::<Account>(|sum, e| {
            *sum += 1;
            if e.version().get() == 2 { Err("no second") } else { Ok(()) }
        })
        .run()
        .unwrap();
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    assert_eq!(view.refresh().unwrap_err().position(), Some(Position::new(2)));
    assert!(view.refresh().unwrap_err().to_string().contains("stopped by an earlier failure"));
    assert_eq!((*view, view.position()), (2, Position::new(1)));
}

#[test]
fn no_event_is_handled_twice_by_a_view() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    let mut panicking = annals
        .view::<u64>("panicking")
        .on::<Account>(|seen, _| {
            *seen += 1;
            assert!(*seen != 1, "the first one panics");
        })
        .run()
        .unwrap();
    let mut half = annals
        .view::<u64>("half")
        .on::<Account>(|seen, _| *seen += 1)
        .on::<SameName>(|seen, _| *seen += 1)
        .run()
        .unwrap();
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| panicking.refresh()));
    assert!(caught.is_err() && panicking.refresh().is_err());
    assert_eq!((*panicking, panicking.position()), (1, Position::START));
    assert_eq!(*half.refresh().unwrap_err().kind(), ErrorKind::UnknownEvent);
    assert!(half.refresh().unwrap_err().to_string().contains("stopped"));
    assert_eq!(*half, 1);
}

/// Shares its streams with [`Account`], and reads nothing of it.
#[derive(Default)]
struct SameName;

impl Aggregate for SameName {
    const TYPE: &'static str = "account";
    type Id = str;
    type Event = Moved;
    type Command = ();
    type Error = std::convert::Infallible;
    type Services = ();
    fn apply(&mut self, _: &Moved) {}
    fn handle(&self, (): (), _: &Context<'_, Self>) -> Result<Vec<Moved>, Self::Error> {
        Ok(vec![])
    }
}

#[test]
fn an_unknown_event_stops_a_view_unless_it_may_skip_it() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    let event = NewEvent::new(EventType::new("Vanished").unwrap(), &()).unwrap();
    let commit = Commit::new().write(accounts.stream("bob").unwrap(), Expected::Any, [event]);
    annals.store().append(commit).unwrap();
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    let count = || annals.view::<u64>("count").on::<Account>(|count, _| *count += 1);
    let error = count().run().unwrap_err();
    assert_eq!((error.kind(), error.position().unwrap().get()), (&ErrorKind::UnknownEvent, 2));
    let view = count().skip_unknown().run().unwrap();
    assert_eq!((*view, view.position()), (2, Position::new(3)));
}
