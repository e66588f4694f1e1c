//! Waiters: woken by appends, by time and by closing.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::law::Law;
use super::material::{event, id, stream};
use super::reading::served;
use super::report::{Failure, Held, hold};
use super::trial::Trial;
use crate::error::{Error, ErrorKind};
use crate::position::Position;
use crate::store::{AppendError, Commit, EventStore, Expected, Interrupt, Query};

/// How long a waiter is told to wait, and how long the suite waits for one that should have returned. A store that
/// wakes its waiters takes part of a millisecond; only one that does not makes the suite use up its patience.
const LONG: Duration = Duration::from_secs(40);
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a waiter is told to wait that nothing wakes.
const SHORT: Duration = Duration::from_millis(30);
/// How long waiters are given to fall asleep. Were it too short, a trial would be easier to pass, never harder.
const TO_FALL_ASLEEP: Duration = Duration::from_millis(10);

type Woken = Receiver<Result<Position, Error>>;

/// Starts to wait in a thread of its own, which is left behind if it does not return.
fn waiter(store: &Arc<dyn EventStore>, after: Position, timeout: Duration) -> Woken {
    waiter_with(&Arc::default(), store, after, timeout)
}

/// The same with an interrupt.
fn waiter_with(
    interrupt: &Arc<Interrupt>,
    store: &Arc<dyn EventStore>,
    after: Position,
    timeout: Duration,
) -> Woken {
    let (sender, receiver) = channel();
    let (store, interrupt) = (Arc::clone(store), Arc::clone(interrupt));
    thread::spawn(move || {
        // Nobody listens any more if the trial is over.
        let _ = sender.send(store.wait(after, timeout, &interrupt));
    });
    receiver
}

fn answer(woken: &Woken, law: Law) -> Held<Result<Position, Error>> {
    let missing =
        |_| Failure::of(law, "a waiter is still waiting, long after it should have returned");
    woken.recv_timeout(PATIENCE).map_err(missing)
}

fn expect_head(trial: &Trial, woken: &Woken) -> Held {
    let (position, head) = (served(answer(woken, Law::Waiting)?)?, trial.oracle.head());
    hold!(
        Law::Waiting,
        position == head,
        "a waiter is told position {position}, but the head is {head}"
    )
}

fn one() -> Commit {
    Commit::new().write(stream("a/1"), Expected::Any, [event("X")])
}

/// Nothing happens: the time decides. Something has happened already: nobody waits.
pub(super) fn time_and_past(trial: &mut Trial) -> Held {
    for (after, timeout) in [(0, Duration::ZERO), (0, SHORT), (u64::MAX, SHORT)] {
        time_out(trial, Position::new(after), timeout)?;
    }
    trial.append(&one())?;
    trial.append(&one())?;
    for after in [Position::START, Position::new(1)] {
        for timeout in [Duration::ZERO, LONG, Duration::MAX] {
            expect_head(trial, &waiter(&trial.store, after, timeout))?;
        }
    }
    expect_head(trial, &waiter(&trial.store, Position::new(2), Duration::ZERO))
}

fn time_out(trial: &Trial, after: Position, timeout: Duration) -> Held {
    let start = Instant::now();
    expect_head(trial, &waiter(&trial.store, after, timeout))?;
    // Timers may be coarse, but not by half.
    hold!(
        Law::Waiting,
        start.elapsed() >= timeout / 2,
        "a waiter gave up after {:?} of {timeout:?}",
        start.elapsed()
    )
}

/// An append wakes all who wait for it, and they are told of it.
pub(super) fn wake_ups(trial: &mut Trial) -> Held {
    for _ in 0..3 {
        let head = trial.oracle.head();
        let sleepers =
            [LONG, LONG, LONG, Duration::MAX].map(|long| waiter(&trial.store, head, long));
        thread::sleep(TO_FALL_ASLEEP);
        trial.append(&one())?;
        sleepers.iter().try_for_each(|woken| expect_head(trial, woken))?;
    }
    races(trial)
}

/// An append that comes just when somebody begins to wait is not missed, however often that is tried.
fn races(trial: &mut Trial) -> Held {
    for round in 0..RACES {
        let woken = waiter(&trial.store, trial.oracle.head(), LONG);
        spin(round);
        trial.append(&one())?;
        expect_head(trial, &woken)?;
    }
    Ok(())
}

/// How often a wake-up races somebody who begins to wait.
const RACES: u64 = 300;

/// Does nothing for a time that is another in each round.
fn spin(round: u64) {
    let (start, delay) = (Instant::now(), Duration::from_micros(round % 50 * 10));
    while start.elapsed() < delay {
        std::hint::spin_loop();
    }
}

/// An interrupt wakes all who wait with it, and is not missed by those who come later; the others go on waiting.
pub(super) fn interrupting(trial: &mut Trial) -> Held {
    let head = trial.oracle.head();
    let interrupt = Arc::new(Interrupt::new());
    let others = [LONG, Duration::MAX].map(|long| waiter(&trial.store, head, long));
    let sleepers =
        [LONG, LONG, Duration::MAX].map(|long| waiter_with(&interrupt, &trial.store, head, long));
    thread::sleep(TO_FALL_ASLEEP);
    trial.store.interrupt(&interrupt);
    hold!(Law::Interrupting, interrupt.is_raised(), "an interrupt is not raised")?;
    let late = waiter_with(&interrupt, &trial.store, head, LONG);
    for woken in sleepers.iter().chain([&late]) {
        interrupted(woken, head)?;
    }
    trial.append(&one())?;
    for woken in &others {
        let position = served(answer(woken, Law::Waiting)?)?;
        if position == head {
            // Is it the interrupt, or does the store give up early anyway?
            time_out(trial, trial.oracle.head(), SHORT)?;
        }
        let told = position == trial.oracle.head();
        hold!(Law::Interrupting, told, "who is not interrupted returns early, with {position}")?;
    }
    // An interrupt that comes just when somebody begins to wait is not missed, however often that is tried.
    for round in 0..RACES {
        let interrupt = Arc::new(Interrupt::new());
        let woken = waiter_with(&interrupt, &trial.store, trial.oracle.head(), LONG);
        spin(round);
        trial.store.interrupt(&interrupt);
        interrupted(&woken, trial.oracle.head())?;
    }
    Ok(())
}

fn interrupted(woken: &Woken, head: Position) -> Held {
    let position = served(answer(woken, Law::Interrupting)?)?;
    hold!(
        Law::Interrupting,
        position == head,
        "an interrupted waiter is told position {position}, but the head is {head}"
    )
}

/// A closed store refuses everything, also what it was asked before; closing again changes nothing.
pub(super) fn closing(trial: &mut Trial) -> Held {
    let known = Commit::new().write(stream("a/1"), Expected::Empty, [event("X").with_id(id(1))]);
    trial.append(&known)?;
    let store = Arc::clone(&trial.store);
    for _ in 0..2 {
        served(store.close())?;
        for commit in [&known, &one()] {
            let answer = match store.append(commit.clone()) {
                Err(AppendError::Store(error)) => Err(error),
                other => Ok(other),
            };
            closed("append", &answer)?;
        }
        closed("read", &store.read(&Query::default()))?;
        closed("version", &store.version(&stream("a/1")))?;
        closed("head", &store.head())?;
        let raised = Arc::new(Interrupt::new());
        store.interrupt(&raised);
        let calm = Arc::new(Interrupt::new());
        for (after, timeout) in [(0, LONG), (1, LONG), (1, Duration::ZERO)] {
            for interrupt in [&raised, &calm] {
                let woken = waiter_with(interrupt, &store, Position::new(after), timeout);
                closed("wait", &answer(&woken, Law::Closing)?)?;
            }
        }
    }
    Ok(())
}

/// Closing wakes all who wait.
pub(super) fn closing_amid_waiting(trial: &mut Trial) -> Held {
    let sleepers =
        [LONG, LONG, Duration::MAX].map(|long| waiter(&trial.store, Position::START, long));
    thread::sleep(TO_FALL_ASLEEP);
    served(trial.store.close())?;
    for woken in &sleepers {
        let answer = answer(woken, Law::Closing)?;
        hold!(
            Law::Waiting,
            answer.is_err(),
            "a waiter is answered {answer:?}, though nothing was appended"
        )?;
        closed("wait", &answer)?;
    }
    Ok(())
}

fn closed<T: std::fmt::Debug>(call: &str, answer: &Result<T, Error>) -> Held {
    let right = matches!(answer, Err(error) if *error.kind() == ErrorKind::Closed);
    hold!(Law::Closing, right, "{call} of a closed store is answered {answer:?}")
}
