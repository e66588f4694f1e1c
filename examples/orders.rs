//! A shop whose events have a history of their own.
//!
//! The shop has been running for years, and its programs changed. The first one knew orders of one article with a
//! price in euros, called a payment `MoneyReceived`, and recorded a sale at the counter as one event. All of that
//! stands in the log exactly as it was written; `Order::upcasters` says what it means today.
//!
//! With `--features sqlite` the shop also keeps its orders in a SQLite database, for questions in SQL: each event is in there exactly
//! once, although the program that keeps it stops and starts in between.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;

use annals::codec::{Upcasted, Upcasters};
use annals::id::EventType;
use annals::store::{Commit, Expected};
use annals::testing::ManualClock;
use annals::{Aggregate, Annals, Context, NewEvent, Repository, SchemaVersion};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Purchase {
    customer: String,
    articles: Vec<String>,
    cents: u64,
}

/// What happens to an order, as the shop sees it today. `Placed` is in the third version of its shape.
#[derive(Debug, Serialize, Deserialize)]
enum Event {
    Placed(Purchase),
    Paid { cents: u64 },
    Shipped { carrier: String },
    Cancelled,
    Refunded { cents: u64 },
}

#[derive(Clone)]
enum Command {
    Place(Purchase),
    Pay(u64),
    Ship(String),
    Cancel,
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the order costs {0} cents")]
    WrongAmount(u64),
    #[error("the order is {0:?}")]
    NotNow(Stage),
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Stage {
    #[default]
    New,
    Placed,
    Paid,
    Shipped,
    Cancelled,
}

#[derive(Debug, Default)]
struct Order {
    stage: Stage,
    cents: u64,
}

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Id = u32;
    type Event = Event;
    type Command = Command;
    type Error = Refused;
    type Services = ();

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Placed(it) => (self.stage, self.cents) = (Stage::Placed, it.cents),
            Event::Paid { .. } => self.stage = Stage::Paid,
            Event::Shipped { .. } => self.stage = Stage::Shipped,
            Event::Cancelled => self.stage = Stage::Cancelled,
            Event::Refunded { .. } => self.cents = 0,
        }
    }

    fn handle(&self, command: Command, _: &Context<'_, Self>) -> Result<Vec<Event>, Refused> {
        let event = match (command, self.stage) {
            (Command::Place(purchase), Stage::New) => Event::Placed(purchase),
            (Command::Pay(cents), Stage::Placed) if cents == self.cents => Event::Paid { cents },
            (Command::Pay(_), Stage::Placed) => return Err(Refused::WrongAmount(self.cents)),
            (Command::Ship(carrier), Stage::Paid) => Event::Shipped { carrier },
            (Command::Cancel, Stage::Placed) => Event::Cancelled,
            (Command::Cancel, Stage::Paid) => {
                let cents = self.cents;
                return Ok(vec![Event::Cancelled, Event::Refunded { cents }]);
            }
            (_, stage) => return Err(Refused::NotNow(stage)),
        };
        Ok(vec![event])
    }

    /// What became of every shape that was ever written. These rules do not change any more; new ones are added.
    fn upcasters() -> Upcasters {
        Upcasters::new()
            .step("Placed", 1, |old: PlacedV1| PlacedV2 {
                customer: old.customer,
                article: old.article,
                cents: old.euros * 100,
            })
            .step("Placed", 2, |old: PlacedV2| {
                json!({ "customer": old.customer, "articles": [old.article], "cents": old.cents })
            })
            .rename("MoneyReceived", "Paid")
            .split("SoldAtCounter", 1, ["Paid", "Shipped"], |old: Value| {
                vec![
                    Upcasted::new("Paid", &json!({ "cents": old["cents"] })),
                    Upcasted::new("Shipped", &json!({ "carrier": "taken along" })),
                ]
            })
    }
}

/// The shape of `Placed` in 2019.
#[derive(Deserialize)]
struct PlacedV1 {
    customer: String,
    article: String,
    euros: u64,
}

/// The shape of `Placed` in 2021.
#[derive(Serialize, Deserialize)]
struct PlacedV2 {
    customer: String,
    article: String,
    cents: u64,
}

/// What the programs of former years left behind: events in the names and shapes of their time.
fn write_old_events(annals: &Annals) -> Result<(), Box<dyn Error>> {
    let old = |name: &str, schema, payload: &str| -> Result<NewEvent, Box<dyn Error>> {
        let schema = SchemaVersion::new(schema).ok_or("schema versions begin at 1")?;
        Ok(NewEvent::from_json(EventType::new(name)?, payload)?.with_schema(schema))
    };
    let kettle = r#"{"customer":"ann","article":"kettle","euros":40}"#;
    let first = [
        old("Placed", 1, kettle)?,
        old("MoneyReceived", 1, r#"{"cents":4000}"#)?,
        old("Shipped", 1, r#"{"carrier":"post"}"#)?,
    ];
    let teapot = r#"{"customer":"bob","article":"teapot","cents":2550}"#;
    let second = [old("Placed", 2, teapot)?, old("SoldAtCounter", 1, r#"{"cents":2550}"#)?];
    let commit = Commit::new().write("order/1".parse()?, Expected::Empty, first).write(
        "order/2".parse()?,
        Expected::Empty,
        second,
    );
    annals.store().append(commit)?;
    Ok(())
}

fn work_today(orders: &Repository<Order>, clock: &ManualClock) -> Result<(), Box<dyn Error>> {
    let place = |customer: &str, article: &str, cents| {
        let (customer, articles) = (customer.to_owned(), vec![article.to_owned()]);
        Command::Place(Purchase { customer, articles, cents })
    };
    for (id, command) in [
        (3, place("ann", "six cups", 3900)),
        (3, Command::Pay(3900)),
        (4, place("cem", "kettle", 4900)),
        (4, Command::Pay(4900)),
        (3, Command::Ship("bike".to_owned())),
        (4, Command::Cancel),
    ] {
        clock.advance(TimeDelta::minutes(25));
        orders.execute(&id, command)?;
    }
    // Today's rules hold for old orders. What shipped order 2 is an event that no program writes any more.
    let answer = orders.execute(&2, Command::Cancel);
    println!("Cancel order 2? No, {}.", answer.expect_err("shipped"));
    Ok(())
}

/// What each customer paid. A payment names only its order, so the view remembers whose order it was.
#[derive(Default)]
struct Revenue {
    customers: HashMap<u32, String>,
    cents: BTreeMap<String, u64>,
}

impl Revenue {
    fn note(&mut self, order: u32, customer: &str) {
        self.customers.insert(order, customer.to_owned());
    }

    fn of_order(&mut self, order: u32) -> &mut u64 {
        let customer = self.customers.get(&order).cloned().unwrap_or_default();
        self.cents.entry(customer).or_default()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let clock = ManualClock::at("2019-05-02T09:00:00Z".parse()?);
    // A store is a directory; this one is begun anew each time.
    let directory = std::env::temp_dir().join("annals-orders");
    let _ = std::fs::remove_dir_all(&directory);
    let annals = Annals::builder().clock(clock.clone()).open(&directory)?;
    write_old_events(&annals)?;

    clock.set("2024-03-01T10:00:00Z".parse()?);
    let orders = annals.of::<Order>()?;
    work_today(&orders, &clock)?;

    println!("\nThe newest first, as stored and as they are understood:");
    for event in orders.events().backwards().read()? {
        let event = event?;
        let (order, name, schema) = (event.id(), event.stored().event_type(), event.schema());
        println!("  order {order}  {name:<13} v{schema}  {:?}", event.event());
    }

    println!("\nPayments, whatever they were called:");
    let mut total = 0;
    for event in orders.events().of_types(["Paid"]).read()? {
        let event = event?;
        let (day, name) = (event.recorded_at().date_naive(), event.event_type());
        if let Event::Paid { cents } = event.event() {
            println!("  {day}  order {}  {name:<13} {cents:>5}", event.id());
            total += cents;
        }
    }
    assert_eq!(total, 15350);

    show_revenue(&annals)?;
    #[cfg(feature = "sqlite")]
    database::work(&annals, &orders)?;
    Ok(())
}

fn show_revenue(annals: &Annals) -> Result<(), Box<dyn Error>> {
    println!("\nRevenue by customer:");
    let revenue = annals
        .view::<Revenue>("revenue")
        .on::<Order>(|revenue, e| match e.event() {
            Event::Placed(it) => revenue.note(*e.id(), &it.customer),
            Event::Paid { cents } => *revenue.of_order(*e.id()) += cents,
            Event::Refunded { cents } => *revenue.of_order(*e.id()) -= cents,
            Event::Shipped { .. } | Event::Cancelled => {}
        })
        .run()?;
    for (customer, cents) in &revenue.cents {
        println!("  {customer:<4} {cents:>5}");
    }
    assert_eq!((revenue.cents["ann"], revenue.cents["cem"]), (7900, 0));
    Ok(())
}

/// Orders in a database.
#[cfg(feature = "sqlite")]
mod database {
    use std::error::Error;
    use std::time::Duration;

    use annals::projection::{Projection, Sqlite};
    use annals::rusqlite::Connection;
    use annals::{Annals, Repository};

    use super::{Command, Event, Order, Purchase};

    const SCHEMA: &str = "CREATE TABLE orders (
        id INTEGER PRIMARY KEY, customer TEXT, articles TEXT, stage TEXT, paid INTEGER)";

    const PLACE: &str = "INSERT INTO orders VALUES (?1, ?2, ?3, 'placed', 0)";
    const MOVE: &str = "UPDATE orders SET stage = ?2, paid = paid + ?3 WHERE id = ?1";

    /// The tables, as far as they are; on a thread that keeps them up to date.
    fn open(annals: &Annals) -> Result<Projection<Sqlite>, annals::Error> {
        let path = std::env::temp_dir().join("annals-orders").join("orders.sqlite");
        annals
            .view::<Connection>("orders")
            .on::<Order>(|tables, e| {
                let to = |stage: &str, paid: i64| {
                    tables.prepare_cached(MOVE)?.execute((e.id(), stage, paid))
                };
                match e.event() {
                    Event::Placed(Purchase { customer, articles, .. }) => tables
                        .prepare_cached(PLACE)?
                        .execute((e.id(), customer, articles.join(", "))),
                    Event::Paid { cents } => to("paid", *cents as i64),
                    Event::Shipped { .. } => to("shipped", 0),
                    Event::Cancelled => to("cancelled", 0),
                    Event::Refunded { cents } => to("refunded", -(*cents as i64)),
                }
            })
            .kept_in(Sqlite::owned(path, SCHEMA))
            .spawn()
    }

    pub(super) fn work(annals: &Annals, orders: &Repository<Order>) -> Result<(), Box<dyn Error>> {
        let tables = open(annals)?;
        tables.run_until_caught_up()?;
        let first = tables.status().position;
        // The program that keeps the tables stops; the shop goes on.
        drop(tables);
        let pot = Purchase { customer: "ann".into(), articles: vec!["pot".into()], cents: 2600 };
        orders.execute(&5, Command::Place(pot))?;

        // It starts again, and goes on where it was. Whoever pays sees that at once.
        let tables = open(annals)?;
        let soon = Duration::from_secs(5);
        let paid = orders.to(&5).wait_for(&tables, soon).execute(Command::Pay(2600))?;
        paid.awaited()?;
        println!("\nOrders in SQLite, from {first} on kept by a second program:");
        let reader = tables.reader().connect()?;
        let mut query = reader.prepare("SELECT id, customer, articles, stage, paid FROM orders")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let (id, customer, articles): (u32, String, String) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            let (stage, paid): (String, i64) = (row.get(3)?, row.get(4)?);
            println!("  order {id}  {customer:<4} {articles:<9} {stage:<9} {paid:>5}");
        }
        let sum =
            "SELECT customer, sum(paid) FROM orders GROUP BY customer ORDER BY 2 DESC LIMIT 1";
        let best: (String, i64) =
            reader.query_row(sum, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        assert_eq!(best, ("ann".to_owned(), 10_500));
        Ok(())
    }
}
