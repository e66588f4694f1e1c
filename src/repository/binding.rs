//! An aggregate type bound to a store: names, loading, snapshots.

use std::sync::Arc;

use super::cache::Cache;
use super::loaded::{Loaded, Tip};
use crate::aggregate::{Aggregate, AggregateId, missing};
use crate::at::At;
use crate::backing::Backing;
use crate::clock::to_micros;
use crate::codec::EventCodec;
use crate::error::{Error, ErrorKind};
use crate::event::{Batch, RecordedEvent};
use crate::id::{Category, StreamId};
use crate::position::{Position, Version};
use crate::snapshot::{Snapshot, SnapshotPlan};
use crate::store::{Batches, Query};

/// All that working with aggregates of type `A` takes. Cheap to clone.
pub(crate) struct Binding<A: Aggregate> {
    pub(crate) backing: Arc<Backing>,
    pub(crate) services: Arc<A::Services>,
    pub(crate) codec: Arc<EventCodec<A::Event>>,
    pub(crate) category: Category,
    pub(crate) snapshots: Option<SnapshotPlan<A>>,
    /// Shared by all clones.
    pub(super) cache: Option<Arc<Cache<A>>>,
}

impl<A: Aggregate> Binding<A> {
    /// Checks the aggregate's event type and upcasters.
    pub(crate) fn new(
        backing: Arc<Backing>,
        services: Arc<A::Services>,
        category: Category,
    ) -> Result<Self, Error> {
        let codec = Arc::new(EventCodec::new(A::upcasters())?);
        Ok(Self { backing, services, codec, category, snapshots: None, cache: None })
    }

    /// The stream of an aggregate. Refuses an id that would not come back from the stream's name.
    pub(crate) fn stream(&self, id: &A::Id) -> Result<StreamId, Error> {
        let key = id.to_key();
        let stream = StreamId::new(&self.category, &key)?;
        let broken = || Error::new(ErrorKind::AggregateId).in_stream(stream.clone());
        let read_back = A::Id::from_key(&key).map_err(|source| broken().caused_by(source))?;
        if *read_back != *id {
            return Err(broken().detail(format!("it comes back as {:?}", read_back.to_key())));
        }
        Ok(stream)
    }

    /// The aggregate as it is now. Takes a snapshot if one is due.
    pub(crate) fn load(&self, stream: &StreamId) -> Result<Loaded<A>, Error> {
        let mut loaded = match self.at_hand(stream) {
            Some(loaded) => self.fold_on(stream, loaded)?,
            None => self.fold(stream, None)?,
        };
        self.snapshot_if_due(stream, &mut loaded);
        self.keep(stream, &loaded);
        Ok(loaded)
    }

    /// The aggregate as it is in the cache.
    pub(super) fn at_hand(&self, stream: &StreamId) -> Option<Loaded<A>> {
        self.cache.as_ref()?.get(stream)
    }

    /// Lets the cache keep a state, if there is one.
    pub(super) fn keep(&self, stream: &StreamId, loaded: &Loaded<A>) {
        if let Some(cache) = self.cache.as_ref().filter(|_| loaded.exists()) {
            cache.keep(stream, loaded);
        }
    }

    /// Folds what has come since.
    fn fold_on(&self, stream: &StreamId, mut loaded: Loaded<A>) -> Result<Loaded<A>, Error> {
        let tail = Query::new(stream.clone()).after(loaded.position());
        for batch in Batches::new(&self.backing.store, tail.after_version(loaded.version())) {
            self.fold_batch(&mut loaded, &batch?, 0)?;
        }
        Ok(loaded)
    }

    /// The aggregate as it was.
    pub(crate) fn load_at(&self, stream: &StreamId, at: At) -> Result<Loaded<A>, Error> {
        if let At::Position(position) = at {
            let head = self.backing.store.head()?.acknowledged;
            if position > head {
                return Err(Error::new(ErrorKind::PositionBeyondHead { head })
                    .detail(format!("asked for position {position}")));
            }
        }
        let loaded = self.fold(stream, Some(at))?;
        match at {
            At::Version(version) if version > loaded.version() => {
                Err(Error::new(ErrorKind::VersionBeyondStream { last: loaded.version() })
                    .detail(format!("asked for version {version}"))
                    .in_stream(stream.clone()))
            }
            _ => Ok(loaded),
        }
    }

    /// The aggregate as it was at a position that the store has.
    pub(crate) fn load_as_of(
        &self,
        stream: &StreamId,
        position: Position,
    ) -> Result<Loaded<A>, Error> {
        self.fold(stream, Some(At::Position(position)))
    }

    fn fold(&self, stream: &StreamId, at: Option<At>) -> Result<Loaded<A>, Error> {
        let query = match at {
            None => Query::new(stream.clone()),
            Some(At::Version(version)) => Query::new(stream.clone()).up_to_version(version),
            Some(At::Position(position)) => Query::new(stream.clone()).up_to(position),
            Some(At::Time(time)) => Query::new(stream.clone()).up_to_time(to_micros(time)),
        };
        if let Some((snapshot, state)) = self.newest_snapshot(stream, at) {
            let folded = self.fold_from(&snapshot, state, &query)?;
            if let Some(loaded) = folded {
                return Ok(loaded);
            }
            // The snapshots are those of another log. That they cannot be removed is no reason not to fold.
            let _ = self.backing.snapshots.forget(stream);
        }
        let mut loaded = Loaded::initial();
        for batch in Batches::new(&self.backing.store, query) {
            self.fold_batch(&mut loaded, &batch?, 0)?;
        }
        Ok(loaded)
    }

    /// Folds on from a snapshot; `None` if the log has another event where the snapshot was taken.
    fn fold_from(
        &self,
        snapshot: &Snapshot,
        state: A,
        query: &Query,
    ) -> Result<Option<Loaded<A>>, Error> {
        // The event that the state ends with is read again, to see that it is still the same.
        let version = Version::new(snapshot.version.get().saturating_sub(1));
        let position = Position::new(snapshot.position.get().saturating_sub(1));
        let query = query.clone().after(position).after_version(version);
        let tip = Tip {
            version: snapshot.version,
            position: snapshot.position,
            event_id: snapshot.event_id,
            recorded_at: snapshot.recorded_at,
        };
        let mut loaded = Loaded { state, tip: Some(tip), snapshot: snapshot.version };
        let mut stands_on = Some(snapshot.event_id);
        for batch in Batches::new(&self.backing.store, query) {
            let batch = batch?;
            let Some(first) = batch.get(0) else { continue };
            let is_same = |id| {
                (id, snapshot.version, snapshot.position)
                    == (first.event_id(), first.version(), first.position())
            };
            let skip = match stands_on.take() {
                Some(id) if !is_same(id) => return Ok(None),
                Some(_) => 1,
                None => 0,
            };
            self.fold_batch(&mut loaded, &batch, skip)?;
        }
        Ok(stands_on.is_none().then_some(loaded))
    }

    fn fold_batch(&self, loaded: &mut Loaded<A>, batch: &Batch, skip: usize) -> Result<(), Error> {
        for (place, stored) in batch.iter().enumerate().skip(skip) {
            let expected = Version::new(loaded.version().get().saturating_add(1));
            if stored.version() != expected {
                let to = Version::new(stored.version().get().saturating_sub(1));
                return Err(missing(expected, to, &stored));
            }
            if stored.is_gap() {
                let gaps = batch.iter().skip(place).take_while(RecordedEvent::is_gap);
                let to = gaps.last().map_or(expected, |last| last.version());
                return Err(missing(expected, to, &stored));
            }
            self.codec.decode(&stored)?.for_each(|event| loaded.state.apply(&event));
            loaded.tip = Some(Tip::from(&stored));
        }
        Ok(())
    }

    /// The newest snapshot that this program can use. What cannot be read is as good as not there.
    fn newest_snapshot(&self, stream: &StreamId, at: Option<At>) -> Option<(Snapshot, A)> {
        let plan = self.snapshots.as_ref()?;
        let fingerprint = plan.fingerprint();
        let snapshot = self.backing.snapshots.newest(stream, fingerprint, at).ok()??;
        if snapshot.version == Version::ZERO || snapshot.fingerprint != fingerprint {
            return None;
        }
        let state = (plan.decode)(&snapshot.state).ok()?;
        Some((snapshot, state))
    }

    /// Takes a snapshot of a state at the end of its stream, if the plan says so and the state is durable. That it
    /// cannot be kept is not an error: the events can.
    pub(super) fn snapshot_if_due(&self, stream: &StreamId, loaded: &mut Loaded<A>) {
        let (Some(plan), Some(tip)) = (&self.snapshots, loaded.tip) else {
            return;
        };
        if tip.version <= loaded.snapshot || !(plan.is_due)(loaded.snapshot, tip.version) {
            return;
        }
        if !self.backing.store.head().is_ok_and(|head| head.durable >= tip.position) {
            return;
        }
        let Ok(state) = (plan.encode)(&loaded.state) else {
            return;
        };
        let snapshot = Snapshot {
            stream: stream.clone(),
            version: tip.version,
            position: tip.position,
            recorded_at: tip.recorded_at,
            event_id: tip.event_id,
            fingerprint: plan.fingerprint(),
            state,
        };
        if self.backing.snapshots.save(snapshot).is_ok() {
            loaded.snapshot = tip.version;
        }
    }
}

impl<A: Aggregate> Clone for Binding<A> {
    fn clone(&self) -> Self {
        Self {
            backing: Arc::clone(&self.backing),
            services: Arc::clone(&self.services),
            codec: Arc::clone(&self.codec),
            category: self.category.clone(),
            snapshots: self.snapshots.clone(),
            cache: self.cache.clone(),
        }
    }
}
