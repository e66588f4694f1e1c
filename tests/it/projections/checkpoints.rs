//! Checkpoints that belong to another log.

use std::path::Path;

use annals::projection::{AtLeastOnce, Projection};
use annals::storage::Directory as Disk;
use annals::store::{FileStore, care};
use annals::{Annals, Error, ErrorKind, Position};

use super::laws::deposit;
use crate::account::Account;
use crate::directory::Directory;

fn open(annals: &Annals, path: &Path) -> Result<Projection<AtLeastOnce<u64>>, Error> {
    let view = annals.view("count").on::<Account>(|count: &mut u64, _| *count += 1);
    view.kept_in(AtLeastOnce::new(path, 0)).open()
}

fn refused(annals: &Annals, path: &Path) -> String {
    let error = open(annals, path).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Checkpoint);
    assert!(error.position().is_some());
    error.to_string()
}

#[test]
fn a_checkpoint_of_another_store_is_refused_until_the_view_starts_over() {
    let directory = Directory::new();
    let path = directory.path().join("checkpoint");
    let (first, second) = (Annals::in_memory(), Annals::in_memory());
    for annals in [&first, &second] {
        deposit(&annals.of::<Account>().unwrap(), ["alice", "bob"]);
    }
    open(&first, &path).unwrap().run_until_caught_up().unwrap();
    let (own, other) = (first.store().identity().id, second.store().identity().id);
    let said = refused(&second, &path);
    assert!(said.contains(&own.to_string()) && said.contains(&other.to_string()), "{said}");
    open(&first, &path).unwrap();

    let view = second.view("count").on::<Account>(|count: &mut u64, _| *count += 1);
    let anew = view.kept_in(AtLeastOnce::new(&path, 0)).start_over().open().unwrap();
    anew.run_until_caught_up().unwrap();
    open(&second, &path).unwrap();
    refused(&first, &path);
}

#[test]
fn a_checkpoint_that_a_restored_or_copied_back_store_does_not_have_is_refused() {
    let directory = Directory::new();
    let place = |name: &str| directory.path().join(name);
    let path = place("checkpoint");
    let annals = Annals::open(place("store")).unwrap();
    let accounts = annals.of::<Account>().unwrap();
    deposit(&accounts, ["alice"; 10]);
    let copy = |to: &str, up_to: Option<u64>| {
        let (from, to) = (Disk::to_read(place("store")).unwrap(), Disk::new(place(to)).unwrap());
        match up_to {
            Some(position) => {
                drop(care::restore(from, to, Position::new(position), |_| {}).unwrap())
            }
            None => drop(care::backup(from, to, |_| {}).unwrap()),
        }
    };
    copy("backup", None);
    deposit(&accounts, ["bob"; 5]);
    open(&annals, &path).unwrap().run_until_caught_up().unwrap();
    copy("restored", Some(15));
    annals.close().unwrap();

    let restored = Annals::open(place("restored")).unwrap();
    assert!(restored.store().identity().parent.is_some());
    assert!(refused(&restored, &path).contains("position 15"));

    // The backup is the same store, only that it has lost what came after it.
    let backup = Annals::open(place("backup")).unwrap();
    assert!(refused(&backup, &path).contains("ends at position 10"));
    deposit(&backup.of::<Account>().unwrap(), ["cem"; 5]);
    let said = refused(&backup, &path);
    assert!(said.contains("does not stand there"), "{said}");
    backup.close().unwrap();

    // Nothing was changed: in the store that it belongs to, it goes on.
    let annals = Annals::with_store(FileStore::open(place("store")).unwrap());
    let projection = open(&annals, &path).unwrap();
    assert_eq!(projection.status().position, Position::new(15));
    projection.run_until_caught_up().unwrap();
}
