//! Chance that a seed repeats.

/// Chance that a seed repeats.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// A number below `count`.
    pub(crate) fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % count
    }
}
