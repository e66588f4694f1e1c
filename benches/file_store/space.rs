//! How many bytes an event takes beside its own.

use annals::RecordedEvent;
use annals::store::{EventStore, Query};

use crate::measure::{Scale, Scratch, files, length, logs};
use crate::workload::{Account, buffered, each};

/// The bytes that are the user's own: what no store could do without.
fn own_bytes(event: &RecordedEvent<'_>) -> u64 {
    let metadata = event.metadata();
    let headers: usize = metadata.headers().map(|(name, value)| name.len() + value.len()).sum();
    let texts = event.stream().as_str().len()
        + event.event_type().len()
        + event.tags().map(str::len).sum::<usize>()
        + event.actor().map_or(0, str::len)
        + headers
        + event.payload().len();
    let ids = 1 + u64::from(event.correlation().is_some()) + u64::from(event.causation().is_some());
    let times = 1 + u64::from(event.occurred_at().is_some());
    texts as u64 + 16 * ids + 8 * times
}

pub(crate) fn space(scratch: &Scratch, scale: &Scale) {
    for (each_commit, goal) in [(1_000_usize, 60), (1, 130)] {
        let directory = scratch.fresh("space");
        let store = buffered(&directory);
        let mut accounts: Vec<Account> =
            (0..100).map(|n| Account::new(&format!("{n:05}"))).collect();
        for turn in 0..usize::try_from(scale.space_events).unwrap() / each_commit {
            let account = &mut accounts[turn % 100];
            let commits = account.events(1, each_commit);
            account.append(&store, commits);
        }
        accounts.iter().for_each(|account| account.check(&store));
        let (mut own, mut events) = (0, 0_u64);
        each(&store, Query::default(), |event| {
            own += own_bytes(event);
            events += 1;
        });
        assert_eq!(events, scale.space_events);
        store.close().unwrap();
        let (log, all) = (length(&logs(&directory)), length(&files(&directory)));
        let an_event = |bytes: u64| bytes as f64 / events as f64;
        println!(
            "space, commits of {each_commit}: {:.1} bytes an event beside {:.1} of its own, goal {goal} \
             (log {:.1}, index and others {:.1})",
            an_event(all - own),
            an_event(own),
            an_event(log - own),
            an_event(all - log),
        );
    }
}
