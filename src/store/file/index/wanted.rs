//! From a filter to what is looked for in the index.

use super::cursor::{Cursor, TermCursor};
use super::terms::{Hash, Terms};
use crate::id::EventId;
use crate::store::filter::{Clause, Filter};

/// Where the index says that matching events may be; `None` if it has to be everywhere.
pub(crate) fn cursor_for(filter: &Filter, terms: Terms) -> Option<Cursor> {
    let clauses = filter.clauses().iter().map(|clause| clause_cursor(clause, terms));
    clauses.collect::<Option<Vec<_>>>().map(|all| one_or(all, Cursor::Any))
}

/// Where events with this id may be.
pub(crate) fn cursor_for_id(id: EventId, terms: Terms) -> Cursor {
    let cursors = terms.event_ids(id).map(|hash| Cursor::Term(TermCursor::new(hash)));
    one_or(cursors.collect(), Cursor::Any)
}

fn clause_cursor(clause: &Clause, terms: Terms) -> Option<Cursor> {
    let term = |hash| Cursor::Term(TermCursor::new(hash));
    let any = |hashes: Vec<Hash>| one_or(hashes.into_iter().map(term).collect(), Cursor::Any);
    let named = [
        clause.named_streams().map(|all| all.iter().map(|one| terms.stream(one)).collect()),
        clause.named_categories().map(|all| all.iter().map(|one| terms.category(one)).collect()),
        clause.named_types().map(|all| all.iter().map(|one| terms.event_type(one)).collect()),
    ];
    let mut all: Vec<Cursor> = named.into_iter().flatten().map(any).collect();
    all.extend(clause.named_tags().iter().map(|tag| term(terms.tag(tag))));
    all.extend(clause.named_correlation().map(|id| term(terms.correlation(id))));
    all.extend(clause.named_event().map(|id| cursor_for_id(id, terms)));
    all.extend(clause.named_cause().map(|id| term(terms.causation(id))));
    let named = (!all.is_empty()).then(|| one_or(all, Cursor::All))?;
    let gaps = clause.sees_gaps().then(|| term(terms.gaps()));
    Some(one_or(gaps.into_iter().chain([named]).collect(), Cursor::Any))
}

fn one_or(mut cursors: Vec<Cursor>, several: impl FnOnce(Vec<Cursor>) -> Cursor) -> Cursor {
    match cursors.pop() {
        Some(only) if cursors.is_empty() => only,
        last => {
            cursors.extend(last);
            several(cursors)
        }
    }
}
