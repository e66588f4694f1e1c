//! What belongs together, and what caused what.

use std::collections::HashMap;
use std::fmt;

use crate::error::Error;
use crate::event::RecordedEvent;
use crate::id::CorrelationId;
use crate::store::{Batches, Clause, EventStore, Query};

/// Everything that one outside request has set off, as a tree: each event stands under its cause. Made by
/// [`Annals::story`](crate::Annals::story).
///
/// Displayed, it is a line for each event, indented below its cause.
#[derive(Debug, Clone)]
pub struct Story {
    /// In the order of the tree: an event, then what it caused, each with how deep it stands.
    events: Vec<(usize, RecordedEvent<'static>)>,
}

impl Story {
    pub(crate) fn read(store: &dyn EventStore, id: CorrelationId) -> Result<Self, Error> {
        let mut told = Vec::new();
        for batch in Batches::new(store, Query::new(Clause::new().correlation(id))) {
            told.extend(batch?.iter().map(RecordedEvent::into_owned));
        }
        let places: HashMap<_, usize> =
            told.iter().enumerate().map(|(place, event)| (event.event_id(), place)).collect();
        // A cause comes before its effects; what claims otherwise has none.
        let cause_of = |place: usize, event: &RecordedEvent<'_>| {
            places.get(&event.causation()?).copied().filter(|cause| *cause < place)
        };
        let mut effects: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
        for (place, event) in told.iter().enumerate() {
            effects.entry(cause_of(place, event)).or_default().push(place);
        }
        let below = |place: Option<usize>, depth: usize| {
            let places = effects.get(&place).into_iter().flatten().rev();
            places.map(move |place| (depth, *place))
        };
        let mut events = Vec::with_capacity(told.len());
        let mut next: Vec<(usize, usize)> = below(None, 0).collect();
        while let Some((depth, place)) = next.pop() {
            events.push((depth, told[place].clone()));
            next.extend(below(Some(place), depth + 1));
        }
        Ok(Self { events })
    }

    /// The events in the order of the tree, each followed by its effects, with the number of causes above it.
    #[must_use]
    pub fn events(&self) -> impl ExactSizeIterator<Item = (usize, &RecordedEvent<'static>)> {
        self.events.iter().map(|(depth, event)| (*depth, event))
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (depth, event)) in self.events().enumerate() {
            let end = if place + 1 == self.events.len() { "" } else { "\n" };
            let (stream, version, name) = (event.stream(), event.version(), event.event_type());
            write!(f, "{:1$}{name}  {stream} v{version}", "", 2 * depth)?;
            write!(f, "  {}", event.recorded_at().format("%Y-%m-%d %H:%M:%S"))?;
            if let Some(actor) = event.metadata().actor() {
                write!(f, "  by {actor}")?;
            }
            f.write_str(end)?;
        }
        Ok(())
    }
}
