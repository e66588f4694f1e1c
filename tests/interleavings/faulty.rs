//! Copies of the sources with faults in them, each of which can be switched on, and the laws for them.

use crate::surroundings::address;
use crate::sync;

/// Does something else than the source does, if the fault is switched on. Each stands in a line of its own: without these
/// lines, a copy is the source.
macro_rules! fault {
    ($fault:ident, $instead:expr) => {
        if crate::faults::is_on(crate::faults::Fault::$fault) {
            $instead;
        }
    };
}

#[path = "faulty_groups.rs"]
mod groups;
#[path = "faulty_heads.rs"]
mod heads;
#[path = "faulty_source.rs"]
mod source;
#[path = "following.rs"]
pub(crate) mod following;
#[path = "laws.rs"]
pub(crate) mod laws;

/// A copy without its faults.
fn mended(copy: &str) -> String {
    let is_sound = |line: &&str| !line.trim_start().starts_with("fault!(");
    copy.lines().filter(is_sound).map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_copies_are_the_sources_but_for_their_faults() {
    let pairs = [
        (include_str!("faulty_groups.rs"), include_str!("../../src/store/file/groups.rs")),
        (include_str!("faulty_heads.rs"), include_str!("../../src/store/file/heads.rs")),
        (include_str!("faulty_source.rs"), include_str!("../../src/subscription/source.rs")),
    ];
    for (copy, source) in pairs {
        assert_eq!(mended(copy), source, "a source has changed: make its copy anew");
    }
}
