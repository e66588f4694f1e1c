//! The contract suite: holds any [`EventStore`](crate::store::EventStore) to the laws of the port.
