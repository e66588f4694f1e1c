//! Stores that let waiters down, and stores that do not close.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use annals::store::{EventStore, MemoryStore};
use annals::testing::contract::Law;
use annals::{Error, ErrorKind, Position, Version};

use super::broken::{Broken, breaks};

/// Sleeps until it is told to look again.
#[derive(Default)]
struct Bed {
    appends: Mutex<u64>,
    rung: Condvar,
}

impl Bed {
    fn wait(
        &self,
        inner: &MemoryStore,
        after: Position,
        timeout: Duration,
        doze: Duration,
    ) -> Result<Position, Error> {
        let start = Instant::now();
        loop {
            let head = inner.wait(after, Duration::ZERO)?;
            let left = timeout.saturating_sub(start.elapsed());
            if head > after || left.is_zero() {
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
    let (on_wait, on_close) = (Arc::clone(&bed), Arc::clone(&bed));
    store
        .append(move |inner, commit| {
            let answer = inner.append(commit);
            *bed.appends.lock().unwrap() += 1;
            wake(&bed.rung);
            answer
        })
        .wait(move |inner, (after, timeout)| on_wait.wait(inner, after, timeout, doze))
        .close(move |inner, ()| {
            inner.close()?;
            // Closing wakes everybody, again and again, so that it is appends alone that go unnoticed.
            let bed = Arc::clone(&on_close);
            thread::spawn(move || {
                for _ in 0..100 {
                    bed.rung.notify_all();
                    thread::sleep(Duration::from_millis(1));
                }
            });
            Ok(())
        })
}

#[test]
fn a_wake_up_is_lost() {
    breaks(Law::Waiting, |store, _| {
        store.wait(|inner, (after, timeout)| {
            let start = Instant::now();
            while inner.wait(after, Duration::ZERO)? <= after && start.elapsed() < timeout {
                // Closing is noticed; an append is not.
                let asleep = Instant::now();
                while asleep.elapsed() < timeout {
                    inner.head()?;
                    thread::sleep(Duration::from_millis(2).min(timeout));
                }
            }
            inner.wait(after, Duration::ZERO)
        })
    });
}

#[test]
fn a_waiter_gives_up_at_once() {
    breaks(Law::Waiting, |store, _| {
        store.wait(|inner, (after, _)| inner.wait(after, Duration::ZERO))
    });
}

#[test]
fn a_waiter_is_told_only_what_it_waited_for() {
    breaks(Law::Waiting, |store, _| {
        store.wait(|inner, (after, timeout)| {
            let head = inner.wait(after, timeout)?;
            Ok(head.min(after.checked_add(1).unwrap_or(after)))
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
