//! What users see of gaps: the directory of a store is damaged and salvaged, and the store asked for everything.

mod patient;
mod aggregates;
mod answers;
