//! The sources themselves, and the laws for them.

use crate::surroundings::address;
use crate::sync;

#[path = "../../src/store/file/groups.rs"]
mod groups;
#[path = "../../src/store/file/heads.rs"]
mod heads;
#[path = "laws.rs"]
pub(crate) mod laws;
