//! Looking into what happened: causes and effects, and how a state came about.

use annals::id::{CorrelationId, EventId, EventType};
use annals::store::{Commit, Expected};
use annals::testing::ManualClock;
use annals::{Annals, At, ErrorKind, Metadata, NewEvent, Version};
use serde_json::json;

use crate::account::{Account, Command};
use crate::directory::Directory;

/// The same on disk and in memory.
fn everywhere(check: impl Fn(&Annals)) {
    let clock = ManualClock::at("2024-02-29T12:00:00Z".parse().unwrap());
    let directory = Directory::new();
    let builder = || Annals::builder().clock(clock.clone());
    check(&builder().in_memory());
    check(&builder().open(directory.path()).unwrap());
}

#[test]
fn the_story_of_a_request_is_a_tree_of_causes() {
    everywhere(|annals| {
        let accounts = annals.of::<Account>().unwrap();
        let ann = Metadata::new().with_actor("ann");
        let first = accounts.to("alice").with(ann).execute(Command::Deposit(9)).unwrap();
        // Another request comes in between.
        accounts.execute("cem", Command::Deposit(1)).unwrap();
        let because_of = |id: EventId| Metadata::caused_by(&annals.event(id).unwrap().unwrap());
        let cause = first.event_ids()[0];
        let second = accounts.to("bob").with(because_of(cause)).execute(Command::Deposit(5));
        let second = second.unwrap().event_ids()[0];
        accounts.to("cem").with(because_of(second)).execute(Command::Close).unwrap();
        accounts.to("dora").with(because_of(cause)).execute(Command::Deposit(4)).unwrap();

        let story = annals.story(first.correlation().unwrap()).unwrap();
        let told: Vec<_> = story
            .events()
            .map(|(depth, event)| {
                (depth, event.stream().to_string(), event.event_type().to_owned())
            })
            .collect();
        let told: Vec<_> = told
            .iter()
            .map(|(depth, stream, name)| (*depth, stream.as_str(), name.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (0, "account/alice", "Deposited"),
                (1, "account/bob", "Deposited"),
                (2, "account/cem", "Withdrawn"),
                (2, "account/cem", "Closed"),
                (1, "account/dora", "Deposited"),
            ]
        );
        assert_eq!(
            story.to_string(),
            "Deposited  account/alice v1  2024-02-29 12:00:00  by ann\n  \
             Deposited  account/bob v1  2024-02-29 12:00:00\n    \
             Withdrawn  account/cem v2  2024-02-29 12:00:00\n    \
             Closed  account/cem v3  2024-02-29 12:00:00\n  \
             Deposited  account/dora v1  2024-02-29 12:00:00"
        );
        let effects: Vec<_> =
            annals.effects_of(cause).map(|event| event.unwrap().stream().to_string()).collect();
        assert_eq!(effects, ["account/bob", "account/dora"]);
        assert_eq!(annals.effects_of(EventId::random()).count(), 0);
        assert!(annals.event(EventId::random()).unwrap().is_none());
        let none = annals.story(CorrelationId::random()).unwrap();
        assert_eq!((none.events().len(), none.to_string()), (0, String::new()));
    });
}

/// Ids are the callers', and so are lies about causes.
#[test]
fn a_story_that_contradicts_itself_is_told_once() {
    everywhere(|annals| {
        let correlation = CorrelationId::random();
        let [own, later] = [EventId::random(), EventId::random()];
        let caused = |id: EventId, cause: EventId| {
            let metadata = Metadata::new().with_correlation(correlation).with_causation(cause);
            let event = NewEvent::new(EventType::new("Odd").unwrap(), &()).unwrap();
            event.with_id(id).with_metadata(metadata)
        };
        let events = [caused(own, own), caused(EventId::random(), later), caused(later, own)];
        let commit = Commit::new().write("odd/1".parse().unwrap(), Expected::Any, events);
        annals.store().append(commit).unwrap();
        let story = annals.story(correlation).unwrap();
        let depths = story.events().map(|(depth, event)| (depth, event.version().get()));
        let depths: Vec<_> = depths.collect();
        assert_eq!(depths, [(0, 1), (1, 3), (0, 2)]);
    });
}

#[test]
fn each_field_has_an_event_to_blame() {
    everywhere(|annals| {
        let accounts = annals.of::<Account>().unwrap();
        let commands = [
            Command::Open("ann".into()),
            Command::Deposit(5),
            Command::Deposit(0),
            Command::Withdraw(2),
            Command::Open("ann".into()),
        ];
        for command in commands {
            accounts.execute("a", command).unwrap();
        }
        let blamed = accounts.blame("a").unwrap();
        let blamed: Vec<_> = blamed
            .iter()
            .map(|blame| (blame.path.as_str(), blame.value.clone(), blame.event.version().get()))
            .collect();
        // Nothing has changed `closed`, and nothing but the first opening the owner.
        assert_eq!(blamed, [("/cents", json!(3), 4), ("/owner", json!("ann"), 1)]);
        assert!(accounts.blame("nobody").unwrap().is_empty());

        let first = accounts.bisect("a", |account| account.cents == 5).unwrap().unwrap();
        assert_eq!(first.version(), Version::new(2));
        let first = accounts.bisect("a", |account| account.cents < 5).unwrap().unwrap();
        assert_eq!(first.version(), Version::new(1));
        assert!(accounts.bisect("a", |account| account.closed).unwrap().is_none());
    });
}

#[test]
fn two_states_differ_field_by_field() {
    everywhere(|annals| {
        let accounts = annals.of::<Account>().unwrap();
        accounts.execute("a", Command::Open("ann".into())).unwrap();
        accounts.execute("a", Command::Deposit(5)).unwrap();
        accounts.execute("a", Command::Close).unwrap();
        let version = |number| At::from(Version::new(number));
        let differ = |from, to| {
            let found = accounts.diff("a", version(from), version(to)).unwrap();
            found.into_iter().map(|it| (it.path, it.before, it.after)).collect::<Vec<_>>()
        };
        let of = |path: &str, before, after| (path.to_owned(), Some(before), Some(after));
        assert_eq!(differ(1, 4), [of("/closed", json!(false), json!(true))]);
        assert_eq!(
            differ(0, 2),
            [of("/cents", json!(0), json!(5)), of("/owner", json!(""), json!("ann"))]
        );
        assert_eq!(differ(2, 1), [of("/cents", json!(5), json!(0))]);
        assert_eq!(differ(3, 3), []);
        let beyond = accounts.diff("a", version(1), version(9)).unwrap_err();
        assert_eq!(beyond.kind(), &ErrorKind::VersionBeyondStream { last: Version::new(4) });
    });
}

/// A state of every shape: what is added, removed, emptied and turned into something else.
#[test]
fn states_of_any_shape_are_compared() {
    #[derive(Default, serde::Serialize)]
    struct Any(serde_json::Value);

    impl annals::Aggregate for Any {
        const TYPE: &'static str = "any";
        type Id = str;
        type Event = Becomes;
        type Command = serde_json::Value;
        type Error = std::convert::Infallible;
        type Services = ();
        fn apply(&mut self, Becomes::Becomes(value): &Becomes) {
            self.0 = value.clone();
        }
        fn handle(
            &self,
            value: serde_json::Value,
            _: &annals::Context<'_, Self>,
        ) -> Result<Vec<Becomes>, Self::Error> {
            Ok(vec![Becomes::Becomes(value)])
        }
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    enum Becomes {
        Becomes(serde_json::Value),
    }

    let anys = Annals::in_memory().of::<Any>().unwrap();
    let states = [
        json!({"a": [1, {"b/c": 2}], "d": {}}),
        json!({"a": [1], "d": {"~": null}, "e": []}),
        json!({"a": [1, {"b/c": 2}], "d": {}}),
    ];
    for state in states {
        anys.execute("x", state).unwrap();
    }
    let differ = |from, to| {
        let found = anys.diff("x", Version::new(from), Version::new(to)).unwrap();
        found.into_iter().map(|it| (it.path, it.before, it.after)).collect::<Vec<_>>()
    };
    let forth = differ(1, 2);
    assert_eq!(
        forth,
        [
            ("/a/1/b~1c".to_owned(), Some(json!(2)), None),
            ("/d".to_owned(), Some(json!({})), None),
            ("/d/~0".to_owned(), None, Some(json!(null))),
            ("/e".to_owned(), None, Some(json!([]))),
        ]
    );
    let back: Vec<_> =
        forth.into_iter().map(|(path, before, after)| (path, after, before)).collect();
    assert_eq!(differ(2, 3), back);
    let blamed: Vec<_> = anys
        .blame("x")
        .unwrap()
        .into_iter()
        .map(|it| (it.path, it.event.version().get()))
        .collect();
    assert_eq!(blamed, [("/a/0".to_owned(), 1), ("/a/1/b~1c".to_owned(), 3), ("/d".to_owned(), 3)]);
}
