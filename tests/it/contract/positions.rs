//! Stores whose log has holes, traces of refused commits, or events that show too early or too late.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use annals::store::{
    AppendError, Commit, Conflict, EventStore, Expected, Head, MemoryStore, Query, StreamWrite,
};
use annals::testing::contract::Law;
use annals::{Batch, Position};

use super::broken::{Answer, Broken, breaks, commit_of, placed, timed_as};

/// Positions that are told are those inside, shifted by the holes before them.
#[derive(Default)]
struct Holes {
    /// The positions inside after which a hole is left; the lock is held over each call.
    after: Mutex<Vec<u64>>,
}

fn out(holes: &[u64], position: Position) -> Position {
    let before = holes.iter().filter(|hole| **hole < position.get()).count();
    Position::new(position.get().saturating_add(before as u64))
}

fn into(holes: &[u64], position: Position) -> Position {
    let mut inside = position.get();
    while inside > 0 && out(holes, Position::new(inside)) > position {
        inside -= 1;
    }
    Position::new(inside)
}

fn query_with(query: &Query, map: impl Fn(Position) -> Position) -> Query {
    let (after, up_to) = query.positions();
    let mapped = query.clone().after(map(after));
    up_to.map_or(mapped.clone(), |end| mapped.up_to(map(end)))
}

impl Holes {
    fn append(
        &self,
        inner: &MemoryStore,
        commit: &Commit,
        leaves_hole: impl Fn(&Answer) -> bool,
    ) -> Answer {
        let mut holes = self.after.lock().unwrap();
        let mut conditions = commit.conditions().to_vec();
        conditions.iter_mut().for_each(|one| one.after = into(&holes, one.after));
        let moved = commit_of(commit.writes().to_vec(), commit.guards().to_vec(), conditions);
        let commit = timed_as(commit, moved);
        let mut answer = inner.append(commit);
        match &mut answer {
            Ok(appended) => {
                (appended.first, appended.last) =
                    (out(&holes, appended.first), out(&holes, appended.last));
            }
            Err(AppendError::Conflict(Conflict::Event { position, .. })) => {
                *position = out(&holes, *position);
            }
            Err(_) => {}
        }
        if leaves_hole(&answer) {
            holes.push(inner.head()?.acknowledged.get());
        }
        answer
    }

    fn told_by(self: Arc<Self>, store: Broken) -> Broken {
        let (on_read, on_head, on_wait) = (Arc::clone(&self), Arc::clone(&self), self);
        store
            .read(move |inner, query| {
                let holes = on_read.after.lock().unwrap();
                let (batch, rest) =
                    inner.read(&query_with(query, |position| into(&holes, position)))?;
                let batch = placed(&batch, |placement| {
                    placement.position = out(&holes, placement.position);
                });
                Ok((batch, rest.map(|rest| query_with(&rest, |position| out(&holes, position)))))
            })
            .head(move |inner, ()| {
                let holes = on_head.after.lock().unwrap();
                let head = out(&holes, inner.head()?.acknowledged);
                Ok(Head { acknowledged: head, durable: head })
            })
            .wait(move |inner, (after, timeout, interrupt)| {
                let after = into(&on_wait.after.lock().unwrap(), after);
                let head = inner.wait(after, timeout, interrupt)?;
                Ok(out(&on_wait.after.lock().unwrap(), head))
            })
    }
}

#[test]
fn a_gap_in_the_positions() {
    breaks(Law::DensePositions, |store, _| {
        let (holes, accepted) = (Arc::new(Holes::default()), AtomicU64::new(1));
        let on_append = Arc::clone(&holes);
        holes.told_by(store).append(move |inner, commit| {
            on_append.append(inner, &commit, |answer| {
                answer.is_ok() && accepted.fetch_add(1, Ordering::Relaxed).is_multiple_of(4)
            })
        })
    });
}

#[test]
fn a_refused_commit_uses_up_a_position() {
    breaks(Law::RefusedLeavesNoTrace, |store, _| {
        let holes = Arc::new(Holes::default());
        let on_append = Arc::clone(&holes);
        holes.told_by(store).append(move |inner, commit| {
            on_append
                .append(inner, &commit, |answer| matches!(answer, Err(AppendError::Conflict(_))))
        })
    });
}

#[test]
fn a_refused_commit_leaves_its_first_write_behind() {
    breaks(Law::RefusedLeavesNoTrace, |store, _| {
        store.append(|inner, commit| {
            let answer = inner.append(commit.clone());
            if let Err(AppendError::Conflict(_)) = answer {
                let first = StreamWrite { expected: Expected::Any, ..commit.writes()[0].clone() };
                inner.append(commit_of([first], [], []))?;
            }
            answer
        })
    });
}

#[test]
fn an_event_is_visible_before_it_is_acknowledged() {
    breaks(Law::VisibleWhenAcknowledged, |store, _| {
        let acknowledged = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&acknowledged);
        let append = move |inner: &MemoryStore, commit| {
            let answer = inner.append(commit)?;
            thread::sleep(Duration::from_micros(300));
            acknowledged.fetch_max(answer.last.get(), Ordering::AcqRel);
            Ok(answer)
        };
        store.append(append).head(move |inner, ()| {
            inner.head()?;
            let head = Position::new(told.load(Ordering::Acquire));
            Ok(Head { acknowledged: head, durable: head })
        })
    });
}

#[test]
fn an_acknowledged_event_is_not_visible_yet() {
    breaks(Law::VisibleWhenAcknowledged, |store, _| {
        let visible = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&visible);
        let append = move |inner: &MemoryStore, commit| {
            visible.store(inner.head()?.acknowledged.get(), Ordering::Release);
            inner.append(commit)
        };
        store.append(append).read(move |inner, query| {
            let end = Position::new(shown.load(Ordering::Acquire));
            let end = query.positions().1.map_or(end, |up_to| up_to.min(end));
            inner.read(&query.clone().up_to(end))
        })
    });
}

#[test]
fn the_first_event_goes_missing_as_the_log_grows() {
    breaks(Law::LogOnlyGrows, |store, _| {
        let commits = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&commits);
        let append = move |inner: &MemoryStore, commit| {
            let appended = inner.append(commit)?;
            count.fetch_add(1, Ordering::AcqRel);
            Ok(appended)
        };
        store.append(append).read(move |inner, query| {
            let (batch, rest) = inner.read(query)?;
            let all = commits.load(Ordering::Acquire) < 4;
            let mut kept = Batch::new();
            let stays = |position: Position| all || position > Position::new(1);
            batch
                .iter()
                .filter(|event| stays(event.position()))
                .for_each(|event| kept.push(&event));
            Ok((kept, rest))
        })
    });
}
