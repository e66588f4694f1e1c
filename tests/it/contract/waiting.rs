//! Stores that let waiters down, and stores that do not close.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use annals::store::{EventStore, Identity, Interrupt, MemoryStore};
use annals::testing::contract::Law;
use annals::uuid::Uuid;
use annals::{Error, ErrorKind, Position, Version};

use super::broken::{Broken, breaks};

/// Sleeps until it is told to look again.
#[derive(Default)]
struct Bed {
    appends: Mutex<u64>,
    rung: Condvar,
}

impl Bed {
    /// Wakes everybody, again and again, so that it is appends alone that go unnoticed.
    fn keep_ringing(self: &Arc<Self>) {
        let bed = Arc::clone(self);
        thread::spawn(move || {
            for _ in 0..100 {
                bed.rung.notify_all();
                thread::sleep(Duration::from_millis(1));
            }
        });
    }

    fn wait(
        &self,
        inner: &MemoryStore,
        after: Position,
        timeout: Duration,
        interrupt: &Interrupt,
        doze: Duration,
    ) -> Result<Position, Error> {
        let start = Instant::now();
        loop {
            let head = inner.wait(after, Duration::ZERO, interrupt)?;
            let left = timeout.saturating_sub(start.elapsed());
            if head > after || left.is_zero() || interrupt.is_raised() {
                return Ok(head);
            }
            // What happens between looking and falling asleep goes unnoticed.
            thread::sleep(doze);
            let asleep = self.appends.lock().unwrap();
            drop(self.rung.wait_timeout(asleep, left.min(Duration::from_secs(60))).unwrap());
        }
    }
}

#[test]
fn a_wake_up_between_looking_and_falling_asleep_is_lost() {
    breaks(Law::Waiting, |store, _| {
        sleeping(store, Duration::from_micros(100), Condvar::notify_all)
    });
}

#[test]
fn only_one_of_all_who_wait_is_woken() {
    breaks(Law::Waiting, |store, _| sleeping(store, Duration::ZERO, Condvar::notify_one));
}

/// A store whose waiters doze before they fall asleep, and are woken by appends like this.
fn sleeping(store: Broken, doze: Duration, wake: fn(&Condvar)) -> Broken {
    let bed = Arc::new(Bed::default());
    let (on_wait, on_close, on_interrupt) = (Arc::clone(&bed), Arc::clone(&bed), Arc::clone(&bed));
    store
        .append(move |inner, commit| {
            let answer = inner.append(commit);
            *bed.appends.lock().unwrap() += 1;
            wake(&bed.rung);
            answer
        })
        .wait(move |inner, (after, timeout, interrupt)| {
            on_wait.wait(inner, after, timeout, interrupt, doze)
        })
        .interrupt(move |_, interrupt| {
            interrupt.raise();
            on_interrupt.keep_ringing();
        })
        .close(move |inner, ()| {
            inner.close()?;
            on_close.keep_ringing();
            Ok(())
        })
}

#[test]
fn a_wake_up_is_lost() {
    breaks(Law::Waiting, |store, _| {
        store.wait(|inner, (after, timeout, interrupt)| {
            let start = Instant::now();
            let is_early = || start.elapsed() < timeout && !interrupt.is_raised();
            while inner.wait(after, Duration::ZERO, interrupt)? <= after && is_early() {
                // Closing and interrupts are noticed; an append is not.
                while is_early() {
                    inner.head()?;
                    thread::sleep(Duration::from_millis(2).min(timeout));
                }
            }
            inner.wait(after, Duration::ZERO, interrupt)
        })
    });
}

#[test]
fn a_waiter_gives_up_at_once() {
    breaks(Law::Waiting, |store, _| {
        store.wait(|inner, (after, _, interrupt)| inner.wait(after, Duration::ZERO, interrupt))
    });
}

#[test]
fn a_waiter_is_told_only_what_it_waited_for() {
    breaks(Law::Waiting, |store, _| {
        store.wait(|inner, (after, timeout, interrupt)| {
            let head = inner.wait(after, timeout, interrupt)?;
            Ok(head.min(after.checked_add(1).unwrap_or(after)))
        })
    });
}

#[test]
fn an_interrupt_wakes_nobody() {
    breaks(Law::Interrupting, |store, _| store.interrupt(|_, interrupt| interrupt.raise()));
}

#[test]
fn an_interrupt_wakes_everybody() {
    breaks(Law::Interrupting, |store, _| {
        let all: Arc<Mutex<Arc<Interrupt>>> = Arc::default();
        let on_wait = Arc::clone(&all);
        store
            .wait(move |inner, (after, timeout, own)| {
                if own.is_raised() {
                    return inner.wait(after, timeout, own);
                }
                let shared = Arc::clone(&on_wait.lock().unwrap());
                inner.wait(after, timeout, &shared)
            })
            .interrupt(move |inner, own| {
                own.raise();
                let shared: Arc<Interrupt> = std::mem::take(&mut *all.lock().unwrap());
                inner.interrupt(&shared);
            })
    });
}

#[test]
fn an_interrupt_before_the_wait_is_lost() {
    breaks(Law::Interrupting, |store, _| {
        store.wait(|inner, (after, timeout, interrupt)| {
            if interrupt.is_raised() {
                return inner.wait(after, timeout, &Interrupt::new());
            }
            inner.wait(after, timeout, interrupt)
        })
    });
}

#[test]
fn an_interrupted_waiter_is_told_its_own_position() {
    breaks(Law::Interrupting, |store, _| {
        store.wait(|inner, (after, timeout, interrupt)| {
            let head = inner.wait(after, timeout, interrupt)?;
            if interrupt.is_raised() { Ok(Position::new(u64::MAX)) } else { Ok(head) }
        })
    });
}

#[test]
fn a_closed_store_still_tells_versions() {
    breaks(Law::Closing, |store, _| {
        store.version(|inner, stream| match inner.version(stream) {
            Err(error) if *error.kind() == ErrorKind::Closed => Ok(Version::ZERO),
            version => version,
        })
    });
}

#[test]
fn a_store_cannot_be_closed() {
    breaks(Law::Closing, |store, _| store.close(|_, ()| Ok(())));
}

#[test]
fn all_stores_have_the_same_id() {
    breaks(Law::Identity, |store, _| store.identity(|_, ()| Identity::new(Uuid::nil())));
}

#[test]
fn a_store_has_another_id_each_time() {
    breaks(Law::Identity, |store, _| store.identity(|_, ()| Identity::new(Uuid::new_v4())));
}
