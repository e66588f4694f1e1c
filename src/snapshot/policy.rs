//! When a repository takes snapshots, and what of.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::codec::field_names;
use crate::position::Version;

/// When to take snapshots, and how to turn a state into one. Erases what that asks of the state's type, so that
/// only repositories with snapshots ask for it.
pub(crate) struct SnapshotPlan<A> {
    /// Whether to take one, by the version of the last one and the current version.
    pub(crate) is_due: Arc<dyn Fn(Version, Version) -> bool + Send + Sync>,
    pub(crate) revision: u32,
    /// A digest of the state's type and fields, as far as they can be seen, and of the upcasters.
    shape: u64,
    pub(crate) encode: fn(&A) -> serde_json::Result<Vec<u8>>,
    pub(crate) decode: fn(&[u8]) -> serde_json::Result<A>,
}

impl<A: Default + Serialize + DeserializeOwned> SnapshotPlan<A> {
    /// Takes no snapshots yet.
    pub(crate) fn new<'a>(histories: impl Iterator<Item = (&'a str, Vec<String>)>) -> Self {
        Self {
            is_due: Arc::new(|_, _| false),
            revision: 0,
            shape: digest_of_shape::<A>(histories),
            encode: serde_json::to_vec,
            decode: |state| serde_json::from_slice(state),
        }
    }
}

impl<A> SnapshotPlan<A> {
    /// A digest of all that the meaning of a state depends on beside the events.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut digest = Digest::new();
        digest.number(u64::from(self.revision));
        digest.number(self.shape);
        digest.0
    }
}

impl<A> Clone for SnapshotPlan<A> {
    fn clone(&self) -> Self {
        Self { is_due: Arc::clone(&self.is_due), ..*self }
    }
}

/// What can be seen of a state's shape (its type, the fields that it reads, and those of its initial value, also nested
/// ones) and of the history of the events that it is folded from.
fn digest_of_shape<'a, A: Default + Serialize + DeserializeOwned>(
    histories: impl Iterator<Item = (&'a str, Vec<String>)>,
) -> u64 {
    let mut digest = Digest::new();
    digest.text(std::any::type_name::<A>());
    field_names::<A>().iter().for_each(|field| digest.text(field));
    if let Ok(initial) = serde_json::to_value(A::default()) {
        digest_fields(&initial, &mut digest);
    }
    for (event_type, rules) in histories {
        digest.text(event_type);
        rules.iter().for_each(|rule| digest.text(rule));
        digest.number(rules.len() as u64);
    }
    digest.0
}

fn digest_fields(value: &Value, digest: &mut Digest) {
    match value {
        Value::Object(fields) => {
            digest.number(fields.len() as u64);
            for (name, value) in fields {
                digest.text(name);
                digest_fields(value, digest);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| digest_fields(item, digest)),
        _ => {}
    }
}

/// FNV-1a, which gives the same number in every program and for ever.
struct Digest(u64);

impl Digest {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
