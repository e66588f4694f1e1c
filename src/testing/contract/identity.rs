//! Who a store is.

use super::law::Law;
use super::material::{event, stream};
use super::reading::served;
use super::report::{Held, hold};
use super::trial::{Factory, Trial};
use crate::store::{Commit, Expected};

/// Two stores are two; each stays who it is.
pub(super) fn identity(factory: &Factory<'_>) -> Held {
    let (mut one, other) = (Trial::begin(factory)?, Trial::begin(factory)?);
    let (identity, another) = (one.store.identity(), other.store.identity());
    hold!(Law::Identity, identity.id != another.id, "two stores have the id {}", identity.id)?;
    one.append(&Commit::new().write(stream("a/1"), Expected::Any, [event("A")]))?;
    let appended_to = one.store.identity();
    served(one.store.close())?;
    for (when, now) in [("an append", appended_to), ("closing", one.store.identity())] {
        hold!(Law::Identity, now == identity, "{identity:?} is {now:?} after {when}")?;
    }
    Ok(())
}
