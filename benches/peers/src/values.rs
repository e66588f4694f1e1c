//! Events as values of key-value stores.

use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::workload::{Commit, Context, Fact, Write};

/// An event that has its place.
pub struct Placed<'c> {
    pub position: u64,
    pub version: u64,
    pub id: Uuid,
    pub write: &'c Write,
    pub value: Vec<u8>,
}

/// The events of a commit behind the last position; `check` is called with each write.
pub fn place<'c>(
    commit: &'c Commit,
    mut last: u64,
    mut check: impl FnMut(&Write),
    mut each: impl FnMut(Placed<'c>),
) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64;
    let (count, mut ordinal) = (commit.events() as u32, 0_u32);
    for write in &commit.writes {
        check(write);
        for (version, fact) in (write.expected + 1..).zip(&write.facts) {
            last += 1;
            let (id, numbers) = (Uuid::now_v7(), [last, version, now as u64]);
            let value =
                encode(numbers, (ordinal, count), id, &commit.context, (&write.stream, fact));
            each(Placed { position: last, version, id, write, value });
            ordinal += 1;
        }
    }
}

fn encode(
    numbers: [u64; 3],
    place: (u32, u32),
    id: Uuid,
    context: &Context,
    (stream, fact): (&str, &Fact),
) -> Vec<u8> {
    let mut value = Vec::with_capacity(320);
    numbers.iter().for_each(|number| value.extend_from_slice(&number.to_le_bytes()));
    [place.0, place.1, 1].iter().for_each(|number| value.extend_from_slice(&number.to_le_bytes()));
    [id, context.correlation, context.causation]
        .iter()
        .for_each(|id| value.extend_from_slice(id.as_bytes()));
    for text in [fact.kind, stream, context.actor, "branch", context.branch] {
        value.push(text.len() as u8);
        value.extend_from_slice(text.as_bytes());
    }
    value.extend_from_slice(&fact.payload);
    value
}

/// The type and the payload of a stored event.
pub fn decode(value: &[u8]) -> (&str, &[u8]) {
    let mut rest = &value[24 + 12 + 48..];
    let mut text = || {
        let (text, behind) = rest[1..].split_at(rest[0] as usize);
        rest = behind;
        text
    };
    let kind = text();
    for _ in 0..4 {
        text();
    }
    (std::str::from_utf8(kind).unwrap(), rest)
}
