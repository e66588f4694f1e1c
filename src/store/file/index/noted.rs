//! What recent events stand under, noted in the order of the log and put in the order of terms.

use super::terms::{Hash, Pair, part_of};
use crate::store::file::address::Address;

/// Events under terms, in the order in which they came.
#[derive(Default)]
pub(crate) struct Noted {
    /// Where the events lie, ascending.
    addresses: Vec<Address>,
    /// In the order in which they begin.
    spans: Vec<Span>,
}

/// Events one behind the other that stand under a term: their numbers, the second of which is not one of them.
#[derive(Clone, Copy)]
struct Span {
    term: Hash,
    from: u32,
    to: u32,
}

impl Noted {
    /// Begins with the event at this address, behind all others.
    pub(super) fn begin(&mut self, address: Address) {
        self.addresses.push(address);
    }

    /// Where the first event lies.
    pub(super) fn first(&self) -> Option<Address> {
        self.addresses.first().copied()
    }

    /// Puts the last event under a term. If the event before stood under it, that may be noted in the span with this number; in which it
    /// is now is returned.
    pub(super) fn add(&mut self, term: Hash, span: usize) -> usize {
        let to = number(self.addresses.len());
        match self.spans.get_mut(span) {
            Some(before) if before.term == term && before.to == to - 1 => {
                before.to = to;
                span
            }
            _ => {
                self.spans.push(Span { term, from: to - 1, to });
                self.spans.len() - 1
            }
        }
    }

    /// Adds a term, and where its events lie.
    pub(super) fn add_term(&mut self, term: Hash, addresses: &[Address]) {
        let from = number(self.addresses.len());
        self.addresses.extend_from_slice(addresses);
        self.spans.push(Span { term, from, to: number(self.addresses.len()) });
    }

    /// Adds what was noted behind this.
    pub(super) fn add_all(&mut self, other: &Self) {
        let before = number(self.addresses.len());
        self.addresses.extend_from_slice(&other.addresses);
        let behind = |span: &Span| Span { from: span.from + before, to: span.to + before, ..*span };
        self.spans.extend(other.spans.iter().map(behind));
    }

    pub(super) fn into_pairs(self) -> Pairs {
        Pairs { addresses: self.addresses, spans: sorted(&self.spans) }
    }

    /// Hands out and forgets all terms, each with the addresses of a span; the spans of a term in the order in which they begin.
    pub(super) fn drain(&mut self, mut each: impl FnMut(Hash, &[Address])) {
        for span in self.spans.drain(..) {
            each(span.term, &self.addresses[span.from as usize..span.to as usize]);
        }
        self.addresses.clear();
    }
}

/// The number of an event, or of an event under a term, among the recent ones: they take a part of 2^32 bytes of log at most.
fn number(count: usize) -> u32 {
    u32::try_from(count).expect("recent events are few")
}

/// Events under terms, in the order of the terms.
pub(super) struct Pairs {
    addresses: Vec<Address>,
    spans: Vec<Span>,
}

impl Pairs {
    /// How many terms there are.
    pub(super) fn term_count(&self) -> u64 {
        self.spans.chunk_by(|one, next| one.term == next.term).count() as u64
    }

    /// All pairs, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = Pair> {
        let (mut last, mut done) = (None, 0);
        self.spans.iter().flat_map(move |Span { term, from, to }| {
            // Spans overlap where two names share a term, or an event has one twice.
            let from = if last == Some(*term) { done.max(*from) } else { *from };
            (last, done) = (Some(*term), from.max(*to));
            let addresses = self.addresses.get(from as usize..*to as usize).unwrap_or_default();
            addresses.iter().map(|address| (*term, *address))
        })
    }
}

/// Spans by their terms, and those of one term in order. Hashes are spread evenly: of many equal parts, each has few, or else those of one
/// term, which are in order.
fn sorted(spans: &[Span]) -> Vec<Span> {
    let parts = u32::try_from(spans.len() / 4).unwrap_or(u32::MAX).max(1);
    let part_of = |span: &Span| part_of(span.term, parts) as usize;
    let mut ends = vec![0; parts as usize + 1];
    spans.iter().for_each(|span| ends[part_of(span) + 1] += 1);
    (0..parts as usize).for_each(|part| ends[part + 1] += ends[part]);
    let mut sorted = vec![Span { term: 0, from: 0, to: 0 }; spans.len()];
    for span in spans {
        let next = &mut ends[part_of(span)];
        sorted[*next] = *span;
        *next += 1;
    }
    let mut start = 0;
    for end in ends {
        sorted[start..end].sort_by_key(|span| (span.term, span.from));
        start = end;
    }
    sorted
}
