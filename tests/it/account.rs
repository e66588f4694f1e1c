//! The aggregate that most tests work with.

use annals::id::InvalidName;
use annals::{Aggregate, Context, Tags};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Event {
    Opened { owner: String },
    Deposited { cents: u64 },
    Withdrawn { cents: u64 },
    Closed,
}

#[derive(Debug, Clone)]
pub(crate) enum Command {
    Open(String),
    Deposit(u64),
    Withdraw(u64),
    Close,
    Nothing,
    Panic,
    PanicInFold,
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the account is closed")]
    Closed,
    #[error("only {0} cents left")]
    Short(u64),
}

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) owner: String,
    pub(crate) cents: u64,
    pub(crate) closed: bool,
}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Id = str;
    type Event = Event;
    type Command = Command;
    type Error = Refused;
    type Services = ();

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Opened { owner } => self.owner = owner.clone(),
            Event::Deposited { cents } => {
                assert!(*cents != 666, "the fold panics");
                self.cents += cents;
            }
            Event::Withdrawn { cents } => self.cents -= cents,
            Event::Closed => self.closed = true,
        }
    }

    fn handle(&self, command: Command, _: &Context<'_, Self>) -> Result<Vec<Event>, Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        match command {
            Command::Open(owner) => Ok(vec![Event::Opened { owner }]),
            Command::Deposit(cents) => Ok(vec![Event::Deposited { cents }]),
            Command::Withdraw(cents) if cents > self.cents => Err(Refused::Short(self.cents)),
            Command::Withdraw(cents) => Ok(vec![Event::Withdrawn { cents }]),
            Command::Close => Ok(vec![Event::Withdrawn { cents: self.cents }, Event::Closed]),
            Command::Nothing => Ok(vec![]),
            Command::Panic => panic!("the handler panics"),
            Command::PanicInFold => Ok(vec![Event::Deposited { cents: 666 }]),
        }
    }

    fn tags(event: &Event) -> Result<Tags, InvalidName> {
        match event {
            Event::Opened { owner } => Tags::of([format!("owner:{owner}")]),
            _ => Ok(Tags::none()),
        }
    }
}
