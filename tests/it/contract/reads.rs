//! Stores that hand out the wrong events, or the right ones wrongly.

use annals::store::{Clause, Direction, EventStore};
use annals::testing::contract::Law;
use annals::{Batch, Position, Version};

use super::broken::{breaks, query_of, read_with, reversed, without_streams_and_tags};

#[test]
fn any_tag_suffices() {
    breaks(Law::Filters, |store, _| {
        store.read(|inner, query| {
            read_with(inner, query, |clause| match clause.named_tags() {
                [] | [_] => vec![clause.clone()],
                tags => {
                    let bare = without_streams_and_tags(clause);
                    let bare = clause
                        .named_streams()
                        .map_or(bare.clone(), |named| bare.streams(named.to_vec()));
                    tags.iter().map(|tag| bare.clone().tag(tag.clone())).collect()
                }
            })
        })
    });
}

#[test]
fn an_empty_list_of_streams_matches_everything() {
    breaks(Law::Filters, |store, _| {
        store.read(|inner, query| {
            read_with(inner, query, |clause| match clause.named_streams() {
                Some([]) => {
                    let bare = without_streams_and_tags(clause);
                    vec![clause.named_tags().iter().cloned().fold(bare, Clause::tag)]
                }
                _ => vec![clause.clone()],
            })
        })
    });
}

#[test]
fn a_cause_is_not_looked_at() {
    breaks(Law::Filters, |store, _| {
        store.read(|inner, query| {
            read_with(inner, query, |clause| match clause.named_cause() {
                Some(_) => {
                    vec![clause.named_event().map_or(Clause::new(), |id| Clause::new().event(id))]
                }
                None => vec![clause.clone()],
            })
        })
    });
}

#[test]
fn the_effects_of_an_event_are_taken_for_it() {
    breaks(Law::Filters, |store, _| {
        store.read(|inner, query| {
            read_with(inner, query, |clause| match (clause.named_event(), clause.named_cause()) {
                (Some(id), None) => vec![clause.clone(), Clause::new().caused_by(id)],
                _ => vec![clause.clone()],
            })
        })
    });
}

#[test]
fn a_range_of_versions_begins_one_too_early() {
    breaks(Law::Ranges, |store, _| {
        store.read(|inner, query| {
            let after = query.versions().0;
            let early = query.clone().after_version(Version::new(after.get().saturating_sub(1)));
            let (batch, rest) = inner.read(&early)?;
            Ok((batch, rest.map(|rest| rest.after_version(after))))
        })
    });
}

#[test]
fn a_range_of_times_begins_one_too_early() {
    breaks(Law::Ranges, |store, _| {
        store.read(|inner, query| {
            let Some(after) = query.times().0 else {
                return inner.read(query);
            };
            let earlier = after.checked_sub_signed(chrono::TimeDelta::microseconds(1));
            let (batch, rest) = inner.read(&query.clone().after_time(earlier.unwrap_or(after)))?;
            Ok((batch, rest.map(|rest| rest.after_time(after))))
        })
    });
}

#[test]
fn backwards_is_forwards_within_a_batch() {
    breaks(Law::ReadOrder, |store, _| {
        store.read(|inner, query| {
            let (batch, rest) = inner.read(query)?;
            let backwards = query.direction() == Direction::Backwards;
            Ok((if backwards { reversed(&batch) } else { batch }, rest))
        })
    });
}

#[test]
fn a_limit_is_ignored() {
    breaks(Law::ReadLimit, |store, _| {
        store.read(|inner, query| {
            inner.read(&query_of(query.filter().clone(), query.positions().1, None, query))
        })
    });
}

#[test]
fn a_limit_begins_anew_with_each_batch() {
    breaks(Law::ReadLimit, |store, _| {
        store.read(|inner, query| {
            let (batch, rest) = inner.read(query)?;
            let limit = query.limited_to();
            let rest = rest.map(|rest| limit.map_or(rest.clone(), |limit| rest.limit(limit)));
            Ok((batch, rest))
        })
    });
}

#[test]
fn a_rest_skips_an_event() {
    breaks(Law::ReadPaging, |store, _| {
        store.read(|inner, query| {
            let (batch, rest) = inner.read(query)?;
            let rest = rest.map(|rest| match rest.positions() {
                (after, _) if query.direction() == Direction::Forwards => {
                    rest.after(Position::new(after.get() + 1))
                }
                (_, end) => {
                    let end = end.map_or(0, Position::get);
                    rest.up_to(Position::new(end.saturating_sub(1)))
                }
            });
            Ok((batch, rest))
        })
    });
}

#[test]
fn a_rest_is_not_pinned_to_the_head_of_the_first_batch() {
    breaks(Law::ReadIsPinned, |store, _| {
        store.read(|inner, query| {
            let (batch, rest) = inner.read(query)?;
            let unpinned =
                query.direction() == Direction::Forwards && query.positions().1.is_none();
            let rest = rest.map(|rest| {
                let end = rest.positions().1.filter(|_| !unpinned);
                query_of(rest.filter().clone(), end, rest.limited_to(), &rest)
            });
            Ok((batch, rest))
        })
    });
}

#[test]
fn a_batch_holds_everything() {
    breaks(Law::BoundedBatches, |store, _| {
        store.read(|inner, query| {
            let (mut all, mut next) = (Batch::new(), Some(query.clone()));
            while let Some(query) = next {
                let (batch, rest) = inner.read(&query)?;
                batch.iter().for_each(|event| all.push(&event));
                next = rest;
            }
            Ok((all, None))
        })
    });
}

#[test]
fn a_long_stream_makes_it_panic() {
    breaks(Law::Serves, |store, _| {
        store.version(|inner, stream| {
            let version = inner.version(stream)?;
            assert!(version < Version::new(40), "index out of bounds");
            Ok(version)
        })
    });
}

#[test]
fn the_end_of_all_positions_makes_it_panic() {
    breaks(Law::Serves, |store, _| {
        store.read(|inner, query| {
            assert!(query.positions().0.get() < u64::MAX, "attempt to add with overflow");
            inner.read(query)
        })
    });
}
