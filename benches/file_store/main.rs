//! What the store on disk costs, beside what the disk and the processor themselves take for the same bytes.
//!
//! `cargo bench --bench file_store` prints a table; then come a few of criterion's own measurements. Whatever is compared is
//! measured in one run, in turns of many short rounds; *share* is the speed of annals as a part of the limit's: the
//! median of all rounds, and that of the best. A name given as an argument picks a part: `append`, `batch`, `threads`, `bulk`,
//! `replay`, `stream`, `open`, `space`, `care`.
//!
//! With `ANNALS_BENCH_LARGE=1` in the environment, opening is measured with 5,000,000 events, too, and caring with as many.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

mod workload;
mod measure;
mod append;
mod read;
mod open;
mod space;
mod care;

use std::path::Path;

use annals::store::{EventStore, FileStore, Query};
use criterion::Criterion;

use crate::append::{appending, bulk, threads};
use crate::care::caring;
use crate::measure::{FULL, QUICK, Scale, Scratch, is_test, is_wanted, print_head};
use crate::open::{OPEN, open_as_child, opening};
use crate::read::{reading, scattered};
use crate::space::space;
use crate::workload::{Account, digest, stream};

fn print_table(scratch: &Scratch, scale: &Scale) {
    print_head();
    if is_wanted("append") {
        appending(scratch, scale, 1, "0.85");
    }
    if is_wanted("batch") {
        appending(scratch, scale, 100, "");
    }
    if is_wanted("threads") {
        threads(scratch, scale);
    }
    if is_wanted("bulk") {
        bulk(scratch, scale);
    }
    if is_wanted("replay") || is_wanted("stream") {
        reading(scratch, scale);
    }
    if is_wanted("open") {
        opening(scratch, scale);
    }
    if is_wanted("space") {
        space(scratch, scale);
    }
    if is_wanted("care") {
        caring(scratch, scale);
    }
}

/// The same things, one by one, with criterion's statistics.
fn criterion(c: &mut Criterion, scratch: &Scratch) {
    let mut group = c.benchmark_group("file store");
    let mut account = Account::new("alice");
    let store = FileStore::open(scratch.fresh("criterion")).unwrap();
    group.sample_size(20).bench_function("durable commit of 1", |b| {
        b.iter(|| {
            let commits = account.events(1, 1);
            account.append(&store, commits);
        });
    });
    let store = scattered(&scratch.fresh("criterion-reading"), 100);
    group.bench_function("replay of 10,100", |b| b.iter(|| digest(&store, Query::default())));
    let name = stream("00007");
    group.bench_function("load a stream of 100", |b| {
        b.iter(|| digest(&store, Query::new(name.clone())));
    });
    group.bench_function("version of a stream", |b| b.iter(|| store.version(&name).unwrap()));
    group.finish();
}

fn main() {
    if let Some(directory) = std::env::var_os(OPEN) {
        return open_as_child(Path::new(&directory));
    }
    let scratch = Scratch::new();
    print_table(&scratch, if is_test() { &QUICK } else { &FULL });
    let mut c = Criterion::default().configure_from_args();
    criterion(&mut c, &scratch);
    c.final_summary();
}
