//! The file store in real processes.
