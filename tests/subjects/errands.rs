//! A process that does everything a process can do, and what has to hold of it whatever happens.

#![allow(dead_code, reason = "not every program that tests it needs all of it")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::OnceLock;

use annals::id::EventId;
use annals::process::ProcessBuilder;
use annals::store::Query;
use annals::{Aggregate, Annals, Context, Error, RecordedEvent};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Where errands come from.
#[derive(Debug, Default)]
pub(crate) struct Bell;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Ring {
    /// An errand begins, asks for so many things, and is over at this time if nobody answers.
    Rang {
        errand: u64,
        asks: u64,
        by: Option<DateTime<Utc>>,
    },
    Answered {
        errand: u64,
    },
}

impl Aggregate for Bell {
    const TYPE: &'static str = "bell";
    type Id = str;
    type Event = Ring;
    type Command = Ring;
    type Error = Infallible;
    type Services = ();

    fn apply(&mut self, _: &Ring) {}

    fn handle(&self, ring: Ring, _: &Context<'_, Self>) -> Result<Vec<Ring>, Infallible> {
        Ok(vec![ring])
    }
}

/// What is called with the errand and the number of the thing whenever a shop is about to decide, if it is set.
pub(crate) static ASKED: OnceLock<Box<dyn Fn(u64, u64) + Send + Sync>> = OnceLock::new();

/// Where errands lead to.
#[derive(Debug, Default)]
pub(crate) struct Shop {
    sold: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Sale {
    Sold { errand: u64, number: u64 },
}

#[derive(Debug, thiserror::Error)]
#[error("thing {0} is not sold here")]
pub(crate) struct NotSold(u64);

/// What a shop does about what it is asked for.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Sells,
    Refuses,
    HasNothingToDo,
    /// Whether it sells depends on what it has sold before, so another time it may decide otherwise.
    MakesUpItsMind,
}

pub(crate) fn answer(errand: u64, number: u64) -> Answer {
    match (errand + number) % 10 {
        3 => Answer::Refuses,
        4 | 9 => Answer::HasNothingToDo,
        8 => Answer::MakesUpItsMind,
        _ => Answer::Sells,
    }
}

impl Aggregate for Shop {
    const TYPE: &'static str = "shop";
    type Id = u64;
    type Event = Sale;
    type Command = Sale;
    type Error = NotSold;
    type Services = ();

    fn apply(&mut self, _: &Sale) {
        self.sold += 1;
    }

    fn handle(&self, sale: Sale, _: &Context<'_, Self>) -> Result<Vec<Sale>, NotSold> {
        let Sale::Sold { errand, number } = sale;
        if let Some(asked) = ASKED.get() {
            asked(errand, number);
        }
        match answer(errand, number) {
            Answer::Sells => Ok(vec![sale]),
            Answer::Refuses => Err(NotSold(number)),
            Answer::HasNothingToDo => Ok(vec![]),
            Answer::MakesUpItsMind if self.sold.is_multiple_of(2) => Err(NotSold(number)),
            Answer::MakesUpItsMind => Ok(vec![sale]),
        }
    }
}

/// The process.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Errand {
    has_begun: bool,
    by: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Step {
    Begun { by: Option<DateTime<Utc>> },
    Asked { number: u64 },
    Answered,
    Missed,
    Refused { number: u64 },
}

/// What an errand is told.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    Ring(Ring),
    Late,
    Refused(u64),
}

/// What a late errand asks for.
pub(crate) const CONSOLATION: u64 = 1_000;

impl Aggregate for Errand {
    const TYPE: &'static str = "errand";
    type Id = u64;
    type Event = Step;
    type Command = Told;
    type Error = Infallible;
    type Services = ();

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Begun { by } => (self.has_begun, self.by) = (true, *by),
            Step::Answered | Step::Missed => self.by = None,
            Step::Asked { .. } | Step::Refused { .. } => {}
        }
    }

    fn handle(&self, told: Told, _: &Context<'_, Self>) -> Result<Vec<Step>, Infallible> {
        Ok(match told {
            Told::Ring(Ring::Rang { asks, by, .. }) => {
                let asked = (0..asks).map(|number| Step::Asked { number });
                [Step::Begun { by }].into_iter().chain(asked).collect()
            }
            // Nothing to do if it is over, or has not begun; then it is not answered later either.
            Told::Ring(Ring::Answered { .. }) if self.by.is_none() => vec![],
            Told::Ring(Ring::Answered { .. }) => vec![Step::Answered],
            Told::Late => vec![Step::Missed, Step::Asked { number: CONSOLATION }],
            Told::Refused(number) => vec![Step::Refused { number }],
        })
    }
}

pub(crate) fn errands(annals: &Annals) -> Result<ProcessBuilder<Errand>, Error> {
    let (errands, shops) = (annals.of::<Errand>()?, annals.of::<Shop>()?);
    Ok(errands
        .process("errands")
        .on::<Bell>(|e| match e.event() {
            Ring::Rang { errand, .. } | Ring::Answered { errand } => {
                Some((*errand, Told::Ring(e.event().clone())))
            }
        })
        .send(&shops, |e| match *e.event() {
            Step::Asked { number } => Some((*e.id() % 3, Sale::Sold { errand: *e.id(), number })),
            _ => None,
        })
        .on_refusal(|e, _| match e.event() {
            Step::Asked { number } => Some(Told::Refused(*number)),
            _ => None,
        })
        .deadline(|errand| Some((errand.by?, Told::Late))))
}

/// What is wrong with a log in which everything is settled, at this time.
pub(crate) fn faults(annals: &Annals, now: DateTime<Utc>) -> Vec<String> {
    let mut log = Vec::new();
    for event in annals.read(Query::default()) {
        log.push(event.unwrap());
    }
    let mut faults = Vec::new();
    let mut by_cause: BTreeMap<Option<EventId>, Vec<&RecordedEvent<'_>>> = BTreeMap::new();
    for event in &log {
        by_cause.entry(event.causation()).or_default().push(event);
    }
    let count = |cause: &RecordedEvent<'_>, name: &str| {
        let effects = by_cause.get(&Some(cause.event_id())).into_iter().flatten();
        effects.filter(|effect| effect.event_type() == name).count()
    };
    let mut want = |cause: &RecordedEvent<'_>, name: &str, wanted: usize| {
        let found = count(cause, name);
        if found != wanted {
            faults.push(format!("{cause:?} has brought about {found} of {name}, not {wanted}"));
        }
    };
    for event in &log {
        let errand = || event.stream().id().parse::<u64>().unwrap();
        match (event.stream().category(), event.event_type()) {
            ("bell", "Rang") => want(event, "Begun", 1),
            ("errand", "Asked") => {
                let Step::Asked { number } = step(event) else { unreachable!("it is one") };
                let mut answer = answer(errand(), number);
                if answer == Answer::MakesUpItsMind {
                    let is_sold = count(event, "Sold") > 0;
                    answer = if is_sold { Answer::Sells } else { Answer::Refuses };
                }
                want(event, "Sold", usize::from(answer == Answer::Sells));
                want(event, "Refused", usize::from(answer == Answer::Refuses));
            }
            ("errand", "Missed") => want(event, "Sold", 0),
            _ => {}
        }
    }
    faults.extend(deadline_faults(&log, now));
    faults.extend(order_faults(&log));
    faults
}

fn step(event: &RecordedEvent<'_>) -> Step {
    let payload = std::str::from_utf8(event.payload()).unwrap();
    let name = event.event_type();
    let unit = serde_json::from_str(&format!("\"{name}\""));
    unit.or_else(|_| serde_json::from_str(&format!("{{\"{name}\":{payload}}}"))).unwrap()
}

/// An errand with a deadline is answered if somebody answers before it, and missed if not; never both, and never twice.
fn deadline_faults(log: &[RecordedEvent<'_>], now: DateTime<Utc>) -> Vec<String> {
    let mut faults = Vec::new();
    let of = |errand: &str| -> Vec<Step> {
        let stream = format!("errand/{errand}");
        log.iter().filter(|event| event.stream().as_str() == stream).map(step).collect()
    };
    for begun in log.iter().filter(|event| event.event_type() == "Begun") {
        let Step::Begun { by: Some(by) } = step(begun) else { continue };
        let errand = begun.stream().id();
        let steps = of(errand);
        let [answered, missed] = [Step::Answered, Step::Missed]
            .map(|wanted| steps.iter().filter(|step| **step == wanted).count());
        // Answers stand behind the ring that they answer.
        let answers = log.iter().filter(|event| {
            event.stream().category() == "bell"
                && event.event_type() == "Answered"
                && String::from_utf8_lossy(event.payload()) == format!("{{\"errand\":{errand}}}")
        });
        let rang = log.iter().find(|event| Some(event.event_id()) == begun.causation());
        let rang = rang.unwrap().position();
        let first = answers.filter(|it| it.position() > rang).map(RecordedEvent::recorded_at).min();
        let is_right = match first {
            Some(time) if time < by => (answered, missed) == (1, 0),
            // At the same instant, the one may come first or the other.
            Some(time) if time == by => answered + missed == 1,
            _ => (answered, missed) == (0, usize::from(by <= now)),
        };
        if !is_right {
            faults.push(format!(
                "errand {errand}, due {by}, first answered {first:?}, is answered {answered} and \
                 missed {missed} times at {now}"
            ));
        }
    }
    faults
}

/// What an errand asks for is sold in the order in which it asks.
fn order_faults(log: &[RecordedEvent<'_>]) -> Vec<String> {
    let places: BTreeMap<EventId, u64> =
        log.iter().map(|event| (event.event_id(), event.position().get())).collect();
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    let mut faults = Vec::new();
    for sold in log.iter().filter(|event| event.event_type() == "Sold") {
        let cause = places[&sold.causation().unwrap()];
        let payload: serde_json::Value = serde_json::from_slice(sold.payload()).unwrap();
        let errand = payload["errand"].to_string();
        let before = last.insert(errand, cause).unwrap_or(0);
        if before > cause {
            faults.push(format!("{sold:?} is sold before what was asked for earlier"));
        }
    }
    faults
}
