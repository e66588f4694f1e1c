//! What the sources under test import from the crate, by the paths that they use.

pub(crate) mod error {
    pub(crate) use annals::{Error, ErrorKind};
}

pub(crate) mod position {
    pub(crate) use annals::Position;
}

pub(crate) mod event {
    pub(crate) use annals::{Batch, RecordedEvent};
}

pub(crate) mod store {
    pub(crate) use annals::store::{EventStore, Filter, Interrupt, Query};

    pub(crate) mod event_store {
        pub(crate) use annals::store::Head;
    }

    pub(crate) mod interrupt {
        pub(crate) use annals::store::Interrupt;
    }
}

/// An address is a number here.
pub(crate) mod address {
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    pub(crate) struct Address(pub(crate) u64);
}
