//! Events on their way through routes: old shapes, unknown types.

use std::convert::Infallible;

use annals::codec::{Upcasted, Upcasters};
use annals::id::EventType;
use annals::process::ProcessManager;
use annals::store::{Commit, Expected};
use annals::{Aggregate, Annals, Context, ErrorKind, NewEvent};
use serde::{Deserialize, Serialize};

use super::errands::{Sale, Shop};

/// What stands on one line of a list was once one event.
#[derive(Debug, Default)]
struct List {
    refused: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum ListEvent {
    Wanted { number: u64 },
    NotHad { number: u64 },
}

impl Aggregate for List {
    const TYPE: &'static str = "list";
    type Id = u64;
    type Event = ListEvent;
    type Command = ListEvent;
    type Error = Infallible;
    type Services = ();

    fn apply(&mut self, event: &ListEvent) {
        if let ListEvent::NotHad { number } = event {
            self.refused.push(*number);
        }
    }

    fn handle(
        &self,
        event: ListEvent,
        _: &Context<'_, Self>,
    ) -> Result<Vec<ListEvent>, Infallible> {
        Ok(vec![event])
    }

    fn upcasters() -> Upcasters {
        Upcasters::new().split("AllWanted", 1, ["Wanted"], |numbers: Vec<u64>| {
            let wanted = |number| Upcasted::new("Wanted", &serde_json::json!({ "number": number }));
            numbers.into_iter().map(wanted).collect()
        })
    }
}

fn append(annals: &Annals, event_type: &str, payload: &impl Serialize) {
    let event = NewEvent::new(EventType::new(event_type).unwrap(), payload).unwrap();
    let commit = Commit::new().write("list/1".parse().unwrap(), Expected::Any, [event]);
    annals.store().append(commit).unwrap();
}

fn shopping(annals: &Annals, skips: bool) -> ProcessManager<List> {
    let (lists, shops) = (annals.of::<List>().unwrap(), annals.of::<Shop>().unwrap());
    let process = lists
        .process("shopping")
        .send(&shops, |e| match *e.event() {
            ListEvent::Wanted { number } => Some((*e.id(), Sale::Sold { errand: *e.id(), number })),
            ListEvent::NotHad { .. } => None,
        })
        .on_refusal(|e, _| match *e.event() {
            ListEvent::Wanted { number } => Some(ListEvent::NotHad { number }),
            ListEvent::NotHad { .. } => None,
        });
    let process = if skips { process.skip_unknown() } else { process };
    process.open().unwrap()
}

fn sold(annals: &Annals) -> Vec<u64> {
    let shops = annals.of::<Shop>().unwrap();
    let sales = shops.events().read().unwrap().map(|sale| sale.unwrap().into_event());
    sales.map(|Sale::Sold { number, .. }| number).collect()
}

/// Each event that a stored one means today has its own command, under a key of its own; and the refusal of one is told with that one.
#[test]
fn what_an_upcaster_splits_asks_for_each_part() {
    let annals = Annals::in_memory();
    append(&annals, "AllWanted", &[0, 1, 2, 5]);
    for _ in 0..2 {
        shopping(&annals, false).run_until_settled().unwrap();
        assert_eq!(sold(&annals), [0, 1, 5]);
        let list = annals.of::<List>().unwrap().load(&1).unwrap();
        assert_eq!(list.state().refused, [2]);
    }
}

#[test]
fn an_unknown_event_is_passed_over_only_if_that_is_said() {
    let annals = Annals::in_memory();
    append(&annals, "Burnt", &());
    append(&annals, "Wanted", &serde_json::json!({ "number": 1 }));
    let manager = shopping(&annals, false);
    let error = manager.run_until_settled().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::UnknownEvent);
    assert!(sold(&annals).is_empty());
    drop(manager);
    shopping(&annals, true).run_until_settled().unwrap();
    assert_eq!(sold(&annals), [1]);
}
