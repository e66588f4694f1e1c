//! The books of a day-care co-op: a process minds when payments are due, and locks the portal of who does not pay. And the audit that
//! an event log makes easy: who did what and when, what came of it, and how things stood on any day. Nothing is ever corrected by
//! erasing: a mistake stays in the log, followed by the event that undoes it.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use annals::testing::ManualClock;
use annals::{Aggregate, Annals, Context, Metadata, Recorded, Repository};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
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
    LockPortal,
    RestorePortal,
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
        Ok(match (command, self.status) {
            (Command::Enrol, Status::Unknown) => vec![Event::Enrolled],
            (Command::AddChild(child, group), Status::Enrolled) => {
                vec![Event::ChildAdded { child, group }]
            }
            (Command::Bill(invoice), Status::Enrolled) => vec![Event::PaymentDue(invoice)],
            (Command::CheckPayments, _) => {
                let is_late = |bill: &&Invoice| bill.due < context.now().date_naive();
                let late = self.unpaid().filter(is_late).map(|bill| bill.number.clone());
                late.map(|invoice| Event::PaymentOverdue { invoice }).collect()
            }
            (Command::Receive(invoice), _) if self.open.contains_key(&invoice) => {
                vec![Event::PaymentReceived { invoice }]
            }
            (Command::Receive(invoice), _) => return Err(Refused::Invoice(invoice)),
            (Command::LockPortal, _) if !self.overdue.is_empty() && !self.portal_locked => {
                vec![Event::PortalLocked]
            }
            (Command::RestorePortal, _) if self.overdue.is_empty() && self.portal_locked => {
                vec![Event::PortalRestored]
            }
            (Command::LockPortal | Command::RestorePortal, _) => vec![],
            (Command::Withdraw(reason), Status::Enrolled) => vec![Event::Withdrawn { reason }],
            (Command::ReverseWithdrawal(reason), Status::Withdrawn) => {
                vec![Event::WithdrawalReversed { reason }]
            }
            (_, status) => return Err(Refused::Family(status)),
        })
    }
}

impl Family {
    /// The bills that nobody has called overdue yet.
    fn unpaid(&self) -> impl Iterator<Item = &Invoice> {
        self.open.values().filter(|bill| !self.overdue.contains(&bill.number))
    }

    /// When the next bill is overdue: at the end of the day on which it is due.
    fn next_overdue(&self) -> Option<DateTime<Utc>> {
        let due = self.unpaid().map(|bill| bill.due).min()?;
        Some(due.succ_opt()?.and_time(NaiveTime::MIN).and_utc())
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

    // What happens to a family's payments decides about its portal, and time itself about what is overdue.
    let portal = families
        .process("portal")
        .deadline(|family| Some((family.next_overdue()?, Command::CheckPayments)))
        .send(&families, |e| match e.event() {
            Event::PaymentOverdue { .. } => Some((e.id().to_owned(), Command::LockPortal)),
            Event::PaymentReceived { .. } => Some((e.id().to_owned(), Command::RestorePortal)),
            _ => None,
        })
        .open()?;

    let (number, due) = ("2024-02".to_owned(), "2024-02-15".parse()?);
    clock.set("2024-02-01T00:05:00Z".parse()?);
    let bill = Command::Bill(Invoice { number: number.clone(), cents: 21_000, due });
    let billed = families.to("keller").with(by("billing")).execute(bill)?;
    let month = billed.correlation().ok_or("every command has one")?;
    portal.run_until_settled()?;

    // Days pass, in which nobody does anything; then the bank reports a payment, and names the bill.
    clock.set("2024-02-16T02:00:00Z".parse()?);
    portal.run_until_settled()?;
    clock.set("2024-02-20T11:12:00Z".parse()?);
    let bank = by("bank").with_correlation(month).with_causation(billed.event_ids()[0]);
    families.to("keller").with(bank).execute(Command::Receive(number))?;
    portal.run_until_settled()?;

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
    println!("What came of the bill of February:\n{}\n", annals.story(month)?);
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

    let request = mistake.correlation().ok_or("every request has one")?;
    let story = annals.story(request)?;
    println!("\nWhat came of the request that withdrew the family:\n{story}");
    let depths: Vec<usize> = story.events().map(|(depth, _)| depth).collect();
    assert_eq!(depths, [0, 1, 1, 0], "petra's two events stand under the mistake");

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
