//! Stores whose aggregates write their payloads in binary.

use std::convert::Infallible;

use annals::codec::Upcasters;
use annals::storage::Directory;
use annals::store::{Commit, EventStore, Events, Expected, FileStore, MemoryStore, Query, care};
use annals::transfer::{Import, export};
use annals::{Aggregate, Annals, Context, Encoding, ErrorKind, NewEvent, Position, SchemaVersion};
use serde::{Deserialize, Serialize};

use crate::account::{Account, Command};
use crate::directory::Directory as Scratch;

fn encodings(store: &dyn EventStore) -> Vec<Encoding> {
    Events::new(store, Query::default()).map(|event| event.unwrap().encoding()).collect()
}

fn exported(store: &dyn EventStore) -> Vec<u8> {
    let mut lines = Vec::new();
    export(store, Query::default(), &mut lines, |_| {}).unwrap();
    lines
}

fn assert_is_closed_with_nothing(annals: &Annals) {
    let account = annals.of::<Account>().unwrap().load("a").unwrap().into_state();
    assert_eq!((&*account.owner, account.cents, account.closed), ("Ann", 0, true));
}

/// A store in this directory with four binary events of an account.
fn filled(scratch: &Scratch) -> Annals {
    let options = FileStore::options().encoding(Encoding::Binary);
    let annals = Annals::with_store(options.open(scratch.path()).unwrap());
    let accounts = annals.of::<Account>().unwrap();
    for command in [Command::Open("Ann".into()), Command::Deposit(300), Command::Close] {
        accounts.execute("a", command).unwrap();
    }
    annals
}

#[test]
fn a_store_keeps_the_encoding_that_it_was_made_with() {
    let scratch = Scratch::new();
    filled(&scratch).close().unwrap();
    let options = FileStore::options().encoding(Encoding::Json);
    let annals = Annals::with_store(options.open(scratch.path()).unwrap());
    assert_eq!(annals.store().identity().encoding, Encoding::Binary);
    assert_is_closed_with_nothing(&annals);
    annals.of::<Account>().unwrap().execute("b", Command::Open("Bea".into())).unwrap();
    assert_eq!(encodings(annals.store()), [Encoding::Binary; 5]);
}

#[test]
fn binary_events_are_exported_imported_and_copied_as_they_are() {
    let (scratch, restored, salvaged) = (Scratch::new(), Scratch::new(), Scratch::new());
    let annals = filled(&scratch);
    let lines = exported(annals.store());
    assert_eq!(String::from_utf8_lossy(&lines).matches("\"payload_binary\":").count(), 4);
    annals.close().unwrap();

    // Into a store that writes JSON: what it holds stays what it was.
    let other = Annals::in_memory();
    Import::copy().run(other.store(), &lines[..], |_| {}).unwrap();
    assert_eq!(exported(other.store()), lines);
    assert_is_closed_with_nothing(&other);
    other.of::<Account>().unwrap().execute("b", Command::Open("Bea".into())).unwrap();
    assert_eq!(encodings(other.store())[3..], [Encoding::Binary, Encoding::Json]);
    let view = Annals::with_store(MemoryStore::new().encoding(Encoding::Binary));
    Import::copy().run(view.store(), &exported(other.store())[..], |_| {}).unwrap();
    assert_eq!(exported(view.store()), exported(other.store()));

    let from = || Directory::to_read(scratch.path()).unwrap();
    let into = |scratch: &Scratch| Directory::new(scratch.path()).unwrap();
    care::restore(from(), into(&restored), Position::new(9), |_| {}).unwrap();
    care::salvage(from(), into(&salvaged), |_| {}).unwrap();
    for copy in [restored, salvaged] {
        let annals = Annals::open(copy.path()).unwrap();
        assert_eq!(exported(annals.store()), lines);
        assert_eq!(annals.store().identity().encoding, Encoding::Binary);
    }
}

#[test]
fn lines_with_what_is_no_payload_are_refused() {
    let scratch = Scratch::new();
    let lines = String::from_utf8(exported(filled(&scratch).store())).unwrap();
    let digits = lines.split("payload_binary\":\"").nth(1).unwrap().split('"').next().unwrap();
    for (bad, why) in [
        (String::new(), "too early"),
        (digits[1..].to_owned(), "not hexadecimal"),
        (digits.to_uppercase(), "not hexadecimal"),
        (format!("{digits}c0"), "behind it"),
        (digits[2..].to_owned(), ""),
    ] {
        let line = lines.replace(digits, &bad);
        let store = MemoryStore::new();
        let refused = Import::copy().run(&store, line.as_bytes(), |_| {}).unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Line { .. }), "{refused:?}");
        assert!(format!("{refused:?}").contains(why), "{refused:?}");
        assert!(encodings(&store).is_empty());
    }
    let both = lines.replacen("\"payload_binary\"", "\"payload\":1,\"payload_binary\"", 1);
    assert!(Import::copy().run(&MemoryStore::new(), both.as_bytes(), |_| {}).is_err());
}

/// What was once stored of a parcel: two words, of which the order is easily mistaken.
#[derive(Serialize, Deserialize)]
struct SentV1 {
    from: String,
    to: String,
}

#[derive(Debug, Serialize, Deserialize)]
enum Parcel {
    Sent { to: String, from: String },
    Lost(serde_json::Value),
}

#[derive(Debug, Default)]
struct Route<const RULES: u8>(Vec<String>);

impl<const RULES: u8> Aggregate for Route<RULES> {
    const TYPE: &'static str = "route";
    type Id = str;
    type Event = Parcel;
    type Command = ();
    type Error = Infallible;
    type Services = ();

    fn apply(&mut self, event: &Parcel) {
        self.0.push(format!("{event:?}"));
    }

    fn handle(&self, (): (), _: &Context<'_, Self>) -> Result<Vec<Parcel>, Infallible> {
        Ok(vec![Parcel::Sent { to: "B".into(), from: "A".into() }])
    }

    fn upcasters() -> Upcasters {
        let sent = |from, to| Parcel2 { to, from };
        match RULES {
            0 => Upcasters::new(),
            1 => Upcasters::new().step("Sent", 1, move |old: SentV1| sent(old.from, old.to)),
            _ => Upcasters::new().rename("Posted", ("Sent", 1)).step(
                "Sent",
                1,
                move |old: serde_json::Value| {
                    let word = |at: usize| old[at].as_str().unwrap().to_owned();
                    sent(word(0), word(1))
                },
            ),
        }
    }
}

#[derive(Serialize)]
struct Parcel2 {
    to: String,
    from: String,
}

#[test]
fn what_was_stored_in_another_order_is_refused_until_it_is_upcast() {
    let annals = Annals::with_store(MemoryStore::new().encoding(Encoding::Binary));
    for name in ["Sent", "Posted"] {
        let old = SentV1 { from: "A".into(), to: "B".into() };
        let event = NewEvent::encoded(Encoding::Binary, name.parse().unwrap(), &old).unwrap();
        let stream = format!("route/{name}").parse().unwrap();
        annals.store().append(Commit::new().write(stream, Expected::Any, [event])).unwrap();
    }
    let refused = annals.of::<Route<0>>().unwrap().load("Sent").unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Decode);
    assert!(format!("{refused:?}").contains("its 2 fields are not the first of to, from"));

    let expected = [r#"Sent { to: "B", from: "A" }"#];
    assert_eq!(annals.of::<Route<1>>().unwrap().load("Sent").unwrap().into_state().0, expected);
    let routes = annals.of::<Route<2>>().unwrap();
    for id in ["Sent", "Posted"] {
        assert_eq!(routes.load(id).unwrap().into_state().0, expected);
    }
    routes.execute("Sent", ()).unwrap();
    let last = Events::new(annals.store(), Query::default()).last().unwrap().unwrap();
    assert_eq!(
        (last.schema(), last.encoding()),
        (SchemaVersion::new(2).unwrap(), Encoding::Binary)
    );
    assert_eq!(routes.load("Sent").unwrap().into_state().0, [expected[0]; 2]);
}

/// Fields that are left out where they say nothing.
#[derive(Debug, Serialize, Deserialize)]
enum Gappy {
    Said {
        #[serde(default, skip_serializing_if = "String::is_empty")]
        title: String,
        text: String,
    },
}

#[derive(Debug, Default)]
struct Talk(usize);

impl Aggregate for Talk {
    const TYPE: &'static str = "talk";
    type Id = str;
    type Event = Gappy;
    type Command = (&'static str, &'static str);
    type Error = Infallible;
    type Services = ();

    fn apply(&mut self, _: &Gappy) {
        self.0 += 1;
    }

    fn handle(
        &self,
        (title, text): Self::Command,
        _: &Context<'_, Self>,
    ) -> Result<Vec<Gappy>, Infallible> {
        Ok(vec![Gappy::Said { title: title.into(), text: text.into() }])
    }
}

#[test]
fn what_would_not_read_back_is_never_written() {
    let annals = Annals::with_store(MemoryStore::new().encoding(Encoding::Binary));
    let talks = annals.of::<Talk>().unwrap();
    talks.execute("t", ("title", "text")).unwrap();
    let refused = talks.execute("t", ("", "text")).unwrap_err();
    assert!(format!("{refused:?}").contains("does not read back"), "{refused:?}");
    assert_eq!(talks.load("t").unwrap().into_state().0, 1);
}
