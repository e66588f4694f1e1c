//! Why an aggregate is as it is.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::handle::Repository;
use crate::aggregate::{Aggregate, Recorded};
use crate::at::At;
use crate::error::{Error, ErrorKind};
use crate::event::RecordedEvent;

/// Two states differ here.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Difference {
    /// Where in the state, as a JSON pointer (RFC 6901): `/lines/0/cents`.
    pub path: String,
    /// What stood there in the first state, if there was anything.
    pub before: Option<Value>,
    /// What stands there in the second.
    pub after: Option<Value>,
}

/// Who is to blame for a field of a state.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Blame {
    /// Where in the state, as a JSON pointer (RFC 6901): `/lines/0/cents`.
    pub path: String,
    /// What stands there.
    pub value: Value,
    /// The event that put it there: it tells when, by whom and what for.
    pub event: RecordedEvent<'static>,
}

/// Looking into how a state came about. Each of these reads the aggregate's events once and folds them; what is compared is the state as
/// JSON, so it sees what the state's `Serialize` shows.
impl<A: Aggregate> Repository<A> {
    /// For each field of the state, the event that changed it last, in the order of the fields. What no event has changed since the
    /// aggregate's default is left out.
    ///
    /// ```
    /// # use annals::{Aggregate, Annals, Context};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Default, Serialize)] struct Door { opened: u64, is_locked: bool }
    /// # #[derive(Clone, Serialize, Deserialize)] enum Event { Opened, Locked }
    /// # impl Aggregate for Door {
    /// #   const TYPE: &'static str = "door";
    /// #   type Id = str; type Event = Event; type Command = Event; type Services = ();
    /// #   type Error = std::convert::Infallible;
    /// #   fn apply(&mut self, event: &Event) {
    /// #       match event { Event::Opened => self.opened += 1, Event::Locked => self.is_locked = true }
    /// #   }
    /// #   fn handle(&self, event: Event, _: &Context<'_, Self>) -> Result<Vec<Event>, Self::Error> { Ok(vec![event]) }
    /// # }
    /// let doors = Annals::in_memory().of::<Door>()?;
    /// for event in [Event::Opened, Event::Opened, Event::Locked] {
    ///     doors.execute("front", event)?;
    /// }
    /// let blamed = doors.blame("front")?;
    /// assert_eq!((&*blamed[0].path, blamed[0].event.event_type()), ("/is_locked", "Locked"));
    /// assert_eq!((&*blamed[1].path, blamed[1].event.version().get()), ("/opened", 2));
    ///
    /// let first = doors.bisect("front", |door| door.opened > 0)?.expect("it was opened");
    /// assert_eq!(first.version().get(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn blame(&self, id: &A::Id) -> Result<Vec<Blame>, Error>
    where
        A: Serialize,
    {
        let mut state = A::default();
        let mut shown = to_json(&state)?;
        let mut blamed: BTreeMap<String, (Value, RecordedEvent<'static>)> = BTreeMap::new();
        for event in self.history(id)?.read()? {
            let event = event?;
            state.apply(event.event());
            let changed = to_json(&state)?;
            for Difference { path, after, .. } in differences(&shown, &changed) {
                match after {
                    Some(value) => drop(blamed.insert(path, (value, event.stored().clone()))),
                    None => drop(blamed.remove(&path)),
                }
            }
            shown = changed;
        }
        let blame = |(path, (value, event))| Blame { path, value, event };
        Ok(blamed.into_iter().map(blame).collect())
    }

    /// What is different between the aggregate at one point and at another, each a version, a position or a time.
    pub fn diff(
        &self,
        id: &A::Id,
        from: impl Into<At>,
        to: impl Into<At>,
    ) -> Result<Vec<Difference>, Error>
    where
        A: Serialize,
    {
        let [from, to] = [self.load_at(id, from)?, self.load_at(id, to)?];
        Ok(differences(&to_json(from.state())?, &to_json(to.state())?))
    }

    /// The first event after which this holds of the state; `None` if there is none. It need not hold from then on.
    pub fn bisect(
        &self,
        id: &A::Id,
        mut holds: impl FnMut(&A) -> bool,
    ) -> Result<Option<Recorded<'static, A>>, Error> {
        let mut state = A::default();
        for event in self.history(id)?.read()? {
            let event = event?;
            state.apply(event.event());
            if holds(&state) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }
}

fn to_json(state: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(state).map_err(|source| {
        Error::new(ErrorKind::Encode).detail("the state of the aggregate").caused_by(source)
    })
}

/// Where two values differ, in the order of the paths.
fn differences(before: &Value, after: &Value) -> Vec<Difference> {
    let mut both: BTreeMap<String, [Option<&Value>; 2]> = BTreeMap::new();
    for (side, value) in [before, after].into_iter().enumerate() {
        each_leaf(value, String::new(), &mut |path, leaf| {
            both.entry(path).or_default()[side] = Some(leaf);
        });
    }
    both.retain(|_, [before, after]| before != after);
    let difference = |(path, sides): (String, [Option<&Value>; 2])| {
        let [before, after] = sides.map(Option::<&Value>::cloned);
        Difference { path, before, after }
    };
    both.into_iter().map(difference).collect()
}

/// Shows everything in a value that holds nothing further, with its path.
fn each_leaf<'v>(value: &'v Value, path: String, show: &mut impl FnMut(String, &'v Value)) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                each_leaf(field, format!("{path}/{name}"), show);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (place, item) in items.iter().enumerate() {
                each_leaf(item, format!("{path}/{place}"), show);
            }
        }
        leaf => show(path, leaf),
    }
}
