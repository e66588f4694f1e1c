//! History is moved between stores as lines of JSON, and is the same afterwards.

mod appending;
mod history;
mod interrupted;
mod large;
mod random;
mod refused;
mod round_trip;
