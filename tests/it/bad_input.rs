//! Whatever is wrong is named, and nothing is written.

use std::fmt;
use std::str::FromStr;

use annals::id::{Category, EventType, InvalidName};
use annals::store::{AppendError, Commit, Expected, Limits, Query};
use annals::{
    Aggregate, Annals, Context, ErrorKind, ExecuteError, NewEvent, StreamId, Tags, Version,
};
use serde::{Deserialize, Serialize};

use crate::account::{Account, Command};

fn kind_of(
    answer: Result<annals::repository::Outcome<Account>, ExecuteError<crate::account::Refused>>,
) -> ErrorKind {
    match answer {
        Err(ExecuteError::Store(error)) => error.kind().clone(),
        answer => panic!("{answer:?}"),
    }
}

#[test]
fn ids_that_are_no_names_are_refused() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    for id in ["", "a\0b", "a\nb", "\u{202E}a", &"x".repeat(513)] {
        assert_eq!(
            kind_of(accounts.execute(id, Command::Deposit(1))),
            ErrorKind::InvalidName,
            "{id:?}"
        );
        assert_eq!(*accounts.load(id).unwrap_err().kind(), ErrorKind::InvalidName);
        assert_eq!(*accounts.history(id).unwrap_err().kind(), ErrorKind::InvalidName);
    }
    accounts.execute("a/b c\\../é", Command::Deposit(1)).unwrap();
    assert_eq!(accounts.ids().next().unwrap().unwrap(), "a/b c\\../é");
    assert_eq!(annals.read(Query::default()).count(), 1);
}

#[test]
fn keys_for_once_that_are_no_names_are_refused() {
    let accounts = Annals::in_memory().of::<Account>().unwrap();
    for key in ["", "a\n$once:b", &"x".repeat(257)] {
        assert_eq!(
            kind_of(accounts.to("alice").once(key).execute(Command::Deposit(1))),
            ErrorKind::InvalidName
        );
    }
}

/// An aggregate of everything that can be wrong with one.
macro_rules! aggregate {
    ($name:ident, $type:literal, $id:ty, $event:ty) => {
        aggregate!($name, $type, $id, $event, |_| Ok(Tags::none()));
    };
    ($name:ident, $type:literal, $id:ty, $event:ty, $tags:expr) => {
        #[derive(Debug, Default)]
        struct $name;
        impl Aggregate for $name {
            const TYPE: &'static str = $type;
            type Id = $id;
            type Event = $event;
            type Command = fn() -> $event;
            type Error = std::convert::Infallible;
            type Services = ();
            fn apply(&mut self, _: &$event) {}
            fn handle(
                &self,
                command: fn() -> $event,
                _: &Context<'_, Self>,
            ) -> Result<Vec<$event>, Self::Error> {
                Ok(vec![command()])
            }
            fn tags(event: &$event) -> Result<Tags, InvalidName> {
                let tags: fn(&$event) -> Result<Tags, InvalidName> = $tags;
                tags(event)
            }
        }
    };
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Plain {
    Text(String),
    Number { value: f64 },
}

/// Carries out a command that must fail in the store, on a store that must stay empty.
fn refused<A: Aggregate<Services = ()>>(id: &A::Id, command: A::Command) -> annals::Error {
    let annals = Annals::in_memory();
    let error = match annals.of::<A>().unwrap().execute(id, command) {
        Err(ExecuteError::Store(error)) => error,
        Ok(_) => panic!("accepted"),
        Err(error) => panic!("{error}"),
    };
    assert_eq!(annals.read(Query::default()).count(), 0);
    error
}

#[test]
fn a_category_is_checked_by_of() {
    aggregate!(Slash, "bank/account", str, Plain);
    aggregate!(Empty, "", str, Plain);
    aggregate!(Reserved, "$account", str, Plain);
    let annals = Annals::in_memory();
    assert_eq!(*annals.of::<Slash>().unwrap_err().kind(), ErrorKind::InvalidName);
    assert_eq!(*annals.of::<Empty>().unwrap_err().kind(), ErrorKind::InvalidName);
    assert_eq!(*annals.of::<Reserved>().unwrap_err().kind(), ErrorKind::InvalidName);
    let error = annals.view::<u32>("v").on::<Slash>(|_, _| ()).run().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidName);
}

#[test]
fn an_event_type_that_is_no_enum_is_refused_by_of() {
    #[derive(Debug, Serialize, Deserialize)]
    struct NoEnum {
        cents: u64,
    }
    aggregate!(Flat, "flat", str, NoEnum);
    let error = Annals::in_memory().of::<Flat>().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::EventShape);
    let message = error.to_string();
    assert!(message.contains("NoEnum") && message.contains("write a plain `enum`"), "{message}");
}

#[test]
fn a_variant_that_would_not_be_read_is_not_written() {
    #[derive(Debug, Serialize, Deserialize)]
    enum OneWay {
        #[serde(rename(serialize = "Written", deserialize = "Read"))]
        Lost,
        #[serde(skip_deserializing)]
        AlsoLost,
    }
    aggregate!(Losing, "losing", str, OneWay);
    let error = refused::<Losing>("x", || OneWay::Lost);
    assert_eq!(*error.kind(), ErrorKind::Encode);
    assert!(error.to_string().contains("\"Written\", which is not read"), "{error}");
    assert_eq!(*refused::<Losing>("x", || OneWay::AlsoLost).kind(), ErrorKind::Encode);
}

#[test]
fn a_value_that_json_does_not_hold_is_not_written() {
    aggregate!(Numbers, "numbers", str, Plain);
    let error = refused::<Numbers>("x", || Plain::Number { value: f64::NAN });
    assert_eq!(*error.kind(), ErrorKind::Encode);
    assert!(error.to_string().contains("does not read back"), "{error}");
    assert_eq!(error.event_type().unwrap().as_str(), "Number");
    assert_eq!(error.stream().unwrap().to_string(), "numbers/x");
    let numbers = Annals::in_memory().of::<Numbers>().unwrap();
    numbers.execute("x", || Plain::Number { value: 0.1 + 0.2 }).unwrap();
}

#[test]
fn an_id_that_does_not_come_back_is_refused() {
    #[derive(Debug, Clone, PartialEq)]
    struct Shouting(String);
    impl fmt::Display for Shouting {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0.to_uppercase())
        }
    }
    impl FromStr for Shouting {
        type Err = String;
        fn from_str(text: &str) -> Result<Self, String> {
            match text {
                "BAD" => Err("it is bad".into()),
                text => Ok(Self(text.replace('Q', "K"))),
            }
        }
    }
    aggregate!(Loud, "loud", Shouting, Plain);
    let error = refused::<Loud>(&Shouting("q".into()), || Plain::Text("hi".into()));
    assert_eq!(*error.kind(), ErrorKind::AggregateId);
    assert!(error.to_string().contains("it comes back as \"K\""), "{error}");
    let error = refused::<Loud>(&Shouting("bad".into()), || Plain::Text("hi".into()));
    assert_eq!(*error.kind(), ErrorKind::AggregateId);
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("it is bad"));

    assert_eq!(
        *refused::<Loud>(&Shouting("a".into()), || Plain::Text("hi".into())).kind(),
        ErrorKind::AggregateId
    );

    let annals = Annals::in_memory();
    let loud = annals.of::<Loud>().unwrap();
    loud.execute(&Shouting("A".into()), || Plain::Text("hi".into())).unwrap();
    assert_eq!(loud.ids().next().unwrap().unwrap().0, "A");
    let stream = StreamId::new(&Category::new("loud").unwrap(), "BAD").unwrap();
    let event = NewEvent::new(EventType::new("Text").unwrap(), "hi").unwrap();
    annals.store().append(Commit::new().write(stream, Expected::Any, [event])).unwrap();
    let error = loud.events().read().unwrap().nth(1).unwrap().unwrap_err();
    assert_eq!((error.kind(), error.position().unwrap().get()), (&ErrorKind::AggregateId, 2));
    let mut ids = loud.ids().skip(1);
    assert!(ids.next().unwrap().is_err() && ids.next().unwrap().is_err(), "it is not passed over");
}

#[test]
fn tags_that_are_no_names_are_refused() {
    aggregate!(Tagging, "tagging", str, Plain, |event| match event {
        Plain::Text(text) => Tags::of([text]),
        Plain::Number { .. } => Tags::of((0..65).map(|n| format!("tag {n}"))),
    });
    let error = refused::<Tagging>("x", || Plain::Text("$once:k".into()));
    assert_eq!(*error.kind(), ErrorKind::InvalidName);
    let error = refused::<Tagging>("x", || Plain::Number { value: 1.0 });
    assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: 64, actual: 65 });
}

#[test]
fn the_mark_of_a_key_is_not_counted_among_the_tags() {
    aggregate!(Tagged, "tagged", str, Plain, |_| Tags::of((0..64).map(|n| format!("tag {n}"))));
    let tagged = Annals::in_memory().of::<Tagged>().unwrap();
    tagged.to("x").once("k").execute(|| Plain::Text("a".into())).unwrap();
}

#[test]
fn a_store_that_has_lost_events_is_found_out() {
    /// Answers reads without the second event of every stream.
    #[derive(Debug, Default)]
    struct Losing(annals::store::MemoryStore);
    impl annals::store::EventStore for Losing {
        fn identity(&self) -> annals::store::Identity {
            self.0.identity()
        }

        fn append(&self, commit: Commit) -> Result<annals::store::Appended, AppendError> {
            self.0.append(commit)
        }
        fn read(&self, query: &Query) -> Result<(annals::Batch, Option<Query>), annals::Error> {
            let (batch, rest) = self.0.read(query)?;
            Ok((batch.iter().filter(|event| event.version() != Version::new(2)).collect(), rest))
        }
        fn version(&self, stream: &StreamId) -> Result<Version, annals::Error> {
            self.0.version(stream)
        }
        fn head(&self) -> Result<annals::store::Head, annals::Error> {
            self.0.head()
        }
        fn wait(
            &self,
            after: annals::Position,
            timeout: std::time::Duration,
            interrupt: &annals::store::Interrupt,
        ) -> Result<annals::Position, annals::Error> {
            self.0.wait(after, timeout, interrupt)
        }
        fn interrupt(&self, interrupt: &annals::store::Interrupt) {
            self.0.interrupt(interrupt);
        }
        fn close(&self) -> Result<(), annals::Error> {
            self.0.close()
        }
    }
    let accounts = Annals::with_store(Losing::default()).of::<Account>().unwrap();
    accounts.execute("alice", Command::Deposit(1)).unwrap();
    accounts.execute("alice", Command::Close).unwrap();
    let error = accounts.load("alice").unwrap_err();
    assert_eq!(
        *error.kind(),
        ErrorKind::MissingEvents { from: Version::new(2), to: Version::new(2) }
    );
    assert_eq!(
        error.to_string(),
        "the events of versions 2 to 2 are missing, stream account/alice, position 3"
    );
}

#[test]
fn what_is_too_large_is_refused() {
    aggregate!(Texts, "texts", str, Plain);
    let error = refused::<Texts>("x", || Plain::Text("x".repeat(1 << 20)));
    assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: 1 << 20, actual: (1 << 20) + 2 });
    assert_eq!(
        error.to_string(),
        "too large: 1048578 where at most 1048576 is allowed: bytes of payload, event Text v1, stream texts/x"
    );
    let mut limits = Limits::default();
    limits.payload_bytes_max = 2 << 20;
    let texts = Annals::builder().limits(limits).in_memory().of::<Texts>().unwrap();
    texts.execute("x", || Plain::Text("x".repeat(1 << 20))).unwrap();
}

#[test]
fn an_event_of_an_unknown_type_or_shape_is_named() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    let append = |id: &str, name: &str, schema: u32, payload: serde_json::Value| {
        let event = NewEvent::new(EventType::new(name).unwrap(), &payload).unwrap();
        let event = event.with_schema(annals::SchemaVersion::new(schema).unwrap());
        let commit = Commit::new().write(accounts.stream(id).unwrap(), Expected::Any, [event]);
        annals.store().append(commit).unwrap();
        accounts.load(id).unwrap_err()
    };
    let error = append("a", "Vanished", 1, serde_json::json!({}));
    assert_eq!(*error.kind(), ErrorKind::UnknownEvent);
    let error = append("b", "Deposited", 1, serde_json::json!({ "cents": "many" }));
    assert_eq!(*error.kind(), ErrorKind::Decode);
    assert_eq!(error.stream().unwrap().to_string(), "account/b");
    assert_eq!(error.position().unwrap().get(), 2);
    assert_eq!(
        (error.event_type().unwrap().as_str(), error.schema_version().unwrap().get()),
        ("Deposited", 1)
    );
    assert!(
        std::error::Error::source(&error).unwrap().to_string().contains("invalid type: string")
    );
    let error = append("c", "Deposited", 2, serde_json::json!({ "cents": 1 }));
    assert!(matches!(error.kind(), ErrorKind::NewerSchema { known } if known.get() == 1));
}

#[test]
fn a_reader_keeps_failing_where_it_failed() {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    accounts.execute("a", Command::Deposit(1)).unwrap();
    let event = NewEvent::new(EventType::new("Vanished").unwrap(), &()).unwrap();
    annals
        .store()
        .append(Commit::new().write(accounts.stream("a").unwrap(), Expected::Any, [event]))
        .unwrap();
    accounts.events().read().unwrap().next().unwrap().unwrap();
    let mut events = accounts.events().read().unwrap().skip(1);
    assert!(events.next().unwrap().is_err());
    assert!(events.next().unwrap().is_err());
}

#[test]
fn raw_payloads_are_json() {
    let event_type = EventType::new("Raw").unwrap();
    assert!(NewEvent::from_json(event_type.clone(), *b"{\"a\":1}").is_ok());
    let spaced = NewEvent::from_json(event_type.clone(), " null\n").unwrap();
    assert_eq!(spaced.payload(), b"null");
    for bad in [&b""[..], b"{", b"1 2", b"{\"a\":1}}", b"nul", b"\"\xff\xfe\""] {
        let error = NewEvent::from_json(event_type.clone(), bad).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Encode, "{bad:?}");
    }
    let keys_are_no_text = std::collections::BTreeMap::from([((1, 2), 3)]);
    assert!(NewEvent::new(event_type, &keys_are_no_text).is_err());
}

#[test]
fn a_wrong_expected_version_is_a_conflict() {
    let annals = Annals::in_memory();
    let stream: StreamId = "account/alice".parse().unwrap();
    let event = NewEvent::new(EventType::new("Opened").unwrap(), &()).unwrap();
    for expected in [
        Expected::Exists,
        Expected::Exactly(Version::new(1)),
        Expected::Exactly(Version::new(u64::MAX)),
    ] {
        let commit = Commit::new().write(stream.clone(), expected, [event.clone()]);
        let answer = annals.store().append(commit).unwrap_err();
        assert!(matches!(answer, AppendError::Conflict(_)));
        assert_eq!(
            answer.to_string(),
            format!("stream account/alice is at version 0, expected {expected}")
        );
    }
}

#[test]
fn two_aggregate_types_of_one_name_do_not_share_a_unit() {
    aggregate!(First, "same", str, Plain);
    aggregate!(Second, "same", str, Plain);
    let annals = Annals::in_memory();
    let (first, second) = (annals.of::<First>().unwrap(), annals.of::<Second>().unwrap());
    let answer = annals.atomically(|unit| {
        unit.execute(&first, "x", || Plain::Text("a".into()))?;
        unit.execute(&second, "x", || Plain::Text("b".into()))?;
        Ok(())
    });
    assert!(
        matches!(answer, Err(ExecuteError::Store(error)) if *error.kind() == ErrorKind::AggregateType)
    );
    assert_eq!(annals.read(Query::default()).count(), 0);
}
