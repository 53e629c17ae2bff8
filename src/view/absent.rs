//! Differences that are none, because the kind file says that a value means the same as no value. Pure.

use super::diff::{Delta, Deltas, pattern};
use crate::json::{Document, Value};
use crate::kinds::Absent;

/// Takes away what `rules` say means nothing; nothing when there are more differences than are told.
pub fn ignore(rules: &[Absent], deltas: &mut Deltas<'_>) {
    if !deltas.truncated {
        deltas.list.retain(|delta| !means_nothing(rules, delta));
    }
}

/// Whether a value came or went that counts as no value.
fn means_nothing(rules: &[Absent], delta: &Delta<'_>) -> bool {
    let value = match (delta.from, delta.to) {
        (None, Some(value)) | (Some(value), None) => value,
        // An empty object that is filled differs as a whole.
        (Some(from), Some(to)) if from.is_object() && from.is_empty() => to,
        (Some(from), Some(to)) if to.is_object() && to.is_empty() => from,
        _ => return false,
    };
    is_absent(rules, &pattern(&delta.path), value)
}

/// Recursion ends with the paths of the rules.
fn is_absent(rules: &[Absent], path: &[&str], value: Value<'_>) -> bool {
    if rules.iter().any(|rule| applies(rule, path, value)) {
        return true;
    }
    value.is_object()
        && !value.is_empty()
        && rules.iter().any(|rule| leads_below(rule, path))
        && value.entries().all(|(key, field)| {
            let deeper: Vec<_> = path.iter().copied().chain([key]).collect();
            is_absent(rules, &deeper, field)
        })
}

/// Whether a rule says that this value at this path means no value.
fn applies(rule: &Absent, path: &[&str], value: Value<'_>) -> bool {
    rule.path.keys() == path
        && Document::parse(&rule.when).is_ok_and(|when| when.root().same(value))
}

/// Whether a rule is about something below this path.
fn leads_below(rule: &Absent, path: &[&str]) -> bool {
    let keys = rule.path.keys();
    keys.len() > path.len() && keys.iter().zip(path).all(|(a, b)| a == b)
}
