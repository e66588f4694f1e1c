//! The contract suite itself: `MemoryStore` keeps it, and stores that are wrong in one way do not.
