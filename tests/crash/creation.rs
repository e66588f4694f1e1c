//! The making of a store is cut short everywhere, and so is the opening of what is left: there is always a store to open, and
//! nothing in it before something was written.

use crate::author::Author;
use crate::disk::{Crash, Moment, SimDisk};
use crate::golden::{self, settings};
use crate::oracle::Complaint;
use crate::player::Player;
use crate::random::Random;

/// How many power cuts are tried at each moment.
const CUTS: u64 = 30;

/// The moments of opening what is on this disk, in which nothing was written yet, and of the first append.
fn moments_of(disk: &SimDisk) -> Result<Vec<Moment>, Complaint> {
    disk.keep_moments();
    let mut player = Player::new(disk.clone(), settings(), Author::new(1, true));
    match player.open()? {
        Some(error) => return Err(format!("an empty store does not open: {error:?}")),
        None => assert_eq!(player.log.commits().len(), 0),
    }
    let moments = disk.moments();
    for append in 0..2 {
        if let Some(error) = player.append()? {
            return Err(format!("append {append} to a new store: {error:?}"));
        }
    }
    if let Some(error) = player.close() {
        return Err(format!("closing a new store: {error:?}"));
    }
    if let Some(error) = player.open()? {
        return Err(format!("opening it again: {error:?}"));
    }
    disk.freeze();
    Ok(moments)
}

#[test]
fn a_store_that_was_never_completed_is_made_again() {
    let mut images = 0;
    let mut random = Random::new(1);
    for first in moments_of(&SimDisk::new(1)).unwrap() {
        for crash in [Crash::Kill, Crash::GivenUp, Crash::Cut, Crash::Cut, Crash::Cut] {
            let disk = SimDisk::holding(first.state.after(crash, &mut random), random.next());
            let moments = moments_of(&disk)
                .unwrap_or_else(|complaint| panic!("{crash:?} before {}: {complaint}", first.op));
            for second in moments {
                for _ in 0..CUTS {
                    images += 1;
                    let state = second.state.after(Crash::Cut, &mut random);
                    let files = state.files();
                    let disk = SimDisk::holding(state, random.next());
                    let opened = golden::open(&disk);
                    disk.freeze();
                    opened.unwrap_or_else(|error| {
                        let (first, second) = (first.op, second.op);
                        panic!(
                            "{crash:?} before {first}, cut before {second}: {error:?}, {files:?}"
                        )
                    });
                }
            }
        }
    }
    println!("{images} images of stores in the making");
}
