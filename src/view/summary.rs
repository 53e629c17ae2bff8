//! A change in a few words, for the column CHANGE. Pure.

use super::History;
use super::diff::{Delta, Segment};
use crate::json::Value;
use crate::redact::Names;
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
#[derive(Default)]
struct DeltaGroup {
    label: String,
    /// Whether the items of a list are meant.
    is_list: bool,
    added: usize,
    removed: usize,
    changed: usize,
    values: Option<String>,
}

impl DeltaGroup {
    fn count(&mut self, delta: &Delta<'_>, names: &Names) {
        match (delta.from, delta.to) {
            (None, _) => self.added += 1,
            (_, None) => self.removed += 1,
            (Some(from), Some(to)) => {
                self.changed += 1;
                self.values = numbers(&delta.path, from, to, names);
            }
        }
    }

    fn words(self) -> String {
        let Self {
            label,
            is_list,
            added,
            removed,
            changed,
            values,
        } = self;
        match (is_list, added, removed, changed, values) {
            (false, 0, 0, 1, Some(values)) => format!("{label} {values}"),
            (false, _, 0, 0, _) => format!("+{label}"),
            (false, 0, _, 0, _) => format!("-{label}"),
            (true, ..) if label == "restarted" => label,
            (true, 1.., 0, 0, _) => format!("{label} +{added}"),
            (true, 0, 1.., 0, _) => format!("{label} -{removed}"),
            _ => label,
        }
    }
}

fn groups(deltas: &[Delta<'_>], names: &Names) -> Vec<DeltaGroup> {
    let mut groups: Vec<DeltaGroup> = Vec::new();
    for delta in deltas {
        let (label, is_list) = if is_restart(delta) {
            ("restarted".to_owned(), true)
        } else {
            label(&delta.path)
        };
        let known = groups
            .iter()
            .position(|group| group.label == label && group.is_list == is_list);
        let at = known.unwrap_or_else(|| {
            groups.push(DeltaGroup {
                label,
                is_list,
                ..DeltaGroup::default()
            });
            groups.len() - 1
        });
        groups[at].count(delta, names);
    }
    groups
}

/// What `kubectl rollout restart` writes: a time in an annotation of the pod template.
fn is_restart(delta: &Delta<'_>) -> bool {
    let annotations = Segment::Key("annotations");
    let is_alone = |added: Value<'_>| added.len() == 1 && added.get(RESTARTED_AT).is_some();
    delta
        .path
        .ends_with(&[annotations, Segment::Key(RESTARTED_AT)])
        || (delta.path.ends_with(&[annotations])
            && delta.from.is_none()
            && delta.to.is_some_and(is_alone))
}

/// The last two keys, or the variable's name, or the name of the list; and whether the items of a list are meant.
fn label(path: &[Segment<'_>]) -> (String, bool) {
    let below_root = match path {
        [Segment::Key("spec"), below @ ..] if !below.is_empty() => below,
        _ => path,
    };
    let last_item = below_root
        .iter()
        .rposition(|segment| segment.key().is_none());
    let Some(at) = last_item else {
        return (last_keys(below_root), false);
    };
    let mut above = below_root[..at].iter().rev();
    let list = above.find_map(|segment| segment.key()).unwrap_or("item");
    match below_root[at] {
        Segment::Name(name) if list == "env" => (format!("env {name}"), false),
        Segment::Name(name) if at + 1 == below_root.len() => (format!("{list} {name}"), false),
        Segment::Index(_) => (list.to_owned(), true),
        _ => (last_keys(&below_root[at + 1..]), false),
    }
}

fn last_keys(path: &[Segment<'_>]) -> String {
    let keys: Vec<_> = path.iter().filter_map(|segment| segment.key()).collect();
    keys[keys.len().saturating_sub(2)..].join(".")
}

/// `1→3`, when both are numbers or quantities.
fn numbers(path: &[Segment<'_>], from: Value<'_>, to: Value<'_>, names: &Names) -> Option<String> {
    let hidden = path.iter().any(
        |s| matches!(s, Segment::Key(k) | Segment::Name(k) if *k == "env" || names.secret_name(k)),
    );
    let quantity = path
        .iter()
        .any(|s| matches!(s, Segment::Key("limits" | "requests")));
    if hidden || !(quantity || (from.as_number().is_some() && to.as_number().is_some())) {
        return None;
    }
    Some(format!("{}→{}", short_number(from)?, short_number(to)?))
}

/// The text of a short number or quantity.
fn short_number(value: Value<'_>) -> Option<&str> {
    let text = value.as_number().or_else(|| value.as_str())?;
    (text.len() <= 8 && text.starts_with(|c: char| c.is_ascii_digit())).then_some(text)
}

fn join(groups: Vec<DeltaGroup>) -> String {
    let all = groups.len();
    let mut text = String::new();
    for (i, group) in groups.into_iter().enumerate() {
        let words = group.words();
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
