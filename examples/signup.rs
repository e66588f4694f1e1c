//! One user to an e-mail address: a rule that no single aggregate can see.
//!
//! Each user is an aggregate of its own, so none of them knows which addresses the others hold. The rule becomes a
//! condition of the commit instead. Every event about an address carries the address as a tag, and an address is free
//! if nobody has claimed it since it was last released:
//!
//! > no `AddressClaimed` with this tag after the position of the newest `AddressReleased` with this tag.
//!
//! The store judges that at the moment of writing, so of any number of claims at once exactly one is written.

use std::error::Error;
use std::thread::ScopedJoinHandle;

use annals::id::{InvalidName, Tag};
use annals::testing::ManualClock;
use annals::{
    Aggregate, Annals, Conflict, Context, ExecuteError, Position, Refusal, Repository, Tags,
};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// An address in the one spelling that is compared: without surrounding space, in lower case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Email(String);

impl Email {
    fn new(text: &str) -> Result<Self, NotAnAddress> {
        let address = text.trim().to_lowercase();
        match address.split_once('@') {
            Some((name, host)) if !name.is_empty() && !host.is_empty() => Ok(Self(address)),
            _ => Err(NotAnAddress),
        }
    }

    fn tag(&self) -> Result<Tag, InvalidName> {
        Tag::new(format!("email:{}", self.0))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("not an e-mail address")]
struct NotAnAddress;

#[derive(Debug, Serialize, Deserialize)]
enum Event {
    SignedUp { name: String },
    AddressReleased { email: Email },
    AddressClaimed { email: Email },
}

#[derive(Clone)]
enum Command {
    /// The form on the front page.
    SignUp { name: String },
    /// The link in the confirmation mail; also that of a change of address.
    Claim { email: Email },
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("this user is already signed up")]
    AlreadySignedUp,
    #[error("there is no such user")]
    NoSuchUser,
}

#[derive(Debug, Default)]
struct User {
    name: String,
    email: Option<Email>,
}

impl Aggregate for User {
    const TYPE: &'static str = "user";
    type Id = str;
    type Event = Event;
    type Command = Command;
    type Error = Refused;
    type Services = ();

    fn apply(&mut self, event: &Event) {
        match event {
            Event::SignedUp { name } => self.name.clone_from(name),
            Event::AddressReleased { .. } => self.email = None,
            Event::AddressClaimed { email } => self.email = Some(email.clone()),
        }
    }

    fn handle(&self, command: Command, context: &Context<'_, Self>) -> Result<Vec<Event>, Refused> {
        match command {
            Command::SignUp { .. } if !context.is_new() => Err(Refused::AlreadySignedUp),
            Command::SignUp { name } => Ok(vec![Event::SignedUp { name }]),
            Command::Claim { .. } if context.is_new() => Err(Refused::NoSuchUser),
            Command::Claim { email } if self.email.as_ref() == Some(&email) => Ok(vec![]),
            Command::Claim { email } => {
                let mut events = vec![];
                if let Some(email) = self.email.clone() {
                    events.push(Event::AddressReleased { email });
                }
                events.push(Event::AddressClaimed { email });
                Ok(events)
            }
        }
    }

    fn tags(event: &Event) -> Result<Tags, InvalidName> {
        match event {
            Event::SignedUp { .. } => Ok(Tags::none()),
            Event::AddressReleased { email } => Tags::of([email.tag()?]),
            Event::AddressClaimed { email } => Tags::of([email.tag()?]),
        }
    }
}

/// Gives a user this address, in place of the one before, unless somebody else holds it.
fn claim(
    annals: &Annals,
    users: &Repository<User>,
    user: &str,
    email: &Email,
) -> Result<(), ExecuteError<Refusal>> {
    let tag = email.tag()?;
    let about_it = |name| users.events().tagged(tag.clone()).of_types([name]);
    annals.atomically(|unit| {
        // Read within the closure, so that a second run sees what came in between.
        let last = about_it("AddressReleased").backwards().first()?;
        let free_since = last.map_or(Position::START, |released| released.position());
        unit.require_none(about_it("AddressClaimed").filter()?, free_since);
        let email = email.clone();
        unit.execute(users, user, Command::Claim { email })?;
        Ok(())
    })?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let clock = ManualClock::at("2024-03-01T09:00:00Z".parse()?);
    // A store is a directory; this one is begun anew each time.
    let directory = std::env::temp_dir().join("annals-signup");
    let _ = std::fs::remove_dir_all(&directory);
    let annals = Annals::builder().clock(clock.clone()).open(&directory)?;
    let users = annals.of::<User>()?;

    sign_up_twice(&users)?;
    pass_an_address_on(&annals, &users, &clock)?;
    race(&annals, &users)
}

fn sign_up(name: &str) -> Command {
    let name = name.to_owned();
    Command::SignUp { name }
}

/// The browser sends the form twice. It carries a key, so the second time is answered like the first.
fn sign_up_twice(users: &Repository<User>) -> Result<(), Box<dyn Error>> {
    println!("A double click:");
    for _click in 1..=2 {
        let form = users.to("u-ann").once("form 4711");
        let done = form.execute(sign_up("Ann"))?;
        let (version, repeated) = (done.version(), done.repeated());
        println!("  version {version}, repeated: {repeated}");
    }
    assert_eq!(users.load("u-ann")?.version().get(), 1);
    // Another form is another request, and the domain decides about it.
    let refused = users.to("u-ann").once("form 4712").execute(sign_up("Anna"));
    println!("  another form: {}", refused.expect_err("Ann is signed up"));
    Ok(())
}

fn pass_an_address_on(
    annals: &Annals,
    users: &Repository<User>,
    clock: &ManualClock,
) -> Result<(), Box<dyn Error>> {
    println!("\nAn address changes hands:");
    users.execute("u-bob", sign_up("Bob"))?;
    let ann = Email::new("ann@example.org")?;
    let new = Email::new("ann@example.net")?;
    for (user, email, is_free) in [
        ("u-ann", &ann, true),
        ("u-bob", &Email::new(" Ann@Example.ORG ")?, false),
        ("u-ann", &new, true),
        ("u-bob", &ann, true),
        ("u-ann", &ann, false),
    ] {
        clock.advance(TimeDelta::days(1));
        let answer = claim(annals, users, user, email);
        let told = match &answer {
            Err(ExecuteError::Conflict(Conflict::Event { stream, .. })) => stream.id(),
            Err(_) => "nobody",
            Ok(()) => user,
        };
        println!("  {user} claims {}: {told} has it", email.0);
        assert_eq!(answer.is_ok(), is_free);
    }

    println!("\nWho held {}, and since when:", ann.0);
    for event in users.events().tagged(ann.tag()?).read()? {
        let event = event?;
        let (day, what) = (event.recorded_at().date_naive(), event.event_type());
        println!("  {day}  {:<5}  {what}", event.id());
    }
    Ok(())
}

/// Eight users claim one address at the same moment.
fn race(annals: &Annals, users: &Repository<User>) -> Result<(), Box<dyn Error>> {
    let email = Email::new("info@example.org")?;
    let racers: Vec<String> = (1..=8).map(|n| format!("u-{n}")).collect();
    for racer in &racers {
        users.execute(racer, sign_up(racer))?;
    }
    let answers: Vec<_> = std::thread::scope(|scope| {
        let email = &email;
        let start = |user| scope.spawn(move || claim(annals, users, user, email));
        let running: Vec<_> = racers.iter().map(|user| start(user)).collect();
        let finished = running.into_iter().map(ScopedJoinHandle::join);
        finished.map(|claim| claim.expect("no panic")).collect()
    });

    let winner = answers.iter().position(Result::is_ok);
    let winner = &racers[winner.ok_or("nobody got it")?];
    for (racer, answer) in racers.iter().zip(&answers) {
        match answer {
            Ok(()) => assert_eq!(racer, winner),
            Err(ExecuteError::Conflict(Conflict::Event { stream, .. })) => {
                assert_eq!(stream.id(), winner);
            }
            Err(error) => return Err(error.to_string().into()),
        }
    }
    let address = &email.0;
    println!("\nOf 8 users that claim {address} at once, 1 gets it and 7 are told who.");
    Ok(())
}
