//! Decisions whose later events depend on their earlier ones.

use std::fmt;
use std::ops::Deref;

use super::domain::Aggregate;

/// A decision under way: the state as it will be once the events recorded so far have happened.
///
/// ```
/// # use annals::{Aggregate, Context, Draft};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Default, Clone)] struct Cart { items: u32 }
/// # #[derive(Serialize, Deserialize)] enum Event { ItemAdded, BoxFilled }
/// impl Aggregate for Cart {
/// #   const TYPE: &'static str = "cart";
/// #   type Id = str; type Event = Event; type Command = u32; type Services = ();
/// #   type Error = std::convert::Infallible;
/// #   fn apply(&mut self, event: &Event) {
/// #       match event { Event::ItemAdded => self.items += 1, Event::BoxFilled => self.items = 0 }
/// #   }
///     fn handle(&self, count: u32, _: &Context<'_, Self>) -> Result<Vec<Event>, Self::Error> {
///         let mut cart = Draft::of(self);
///         for _ in 0..count {
///             cart.record(Event::ItemAdded);
///             if cart.items == 10 {
///                 cart.record(Event::BoxFilled);
///             }
///         }
///         Ok(cart.into_events())
///     }
/// }
/// ```
pub struct Draft<A: Aggregate> {
    state: A,
    events: Vec<A::Event>,
}

impl<A: Aggregate + Clone> Draft<A> {
    /// Begins a decision at this state.
    #[must_use]
    pub fn of(state: &A) -> Self {
        Self { state: state.clone(), events: Vec::new() }
    }
}

impl<A: Aggregate> Draft<A> {
    /// Decides on a further event and applies it to the draft's state.
    pub fn record(&mut self, event: A::Event) {
        self.state.apply(&event);
        self.events.push(event);
    }

    /// The events decided on, in order.
    #[must_use]
    pub fn into_events(self) -> Vec<A::Event> {
        self.events
    }
}

impl<A: Aggregate> Deref for Draft<A> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.state
    }
}

impl<A: Aggregate + fmt::Debug> fmt::Debug for Draft<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("state", &self.state)
            .field("events", &self.events.len())
            .finish_non_exhaustive()
    }
}
