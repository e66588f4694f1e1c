//! The laws of views.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::annals::Annals;
use crate::error::{Error, ErrorKind};
use crate::projection::{Change, Checkpoint, Keep, Projection, Standing};
use crate::view::ViewBuilder;

/// Checks that a view is made of its events and of nothing else: not of the time, the batch, or the process in which they were handled.
///
/// ```
/// # use annals::{Aggregate, Annals, Context};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Default)] struct Counter { total: u64 }
/// # #[derive(Serialize, Deserialize)] enum Counted { Added { amount: u64 } }
/// # impl Aggregate for Counter {
/// #   const TYPE: &'static str = "counter";
/// #   type Id = str; type Event = Counted; type Command = u64; type Services = ();
/// #   type Error = std::convert::Infallible;
/// #   fn apply(&mut self, event: &Counted) { let Counted::Added { amount } = event; self.total += amount; }
/// #   fn handle(&self, amount: u64, _: &Context<'_, Self>) -> Result<Vec<Counted>, Self::Error> {
/// #       Ok(vec![Counted::Added { amount }])
/// #   }
/// # }
/// use annals::projection::{Memory, MemoryReader};
/// use annals::testing::ViewLaws;
///
/// let laws = ViewLaws::new(
///     |annals| {
///         annals.view::<u64>("total").on::<Counter>(|total, e| {
///             let Counted::Added { amount } = e.event();
///             *total += amount;
///         })
///     },
///     |_| Memory::new(),
///     |reader: &MemoryReader<u64>| *reader.view(),
/// );
/// // What the view is checked on: ten times, something happens.
/// laws.check(10, |annals, step| {
///     annals.of::<Counter>()?.execute("visits", step as u64)?;
///     Ok(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
///
/// # The laws
///
/// * [`Rebuild`](ViewLaw::Rebuild): whoever handles all events at once gets what was got by handling each when it was recorded.
/// * [`BatchSize`](ViewLaw::BatchSize): it does not matter how many events are handled together.
/// * [`Resume`](ViewLaw::Resume): the process may end at any event, and another goes on.
/// * [`Repetition`](ViewLaw::Repetition), only if it [`may_repeat`](Self::may_repeat): events may be handled again. A view has to keep this
///   law if it is kept [at least once](crate::projection::AtLeastOnce), and no other.
#[must_use = "nothing is checked before `check`"]
pub struct ViewLaws<V, P, S> {
    view: V,
    keeper: P,
    show: S,
    may_repeat: bool,
}

/// A law that views keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViewLaw {
    /// The view does not depend on when its events are handled: a handler looks at nothing but the event and the view.
    Rebuild,
    /// The view does not depend on which events are handled together: a handler sees the view that it changes, and not one that was kept
    /// before.
    BatchSize,
    /// The view does not depend on how long the process lives: a handler remembers nothing beside the view.
    Resume,
    /// The view does not change when events are handled once more.
    Repetition,
}

/// The laws that a view has broken, each with what it shows where it should show something else.
#[derive(Debug, Default, thiserror::Error)]
#[error("{}", self.broken.iter().map(|(law, how)| format!("{law:?}: {how}")).collect::<Vec<_>>().join("; "))]
pub struct BrokenLaws {
    broken: Vec<(ViewLaw, String)>,
}

impl BrokenLaws {
    /// Which laws.
    #[must_use]
    pub fn laws(&self) -> Vec<ViewLaw> {
        self.broken.iter().map(|(law, _)| *law).collect()
    }

    /// Takes note of a law that is broken, unless it is known to be.
    fn compare<T: PartialEq + fmt::Debug>(
        &mut self,
        law: ViewLaw,
        how: &str,
        shown: &T,
        expected: &T,
    ) {
        if shown != expected && !self.laws().contains(&law) {
            self.broken.push((law, format!("{how}, it shows {shown:?} and not {expected:?}")));
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl<K, T, V, P, S> ViewLaws<V, P, S>
where
    K: Keep,
    T: PartialEq + fmt::Debug,
    V: Fn(&Annals) -> ViewBuilder<K::View>,
    P: Fn(usize) -> K,
    S: Fn(&K::Reader) -> T,
{
    /// The laws for the view that `view` puts together. It is kept in what `keeper` gives, which for each number is something of its own,
    /// and for the same number the same once more, as if opened by another process. `show` reads what is compared.
    pub fn new(view: V, keeper: P, show: S) -> Self {
        Self { view, keeper, show, may_repeat: false }
    }

    /// Events may be handled more than once, too.
    pub fn may_repeat(self) -> Self {
        Self { may_repeat: true, ..self }
    }

    /// Checks the laws on a history that consists of so many steps. Each appends something.
    ///
    /// The error is [`BrokenLaws`], or whatever else went wrong.
    pub fn check(
        &self,
        steps: usize,
        history: impl Fn(&Annals, usize) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (annals, one) = (Annals::in_memory(), NonZeroUsize::MIN);
        let handled = Arc::new(AtomicBool::new(false));
        let growing = self.open(&annals, noting((self.keeper)(0), Arc::clone(&handled)), one)?;
        for step in 0..steps {
            history(&annals, step)?;
            growing.run_until_caught_up()?;
        }
        if !handled.load(Ordering::Relaxed) {
            return Err("no event of the history concerns the view".into());
        }
        let mut places = 1..;
        let mut place = || places.next().unwrap_or_default();
        let mut broken = BrokenLaws::default();
        let expected = self.shown(&annals, (self.keeper)(place()), one)?;
        let shown = (self.show)(&growing.reader());
        broken.compare(ViewLaw::Rebuild, "followed step by step", &shown, &expected);
        for size in [2, 3, 7, usize::MAX] {
            let size = NonZeroUsize::new(size).unwrap_or(one);
            let shown = self.shown(&annals, (self.keeper)(place()), size)?;
            broken.compare(ViewLaw::BatchSize, &format!("in batches of {size}"), &shown, &expected);
            if self.may_repeat {
                let twice = self.shown(&annals, repeating((self.keeper)(place())), size)?;
                let how = format!("with each batch of {size} twice");
                broken.compare(ViewLaw::Repetition, &how, &twice, &shown);
            }
        }
        let events = annals.store().head()?.durable.get();
        // Few enough to be quick about it.
        for crash in (1..=events).step_by(usize::try_from(events / 16 + 1)?) {
            let shown = self.shown_after_crash(&annals, place(), crash)?;
            broken.compare(
                ViewLaw::Resume,
                &format!("after a crash at event {crash}"),
                &shown,
                &expected,
            );
        }
        if broken.broken.is_empty() { Ok(()) } else { Err(broken.into()) }
    }

    fn open<L: Keep<View = K::View>>(
        &self,
        annals: &Annals,
        keeper: L,
        batch: NonZeroUsize,
    ) -> Result<Projection<L>, Error> {
        (self.view)(annals).kept_in(keeper).batch(batch).open()
    }

    /// What a view shows that handles everything in one go.
    fn shown<L: Keep<View = K::View, Reader = K::Reader>>(
        &self,
        annals: &Annals,
        keeper: L,
        batch: NonZeroUsize,
    ) -> Result<T, Error> {
        let projection = self.open(annals, keeper, batch)?;
        projection.run_until_caught_up()?;
        Ok((self.show)(&projection.reader()))
    }

    /// What a view shows after the process has ended just before it kept this batch.
    fn shown_after_crash(&self, annals: &Annals, place: usize, batch: u64) -> Result<T, Error> {
        let crashing = crashing((self.keeper)(place), batch);
        let first = self.open(annals, crashing, NonZeroUsize::MIN)?;
        // Where not all events concern the view, it may have come to the end.
        let _ = first.run_until_caught_up();
        drop(first);
        self.shown(annals, (self.keeper)(place), NonZeroUsize::MIN)
    }
}

/// Keeps as another keeper does, but for what happens in between.
struct Odd<K, F> {
    keeper: K,
    oddly: F,
}

impl<K, F> Keep for Odd<K, F>
where
    K: Keep,
    F: FnMut(&mut K::View, Change<'_, K::View>) -> Result<(), Error> + Send + 'static,
{
    type View = K::View;
    type Reader = K::Reader;

    fn reader(&self) -> K::Reader {
        self.keeper.reader()
    }

    fn recover(&mut self, start: &Checkpoint) -> Result<Standing, Error> {
        self.keeper.recover(start)
    }

    fn keep(&mut self, checkpoint: &Checkpoint, change: Change<'_, K::View>) -> Result<(), Error> {
        self.keeper.keep(checkpoint, &mut |view| (self.oddly)(view, change))
    }

    fn start_over(&mut self, start: &Checkpoint) -> Result<Standing, Error> {
        self.keeper.start_over(start)
    }

    fn finish(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        self.keeper.finish(checkpoint)
    }
}

/// Takes note of whether anything is handled.
fn noting<K: Keep>(
    keeper: K,
    handled: Arc<AtomicBool>,
) -> impl Keep<View = K::View, Reader = K::Reader> {
    let oddly = move |view: &mut K::View, change: Change<'_, K::View>| {
        handled.store(true, Ordering::Relaxed);
        change(view)
    };
    Odd { keeper, oddly }
}

/// Gives up just before so many batches are kept.
fn crashing<K: Keep>(keeper: K, batches: u64) -> impl Keep<View = K::View, Reader = K::Reader> {
    let mut left = batches;
    let oddly = move |view: &mut K::View, change: Change<'_, K::View>| {
        change(view)?;
        left = left.saturating_sub(1);
        if left == 0 { Err(Error::new(ErrorKind::ReadModel).detail("a crash")) } else { Ok(()) }
    };
    Odd { keeper, oddly }
}

/// Lets each batch be handled twice, as after a crash between the change of a view and the checkpoint.
fn repeating<K: Keep>(keeper: K) -> impl Keep<View = K::View, Reader = K::Reader> {
    let oddly =
        |view: &mut K::View, change: Change<'_, K::View>| change(view).and_then(|()| change(view));
    Odd { keeper, oddly }
}

impl<V, P, S> fmt::Debug for ViewLaws<V, P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViewLaws").field("may_repeat", &self.may_repeat).finish_non_exhaustive()
    }
}
