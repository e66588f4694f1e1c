//! Several decisions, of several aggregates, in one commit.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::aggregate::{Aggregate, Occasion};
use crate::backing::Backing;
use crate::clock::to_micros;
use crate::error::{Error, ErrorKind};
use crate::event::Metadata;
use crate::id::{CorrelationId, StreamId};
use crate::position::{Position, Version};
use crate::repository::{Binding, ExecuteError, Refusal, Repository, Retries, Stage};
use crate::store::{Appended, Commit, Expected, Filter, judge_requirements};
use crate::trace;

/// Decisions that are written together or not at all; handed to the closure of
/// [`Annals::atomically`](crate::Annals::atomically).
///
/// Everything that a unit loads is as of one instant, that of its first load, and a command sees what earlier commands of
/// the unit decided. When the unit is written, every stream that it has loaded must still be where it was, and all guards
/// and conditions must hold; otherwise the closure runs again. That is so for a unit without decisions, too.
///
/// Events are recorded stream by stream, in the order in which the streams came up, and in each stream in the order of
/// the decisions.
pub struct Unit<'a> {
    backing: &'a Arc<Backing>,
    occasion: Occasion,
    /// What was decided on each stream, and the order in which the streams came up.
    staged: HashMap<StreamId, Box<dyn Staged>>,
    order: Vec<StreamId>,
    /// Guards and conditions.
    commit: Commit,
    /// Where the log ended when the first aggregate was loaded; all are loaded as they were then.
    as_of: Option<Position>,
    retries: Retries<'a>,
}

impl Unit<'_> {
    /// Carries out a command within the unit and returns the version that the aggregate will have.
    ///
    /// A refusal decides nothing; whether it ends the unit is the closure's to say. The aggregate has been loaded all the
    /// same, so the unit is written only if it has not changed by then.
    pub fn execute<A: Aggregate>(
        &mut self,
        repository: &Repository<A>,
        id: &A::Id,
        command: A::Command,
    ) -> Result<Version, ExecuteError<Refusal>> {
        let stream = self.join(repository, id)?;
        let Member { stage, .. } = member::<A>(&mut self.staged, stream)?;
        let decided = stage.decide(repository.binding(), id, command, &self.occasion, None);
        decided.map_err(ExecuteError::boxed)?;
        Ok(stage.version())
    }

    /// The aggregate's state, with what the unit has decided on it so far. The unit is written only if nobody else has
    /// written to the aggregate by then.
    pub fn load<A: Aggregate>(
        &mut self,
        repository: &Repository<A>,
        id: &A::Id,
    ) -> Result<&A, Error> {
        let stream = self.join(repository, id)?;
        Ok(member::<A>(&mut self.staged, stream)?.stage.state())
    }

    /// Makes the aggregate a member of the unit, if it is not one yet.
    fn join<A: Aggregate>(
        &mut self,
        repository: &Repository<A>,
        id: &A::Id,
    ) -> Result<StreamId, Error> {
        let binding = repository.binding();
        let stream = binding.stream(id)?;
        if !Arc::ptr_eq(&binding.backing, self.backing) {
            return Err(Error::new(ErrorKind::OtherStore).in_stream(stream));
        }
        if !self.staged.contains_key(&stream) {
            let loaded = binding.load_as_of(&stream, self.instant(&stream)?)?;
            let stage = Stage::of(stream.clone(), loaded);
            self.order.push(stream.clone());
            self.staged
                .insert(stream.clone(), Box::new(Member { binding: binding.clone(), stage }));
        }
        Ok(stream)
    }

    /// The instant that the unit shows: that of its first load, after those who race for the stream already.
    fn instant(&mut self, stream: &StreamId) -> Result<Position, Error> {
        if let Some(position) = self.as_of {
            return Ok(position);
        }
        self.retries.queue_for(stream);
        Ok(*self.as_of.insert(self.backing.store.head()?.acknowledged))
    }

    /// Says what is known about the commands that follow: who gives them, what they belong to, what caused them. Without
    /// a correlation id, the unit keeps the one it has; at first that is a new one.
    pub fn with(&mut self, metadata: Metadata) -> &mut Self {
        let correlation = metadata.correlation().or(self.occasion.metadata.correlation());
        let metadata = match correlation {
            Some(correlation) => metadata.with_correlation(correlation),
            None => metadata,
        };
        self.occasion.metadata = Arc::new(metadata);
        self
    }

    /// Requires that no event after this position matches the filter.
    ///
    /// So a rule can be kept that no aggregate sees by itself, such as that an address belongs to one user: events carry
    /// what must be unique as a tag, and the commit requires that there is none yet. Where it can be given up again, the
    /// condition counts from the newest event that gives it up, which is looked up in the closure. The conflict names the
    /// stream that has it.
    ///
    /// ```
    /// # use annals::{Aggregate, Annals, Conflict, Context, ExecuteError, Position, Tags, id::InvalidName};
    /// # use annals::id::Tag;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Default)] struct User;
    /// # #[derive(Serialize, Deserialize)] enum Event { Registered { email: String } }
    /// # impl Aggregate for User {
    /// #   const TYPE: &'static str = "user";
    /// #   type Id = str; type Event = Event; type Command = String; type Services = ();
    /// #   type Error = std::convert::Infallible;
    /// #   fn apply(&mut self, _: &Event) {}
    /// #   fn handle(&self, email: String, _: &Context<'_, Self>) -> Result<Vec<Event>, Self::Error> {
    /// #       Ok(vec![Event::Registered { email }])
    /// #   }
    /// #   fn tags(event: &Event) -> Result<Tags, InvalidName> {
    /// #       let Event::Registered { email } = event;
    /// #       Tags::of([format!("email:{email}")])
    /// #   }
    /// # }
    /// let annals = Annals::in_memory();
    /// let users = annals.of::<User>()?;
    /// let register = |id: &str, email: &str| {
    ///     annals.atomically(|unit| {
    ///         let taken = users.events().of_types(["Registered"]).tagged(Tag::new(format!("email:{email}"))?);
    ///         unit.require_none(taken.filter()?, Position::START);
    ///         unit.execute(&users, id, email.to_owned())
    ///     })
    /// };
    /// register("ann", "ann@example.org")?;
    /// let refused = register("bob", "ann@example.org");
    /// assert!(matches!(refused, Err(ExecuteError::Conflict(Conflict::Event { stream, .. })) if stream.id() == "ann"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn require_none(&mut self, filter: impl Into<Filter>, after: Position) -> &mut Self {
        self.commit = std::mem::take(&mut self.commit).require_none(filter, after);
        self
    }

    /// Requires something of a stream, as it is before the unit is written.
    pub fn guard(&mut self, stream: StreamId, expected: Expected) -> &mut Self {
        self.commit = std::mem::take(&mut self.commit).guard(stream, expected);
        self
    }

    /// Writes what was decided, if anything was.
    fn write(&mut self) -> Result<Option<Appended>, ExecuteError<Refusal>> {
        let (mut commit, mut members) = (std::mem::take(&mut self.commit), Vec::new());
        let mut events = 0;
        for stream in self.order.drain(..) {
            let Some(mut member) = self.staged.remove(&stream) else { continue };
            let len = member.len();
            commit = member.add_to(commit)?;
            events += len;
            if len > 0 {
                members.push((member, events - 1));
            }
        }
        if members.is_empty() {
            judge_requirements(&self.backing.store, &commit)?;
            return Ok(None);
        }
        let appended = self.backing.store.append(commit)?;
        for (mut member, last) in members {
            member.written(&appended, last)?;
        }
        Ok(Some(appended))
    }
}

/// The member that the stream stands for, if it is of this type.
fn member<A: Aggregate>(
    staged: &mut HashMap<StreamId, Box<dyn Staged>>,
    stream: StreamId,
) -> Result<&mut Member<A>, Error> {
    let member = staged.get_mut(&stream).and_then(|member| member.as_any().downcast_mut());
    member.ok_or_else(|| Error::new(ErrorKind::AggregateType).in_stream(stream))
}

/// What a unit gave, and where it was written.
#[derive(Debug)]
pub struct Committed<T> {
    /// What the closure returned.
    pub value: T,
    /// Where the events of the unit stand; `None` if there were none.
    pub appended: Option<Appended>,
    /// What the unit belonged to at its end, be it given or new.
    pub correlation: Option<CorrelationId>,
}

/// Runs the closure and writes what it decided, again and again until nobody came in between.
pub(crate) fn atomically<T>(
    backing: &Arc<Backing>,
    mut decide: impl FnMut(&mut Unit<'_>) -> Result<T, ExecuteError<Refusal>>,
) -> Result<Committed<T>, ExecuteError<Refusal>> {
    let metadata = Arc::new(Metadata::new().correlated());
    let span = trace::span!(
        "atomically",
        correlation = metadata.correlation().map(tracing::field::display),
        position = tracing::field::Empty,
    );
    let mut retries = Retries::new(&backing.turns, Retries::DEFAULT);
    loop {
        let mut unit = Unit {
            backing,
            occasion: Occasion {
                now: to_micros(backing.clock.now()),
                metadata: Arc::clone(&metadata),
            },
            staged: HashMap::new(),
            order: Vec::new(),
            commit: Commit::new(),
            as_of: None,
            retries,
        };
        let value = decide(&mut unit)?;
        let correlation = unit.occasion.metadata.correlation();
        let answer = unit.write();
        retries = unit.retries;
        match answer {
            Ok(appended) => {
                span.record("position", appended.as_ref().map_or(0, |it| it.last.get()));
                return Ok(Committed { value, appended, correlation });
            }
            Err(ExecuteError::Conflict(conflict)) => retries.again_after(conflict)?,
            Err(error) => return Err(error),
        }
    }
}

/// A stage and the aggregate type it belongs to.
struct Member<A: Aggregate> {
    binding: Binding<A>,
    stage: Stage<A>,
}

/// A [`Member`] of whatever type.
trait Staged {
    fn as_any(&mut self) -> &mut dyn Any;
    fn len(&self) -> usize;
    fn add_to(&mut self, commit: Commit) -> Result<Commit, Error>;
    fn written(&mut self, appended: &Appended, last: usize) -> Result<(), Error>;
}

impl<A: Aggregate> Staged for Member<A> {
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn len(&self) -> usize {
        self.stage.len()
    }

    fn add_to(&mut self, commit: Commit) -> Result<Commit, Error> {
        self.stage.add_to(commit)
    }

    fn written(&mut self, appended: &Appended, last: usize) -> Result<(), Error> {
        self.stage.written(&self.binding, appended, last)
    }
}

impl fmt::Debug for Unit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unit")
            .field("streams", &self.order)
            .field("metadata", &self.occasion.metadata)
            .field("commit", &self.commit)
            .finish_non_exhaustive()
    }
}
