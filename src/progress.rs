//! How far something long has come.

/// How far something long has come. Whoever starts it gives a function that is told now and then, at last when it is done.
///
/// ```
/// use annals::Progress;
///
/// let mut percent = |at: Progress| println!("{} of {}", at.done, at.total);
/// # let _: &mut dyn FnMut(Progress) = &mut percent;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// How much is done.
    pub done: u64,
    /// How much there is to do, as far as is known; never less than what is done.
    pub total: u64,
}

impl Progress {
    pub(crate) fn new(done: u64, total: u64) -> Self {
        Self { done, total: total.max(done) }
    }

    pub(crate) fn add(&mut self, more: u64) {
        *self = Self::new(self.done + more, self.total);
    }
}
