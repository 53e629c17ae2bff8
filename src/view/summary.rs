//! A change in a few words, for the column CHANGE. Pure.

use super::History;
use super::diff::{self, Delta, Meaning, Segment};
use super::excerpt::focus;
use super::normal::is_nothing;
use crate::json::Value;
use crate::redact::REDACTED;
use crate::text::cut;

const MAX_WORDS: usize = 4;
const MAX_CHARS: usize = 100;
/// One side of a change in the summary, where it can be shortened.
const SHORT: usize = 16;
/// The same where it cannot.
const MAX_SIDE: usize = 24;
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
/// Stands before changes of which none has an effect.
pub const NO_EFFECT: &str = "no effect";

/// A difference, and both its sides without secrets.
pub(super) struct ShownDelta<'s, 'd> {
    pub(super) delta: &'s Delta<'d>,
    /// None where it is not shown.
    pub(super) sides: Option<[Option<String>; 2]>,
}

/// `model.storageUri m/6→m/7, args +2`.
pub(super) fn summary(
    history: History<'_>,
    shown: &[ShownDelta<'_, '_>],
    objects: [Option<Value<'_>>; 2],
) -> String {
    match history {
        History::First { generation: 1 } => "created".to_owned(),
        History::First { generation } => format!("first seen at generation {generation}"),
        History::Unknown => "changed (the generation before is not known)".to_owned(),
        History::Changed(_) => changed(shown, objects),
    }
}

fn changed(shown: &[ShownDelta<'_, '_>], objects: [Option<Value<'_>>; 2]) -> String {
    let has_effect = |one: &&ShownDelta<'_, '_>| one.delta.meaning != Meaning::Nothing;
    let effective: Vec<_> = shown.iter().filter(has_effect).collect();
    if !effective.is_empty() || shown.is_empty() {
        return join(groups(&effective, objects));
    }
    let all: Vec<_> = shown.iter().collect();
    format!("{NO_EFFECT}: {}", join(groups(&all, objects)))
}

/// Differences that share a label: how many items came, went or changed.
#[derive(Default)]
struct DeltaGroup {
    label: Label,
    added: usize,
    removed: usize,
    /// Of each that changed the item that it is in, and the values.
    changed: Vec<(Option<String>, Option<String>)>,
}

/// What a difference is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Label {
    text: String,
    /// Whether the items of a list are meant.
    is_list: bool,
}

impl DeltaGroup {
    fn words(self) -> String {
        let Label { text, is_list } = self.label;
        match (is_list, self.added, self.removed, self.changed.len()) {
            (true, ..) if text == "restarted" => text,
            (_, 0, 0, _) => changes(text, self.changed),
            (false, _, 0, 0) => format!("+{text}"),
            (false, 0, _, 0) => format!("-{text}"),
            (true, added @ 1.., 0, 0) => format!("{text} +{added}"),
            (true, 0, removed @ 1.., 0) => format!("{text} -{removed}"),
            _ => text,
        }
    }
}

/// Values that are the same everywhere stand once; those of two items stand beside their names.
fn changes(label: String, mut all: Vec<(Option<String>, Option<String>)>) -> String {
    let first = all.first().and_then(|(_, values)| values.clone());
    let Some(first) = first else {
        return label;
    };
    if all
        .iter()
        .all(|(_, values)| values.as_ref() == Some(&first))
    {
        return format!("{label} {first}");
    }
    all.truncate(3);
    let named: Option<Vec<_>> = all
        .iter()
        .map(|(item, values)| Some(format!("{} {label} {}", item.as_ref()?, values.as_ref()?)))
        .collect();
    match named {
        Some(named) if named.len() < 3 => named.join(", "),
        _ => label,
    }
}

fn groups(shown: &[&ShownDelta<'_, '_>], objects: [Option<Value<'_>>; 2]) -> Vec<DeltaGroup> {
    let mut groups: Vec<DeltaGroup> = Vec::new();
    for one in shown {
        let (label, values) = named(one, objects);
        let known = groups.iter().position(|group| group.label == label);
        let at = known.unwrap_or_else(|| {
            groups.push(DeltaGroup {
                label,
                ..DeltaGroup::default()
            });
            groups.len() - 1
        });
        match (one.delta.from, one.delta.to) {
            (None, _) => groups[at].added += 1,
            (_, None) => groups[at].removed += 1,
            _ => groups[at].changed.push((item(&one.delta.path), values)),
        }
    }
    groups
}

/// The label of a difference, and its values where they are short.
fn named(shown: &ShownDelta<'_, '_>, objects: [Option<Value<'_>>; 2]) -> (Label, Option<String>) {
    let delta = shown.delta;
    let mut label = label(delta);
    if delta.meaning == Meaning::Order {
        label.text = format!("{} order", list_name(&delta.path));
        return (label, None);
    }
    let Some([Some(old), Some(new)]) = &shown.sides else {
        return (label, None);
    };
    let (name, values) = focus([old, new]).unwrap_or_default();
    let flag = flag_before(delta, objects[1]).map(str::to_owned);
    if let Some(name) = name.or(flag) {
        label.text = format!("{} {name}", label.text);
        label.is_list = false;
    }
    (label, short(&values))
}

/// `1→3`; of long values without the beginning that they share, as far as it takes to be short.
fn short([old, new]: &[String; 2]) -> Option<String> {
    let is_long = |text: &str| text.chars().nth(SHORT).is_some();
    let common = old.char_indices().zip(new.chars());
    let common = common.take_while(|((_, a), b)| a == b).map(|(at, _)| at);
    let boundaries = common.filter(|(_, c)| matches!(c, '/' | ':' | '@' | '=' | ' '));
    let starts: Vec<_> = boundaries.map(|(at, c)| at + c.len_utf8()).collect();
    let fits = |at: &usize| !is_long(&old[*at..]) && !is_long(&new[*at..]);
    let first = std::iter::once(0).chain(starts.iter().copied()).find(fits);
    let start = first.or(starts.last().copied()).unwrap_or_default();
    let sides = [&old[start..], &new[start..]];
    let is_shown = |side: &&str| {
        !side.is_empty() && !side.starts_with(['{', '[']) && !side.contains(&REDACTED[..9])
    };
    if !sides.iter().all(is_shown) {
        return None;
    }
    let [old, new] = sides.map(|side| {
        let line: Vec<_> = side.split_whitespace().collect();
        cut(&line.join(" "), MAX_SIDE).into_owned()
    });
    (old != new).then(|| format!("{old}→{new}"))
}

/// The flag before an argument that changed.
fn flag_before<'d>(delta: &Delta<'d>, object: Option<Value<'d>>) -> Option<&'d str> {
    let (Segment::Index(at) | Segment::Moved { to: at, .. }, list) = delta.path.split_last()?
    else {
        return None;
    };
    let list = diff::find(object?, list, 1)?;
    let before = list.items().nth(at.checked_sub(1)?)?.as_str()?;
    (before.starts_with('-') && !before.contains('=')).then_some(before)
}

/// What `kubectl rollout restart` writes: a time in an annotation of the pod template.
fn is_restart(delta: &Delta<'_>) -> bool {
    let annotations = Segment::Key("annotations");
    let is_alone = |added: Value<'_>| {
        let added = added
            .get("annotations")
            .filter(|_| added.len() == 1)
            .unwrap_or(added);
        added.len() == 1 && added.get(RESTARTED_AT).is_some()
    };
    let is_added = delta.from.is_none_or(is_nothing);
    let last = delta.path.last();
    let is_metadata = last.is_some_and(|it| [annotations, Segment::Key("metadata")].contains(it));
    delta
        .path
        .ends_with(&[annotations, Segment::Key(RESTARTED_AT)])
        || (is_added && is_metadata && delta.to.is_some_and(is_alone))
}

/// The last two keys, or the variable's name, or the name of the list; of the metadata of a template, that.
fn label(delta: &Delta<'_>) -> Label {
    if is_restart(delta) {
        return Label {
            text: "restarted".to_owned(),
            is_list: true,
        };
    }
    let below_root = match delta.path.as_slice() {
        [Segment::Key("spec"), below @ ..] if !below.is_empty() => below,
        path => path,
    };
    if let Some(text) = of_template(below_root) {
        return Label {
            text,
            is_list: false,
        };
    }
    let is_item = |segment: &Segment<'_>| segment.key().is_none();
    let Some(at) = below_root.iter().rposition(is_item) else {
        return Label {
            text: last_keys(below_root),
            is_list: false,
        };
    };
    let list = list_name(&below_root[..at]);
    let below = &below_root[at + 1..];
    let (text, is_list) = match below_root[at] {
        Segment::Name(name) if list == "env" => (format!("env {name}"), false),
        Segment::Name(name) if below.is_empty() => (format!("{list} {name}"), false),
        Segment::Name(_) => (last_keys(below), false),
        _ if below.is_empty() => (list.to_owned(), true),
        _ => (format!("{list} {}", last_keys(below)), false),
    };
    Label { text, is_list }
}

fn list_name<'p>(path: &[Segment<'p>]) -> &'p str {
    let mut above = path.iter().rev();
    above.find_map(|segment| segment.key()).unwrap_or("item")
}

/// `template annotation x`, for a path within the metadata of a pod template.
fn of_template(path: &[Segment<'_>]) -> Option<String> {
    let at = path.windows(2).position(|pair| match pair {
        [Segment::Key(template), Segment::Key("metadata")] => {
            template.to_ascii_lowercase().ends_with("template")
        }
        _ => false,
    })?;
    Some(match &path[at + 2..] {
        [Segment::Key("annotations"), Segment::Key(key)] => format!("template annotation {key}"),
        [Segment::Key("labels"), Segment::Key(key)] => format!("template label {key}"),
        [] => "template metadata".to_owned(),
        below => format!("template {}", last_keys(below)),
    })
}

fn last_keys(path: &[Segment<'_>]) -> String {
    let keys: Vec<_> = path.iter().filter_map(|segment| segment.key()).collect();
    keys[keys.len().saturating_sub(2)..].join(".")
}

/// The item or the template that a difference is in, to tell it from the same one in another.
fn item(path: &[Segment<'_>]) -> Option<String> {
    path.iter().rev().find_map(|segment| match segment {
        Segment::Name(name) => Some((*name).to_owned()),
        Segment::Key(key) => {
            let part = key.strip_suffix("Template").filter(|part| !part.is_empty());
            part.map(str::to_owned)
        }
        _ => None,
    })
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
