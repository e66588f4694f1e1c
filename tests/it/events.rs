//! Typed and raw reads of what was recorded.

use annals::id::Tag;
use annals::store::Query;
use annals::{Annals, ErrorKind, Position, Version};

use crate::account::{Account, Command, Event};

fn busy() -> Annals {
    let annals = Annals::in_memory();
    let accounts = annals.of::<Account>().unwrap();
    for id in ["alice", "bob"] {
        accounts.execute(id, Command::Open(id.to_owned())).unwrap();
        accounts.execute(id, Command::Deposit(10)).unwrap();
        accounts.execute(id, Command::Withdraw(3)).unwrap();
    }
    accounts.execute("alice", Command::Close).unwrap();
    annals
}

#[test]
fn history_comes_with_envelopes() {
    let accounts = busy().of::<Account>().unwrap();
    let history: Vec<_> =
        accounts.history("alice").unwrap().read().unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(history.len(), 5);
    assert_eq!(*history[0].event(), Event::Opened { owner: "alice".into() });
    assert_eq!((history[3].version(), history[3].position()), (Version::new(4), Position::new(7)));
    assert_eq!(history[3].recorded_at(), history[4].recorded_at());
    assert_eq!(history[0].tags().collect::<Vec<_>>(), ["owner:alice"]);
    assert!(history.iter().all(|e| e.id() == "alice" && e.ordinal() == 0));
    assert_eq!(history[4].event_type(), "Closed");
}

#[test]
fn events_are_found_by_type_tag_position_version_and_direction() {
    let accounts = busy().of::<Account>().unwrap();
    let shown = |history: annals::repository::History<'_, Account>| -> Vec<(String, u64)> {
        history
            .read()
            .unwrap()
            .map(|e| e.unwrap())
            .map(|e| (e.id().to_owned(), e.version().get()))
            .collect()
    };
    let of = |id: &str, version| (id.to_owned(), version);
    assert_eq!(
        shown(accounts.events().of_types(["Withdrawn"])),
        [of("alice", 3), of("bob", 3), of("alice", 4)]
    );
    assert_eq!(shown(accounts.events().of_types(["Closed", "Opened"])).len(), 3);
    assert!(shown(accounts.events().of_types([] as [&str; 0])).is_empty());
    assert_eq!(shown(accounts.events().tagged(Tag::new("owner:bob").unwrap())), [of("bob", 1)]);
    assert_eq!(
        shown(accounts.events().after(Position::new(2)).up_to(Position::new(4))),
        [of("alice", 3), of("bob", 1)]
    );
    assert_eq!(
        shown(accounts.history("alice").unwrap().after_version(Version::new(3)).backwards()),
        [of("alice", 5), of("alice", 4)]
    );
    assert_eq!(shown(accounts.events().backwards().limit(2)), [of("alice", 5), of("alice", 4)]);
    assert_eq!(shown(accounts.events().limit(0)), []);
    let error = accounts.events().of_types(["Vanished"]).read().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::UnknownEvent);
    assert_eq!(
        error.to_string(),
        "no reader for this event type: \"Vanished\" is none of Opened, Deposited, Withdrawn, Closed"
    );
}

#[test]
fn raw_reads_give_what_was_stored() {
    let annals = busy();
    let payloads: Vec<_> = annals
        .read(Query::new(annals.of::<Account>().unwrap().stream("bob").unwrap()))
        .map(|event| String::from_utf8(event.unwrap().payload().to_vec()).unwrap())
        .collect();
    assert_eq!(payloads, [r#"{"owner":"bob"}"#, r#"{"cents":10}"#, r#"{"cents":3}"#]);
}

#[test]
fn long_histories_are_read_whole_in_both_directions() {
    let accounts = Annals::in_memory().of::<Account>().unwrap().snapshot_every(100);
    for _ in 1..=5_000 {
        accounts.execute("alice", Command::Deposit(1)).unwrap();
    }
    let versions = |history: annals::repository::History<'_, Account>| -> Vec<u64> {
        history.read().unwrap().map(|e| e.unwrap().version().get()).collect()
    };
    assert!(versions(accounts.events()).into_iter().eq(1..=5_000));
    assert!(versions(accounts.events().backwards()).into_iter().eq((1..=5_000).rev()));
    assert!(
        versions(accounts.events().backwards().limit(1_500)).into_iter().eq((3_501..=5_000).rev())
    );
}
