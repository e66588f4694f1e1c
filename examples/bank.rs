//! An account at a bank: three commands, three events, a refusal, time travel and a view.

use std::collections::BTreeMap;

use annals::{Aggregate, Annals, Context};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
enum Event {
    Deposited { cents: u64 },
    Withdrawn { cents: u64 },
    Closed,
}

#[derive(Clone)]
enum Command {
    Deposit(u64),
    Withdraw(u64),
    Close,
}

#[derive(Debug, PartialEq, thiserror::Error)]
enum Refused {
    #[error("the account is closed")]
    Closed,
    #[error("the account holds {0} cents")]
    Holds(u64),
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Account {
    cents: u64,
    closed: bool,
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
            Event::Deposited { cents } => self.cents += cents,
            Event::Withdrawn { cents } => self.cents -= cents,
            Event::Closed => self.closed = true,
        }
    }

    fn handle(&self, command: Command, _: &Context<'_, Self>) -> Result<Vec<Event>, Refused> {
        match command {
            _ if self.closed => Err(Refused::Closed),
            Command::Deposit(cents) => Ok(vec![Event::Deposited { cents }]),
            Command::Withdraw(cents) if cents > self.cents => Err(Refused::Holds(self.cents)),
            Command::Withdraw(cents) => Ok(vec![Event::Withdrawn { cents }]),
            Command::Close if self.cents > 0 => Err(Refused::Holds(self.cents)),
            Command::Close => Ok(vec![Event::Closed]),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A store is a directory. This one is begun anew each time; leave that line out, and the money stays.
    let directory = std::env::temp_dir().join("annals-bank");
    let _ = std::fs::remove_dir_all(&directory);
    let annals = Annals::open(&directory)?;
    let accounts = annals.of::<Account>()?.snapshot_every(100);

    accounts.execute("bob", Command::Deposit(20))?;
    accounts.execute("alice", Command::Deposit(100))?;
    let done = accounts.execute("alice", Command::Withdraw(30))?;
    assert_eq!(done.state().cents, 70);

    // The domain says no in its own words, and nothing is written.
    let refused = accounts.execute("bob", Command::Close);
    println!("bob cannot close: {}", refused.expect_err("20 left"));

    // A statement, with the balance as it was after each event: time travel.
    for entry in accounts.history("alice")?.read()? {
        let entry = entry?;
        let then = accounts.load_at("alice", entry.version())?;
        println!("{:?}: {} cents", entry.event(), then.state().cents);
    }

    // A view over all accounts.
    let balances = annals
        .view::<BTreeMap<String, u64>>("balances")
        .on::<Account>(|view, e| match e.event() {
            Event::Deposited { cents } => *view.entry(e.id().to_owned()).or_default() += cents,
            Event::Withdrawn { cents } => *view.entry(e.id().to_owned()).or_default() -= cents,
            Event::Closed => drop(view.remove(e.id())),
        })
        .run()?;
    assert_eq!(balances["alice"], 70);
    Ok(())
}
