//! Views that reach elsewhere.

use std::fs;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use annals::projection::{AtLeastOnce, Projection, State};
use annals::{Annals, ErrorKind, Position};

use super::laws::deposit;
use super::subject::Faults;
use crate::account::Account;
use crate::directory::Directory;

/// What has arrived elsewhere.
type Mailbox = Arc<Mutex<Vec<u64>>>;

fn open(
    annals: &Annals,
    path: &std::path::Path,
    mailbox: &Mailbox,
    faults: &Faults,
    batch: usize,
) -> Result<Projection<AtLeastOnce<Mailbox>>, annals::Error> {
    let faults = faults.clone();
    let view = annals.view("mails").on::<Account>(move |mailbox: &mut Mailbox, e| {
        mailbox.lock().unwrap().push(e.position().get());
        faults.strike(e)
    });
    let keeper = AtLeastOnce::new(path, Arc::clone(mailbox));
    view.kept_in(keeper).batch(NonZeroUsize::new(batch).unwrap()).open()
}

#[test]
fn what_is_behind_the_checkpoint_comes_again_and_nothing_is_left_out() {
    let (directory, annals) = (Directory::new(), Annals::in_memory());
    let (mailbox, faults) = (Mailbox::default(), Faults::default());
    let path = directory.path().join("mails.checkpoint");
    deposit(&annals.of::<Account>().unwrap(), ["alice"; 6]);
    faults.fail_at([5]);
    let projection = open(&annals, &path, &mailbox, &faults, 2).unwrap();
    assert!(projection.run_until_caught_up().is_err());
    drop(projection);
    assert_eq!(*mailbox.lock().unwrap(), [1, 2, 3, 4, 5]);

    faults.fail_at([4]);
    let projection = open(&annals, &path, &mailbox, &faults, 2).unwrap();
    assert_eq!(projection.status().position, Position::new(4));
    faults.fail_at([6]);
    assert!(projection.run_until_caught_up().is_err());
    assert_eq!(projection.status().position, Position::new(5));
    faults.fail_at([]);
    drop(projection);
    let projection = open(&annals, &path, &mailbox, &faults, 2).unwrap();
    projection.run_until_caught_up().unwrap();
    assert_eq!(*mailbox.lock().unwrap(), [1, 2, 3, 4, 5, 5, 6, 5, 6]);
    drop(projection);
    let projection = open(&annals, &path, &mailbox, &faults, 2).unwrap();
    projection.run_until_caught_up().unwrap();
    assert_eq!(mailbox.lock().unwrap().len(), 9);

    projection.rebuild().unwrap();
    assert_eq!(projection.status().state, State::Rebuilding);
    projection.run_until_caught_up().unwrap();
    assert_eq!(mailbox.lock().unwrap()[9..], [1, 2, 3, 4, 5, 6]);
    assert_eq!(projection.status().state, State::Following);
}

/// Another projection would begin where this one is, and never see what lies before.
#[test]
fn a_checkpoint_is_of_one_projection() {
    let (directory, annals) = (Directory::new(), Annals::in_memory());
    deposit(&annals.of::<Account>().unwrap(), ["alice"]);
    let path = directory.path().join("mails.checkpoint");
    let open = |name: &str| {
        let view = annals.view(name).on::<Account>(|count: &mut u64, _| *count += 1);
        view.kept_in(AtLeastOnce::new(&path, 0)).open()
    };
    open("one").unwrap().run_until_caught_up().unwrap();
    let error = open("two").unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Checkpoint);
    assert!(error.to_string().contains("\"one\""), "{error}");
}

#[test]
fn a_checkpoint_that_cannot_be_read_or_written_is_named() {
    let (directory, annals) = (Directory::new(), Annals::in_memory());
    let (mailbox, faults) = (Mailbox::default(), Faults::default());
    deposit(&annals.of::<Account>().unwrap(), ["alice"]);
    let path = directory.path().join("mails.checkpoint");
    for odd in ["", "nonsense", "{\"position\":3}"] {
        fs::write(&path, odd).unwrap();
        let error = open(&annals, &path, &mailbox, &faults, 9).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::ReadModel);
        assert!(error.to_string().contains("mails.checkpoint"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), odd);
    }
    let nowhere = directory.path().join("nowhere").join("mails.checkpoint");
    let projection = open(&annals, &nowhere, &mailbox, &faults, 9).unwrap();
    let error = projection.run_until_caught_up().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::ReadModel);
    assert!(error.to_string().contains("nowhere"), "{error}");
    fs::create_dir(directory.path().join("nowhere")).unwrap();
    projection.resume();
    projection.run_until_caught_up().unwrap();
    assert_eq!(*mailbox.lock().unwrap(), [1, 1]);
}
