//! One view, and everything it can be kept in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use annals::projection::{Keep, Memory, MemoryReader, ProjectionBuilder};
use annals::view::ViewBuilder;
use annals::{Annals, Position, Recorded, RecordedEvent};

use crate::account::{Account, Event};

/// What the view shows: balances, and which events it has handled, in which order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Shown {
    pub(super) balances: BTreeMap<String, i64>,
    pub(super) handled: Vec<u64>,
}

impl Shown {
    pub(super) fn apply(&mut self, id: &str, event: &Event, position: Position) {
        *self.balances.entry(id.to_owned()).or_default() += change(event);
        self.handled.push(position.get());
    }
}

/// How an event changes a balance.
pub(super) fn change(event: &Event) -> i64 {
    let cents = |cents: u64| i64::try_from(cents).unwrap();
    match event {
        Event::Deposited { cents: more } => cents(*more),
        Event::Withdrawn { cents: less } => -cents(*less),
        Event::Opened { .. } | Event::Closed => 0,
    }
}

/// The positions at which the handler fails once it has done its work, and those at which it panics.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults(pub(super) Arc<Mutex<(BTreeSet<u64>, BTreeSet<u64>)>>);

impl Faults {
    pub(super) fn fail_at(&self, positions: impl IntoIterator<Item = u64>) {
        self.0.lock().unwrap().0 = positions.into_iter().collect();
    }

    pub(super) fn panic_at(&self, positions: impl IntoIterator<Item = u64>) {
        self.0.lock().unwrap().1 = positions.into_iter().collect();
    }

    pub(super) fn strike(&self, event: &RecordedEvent<'_>) -> Result<(), String> {
        let position = event.position().get();
        let faults = self.0.lock().unwrap().clone();
        assert!(!faults.1.contains(&position), "no good: {position}");
        if faults.0.contains(&position) { Err(format!("refused: {position}")) } else { Ok(()) }
    }
}

/// Something that the view is kept in.
pub(super) trait Subject: Default {
    type Keeper: Keep;

    /// Whether the view outlives the projection.
    const LASTS: bool;
    /// Whether the old view is read during a rebuild.
    const SHOWS_OLD: bool;

    fn keeper(&self) -> Self::Keeper;

    fn handle(
        view: &mut <Self::Keeper as Keep>::View,
        id: &str,
        event: &Event,
        position: Position,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

    fn shown(&self, reader: &<Self::Keeper as Keep>::Reader) -> Shown;

    fn view(annals: &Annals, faults: &Faults) -> ViewBuilder<<Self::Keeper as Keep>::View> {
        let faults = faults.clone();
        annals.view("accounts").on::<Account>(
            move |view: &mut <Self::Keeper as Keep>::View, e: &Recorded<'_, Account>| {
                Self::handle(view, e.id(), e.event(), e.position())?;
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(faults.strike(e)?)
            },
        )
    }

    fn projection(&self, annals: &Annals, faults: &Faults) -> ProjectionBuilder<Self::Keeper> {
        Self::view(annals, faults).kept_in(self.keeper())
    }
}

#[derive(Default)]
pub(super) struct InMemory;

impl Subject for InMemory {
    type Keeper = Memory<Shown>;
    const LASTS: bool = false;
    const SHOWS_OLD: bool = true;

    fn keeper(&self) -> Memory<Shown> {
        Memory::new()
    }

    fn handle(
        view: &mut Shown,
        id: &str,
        event: &Event,
        position: Position,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        view.apply(id, event, position);
        Ok(())
    }

    fn shown(&self, reader: &MemoryReader<Shown>) -> Shown {
        reader.view().clone()
    }
}

/// What the view shows once it has handled everything but these events.
pub(super) fn refolded(annals: &Annals, without: &[u64]) -> Shown {
    let mut shown = Shown::default();
    for event in annals.of::<Account>().unwrap().events().read().unwrap() {
        let event = event.unwrap();
        if !without.contains(&event.position().get()) {
            shown.apply(event.id(), event.event(), event.position());
        }
    }
    shown
}

/// Runs a law on everything that the view can be kept in.
macro_rules! laws {
    ($($(#[$attribute:meta])* fn $name:ident<$subject:ident: Subject>($value:ident: &$same:ident) $body:block)*) => {
        $(
            $(#[$attribute])*
            fn $name<$subject: super::subject::Subject>($value: &$subject) $body
        )*

        mod in_memory {
            $(#[test] fn $name() { super::$name(&$crate::projections::subject::InMemory::default()); })*
        }

        #[cfg(feature = "sqlite")]
        mod in_a_database_of_its_own {
            $(#[test] fn $name() { super::$name(&$crate::projections::sqlite::Own::default()); })*
        }

        #[cfg(feature = "sqlite")]
        mod within_a_database {
            $(#[test] fn $name() { super::$name(&$crate::projections::sqlite::Within::default()); })*
        }
    };
}
pub(super) use laws;
