//! What the crate `tracing` is told, with the feature of that name. Without it, all of this is nothing.

/// Enters a span of this name and with these fields, in the form in which `tracing` takes them, until what this gives is dropped.
macro_rules! span {
    ($name:literal, $($fields:tt)*) => {{
        #[cfg(feature = "tracing")]
        let span = $crate::trace::Span::enter(tracing::debug_span!($name, $($fields)*));
        #[cfg(not(feature = "tracing"))]
        let span = $crate::trace::Span;
        span
    }};
}

/// Tells of something at this level, with these fields and this message.
macro_rules! event {
    ($level:ident, $($fields:tt)*) => {
        #[cfg(feature = "tracing")]
        tracing::event!(tracing::Level::$level, $($fields)*);
    };
}

pub(crate) use event;
pub(crate) use span;

/// A span that is left when this is dropped.
#[cfg(feature = "tracing")]
pub(crate) struct Span(tracing::span::EnteredSpan);

#[cfg(feature = "tracing")]
impl Span {
    pub(crate) fn enter(span: tracing::Span) -> Self {
        Self(span.entered())
    }

    /// Adds what was not known in the beginning.
    pub(crate) fn record(&self, field: &'static str, value: impl tracing::Value) {
        self.0.record(field, value);
    }
}

#[cfg(not(feature = "tracing"))]
pub(crate) struct Span;

#[cfg(not(feature = "tracing"))]
impl Span {
    /// Nobody is told.
    #[inline]
    pub(crate) fn record<T>(&self, _: &'static str, _: T) {}
}
