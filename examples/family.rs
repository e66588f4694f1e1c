//! The books of a day-care co-op, and the audit that an event log makes easy: who did what and when, what a single
//! request set off, and how things stood on any day. Nothing is ever corrected by erasing: a mistake stays in the
//! log, followed by the event that undoes it.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use annals::store::{Clause, Query};
use annals::testing::ManualClock;
use annals::{Aggregate, Annals, Context, Draft, Metadata, Recorded, Repository};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Invoice {
    number: String,
    cents: u64,
    due: NaiveDate,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Event {
    Enrolled,
    ChildAdded { child: String, group: String },
    PaymentDue(Invoice),
    PaymentOverdue { invoice: String },
    PaymentReceived { invoice: String },
    PortalLocked,
    PortalRestored,
    Withdrawn { reason: String },
    WithdrawalReversed { reason: String },
}

#[derive(Clone)]
enum Command {
    Enrol,
    AddChild(String, String),
    Bill(Invoice),
    CheckPayments,
    Receive(String),
    Withdraw(String),
    ReverseWithdrawal(String),
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the family is {0:?}")]
    Family(Status),
    #[error("invoice {0} is not open")]
    Invoice(String),
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Status {
    #[default]
    Unknown,
    Enrolled,
    Withdrawn,
}

#[derive(Debug, Clone, Default)]
struct Family {
    status: Status,
    /// Each child and its group.
    children: BTreeMap<String, String>,
    open: BTreeMap<String, Invoice>,
    overdue: BTreeSet<String>,
    portal_locked: bool,
}

impl Aggregate for Family {
    const TYPE: &'static str = "family";
    type Id = str;
    type Event = Event;
    type Command = Command;
    type Error = Refused;
    type Services = ();

    fn apply(&mut self, event: &Event) {
        match event.clone() {
            Event::Enrolled | Event::WithdrawalReversed { .. } => self.status = Status::Enrolled,
            Event::ChildAdded { child, group } => drop(self.children.insert(child, group)),
            Event::PaymentDue(invoice) => drop(self.open.insert(invoice.number.clone(), invoice)),
            Event::PaymentOverdue { invoice } => drop(self.overdue.insert(invoice)),
            Event::PaymentReceived { invoice } => {
                self.open.remove(&invoice);
                self.overdue.remove(&invoice);
            }
            Event::PortalLocked => self.portal_locked = true,
            Event::PortalRestored => self.portal_locked = false,
            Event::Withdrawn { .. } => self.status = Status::Withdrawn,
        }
    }

    fn handle(&self, command: Command, context: &Context<'_, Self>) -> Result<Vec<Event>, Refused> {
        // A draft applies what it records, so that the lock on the portal can follow from the payments.
        let mut family = Draft::of(self);
        match (command, self.status) {
            (Command::Enrol, Status::Unknown) => family.record(Event::Enrolled),
            (Command::AddChild(child, group), Status::Enrolled) => {
                family.record(Event::ChildAdded { child, group });
            }
            (Command::Bill(invoice), Status::Enrolled) => family.record(Event::PaymentDue(invoice)),
            (Command::CheckPayments, _) => {
                let is_late = |bill: &&Invoice| bill.due < context.now().date_naive();
                for late in self.open.values().filter(is_late) {
                    let invoice = late.number.clone();
                    if !self.overdue.contains(&invoice) {
                        family.record(Event::PaymentOverdue { invoice });
                    }
                }
            }
            (Command::Receive(invoice), _) if self.open.contains_key(&invoice) => {
                family.record(Event::PaymentReceived { invoice });
            }
            (Command::Receive(invoice), _) => return Err(Refused::Invoice(invoice)),
            (Command::Withdraw(reason), Status::Enrolled) => {
                family.record(Event::Withdrawn { reason });
            }
            (Command::ReverseWithdrawal(reason), Status::Withdrawn) => {
                family.record(Event::WithdrawalReversed { reason });
            }
            (_, status) => return Err(Refused::Family(status)),
        }
        match (family.overdue.is_empty(), family.portal_locked) {
            (false, false) => family.record(Event::PortalLocked),
            (true, true) => family.record(Event::PortalRestored),
            _ => {}
        }
        Ok(family.into_events())
    }
}

/// What happens to the places of a group; also what can be asked of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Place {
    Given { child: String },
    Freed { child: String },
}

#[derive(Debug, thiserror::Error)]
#[error("the group is full")]
struct Full;

#[derive(Debug, Default)]
struct Group {
    taken: u32,
}

impl Aggregate for Group {
    const TYPE: &'static str = "group";
    type Id = str;
    type Event = Place;
    type Command = Place;
    type Error = Full;
    type Services = ();

    fn apply(&mut self, event: &Place) {
        match event {
            Place::Given { .. } => self.taken += 1,
            Place::Freed { .. } => self.taken -= 1,
        }
    }

    fn handle(&self, place: Place, _: &Context<'_, Self>) -> Result<Vec<Place>, Full> {
        match place {
            Place::Given { .. } if self.taken == 12 => Err(Full),
            Place::Freed { .. } if self.taken == 0 => Ok(vec![]),
            place => Ok(vec![place]),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let clock = ManualClock::at("2024-01-08T09:30:00Z".parse()?);
    // A store is a directory; this one is begun anew each time.
    let directory = std::env::temp_dir().join("annals-family");
    let _ = std::fs::remove_dir_all(&directory);
    let annals = Annals::builder().clock(clock.clone()).open(&directory)?;
    let (families, groups) = (annals.of::<Family>()?, annals.of::<Group>()?);
    let by = |actor: &str| Metadata::new().with_actor(actor);

    // One request to the office is one commit, although it is about two aggregates.
    annals.atomically(|unit| {
        let (child, group) = ("Mia".to_owned(), "sunflowers".to_owned());
        unit.with(by("petra"));
        unit.execute(&families, "keller", Command::Enrol)?;
        unit.execute(&families, "keller", Command::AddChild(child.clone(), group))?;
        unit.execute(&groups, "sunflowers", Place::Given { child })?;
        Ok(())
    })?;

    let (number, due) = ("2024-02".to_owned(), "2024-02-15".parse()?);
    let (invoice, cents) = (number.clone(), 21_000);
    let bill = Command::Bill(Invoice { number, cents, due });
    for (time, actor, command) in [
        ("2024-02-01T00:05:00Z", "billing", bill),
        ("2024-02-15T02:00:00Z", "timer", Command::CheckPayments),
        ("2024-02-16T02:00:00Z", "timer", Command::CheckPayments),
        ("2024-02-20T11:12:00Z", "bank", Command::Receive(invoice)),
    ] {
        clock.set(time.parse()?);
        families.to("keller").with(by(actor)).execute(command)?;
    }

    // Jonas takes the Kellers for others: he withdraws them, and their places are free.
    clock.set("2024-03-04T15:40:00Z".parse()?);
    annals.atomically(|unit| {
        unit.with(by("jonas"));
        let command = Command::Withdraw("moved away".to_owned());
        unit.execute(&families, "keller", command)?;
        for (child, group) in unit.load(&families, "keller")?.children.clone() {
            unit.execute(&groups, &group, Place::Freed { child })?;
        }
        Ok(())
    })?;

    // Petra undoes it. What she does belongs to what Jonas did, and names it as the cause.
    clock.set("2024-03-05T08:15:00Z".parse()?);
    let withdrawals = families.history("keller")?.of_types(["Withdrawn"]);
    let mistake = withdrawals.backwards().first()?.ok_or("there is a withdrawal")?;
    annals.atomically(|unit| {
        unit.with(Metadata::caused_by(&mistake).with_actor("petra"));
        let command = Command::ReverseWithdrawal("wrong family".to_owned());
        unit.execute(&families, "keller", command)?;
        for (child, group) in unit.load(&families, "keller")?.children.clone() {
            unit.execute(&groups, &group, Place::Given { child })?;
        }
        Ok(())
    })?;
    audit(&annals, &families, &mistake)
}

fn audit(
    annals: &Annals,
    families: &Repository<Family>,
    mistake: &Recorded<'_, Family>,
) -> Result<(), Box<dyn Error>> {
    println!("Who did what, and when:");
    for event in families.history("keller")?.read()? {
        let event = event?;
        let (when, who) = (event.recorded_at().format("%F %R"), event.actor());
        println!("  {when}  {:<7}  {:?}", who.unwrap_or("?"), event.event());
    }

    println!("\nWhat came of the request that withdrew the family:");
    let request = mistake.correlation().ok_or("every request has one")?;
    let mut streams = Vec::new();
    for event in annals.read(Query::new(Clause::new().correlation(request))) {
        let event = event?;
        let is_undo = event.causation() == Some(mistake.event_id());
        let stream = event.stream().to_string();
        let undo = if is_undo { "undo" } else { "" };
        println!("  {stream:<16}  {undo:<4}  {}", event.event_type());
        streams.push(stream);
    }
    assert_eq!(streams, ["family/keller", "group/sunflowers"].repeat(2));

    println!("\nHow things stood in the evening of:");
    for (day, status, locked) in [
        ("2024-01-07", Status::Unknown, false),
        ("2024-02-15", Status::Enrolled, false),
        ("2024-02-16", Status::Enrolled, true),
        ("2024-03-04", Status::Withdrawn, false),
        ("2024-03-05", Status::Enrolled, false),
    ] {
        let evening: DateTime<Utc> = format!("{day}T20:00:00Z").parse()?;
        let then = families.load_at("keller", evening)?.into_state();
        assert_eq!((then.status, then.portal_locked), (status, locked));
        println!("  {day}  portal locked: {locked:<5}  {status:?}");
    }
    Ok(())
}
