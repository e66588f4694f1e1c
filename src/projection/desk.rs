//! What a projection does with the events that it is given.

use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::checkpoint::Checkpoint;
use super::keep::{Keep, Standing};
use super::policy::ErrorPolicy;
use crate::backing::Backing;
use crate::error::{Error, ErrorKind, caught, with_sources};
use crate::event::{Batch, RecordedEvent};
use crate::position::Position;
use crate::runner::{Board, State, Step};
use crate::trace;
use crate::view::{Ahead, Handlers, ReadAhead};

/// Everything of a worker but what it reads from.
pub(super) struct Desk<K: Keep> {
    pub(super) backing: Arc<Backing>,
    pub(super) handlers: Handlers<K::View>,
    pub(super) keeper: K,
    pub(super) settings: Settings,
    pub(super) board: Arc<Board>,
    /// What is kept.
    pub(super) checkpoint: Checkpoint,
    /// While a new view is being made, and the old one is what is read: how far that is.
    pub(super) old: Option<Position>,
    /// A new view is finished once it is as far as this.
    pub(super) target: Position,
    /// What failed last and has not succeeded since.
    pub(super) trouble: Option<Trouble>,
    /// Whether something failed, so that the keeper has to say where the view stands.
    pub(super) is_unsettled: bool,
}

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) revision: u64,
    pub(super) batch: usize,
    pub(super) policy: ErrorPolicy,
}

pub(super) struct Trouble {
    /// Which event could not be handled; `None` if it was something else that failed.
    position: Option<Position>,
    tries: u32,
    /// When it is tried again.
    due: DateTime<Utc>,
    pub(super) error: String,
}

/// Why a batch is not done.
pub(super) enum Halt {
    /// Something is to be seen to first.
    Held(Step),
    /// It failed, because of this event if there is one.
    Failed(Error, Option<Position>),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error, None)
    }
}

impl<K: Keep> Desk<K> {
    /// Where the view stands before the first event.
    pub(super) fn start(&self) -> Checkpoint {
        let store = self.backing.store.identity().id;
        Checkpoint::start(&self.handlers.name, store, self.settings.revision)
    }

    /// Begins a new view.
    pub(super) fn start_over(&mut self) -> Result<(), Error> {
        // Before anything is changed: a store that is closed makes no new view.
        self.target = self.backing.store.head()?.durable;
        self.trouble = None;
        self.is_unsettled = true;
        let start = Checkpoint { is_rebuilding: true, ..self.start() };
        let standing = self.keeper.start_over(&start)?;
        self.stand(standing);
        Ok(())
    }

    /// Asks the keeper where the view stands.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        let standing = self.keeper.recover(&self.start())?;
        self.stand(standing);
        Ok(())
    }

    /// Takes over where the view stands.
    fn stand(&mut self, standing: Standing) {
        (self.checkpoint, self.is_unsettled) = (standing.checkpoint, false);
        let store = self.backing.store.identity().id;
        // A view of another store shows nothing of this one.
        let position =
            |old: Checkpoint| if old.store == store { old.position } else { Position::START };
        self.old = standing.old.map(position);
        self.show(self.checkpoint.position);
    }

    /// Says how far what is read is, if the view that is worked at is as far as this.
    fn show(&self, position: Position) {
        let is_rebuilding = self.checkpoint.is_rebuilding;
        self.board.note(|notes| {
            notes.shown = self.old.unwrap_or(position);
            notes.rebuilt = is_rebuilding.then_some(position);
            notes.parked = self.checkpoint.parked.len();
            notes.state = State::Following;
        });
    }

    /// Reads ahead, if the view is far behind this position and nothing is in its way.
    pub(super) fn read_ahead(&self, position: Position) -> Option<ReadAhead> {
        let head = self.backing.store.head().ok()?.durable;
        let is_free = self.trouble.is_none();
        is_free.then(|| self.handlers.read_ahead(&self.backing.store, position, head)).flatten()
    }

    /// What is to be seen to before this event is handled, or before anything is.
    pub(super) fn hold(&mut self, event: Option<&RecordedEvent<'_>>) -> Option<Step> {
        let trouble = self.trouble.as_ref()?;
        if trouble.position != event.map(RecordedEvent::position) {
            return None;
        }
        if !self.settings.policy.backoff.goes_on_after(trouble.tries) {
            return Some(Step::Failed);
        }
        (trouble.due > self.backing.clock.now()).then_some(Step::Wait(trouble.due))
    }

    /// Takes note of a failure.
    pub(super) fn fail(&mut self, error: Error, position: Option<Position>) -> Step {
        if *error.kind() == ErrorKind::Closed {
            return Step::Over;
        }
        let before = self.trouble.take().filter(|trouble| trouble.position == position);
        let tries = before.map_or(1, |trouble| trouble.tries.saturating_add(1));
        let now = self.backing.clock.now();
        let due = self.settings.policy.backoff.due(tries, now);
        self.trouble = Some(Trouble { position, tries, due, error: with_sources(&error) });
        trace::event!(WARN, projection = self.handlers.name, "{}", with_sources(&error));
        self.board.note(|notes| {
            notes.errors += 1;
            notes.last_error = Some(Arc::new(error));
        });
        Step::Done
    }

    /// Handles what is not handled of a batch, until the worker is told more than this.
    pub(super) fn handle(
        &mut self,
        batch: &Batch,
        ahead: &mut Ahead,
        calls: u64,
    ) -> Result<(), Halt> {
        let mut from = batch.count_up_to(self.checkpoint.position);
        while let Some(first) = batch.get(from) {
            from = match self.hold(Some(&first)) {
                Some(Step::Failed) if self.may_park() => {
                    self.park(&first)?;
                    from + 1
                }
                Some(step) => return Err(Halt::Held(step)),
                None => {
                    let to = self.end_of_chunk(batch, from);
                    self.change((batch, &mut *ahead), from..to)?;
                    to
                }
            };
            if self.board.notes().calls != calls {
                return Err(Halt::Held(Step::Done));
            }
        }
        Ok(())
    }

    /// How far events are handled together from this place of a batch on. One that has failed is handled alone.
    fn end_of_chunk(&self, batch: &Batch, from: usize) -> usize {
        let most = from.saturating_add(self.settings.batch).min(batch.len());
        let suspect = self.trouble.as_ref().and_then(|trouble| trouble.position);
        match suspect.map(|suspect| batch.count_up_to(suspect.before())) {
            Some(suspect) if suspect == from => from + 1,
            Some(suspect) if suspect > from => most.min(suspect),
            _ => most,
        }
    }

    /// Lets these events change the view, and keeps that.
    fn change(
        &mut self,
        (batch, ahead): (&Batch, &mut Ahead),
        range: Range<usize>,
    ) -> Result<(), Halt> {
        let Some(last) = batch.get(range.end - 1) else { return Ok(()) };
        let (position, event) = (last.position(), Some(last.event_id()));
        let _span = trace::span!(
            "project",
            projection = self.handlers.name,
            position = position.get(),
            events = range.len(),
        );
        let next = Checkpoint { position, event, ..self.checkpoint.clone() };
        let mut failed = None;
        let changed = self.keeper.keep(&next, &mut |view| {
            for place in range.clone() {
                let Some(event) = batch.get(place) else { continue };
                let position = event.position();
                if next.has_parked(position) {
                    continue;
                }
                call(&self.handlers, view, event, (&mut *ahead, place)).map_err(|error| {
                    failed = (!K::is_own(&error)).then_some(position);
                    // Until it is known again, before anybody can read what the keeper makes of it.
                    self.board.note(|notes| notes.shown = Position::START);
                    match batch.get(place) {
                        // A panic has taken the event along.
                        Some(event) if error.stream().is_none() => {
                            error.in_stream(event.stream().to_stream_id())
                        }
                        _ => error,
                    }
                })?;
            }
            Ok(())
        });
        changed.map_err(|error| Halt::Failed(error, failed))?;
        self.kept(next);
        Ok(())
    }

    pub(super) fn kept(&mut self, checkpoint: Checkpoint) {
        let is_past = |trouble: &Trouble| {
            trouble.position.is_none_or(|position| position <= checkpoint.position)
        };
        if self.trouble.as_ref().is_some_and(is_past) {
            self.trouble = None;
        }
        self.checkpoint = checkpoint;
        self.show(self.checkpoint.position);
    }

    /// Everything up to this position is done.
    pub(super) fn pass(&mut self, position: Position, may_be_more: bool) -> Step {
        if self.checkpoint.is_rebuilding && position >= self.target {
            let finished = Checkpoint { is_rebuilding: false, ..self.checkpoint.clone() };
            if let Err(error) = self.keeper.finish(&finished) {
                self.is_unsettled = true;
                return self.fail(error, None);
            }
            (self.checkpoint, self.old) = (finished, None);
        }
        if self.trouble.as_ref().is_some_and(|trouble| trouble.position.is_none()) {
            self.trouble = None;
        }
        self.show(position);
        if may_be_more { Step::Done } else { Step::CaughtUp(position, None) }
    }
}

/// Handles an event. A panic of a handler is an error.
pub(super) fn call<V>(
    handlers: &Handlers<V>,
    view: &mut V,
    event: RecordedEvent<'_>,
    ahead: (&mut Ahead, usize),
) -> Result<(), Error> {
    let position = event.position();
    // After an error the keeper gives up what was changed, so nobody sees what a panic has left.
    match caught(|| handlers.handle(view, event, ahead)) {
        Ok(handled) => handled.map_err(|unhandled| unhandled.error),
        Err(message) => Err(Error::new(ErrorKind::View)
            .detail(format!("{}: {message}", handlers.name))
            .at_position(position)),
    }
}
