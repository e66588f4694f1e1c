//! Files that a newer version has written: what this one does not know is refused by name, and nothing is changed.

use annals::ErrorKind;
use annals::storage::FileName;

use crate::disk::{SimDisk, State};
use crate::golden::{self, Golden};
use crate::records::record_of;
use crate::repair::{relink, repair};

/// Where the format, and the sets of features, stand at the beginning of a file.
const FORMAT: usize = 8;
const IGNORE: usize = 12;
const READ_ONLY: usize = 16;
const REQUIRED: usize = 20;

/// The store with one byte changed and all checksums put right. Runs name the checksums of the log as it was, so there are
/// none, unless it is one that is changed.
fn with_byte(golden: &Golden, file: FileName, offset: usize, byte: u8) -> State {
    let mut bytes = golden.bytes(file);
    bytes[offset] = byte;
    repair(file, &mut bytes);
    let mut state = golden.state.clone();
    if !matches!(file, FileName::Run(..)) {
        state = golden.without_runs();
    }
    state.put(file, bytes);
    relink(&mut state);
    state
}

fn refusal(state: &State) -> ErrorKind {
    let disk = SimDisk::holding(state.clone(), 1);
    let error = golden::open(&disk).map(drop).expect_err("what is not known is refused");
    for file in state.files() {
        assert_eq!(disk.state().bytes(file), state.bytes(file), "{file} was changed");
    }
    error.kind().clone()
}

#[test]
fn an_unknown_format_or_feature_is_refused_by_the_name_of_its_file() {
    let golden = Golden::closed();
    let log: Vec<FileName> = golden.segments().into_iter().map(FileName::Segment).collect();
    for file in log.into_iter().chain([FileName::Store]) {
        for offset in [FORMAT, READ_ONLY, REQUIRED, REQUIRED + 3] {
            let state = with_byte(&golden, file, offset, 2);
            let unsupported = ErrorKind::Unsupported { file: file.to_string() };
            assert_eq!(refusal(&state), unsupported, "byte {offset}");
        }
    }
}

#[test]
fn a_feature_that_may_be_ignored_is() {
    let golden = Golden::closed();
    let log: Vec<FileName> = golden.segments().into_iter().map(FileName::Segment).collect();
    for file in log.into_iter().chain([FileName::Store]).chain(golden.runs()) {
        let state = with_byte(&golden, file, IGNORE, 2);
        golden.look_at(&state).unwrap_or_else(|trouble| panic!("{file}: {trouble}"));
    }
}

#[test]
fn an_unknown_shape_of_a_record_is_refused_not_skipped() {
    let golden = Golden::closed();
    let file = FileName::Segment(1);
    let record = record_of(&golden.bytes(file), &golden.log.events()[0]).unwrap();
    let shape = golden.bytes(file)[record.shape];
    for (bit, name) in [(7, "another kind"), (6, "another field")] {
        let state = with_byte(&golden, file, record.shape, shape ^ 1 << bit);
        let disk = SimDisk::holding(state, 1);
        let asked: Result<(), _> = golden::open(&disk).and_then(|store| match golden.ask(&store) {
            Err(crate::oracle::Trouble::Error(error)) => Err(error),
            other => panic!("{name}: {other:?}"),
        });
        let error = asked.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Unsupported { file: file.to_string() }, "{error:?}");
        assert!(error.to_string().contains(&(shape ^ 1 << bit).to_string()), "{name}: {error}");
    }
}
