//! What a bug is: a change to the source that turns one guarantee off.

/// A bug: what is changed where, and which tests are to find it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bug {
    pub(crate) name: &'static str,
    /// What the names of those tests begin with.
    pub(crate) found_by: &'static str,
    /// Files of the source, what stands there, and what is to stand there instead.
    pub(crate) changes: &'static [(&'static str, &'static str, &'static str)],
}
