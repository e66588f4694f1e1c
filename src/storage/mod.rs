//! The seam to the disk: the one small trait through which a store on disk reaches its files, and the operating system's
//! own implementation. Another implementation can forget, tear and fail as real disks do, and so put the store to the test.

mod file_name;
mod seam;
mod zeros;
mod directory;
pub(crate) mod paths;

pub use directory::Directory;
pub use file_name::FileName;
pub(crate) use seam::PAGE_BYTES;
pub use seam::{Storage, StorageFile, StorageLock};
