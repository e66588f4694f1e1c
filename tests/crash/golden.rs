//! A small store with several segments and index runs, made to be damaged.

use annals::storage::FileName;
use annals::store::{FileStore, Query};
use annals::{Error, Position};

use crate::author::Author;
use crate::disk::{SimDisk, State};
use crate::log::Log;
use crate::oracle::{self, Trouble};
use crate::player::Player;
use crate::records::record_of;
use crate::settings::{Settings, noon};
use crate::terms::Terms;

/// A store, and what should stand in it.
#[derive(Debug)]
pub(crate) struct Golden {
    pub(crate) name: &'static str,
    pub(crate) state: State,
    pub(crate) log: Log,
    pub(crate) terms: Terms,
}

/// How many commits there are before the store is closed and opened once, which makes an index run, and after that.
const COMMITS: [usize; 2] = [10, 6];

impl Golden {
    /// A store that was closed.
    pub(crate) fn closed() -> Self {
        let mut player = reopened();
        assert!(player.close().is_none());
        Self::of("closed", player)
    }

    /// A store whose process was killed.
    pub(crate) fn killed() -> Self {
        Self::of("killed", reopened())
    }

    /// What a player leaves.
    pub(crate) fn of(name: &'static str, player: Player) -> Self {
        let mut state = player.disk.state();
        player.disk.freeze();
        for file in state.files() {
            // What is damaged later is damaged for good: nothing is on its way any more.
            let bytes = state.bytes(file).unwrap().to_vec();
            state.put(file, bytes);
        }
        Self { name, state, log: player.log, terms: Terms::new() }
    }

    /// The numbers of the segments, ascending.
    pub(crate) fn segments(&self) -> Vec<u32> {
        let number = |file| match file {
            FileName::Segment(number) => Some(number),
            _ => None,
        };
        self.state.files().into_iter().filter_map(number).collect()
    }

    pub(crate) fn runs(&self) -> Vec<FileName> {
        let is_run = |file: &FileName| matches!(file, FileName::Run(..));
        self.state.files().into_iter().filter(is_run).collect()
    }

    pub(crate) fn bytes(&self, file: FileName) -> Vec<u8> {
        self.state.bytes(file).unwrap().to_vec()
    }

    /// The store with one file replaced.
    pub(crate) fn with(&self, file: FileName, bytes: Vec<u8>) -> State {
        let mut state = self.state.clone();
        state.put(file, bytes);
        state
    }

    /// The store as it is without an index, from which it has to be made anew.
    pub(crate) fn without_runs(&self) -> State {
        let mut state = self.state.clone();
        self.runs().into_iter().for_each(|run| state.take(run));
        state
    }

    /// Nothing but the log.
    pub(crate) fn without_runs_and_watermark(&self) -> State {
        let mut state = self.without_runs();
        state.take(FileName::Watermark);
        state
    }

    /// Where the frame of the last commit begins.
    pub(crate) fn last_frame(&self) -> (FileName, usize) {
        let before = self.log.events_of(self.log.commits().len() - 1).len();
        let file = FileName::Segment(*self.segments().last().unwrap());
        (file, record_of(&self.bytes(file), &self.log.events()[before]).unwrap().frame)
    }

    /// The store with one file missing.
    pub(crate) fn without(&self, file: FileName) -> State {
        let mut state = self.state.clone();
        state.take(file);
        state
    }

    /// Opens what has become of the store, and asks for all that is in it; what it answers has to be exact.
    pub(crate) fn look_at(&self, state: &State) -> Result<(), Trouble> {
        self.look(state, Self::ask)
    }

    /// Opens what has become of the store, and asks; what it answers has to be exact.
    pub(crate) fn look(
        &self,
        state: &State,
        ask: impl FnOnce(&Self, &FileStore) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let disk = SimDisk::holding(state.clone(), 1);
        let looked = open(&disk).map_err(Trouble::from).and_then(|store| ask(self, &store));
        disk.freeze();
        looked
    }

    /// Follows what has become of the store: so many commits at least are shown, and answers are exact as far as they go.
    pub(crate) fn follow(&self, state: &State, least: usize) -> Result<(), Trouble> {
        let disk = SimDisk::holding(state.clone(), 1);
        let follower = settings().options(&noon()).follow_on(disk)?;
        let all = self.log.commits().len();
        let shown = oracle::recovered(&follower, &self.log, least..=all)?;
        oracle::every_answer(&follower, self.log.events_of(shown), &self.terms)
    }

    /// Reads the whole log, and asks for so much that every part of every index run is needed.
    pub(crate) fn ask_briefly(&self, store: &FileStore) -> Result<(), Trouble> {
        let all = self.log.commits().len();
        oracle::recovered(store, &self.log, all..=all)?;
        let events = self.log.events();
        let middle = Position::new(events.len() as u64 / 2);
        for filter in &self.terms.filters[..2] {
            oracle::answers(store, events, &Query::new(filter.clone()).after(middle).backwards())?;
        }
        oracle::versions(store, events, &self.terms)
    }

    /// Asks for all that is in the store.
    pub(crate) fn ask(&self, store: &FileStore) -> Result<(), Trouble> {
        let all = self.log.commits().len();
        oracle::recovered(store, &self.log, all..=all)?;
        oracle::every_answer(store, self.log.events(), &self.terms)
    }
}

pub(crate) fn settings() -> Settings {
    Settings { segment_bytes: 1536, recent_bytes: 1 << 20, ..Settings::default() }
}

fn reopened() -> Player {
    let mut player = filled(COMMITS[0]);
    assert!(player.close().is_none());
    assert!(player.open().unwrap().is_none());
    for _ in 0..COMMITS[1] {
        assert!(player.append().unwrap().is_none());
    }
    player
}

pub(crate) fn open(disk: &SimDisk) -> Result<FileStore, Error> {
    settings().open(disk, &noon())
}

/// An open store with so many commits in it.
pub(crate) fn filled(commits: usize) -> Player {
    filled_from(7, commits)
}

/// An open store of this seed, as which no other has the identity, the events or the ids.
pub(crate) fn filled_from(seed: u64, commits: usize) -> Player {
    let mut player = Player::new(SimDisk::new(seed), settings(), Author::new(seed, true));
    assert!(player.open().unwrap().is_none());
    for _ in 0..commits {
        assert!(player.append().unwrap().is_none());
    }
    player
}
