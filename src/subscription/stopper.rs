//! Ending a subscription from elsewhere.

use std::sync::Arc;

use crate::store::{EventStore, Interrupt};

/// Ends a [`Subscription`](super::Subscription) from another thread; made by
/// [`Subscription::stopper`](super::Subscription::stopper). Cheap to clone. Like every handle, it keeps the store open.
#[derive(Debug, Clone)]
pub struct Stopper {
    store: Arc<dyn EventStore>,
    over: Arc<Interrupt>,
}

impl Stopper {
    pub(super) fn new(store: &Arc<dyn EventStore>, over: &Arc<Interrupt>) -> Self {
        Self { store: Arc::clone(store), over: Arc::clone(over) }
    }

    /// Ends the subscription, for good: also if it is asleep, or has yet to begin. What it has handed out stays handed out, and
    /// nothing further comes.
    pub fn stop(&self) {
        self.store.interrupt(&self.over);
    }
}
