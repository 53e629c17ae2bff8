//! A change in a few words, for the column CHANGE. Pure.

use super::History;
use super::diff::{Delta, Segment};
use super::redact::Names;
use crate::json::Value;
use crate::text::cut;

const MAX_WORDS: usize = 4;
const MAX_CHARS: usize = 100;
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// `model.storageUri, args +2`.
pub(super) fn summary(history: History<'_>, names: &Names) -> String {
    match history {
        History::First { generation: 1 } => "created".to_owned(),
        History::First { generation } => format!("first seen at generation {generation}"),
        History::Unknown => "changed (the generation before is not known)".to_owned(),
        History::Changed(deltas) => join(groups(&deltas.list, names)),
    }
}

/// Differences that share a label: how many items came, went or changed.
struct DeltaGroup {
    label: String,
    list: bool,
    added: usize,
    removed: usize,
    changed: usize,
    values: Option<String>,
}

fn groups(deltas: &[Delta<'_>], names: &Names) -> Vec<DeltaGroup> {
    let mut groups: Vec<DeltaGroup> = Vec::new();
    for delta in deltas {
        let (label, list) = if is_restart(delta) {
            ("restarted".to_owned(), true)
        } else {
            label(&delta.path)
        };
        let at = groups
            .iter()
            .position(|g| g.label == label && g.list == list)
            .unwrap_or_else(|| {
                groups.push(DeltaGroup {
                    label,
                    list,
                    added: 0,
                    removed: 0,
                    changed: 0,
                    values: None,
                });
                groups.len() - 1
            });
        let group = &mut groups[at];
        match (delta.from, delta.to) {
            (None, _) => group.added += 1,
            (_, None) => group.removed += 1,
            (Some(from), Some(to)) => {
                group.changed += 1;
                group.values = numbers(&delta.path, from, to, names);
            }
        }
    }
    groups
}

/// What `kubectl rollout restart` writes: a time in an annotation of the pod template.
fn is_restart(delta: &Delta<'_>) -> bool {
    let time = |at: &[Segment<'_>]| {
        at.ends_with(&[Segment::Key("annotations"), Segment::Key(RESTARTED_AT)])
    };
    let only_time = |v: Value<'_>| v.len() == 1 && v.get(RESTARTED_AT).is_some();
    time(&delta.path)
        || (delta.path.ends_with(&[Segment::Key("annotations")])
            && delta.from.is_none()
            && delta.to.is_some_and(only_time))
}

/// The last two keys, or the variable's name, or the name of the list; and whether the items of a list are meant.
fn label(path: &[Segment<'_>]) -> (String, bool) {
    let path = path.get(1..).unwrap_or_default();
    let last_item = path.iter().rposition(|s| !matches!(s, Segment::Key(_)));
    let keys = |path: &[Segment<'_>]| {
        let keys: Vec<_> = path
            .iter()
            .filter_map(|s| {
                if let Segment::Key(k) = s {
                    Some(*k)
                } else {
                    None
                }
            })
            .collect();
        keys[keys.len().saturating_sub(2)..].join(".")
    };
    let list = |at: usize| {
        path[..at].iter().rev().find_map(|s| {
            if let Segment::Key(k) = s {
                Some(*k)
            } else {
                None
            }
        })
    };
    match last_item {
        None => (keys(path), false),
        Some(at) => match (path[at], list(at).unwrap_or("item")) {
            (Segment::Name(name), "env") => (format!("env {name}"), false),
            (Segment::Name(name), list) if at + 1 == path.len() => {
                (format!("{list} {name}"), false)
            }
            (Segment::Index(_), list) => (list.to_owned(), true),
            _ => (keys(&path[at + 1..]), false),
        },
    }
}

/// `1→3`, when both are numbers or quantities.
fn numbers(path: &[Segment<'_>], from: Value<'_>, to: Value<'_>, names: &Names) -> Option<String> {
    let text = |v: Value<'_>| {
        let text = v
            .as_number()
            .map(str::to_owned)
            .or_else(|| v.as_str().map(str::to_owned))?;
        (text.len() <= 8 && text.starts_with(|c: char| c.is_ascii_digit())).then_some(text)
    };
    let hidden = path.iter().any(
        |s| matches!(s, Segment::Key(k) | Segment::Name(k) if *k == "env" || names.secret_name(k)),
    );
    let quantity = path
        .iter()
        .any(|s| matches!(s, Segment::Key("limits" | "requests")));
    if hidden || !(quantity || (from.as_number().is_some() && to.as_number().is_some())) {
        return None;
    }
    Some(format!("{}→{}", text(from)?, text(to)?))
}

fn words(group: DeltaGroup) -> String {
    let DeltaGroup {
        label,
        list,
        added,
        removed,
        changed,
        values,
    } = group;
    match (list, added, removed, changed, values) {
        (false, 0, 0, 1, Some(values)) => format!("{label} {values}"),
        (false, _, 0, 0, _) => format!("+{label}"),
        (false, 0, _, 0, _) => format!("-{label}"),
        (true, ..) if label == "restarted" => label,
        (true, 1.., 0, 0, _) => format!("{label} +{added}"),
        (true, 0, 1.., 0, _) => format!("{label} -{removed}"),
        _ => label,
    }
}

fn join(groups: Vec<DeltaGroup>) -> String {
    let all = groups.len();
    let mut text = String::new();
    for (i, group) in groups.into_iter().enumerate() {
        let words = words(group);
        let word = cut(&words, MAX_CHARS - 20);
        let more = format!(" and {} more", all - i);
        if i == MAX_WORDS || text.chars().count() + word.chars().count() + more.len() > MAX_CHARS {
            return text + &more;
        }
        if i > 0 {
            text.push_str(", ");
        }
        text.push_str(&word);
    }
    text
}
