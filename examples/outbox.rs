//! Telling others what happened, and not losing anything on the way: an outbox publishes each event, and then writes down how
//! far it is. Should it crash in between, it publishes one event twice; whoever receives it knows it by its id.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::{env, fs, io};

use annals::id::EventId;
use annals::{Aggregate, Annals, Context, Position};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
enum Event {
    Placed { article: String },
}

#[derive(Debug, Default)]
struct Order;

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Id = u32;
    type Event = Event;
    type Command = String;
    type Error = std::convert::Infallible;
    type Services = ();

    fn apply(&mut self, _: &Event) {}

    fn handle(&self, article: String, _: &Context<'_, Self>) -> Result<Vec<Event>, Self::Error> {
        Ok(vec![Event::Placed { article }])
    }
}

/// How far an outbox has come, in a file that is replaced as a whole.
struct Checkpoint(PathBuf);

impl Checkpoint {
    fn load(&self) -> Result<Position, Box<dyn Error>> {
        match fs::read_to_string(&self.0) {
            Ok(text) => Ok(Position::new(text.parse()?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Position::START),
            Err(error) => Err(error.into()),
        }
    }

    /// A power cut may bring an older one back: then a little more is published twice.
    fn save(&self, position: Position) -> io::Result<()> {
        let draft = self.0.with_extension("draft");
        fs::write(&draft, position.get().to_string())?;
        fs::rename(draft, &self.0)
    }
}

struct Message {
    id: EventId,
    text: String,
}

/// Publishes what is not published yet. It crashes once it has published so many, before it writes that down.
fn publish(
    annals: &Annals,
    checkpoint: &Checkpoint,
    broker: &Sender<Message>,
    crash_after: usize,
) -> Result<(), Box<dyn Error>> {
    let mut orders = annals.of::<Order>()?.subscribe().after(checkpoint.load()?);
    let mut published = 0;
    // A service would go on for ever: `for order in &mut orders`.
    while let Some(order) = orders.try_next()? {
        let Event::Placed { article } = order.event();
        broker.send(Message { id: order.event_id(), text: article.clone() })?;
        published += 1;
        if published == crash_after {
            return Err("the power is gone".into());
        }
        checkpoint.save(orders.checkpoint())?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = env::temp_dir().join("annals-outbox");
    let _ = fs::remove_dir_all(&directory);
    let annals = Annals::open(&directory)?;
    let orders = annals.of::<Order>()?;
    let articles = ["tea", "cups", "a pot", "sugar", "spoons"];
    for (number, article) in (1..).zip(articles) {
        orders.execute(&number, article.to_owned())?;
    }

    let checkpoint = Checkpoint(directory.join("outbox.checkpoint"));
    let (broker, messages) = channel();
    let crash = publish(&annals, &checkpoint, &broker, 3);
    println!("the outbox crashes: {}", crash.expect_err("after three messages"));
    publish(&annals, &checkpoint, &broker, usize::MAX)?;
    drop(broker);

    let (mut known, mut received, mut count) = (BTreeSet::new(), Vec::new(), 0);
    for message in messages {
        count += 1;
        if known.insert(message.id) {
            received.push(message.text);
        } else {
            println!("once more, and ignored: {}", message.text);
        }
    }
    println!("received: {received:?}");
    assert_eq!(count, 6, "the third message came twice");
    assert_eq!(received, articles);
    Ok(())
}
