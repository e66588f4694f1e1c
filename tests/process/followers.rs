//! A follower in one process, and writers in others that are killed at any moment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use annals::Position;
use annals::id::EventId;
use annals::store::{EventStore, Events, Follower, Interrupt, Query};

use crate::child::{Role, Task};
use crate::history::{self, History};
use crate::kills::{files, kill_one, numbers};
use crate::places::Place;

/// Lets the follower end, too, should anything go wrong.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How many writers are killed.
const KILLS: u64 = 100;

/// What a follower has shown so far, event by event, and how often there was something new.
#[derive(Debug, Default)]
struct Seen {
    events: Vec<(EventId, Vec<u8>)>,
    news: usize,
    followers: usize,
}

fn follow(place: &Place) -> Follower {
    // A writer with eight threads may be a little behind with its index.
    history::options(true).recent_bytes(64 << 10).follow(place.store()).unwrap()
}

impl Seen {
    fn head(&self) -> Position {
        Position::new(self.events.len() as u64)
    }

    /// Takes in what is new: each event at the next position, as it was acknowledged in the order of the log.
    fn take_in(&mut self, follower: &Follower) {
        let before = self.events.len();
        for event in Events::new(follower, Query::default().after(self.head())) {
            let event = event.unwrap();
            assert_eq!(event.position().get(), self.head().get() + 1, "a gap");
            self.events.push((event.event_id(), event.payload().to_vec()));
        }
        self.news += usize::from(self.events.len() > before);
    }

    /// Follows until it is over; now and then from the beginning, with a new follower.
    fn keep_following(&mut self, place: &Place, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            let follower = follow(place);
            assert!(follower.head().unwrap().durable >= self.head(), "something has disappeared");
            self.followers += 1;
            for _ in 0..200 {
                let short = Duration::from_millis(10);
                follower.wait(self.head(), short, &Interrupt::new()).unwrap();
                self.take_in(&follower);
            }
        }
    }

    /// Holds what was shown against all that a store holds.
    fn is_the_log(&self, store: &dyn EventStore) {
        let mut seen = self.events.iter();
        for event in Events::new(store, Query::default()) {
            let event = event.unwrap();
            let (id, payload) = seen.next().expect("all of it was shown");
            assert_eq!((*id, payload.as_slice()), (event.event_id(), event.payload()));
        }
        assert!(seen.next().is_none(), "more was shown than there is");
    }
}

#[test]
fn a_follower_sees_the_log_of_writers_that_are_killed_and_nothing_else() {
    let (place, is_over) = (Place::new(), AtomicBool::new(false));
    let seed = u64::from(std::process::id());
    let mut random = numbers(seed);
    history::options(true).open(place.store()).unwrap().close().unwrap();
    let mut seen = Seen::default();
    thread::scope(|scope| {
        let following = scope.spawn(|| seen.keep_following(&place, &is_over));
        let _over = Over(&is_over);
        for life in 0..KILLS {
            let threads = if random(2) == 0 { 1 } else { 8 };
            let task = Task { life, threads, is_small: true, ..Task::new(Role::Work, &place) };
            kill_one(&task, &place, &mut random);
            assert!(!following.is_finished(), "the follower has failed, seed {seed}");
        }
    });
    // What the last writer left behind may be more than what is proven, until it is recovered.
    let follower = follow(&place);
    seen.take_in(&follower);
    let store = history::options(true).open(place.store()).unwrap();
    seen.take_in(&follower);
    seen.is_the_log(&store);
    let acknowledged = History::of(&follower).has_all_of(&place.read_notes());
    println!(
        "{KILLS} writers were killed, seed {seed}: {} followers saw {} events in {} parts, {acknowledged} commits of them \
         acknowledged, in {} segments and {} index runs",
        seen.followers,
        seen.events.len(),
        seen.news,
        files(&place.store(), "log"),
        files(&place.store(), "index"),
    );
}
