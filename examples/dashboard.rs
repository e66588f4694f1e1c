//! Live figures of a shop, from another process than the one that sells: a follower of the store on disk, and a
//! subscription that catches up with what was sold and goes on with what is being sold.
//!
//! The program starts itself once more as the shop.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use annals::store::FileStore;
use annals::{Aggregate, Annals, Context, Recorded};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
enum Event {
    Sold { product: String, cents: u64 },
}

#[derive(Debug, Default)]
struct Till;

impl Aggregate for Till {
    const TYPE: &'static str = "till";
    type Id = u32;
    type Event = Event;
    type Command = (String, u64);
    type Error = std::convert::Infallible;
    type Services = ();

    fn apply(&mut self, _: &Event) {}

    fn handle(
        &self,
        (product, cents): (String, u64),
        _: &Context<'_, Self>,
    ) -> Result<Vec<Event>, Self::Error> {
        Ok(vec![Event::Sold { product, cents }])
    }
}

const SALES: u64 = 300;

/// The shop: sells something every few milliseconds, at three tills.
fn sell(directory: &Path) -> Result<(), Box<dyn Error>> {
    let annals = Annals::open(directory)?;
    let tills = annals.of::<Till>()?;
    for number in 0..SALES {
        let product = ["coffee", "tea", "cake"][usize::try_from(number * number % 7 % 3)?];
        tills.execute(&u32::try_from(number % 3)?, (product.to_owned(), 100 + number % 50))?;
        thread::sleep(Duration::from_millis(4));
    }
    Ok(annals.close()?)
}

/// The dashboard: follows the shop until that is closed and everything is counted.
fn watch(directory: &Path) -> Result<(), Box<dyn Error>> {
    let mut shop = Command::new(env::current_exe()?).arg(directory).spawn()?;
    let annals = Annals::with_store(FileStore::follow(directory)?);
    let mut sales = annals.of::<Till>()?.subscribe();
    let (mut turnover, mut count, mut shown) = (BTreeMap::<String, u64>::new(), 0, Instant::now());
    loop {
        // Asked before: what the shop sold before it closed is there by then.
        let is_closed = shop.try_wait()?;
        match sales.next_timeout(Duration::from_millis(50))?.map(Recorded::into_event) {
            Some(Event::Sold { product, cents }) => {
                *turnover.entry(product).or_default() += cents;
                count += 1;
            }
            None if is_closed.is_some() => break,
            None => {}
        }
        if shown.elapsed() > Duration::from_millis(250) {
            println!("{count:>4} sales, {turnover:?}");
            shown = Instant::now();
        }
    }
    println!("{count:>4} sales, {turnover:?}: closed");
    assert_eq!(count, SALES);
    let cents: u64 = (0..SALES).map(|number| 100 + number % 50).sum();
    assert_eq!(turnover.into_values().sum::<u64>(), cents);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(directory) = env::args_os().nth(1) {
        return sell(directory.as_ref());
    }
    let directory = env::temp_dir().join("annals-dashboard");
    let _ = fs::remove_dir_all(&directory);
    Annals::open(&directory)?.close()?;
    watch(&directory)
}
