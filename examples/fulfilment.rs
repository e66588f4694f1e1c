//! A process over three aggregates: an order is paid within three days and shipped, or it is called off and what was paid is paid back.
//! The process asks for each step, minds the deadline, and undoes what cannot be carried through. Days pass in no time: the clock jumps.

use std::error::Error;

use annals::process::ProcessBuilder;
use annals::testing::ManualClock;
use annals::{Aggregate, Annals, Context, Metadata};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// An order in the shop. What can be asked of it is what can happen to it.
#[derive(Debug, Default)]
struct Order;

#[derive(Debug, Clone, Serialize, Deserialize)]
enum OrderEvent {
    Placed { item: String, cents: u64 },
    CalledOff { reason: String },
}

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Id = u32;
    type Event = OrderEvent;
    type Command = OrderEvent;
    type Error = std::convert::Infallible;
    type Services = ();

    fn apply(&mut self, _: &OrderEvent) {}

    fn handle(
        &self,
        command: OrderEvent,
        _: &Context<'_, Self>,
    ) -> Result<Vec<OrderEvent>, Self::Error> {
        Ok(vec![command])
    }
}

#[derive(Debug, Default)]
struct Payment {
    received: bool,
    paid_back: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum PaymentEvent {
    Requested { cents: u64 },
    Received,
    PaidBack,
}

#[derive(Debug, thiserror::Error)]
#[error("there is nothing to pay back")]
struct NothingPaid;

impl Aggregate for Payment {
    const TYPE: &'static str = "payment";
    type Id = u32;
    type Event = PaymentEvent;
    type Command = PaymentEvent;
    type Error = NothingPaid;
    type Services = ();

    fn apply(&mut self, event: &PaymentEvent) {
        match event {
            PaymentEvent::Requested { .. } => {}
            PaymentEvent::Received => self.received = true,
            PaymentEvent::PaidBack => self.paid_back = true,
        }
    }

    fn handle(
        &self,
        command: PaymentEvent,
        _: &Context<'_, Self>,
    ) -> Result<Vec<PaymentEvent>, NothingPaid> {
        match command {
            PaymentEvent::PaidBack if !self.received || self.paid_back => Err(NothingPaid),
            command => Ok(vec![command]),
        }
    }
}

/// How much there is of an item.
#[derive(Debug, Default)]
struct Stock {
    pieces: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum StockEvent {
    Delivered { pieces: u64 },
    Shipped { order: u32 },
}

#[derive(Debug, thiserror::Error)]
#[error("it is sold out")]
struct SoldOut;

impl Aggregate for Stock {
    const TYPE: &'static str = "stock";
    type Id = str;
    type Event = StockEvent;
    type Command = StockEvent;
    type Error = SoldOut;
    type Services = ();

    fn apply(&mut self, event: &StockEvent) {
        match event {
            StockEvent::Delivered { pieces } => self.pieces += pieces,
            StockEvent::Shipped { .. } => self.pieces -= 1,
        }
    }

    fn handle(
        &self,
        command: StockEvent,
        _: &Context<'_, Self>,
    ) -> Result<Vec<StockEvent>, SoldOut> {
        match command {
            StockEvent::Shipped { .. } if self.pieces == 0 => Err(SoldOut),
            command => Ok(vec![command]),
        }
    }
}

/// The process: one instance for each order, under the order's number.
#[derive(Debug, Default)]
struct Fulfilment {
    item: String,
    /// Until when it is to be paid, while it is not.
    pay_by: Option<DateTime<Utc>>,
    is_over: bool,
}

/// What the process is told.
#[derive(Clone)]
enum Told {
    Placed { item: String, cents: u64 },
    Paid,
    NotPaidInTime,
    Refused { reason: String },
    Shipped,
}

/// What it decides. Some of it asks others for something.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Step {
    PaymentAsked { item: String, cents: u64, by: DateTime<Utc> },
    ShipmentAsked { item: String },
    RepaymentAsked,
    GivenUp { reason: String },
    Completed,
}

impl Aggregate for Fulfilment {
    const TYPE: &'static str = "fulfilment";
    type Id = u32;
    type Event = Step;
    type Command = Told;
    type Error = std::convert::Infallible;
    type Services = ();

    fn apply(&mut self, step: &Step) {
        match step.clone() {
            Step::PaymentAsked { item, by, .. } => (self.item, self.pay_by) = (item, Some(by)),
            Step::ShipmentAsked { .. } => self.pay_by = None,
            Step::RepaymentAsked => {}
            Step::GivenUp { .. } | Step::Completed => (self.is_over, self.pay_by) = (true, None),
        }
    }

    fn handle(&self, told: Told, context: &Context<'_, Self>) -> Result<Vec<Step>, Self::Error> {
        Ok(match told {
            Told::Placed { item, cents } => {
                let by = context.now() + TimeDelta::days(3);
                vec![Step::PaymentAsked { item, cents, by }]
            }
            // The money came too late: the customer has it back.
            Told::Paid if self.is_over => vec![Step::RepaymentAsked],
            Told::Paid => vec![Step::ShipmentAsked { item: self.item.clone() }],
            Told::NotPaidInTime => vec![Step::GivenUp { reason: "not paid in time".to_owned() }],
            // What has been done so far is undone.
            Told::Refused { reason } => vec![Step::RepaymentAsked, Step::GivenUp { reason }],
            Told::Shipped => vec![Step::Completed],
        })
    }
}

/// The way from what happens to the process, and from what it asks for to others.
fn fulfilment(annals: &Annals) -> Result<ProcessBuilder<Fulfilment>, annals::Error> {
    let (orders, payments) = (annals.of::<Order>()?, annals.of::<Payment>()?);
    let (stock, fulfilments) = (annals.of::<Stock>()?, annals.of::<Fulfilment>()?);
    Ok(fulfilments
        .process("fulfilment")
        // What an instance is told.
        .on::<Order>(|e| match e.event().clone() {
            OrderEvent::Placed { item, cents } => Some((*e.id(), Told::Placed { item, cents })),
            OrderEvent::CalledOff { .. } => None,
        })
        .on::<Payment>(|e| match e.event() {
            PaymentEvent::Received => Some((*e.id(), Told::Paid)),
            PaymentEvent::Requested { .. } | PaymentEvent::PaidBack => None,
        })
        .on::<Stock>(|e| match e.event() {
            StockEvent::Shipped { order } => Some((*order, Told::Shipped)),
            StockEvent::Delivered { .. } => None,
        })
        .deadline(|fulfilment| Some((fulfilment.pay_by?, Told::NotPaidInTime)))
        // What it asks for.
        .send(&payments, |e| match e.event() {
            Step::PaymentAsked { cents, .. } => {
                Some((*e.id(), PaymentEvent::Requested { cents: *cents }))
            }
            Step::RepaymentAsked => Some((*e.id(), PaymentEvent::PaidBack)),
            _ => None,
        })
        .send(&stock, |e| match e.event() {
            Step::ShipmentAsked { item } => {
                Some((item.clone(), StockEvent::Shipped { order: *e.id() }))
            }
            _ => None,
        })
        .send(&orders, |e| match e.event().clone() {
            Step::GivenUp { reason } => Some((*e.id(), OrderEvent::CalledOff { reason })),
            _ => None,
        })
        .on_refusal(|_, refusal| Some(Told::Refused { reason: refusal.to_string() })))
}

fn main() -> Result<(), Box<dyn Error>> {
    let clock = ManualClock::at("2024-05-06T09:00:00Z".parse()?);
    let annals = Annals::builder().clock(clock.clone()).in_memory();
    let (orders, payments) = (annals.of::<Order>()?, annals.of::<Payment>()?);
    let (stock, fulfilments) = (annals.of::<Stock>()?, annals.of::<Fulfilment>()?);

    let manager = fulfilment(&annals)?.open()?;

    let place = |order: u32| {
        let customer = Metadata::new().with_actor(format!("customer {order}"));
        let placed = OrderEvent::Placed { item: "lamp".to_owned(), cents: 4_900 };
        orders.to(&order).with(customer).execute(placed)
    };
    // The bank names the request that it answers, so that its answer is part of the same story.
    let pay = |order: u32| -> Result<(), Box<dyn Error>> {
        let request = payments.history(&order)?.first()?.ok_or("there is a request")?;
        let bank = Metadata::caused_by(&request).with_actor("bank");
        payments.to(&order).with(bank).execute(PaymentEvent::Received)?;
        Ok(())
    };
    stock.execute("lamp", StockEvent::Delivered { pieces: 1 })?;

    // Three orders; two are paid on the second day, and there is one lamp.
    let stories = [1, 2, 3].map(|order| place(order).map(|done| done.correlation()));
    manager.run_until_settled()?;
    clock.advance(TimeDelta::days(1));
    pay(1)?;
    pay(2)?;
    manager.run_until_settled()?;
    assert!(payments.load(&2)?.state().paid_back, "the second lamp is not there");

    // The third customer pays late.
    clock.advance(TimeDelta::days(5));
    manager.run_until_settled()?;
    assert!(fulfilments.load(&3)?.state().is_over);
    pay(3)?;
    manager.run_until_settled()?;
    assert!(payments.load(&3)?.state().paid_back);
    assert!(manager.stuck().is_empty());

    for (number, correlation) in (1..).zip(stories) {
        let correlation = correlation?.ok_or("every command has one")?;
        println!("What came of order {number}:\n{}\n", annals.story(correlation)?);
    }
    println!("The fulfilment of order 2, step by step:");
    for step in fulfilments.history(&2)?.read()? {
        let step = step?;
        println!("  {}  {:?}", step.recorded_at().format("%F"), step.event());
    }
    Ok(())
}
