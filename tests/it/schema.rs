//! The history of event shapes.

use annals::codec::{Upcasted, Upcasters};
use annals::id::EventType;
use annals::store::{Commit, Expected, Query};
use annals::testing::{Scenario, SchemaLock};
use annals::{Aggregate, Annals, Context, ErrorKind, NewEvent, Position, SchemaVersion, Version};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Event {
    Deposited {
        cents: i128,
        by: String,
    },
    #[serde(alias = "Taken")]
    Withdrawn {
        cents: i128,
    },
    Closed,
}

#[derive(Debug, Default, PartialEq)]
struct Account {
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct DepositedV1 {
    amount: f64,
}

#[derive(Serialize, Deserialize)]
struct DepositedV2 {
    cents: i128,
}

#[derive(Serialize)]
struct DepositedV3 {
    cents: i128,
    by: String,
}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Id = str;
    type Event = Event;
    type Command = Vec<Event>;
    type Error = std::convert::Infallible;
    type Services = ();
    fn apply(&mut self, event: &Event) {
        self.events.push(event.clone());
    }
    fn handle(&self, events: Vec<Event>, _: &Context<'_, Self>) -> Result<Vec<Event>, Self::Error> {
        Ok(events)
    }
    fn upcasters() -> Upcasters {
        Upcasters::new()
            .try_step("Deposited", 1, |old: DepositedV1| match old.amount {
                amount if amount < 0.0 => Err(format!("{amount} is no deposit")),
                #[expect(clippy::cast_possible_truncation, reason = "amounts are small")]
                amount => Ok(DepositedV2 { cents: (amount * 100.0).round() as i128 }),
            })
            .step("Deposited", 2, |old: DepositedV2| DepositedV3 {
                cents: old.cents,
                by: "unknown".into(),
            })
            .rename("MoneyIn", ("Deposited", 2))
            .rename("CashIn", "MoneyIn")
            .split("Moved", 1, [("Withdrawn", 1), ("Deposited", 2)], |old: DepositedV2| {
                vec![Upcasted::new("Withdrawn", &old), Upcasted::new("Deposited", &old)]
            })
            .discard("Noticed", 1)
    }
}

/// A store as older programs have left it, and the events it means today.
fn old_store() -> (Annals, Vec<Event>) {
    let annals = Annals::in_memory();
    let deposited = |cents, by: &str| Event::Deposited { cents, by: by.into() };
    let wide = i128::from(u64::MAX) * 1_000;
    let stored: [(&str, u32, Value, Vec<Event>); 9] = [
        ("Deposited", 1, json!({ "amount": 1.5 }), vec![deposited(150, "unknown")]),
        ("Noticed", 1, json!(["what", "ever"]), vec![]),
        ("Deposited", 2, json!({ "cents": 7 }), vec![deposited(7, "unknown")]),
        ("MoneyIn", 1, json!({ "cents": 8 }), vec![deposited(8, "unknown")]),
        ("CashIn", 1, json!({ "cents": 9 }), vec![deposited(9, "unknown")]),
        (
            "Moved",
            1,
            json!({ "cents": 10 }),
            vec![Event::Withdrawn { cents: 10 }, deposited(10, "unknown")],
        ),
        ("Taken", 1, json!({ "cents": 11 }), vec![Event::Withdrawn { cents: 11 }]),
        ("Deposited", 3, json!({ "cents": 12, "by": "ann" }), vec![deposited(12, "ann")]),
        ("Closed", 1, json!(null), vec![Event::Closed]),
    ];
    let stream = annals.of::<Account>().unwrap().stream("old").unwrap();
    let mut events = Vec::new();
    for (name, schema, payload, meaning) in stored {
        append(&annals, stream.as_str(), name, schema, payload.to_string());
        events.extend(meaning);
    }
    append(&annals, stream.as_str(), "Deposited", 2, format!("{{\"cents\":{wide}}}"));
    events.push(deposited(wide, "unknown"));
    (annals, events)
}

fn append(annals: &Annals, stream: &str, name: &str, schema: u32, payload: String) {
    let event = NewEvent::from_json(EventType::new(name).unwrap(), payload).unwrap();
    let event = event.with_schema(SchemaVersion::new(schema).unwrap());
    let commit = Commit::new().write(stream.parse().unwrap(), Expected::Any, [event]);
    annals.store().append(commit).unwrap();
}

#[test]
fn every_typed_read_sees_events_as_they_are_today() {
    let (annals, expected) = old_store();
    let accounts = annals.of::<Account>().unwrap();
    let loaded = accounts.load("old").unwrap();
    assert_eq!((&loaded.state().events, loaded.version()), (&expected, Version::new(10)));
    let events = accounts.events().read().unwrap().map(|e| e.unwrap().into_event());
    assert_eq!(events.collect::<Vec<_>>(), expected);
    let view = annals
        .view::<Vec<Event>>("v")
        .on::<Account>(|seen, e| seen.push(e.event().clone()))
        .run()
        .unwrap();
    assert_eq!(*view, expected);
    assert_eq!(accounts.load_at("old", Version::new(2)).unwrap().state().events, expected[..1]);
    assert_eq!(accounts.load_at("old", Position::new(6)).unwrap().state().events, expected[..6]);
    let mut subscription = accounts.subscribe();
    let mut seen = Vec::new();
    let mut positions = Vec::new();
    while let Some(recorded) = subscription.try_next().unwrap() {
        seen.push(recorded.into_event());
        positions.push(subscription.checkpoint().get());
    }
    assert_eq!(seen, expected);
    // It stays before what was split until all of that is handed out.
    assert_eq!(positions, [1, 3, 4, 5, 5, 6, 7, 8, 9, 10]);
}

#[test]
fn a_stopped_subscription_hands_out_the_rest_of_what_was_split() {
    let (annals, expected) = old_store();
    let accounts = annals.of::<Account>().unwrap();
    let mut subscription = accounts.subscribe().after(Position::new(5));
    assert_eq!(subscription.next().unwrap().unwrap().into_event(), expected[4]);
    subscription.stopper().stop();
    assert_eq!(subscription.next().unwrap().unwrap().into_event(), expected[5]);
    assert!(subscription.next().is_none() && subscription.has_ended());
    assert_eq!(subscription.checkpoint(), Position::new(6));
}

#[test]
fn a_split_shares_its_place_and_a_discarded_event_keeps_its_own() {
    let (annals, _) = old_store();
    let accounts = annals.of::<Account>().unwrap();
    let places: Vec<_> = accounts
        .events()
        .read()
        .unwrap()
        .map(|e| e.unwrap())
        .map(|e| (e.version().get(), e.ordinal()))
        .collect();
    let (six, seven) = ((6, 0), (6, 1));
    assert_eq!(
        places,
        [(1, 0), (3, 0), (4, 0), (5, 0), six, seven, (7, 0), (8, 0), (9, 0), (10, 0)]
    );
    let backwards: Vec<_> =
        accounts.events().backwards().read().unwrap().map(|e| e.unwrap().into_event()).collect();
    let (_, mut expected) = old_store();
    expected.reverse();
    assert_eq!(backwards, expected);
    accounts.execute("old", vec![Event::Closed]).unwrap();
    assert_eq!(accounts.load("old").unwrap().version(), Version::new(11));
}

#[test]
fn new_events_are_stamped_with_the_end_of_their_chain() {
    let (annals, _) = old_store();
    let accounts = annals.of::<Account>().unwrap();
    let deposited = Event::Deposited { cents: 1, by: "bob".into() };
    accounts.execute("new", vec![deposited, Event::Closed]).unwrap();
    let raw: Vec<_> =
        annals.read(Query::new(accounts.stream("new").unwrap())).map(Result::unwrap).collect();
    assert_eq!((raw[0].event_type(), raw[0].schema().get()), ("Deposited", 3));
    assert_eq!((raw[1].event_type(), raw[1].schema().get()), ("Closed", 1));
}

#[test]
fn a_filtered_typed_read_is_the_typed_read_filtered() {
    let (annals, all) = old_store();
    let accounts = annals.of::<Account>().unwrap();
    let name = |event: &Event| match event {
        Event::Deposited { .. } => "Deposited",
        Event::Withdrawn { .. } => "Withdrawn",
        Event::Closed => "Closed",
    };
    let names = ["Deposited", "Withdrawn", "Closed"];
    for mask in 0..8_u32 {
        let wanted: Vec<&str> =
            (0..3).filter(|bit| mask & (1 << bit) != 0).map(|bit| names[bit]).collect();
        let mut expected: Vec<Event> =
            all.iter().filter(|e| wanted.contains(&name(e))).cloned().collect();
        let read = |history: annals::repository::History<'_, Account>| -> Vec<Event> {
            history
                .of_types(wanted.clone())
                .read()
                .unwrap()
                .map(|e| e.unwrap().into_event())
                .collect()
        };
        assert_eq!(read(accounts.events()), expected);
        assert_eq!(read(accounts.events().limit(3)), expected[..expected.len().min(3)]);
        expected.reverse();
        assert_eq!(read(accounts.history("old").unwrap().backwards()), expected);
    }
    let by_alias = accounts.events().of_types(["Taken"]).read().unwrap().count();
    assert_eq!(by_alias, 2, "an alias names its variant");
}

#[test]
fn a_typed_filter_names_every_stored_type_that_can_yield_the_wanted() {
    let (annals, _) = old_store();
    let accounts = annals.of::<Account>().unwrap();
    let filter = accounts.events().of_types(["Withdrawn"]).filter().unwrap();
    let names: Vec<_> =
        filter.clauses()[0].named_types().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["Taken", "Withdrawn", "Moved"]);
}

#[test]
fn what_upcasting_finds_wrong_is_named() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    let failing = |name: &str, schema: u32, payload: Value| {
        let id = format!("{name} {schema}");
        append(&annals, &format!("account/{id}"), name, schema, payload.to_string());
        accounts.load(&id).unwrap_err()
    };
    let error = failing("Deposited", 1, json!({ "amount": -1.0 }));
    assert_eq!(*error.kind(), ErrorKind::Upcast);
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "-1 is no deposit");
    assert_eq!(error.event_type().unwrap().as_str(), "Deposited");
    assert_eq!(error.position(), Some(Position::new(1)));
    assert_eq!(*failing("MoneyIn", 1, json!({ "sense": 0 })).kind(), ErrorKind::Upcast);
    let newer = ErrorKind::NewerSchema { known: SchemaVersion::new(3).unwrap() };
    assert_eq!(*failing("Deposited", 4, json!({})).kind(), newer);
    assert_eq!(*failing("Deposited", 3, json!({ "cents": 1 })).kind(), ErrorKind::Decode);
    assert_eq!(*failing("Unheard", 1, json!({})).kind(), ErrorKind::UnknownEvent);
    assert_eq!(*failing("Noticed", 2, json!({})).kind(), ErrorKind::UnknownEvent);
}

#[test]
fn unsound_upcasters_are_refused_by_of() {
    #[derive(Default)]
    struct Gap;
    impl Aggregate for Gap {
        const TYPE: &'static str = "gap";
        type Id = str;
        type Event = Event;
        type Command = ();
        type Error = std::convert::Infallible;
        type Services = ();
        fn apply(&mut self, _: &Event) {}
        fn handle(&self, (): (), _: &Context<'_, Self>) -> Result<Vec<Event>, Self::Error> {
            Ok(vec![])
        }
        fn upcasters() -> Upcasters {
            Upcasters::new().step("Closed", 2, |old: Value| old)
        }
    }
    let error = Annals::in_memory().of::<Gap>().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Upcasters);
    assert!(error.to_string().contains("Closed: no rule reads version 1"), "{error}");
}

#[test]
fn scenarios_begin_with_old_shapes() {
    Scenario::<Account>::of("a")
        .given_stored("Deposited", 1, &json!({ "amount": 2 }))
        .when(vec![])
        .then([])
        .then_state(|account| {
            assert_eq!(account.events, [Event::Deposited { cents: 200, by: "unknown".into() }]);
        });
}

fn samples() -> Vec<Event> {
    vec![
        Event::Deposited { cents: 5, by: "ann".into() },
        Event::Withdrawn { cents: 6 },
        Event::Closed,
    ]
}

/// A file of its own for each test.
fn lock_file(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("annals-schema-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

#[test]
fn recorded_shapes_stay_readable() {
    SchemaLock::of::<Account>(samples())
        .unwrap()
        .check("tests/fixtures/account.schema.json")
        .unwrap();
}

#[test]
fn a_schema_lock_needs_its_file_and_a_sample_of_everything() {
    let path = lock_file("missing.json");
    let lock = SchemaLock::of::<Account>(samples()).unwrap();
    assert!(lock.check(&path).unwrap_err().to_string().contains("ANNALS_SCHEMA_LOCK=update"));
    lock.update(&path).unwrap();
    lock.check(&path).unwrap();
    let partial = SchemaLock::of::<Account>(vec![Event::Closed]).unwrap();
    assert!(
        partial.check(&path).unwrap_err().to_string().contains("there is no sample of Deposited")
    );
    assert!(partial.update(&path).is_err());
}

/// What a lock written for today's events says of events as a careless change would leave them.
fn found_after<E>(upcasters: fn() -> Upcasters, samples: Vec<E>) -> (String, bool)
where
    E: Clone + Serialize + serde::de::DeserializeOwned + Send + Sync + Changed,
{
    let path = lock_file(&format!("{}.json", std::any::type_name::<E>().replace("::", "-")));
    SchemaLock::of::<Account>(self::samples()).unwrap().update(&path).unwrap();
    UPCASTERS.set(Some(upcasters));
    let lock = SchemaLock::of::<After<E>>(samples).unwrap();
    let found = lock.check(&path).unwrap_err().to_string();
    (found, lock.update(&path).is_ok())
}

thread_local! {
    static UPCASTERS: std::cell::Cell<Option<fn() -> Upcasters>> = const { std::cell::Cell::new(None) };
}

trait Changed: 'static {}

struct After<E>(std::marker::PhantomData<E>);

impl<E> Default for After<E> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<E: Clone + Serialize + serde::de::DeserializeOwned + Send + Sync + Changed> Aggregate
    for After<E>
{
    const TYPE: &'static str = "account";
    type Id = str;
    type Event = E;
    type Command = ();
    type Error = std::convert::Infallible;
    type Services = ();
    fn apply(&mut self, _: &E) {}
    fn handle(&self, (): (), _: &Context<'_, Self>) -> Result<Vec<E>, Self::Error> {
        Ok(vec![])
    }
    fn upcasters() -> Upcasters {
        UPCASTERS.get().map_or_else(Upcasters::new, |upcasters| upcasters())
    }
}

macro_rules! changed {
    ($($name:ident { $($body:tt)* })*) => {
        $(
            #[derive(Clone, Serialize, Deserialize)]
            enum $name { $($body)* }
            impl Changed for $name {}
        )*
    };
}

changed! {
    Renamed { Deposited { cents: i128, by: String }, Withdrew { cents: i128 }, Closed }
    Retyped { Deposited { cents: i128, by: u32 }, Withdrawn { cents: i128 }, Closed, Taken { cents: i128 } }
    Moved {
        Deposited { cents: i128, by: String },
        Withdrawn { cents: i128 },
        Closed,
        #[serde(alias = "Taken")] Returned { cents: i128 },
    }
    Grown {
        Deposited { cents: i128, by: String, #[serde(default)] note: String },
        #[serde(alias = "Taken")] Withdrawn { cents: i128 },
        Closed,
    }
    Respelled {
        Deposited { #[serde(rename = "c", alias = "cents")] cents: i128, by: String },
        #[serde(alias = "Taken")] Withdrawn { cents: i128 },
        Closed,
    }
}

#[test]
fn an_accidental_rename_cannot_be_locked_in() {
    let samples = vec![
        Renamed::Deposited { cents: 5, by: "ann".into() },
        Renamed::Withdrew { cents: 6 },
        Renamed::Closed,
    ];
    let (found, updated) = found_after(
        || Upcasters::new().step("Deposited", 1, |v: Value| v).step("Deposited", 2, |v: Value| v),
        samples,
    );
    assert!(found.contains("Withdrawn was recorded and is not read any more"), "{found}");
    assert!(found.contains("an upcaster of MoneyIn is gone"), "{found}");
    assert!(!updated);
}

#[test]
fn a_changed_field_type_is_found_by_the_samples() {
    let samples = vec![
        Retyped::Deposited { cents: 5, by: 1 },
        Retyped::Withdrawn { cents: 6 },
        Retyped::Closed,
        Retyped::Taken { cents: 1 },
    ];
    let (found, updated) = found_after(Account::upcasters, samples);
    assert!(found.contains("the sample Deposited v3 {\"cents\":5,\"by\":\"ann\"}"), "{found}");
    assert!(!updated);
}

#[test]
fn an_alias_that_moves_to_another_variant_is_found() {
    let samples = vec![
        Moved::Deposited { cents: 5, by: "ann".into() },
        Moved::Withdrawn { cents: 6 },
        Moved::Closed,
        Moved::Returned { cents: 7 },
    ];
    let (found, updated) = found_after(Account::upcasters, samples);
    assert!(
        found.contains("the sample Taken v1 {\"cents\":6} means something else now"),
        "{found}"
    );
    assert!(updated);
}

#[test]
fn an_upcaster_that_leads_elsewhere_is_found() {
    let same = vec![
        Grown::Deposited { cents: 5, by: "ann".into(), note: String::new() },
        Grown::Withdrawn { cents: 6 },
        Grown::Closed,
    ];
    let (found, _) = found_after(
        || {
            Upcasters::new()
                .step("Deposited", 1, |v: Value| v)
                .step("Deposited", 2, |v: Value| v)
                .rename("MoneyIn", "Withdrawn")
                .rename("CashIn", "MoneyIn")
                .split("Moved", 1, ["Withdrawn"], |_: Value| vec![])
                .discard("Noticed", 1)
        },
        same,
    );
    assert!(found.contains("the upcasters of MoneyIn lead to Withdrawn v1"), "{found}");
    assert!(found.contains("the upcasters of Moved lead to Withdrawn v1"), "{found}");
}

#[test]
fn an_alias_of_a_type_with_a_history_is_refused() {
    #[derive(Default)]
    struct Aliased;
    impl Aggregate for Aliased {
        const TYPE: &'static str = "aliased";
        type Id = str;
        type Event = Event;
        type Command = ();
        type Error = std::convert::Infallible;
        type Services = ();
        fn apply(&mut self, _: &Event) {}
        fn handle(&self, (): (), _: &Context<'_, Self>) -> Result<Vec<Event>, Self::Error> {
            Ok(vec![])
        }
        fn upcasters() -> Upcasters {
            Upcasters::new().step("Withdrawn", 1, |old: Value| old)
        }
    }
    let error = Annals::in_memory().of::<Aliased>().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Upcasters);
    assert!(error.to_string().contains("its alias Taken has no rules of its own"), "{error}");
}

#[test]
fn a_harmless_change_is_shown_and_may_be_locked_in() {
    let samples = vec![
        Grown::Deposited { cents: 5, by: "ann".into(), note: "!".into() },
        Grown::Withdrawn { cents: 6 },
        Grown::Closed,
    ];
    let (found, updated) = found_after(Account::upcasters, samples);
    assert!(
        found.contains("Deposited is v3 { cents, by, note }, it was v3 { cents, by }"),
        "{found}"
    );
    assert!(updated);
    let samples = vec![
        Respelled::Deposited { cents: 5, by: "ann".into() },
        Respelled::Withdrawn { cents: 6 },
        Respelled::Closed,
    ];
    let (found, updated) = found_after(Account::upcasters, samples);
    let written = "now written, and not yet locked: Deposited v3 {\"c\":5,\"by\":\"ann\"}";
    assert!(found.contains(written), "{found}");
    assert!(updated);
}
