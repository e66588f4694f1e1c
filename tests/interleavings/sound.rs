//! The sources themselves, and the laws for them.

use crate::surroundings::address;
use crate::sync;

#[path = "../../src/store/file/groups.rs"]
mod groups;
#[path = "../../src/store/file/heads.rs"]
mod heads;
#[path = "../../src/subscription/source.rs"]
mod source;
#[path = "following.rs"]
pub(crate) mod following;
#[path = "laws.rs"]
pub(crate) mod laws;
