//! The view of a stored Revision, made anew: with other names of secrets, or by a newer extractor. Pure.
//!
//! The list of changes depends on the generation before as well. Where that is not stored any more, what was shown is
//! gone through once more; rather too much of it is hidden than too little.

use super::diff::{self, Segment};
use super::show::{ChangeRenderer, Side};
use super::{History, absent, view};
use crate::json::Value;
use crate::kinds::Kind;
use crate::redact::{
    CHANGED, Hidden, NameContext, Names, REDACTED, Scalar, Siblings, scalar_hidden, unknown,
};
use crate::revision::limits::MAX_VALUE;
use crate::revision::{FieldChange, View};
use crate::text::{cut, visible};

/// The view of one whole object, whose view was `old`; `before` is the object of the generation before. What the kind
/// file's jq finds is added by [`super::complete`].
pub fn again(
    kind: &Kind,
    object: Value<'_>,
    before: Option<Value<'_>>,
    old: &View,
    names: &Names,
) -> Option<View> {
    let told = !old.changes.is_empty();
    if let Some(before) = before.filter(|_| told) {
        let mut deltas = diff::objects(before, object);
        absent::ignore(&kind.absent, &mut deltas);
        if !deltas.list.is_empty() {
            let view = view(kind, object, History::Changed(&deltas), names)?;
            return Some(View {
                same_as: old.same_as,
                ..view
            });
        }
    }
    let mut view = view(kind, object, History::Unknown, names)?;
    view.same_as = old.same_as;
    view.changes = ChangeRedactor::new(object, &old.changes, names).changes();
    view.summary = summary(old, names);
    // Changes that were left out then cannot be had back.
    view.truncated |= told && old.truncated;
    view.fit();
    Some(view)
}

/// Redacts changes of which only the state after them is stored.
pub(super) struct ChangeRedactor<'n, 'd> {
    object: Value<'d>,
    names: &'n Names,
    renderer: ChangeRenderer<'n, 'd>,
    /// All changes, of which one may tell how another one is judged.
    all: &'d [FieldChange],
}

/// One side of a change, in text.
type SideOf = fn(&FieldChange) -> Option<&str>;

fn old_side(change: &FieldChange) -> Option<&str> {
    change.from.as_deref()
}

fn new_side(change: &FieldChange) -> Option<&str> {
    change.to.as_deref()
}

impl<'n, 'd> ChangeRedactor<'n, 'd> {
    /// The object is that of the state after the changes.
    pub(super) fn new(object: Value<'d>, all: &'d [FieldChange], names: &'n Names) -> Self {
        Self {
            object,
            names,
            renderer: ChangeRenderer::new(names, [None, Some(object)]),
            all,
        }
    }

    pub(super) fn changes(&mut self) -> Vec<FieldChange> {
        self.all.iter().map(|change| self.change(change)).collect()
    }

    fn change(&mut self, change: &FieldChange) -> FieldChange {
        let from = change.from.as_deref();
        let from = from.map(|text| self.shown_alone(text, &change.path, old_side));
        let before = from.as_ref().map_or(&[][..], |from| &from.secrets);
        let to = change.to.as_deref();
        let to = to.map(|text| self.shown_after(text, &change.path, before));
        FieldChange {
            path: change.path.clone(),
            from: from.map(|side| side.text),
            to,
            no_effect: change.no_effect,
        }
    }

    /// The new side, which is read in the object.
    fn shown_after(&mut self, text: &str, path: &str, before: &[String]) -> String {
        let found = find(self.object, path).filter(|(_, value)| !is_part(text, *value));
        let Some((path, value)) = found else {
            return self.shown_alone(text, path, new_side).text;
        };
        let shown = self.renderer.side(1, &path, value, before).text;
        let shown = cut(&visible(&shown), MAX_VALUE).into_owned();
        // The old value is hidden already: only the old view tells that the secret changed.
        if text.contains(CHANGED) {
            shown.replace(REDACTED, CHANGED)
        } else {
            shown
        }
    }

    /// A side of which only the text is stored. Its context follows from the path; where that is not enough, the side is
    /// hidden when it could be a secret.
    fn shown_alone(&self, text: &str, path: &str, side: SideOf) -> Side {
        let hidden = self.hidden(text, path, side);
        Side {
            text: hidden.show(text).into_owned(),
            secrets: hidden.secrets(text).map(str::to_owned).collect(),
        }
    }

    fn hidden(&self, text: &str, path: &str, side: SideOf) -> Hidden {
        if text == REDACTED || text == CHANGED {
            return Hidden::Nothing;
        }
        let context = context(path, self.names);
        if context.is_secret() || context.is_plain() {
            return scalar_hidden(self.names, Scalar::Text(text), context, 0);
        }
        let (parent, step) = last(path);
        if step == PathStep::Key("args") && text.starts_with('[') {
            return self.arguments(text, parent, side);
        }
        let is_named = !matches!(last(parent).1, PathStep::Item(item) if is_number(item));
        let is_known = match step {
            PathStep::Key("value") => is_named,
            PathStep::Key(_) => true,
            PathStep::Item(item) => !is_number(item) || text.starts_with(['{', '[']),
        };
        if is_known {
            self.structure(text)
        } else {
            unknown(self.names, text)
        }
    }

    /// The arguments of a container, perhaps cut off, which are judged with the command before them.
    fn arguments(&self, text: &str, container: &str, side: SideOf) -> Hidden {
        let Some(command) = self.command(container, side) else {
            return Hidden::Whole;
        };
        let before = format!("{{\"command\":{command},\"args\":");
        self.structure(&format!("{before}{text}}}"))
            .behind(before.len(), text.len())
    }

    /// The command of a container, as JSON; none when it is not known.
    fn command(&self, container: &str, side: SideOf) -> Option<String> {
        let path = format!("{container}.command");
        let is_part = |change: &&FieldChange| {
            change
                .path
                .strip_prefix(&*path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
        };
        match self.all.iter().find(is_part) {
            Some(change) if change.path == path => {
                let text = side(change).unwrap_or("[]");
                serde_json::from_str::<Vec<String>>(text).ok()?;
                Some(text.to_owned())
            }
            Some(_) => None,
            None => {
                let found = find(self.object, &path).map(|(_, command)| command.canonical());
                Some(found.unwrap_or_else(|| "[]".to_owned()))
            }
        }
    }

    /// A text, an object or a list, perhaps cut off.
    fn structure(&self, text: &str) -> Hidden {
        scalar_hidden(self.names, Scalar::Text(text), NameContext::default(), 0)
    }
}

/// Whether a side is a part of the value only: an excerpt of a long text, or the names of the items of a list.
fn is_part(text: &str, value: Value<'_>) -> bool {
    text.starts_with('…') || (value.is_array() && !text.starts_with('['))
}

fn is_number(item: &str) -> bool {
    item.bytes().all(|byte| byte.is_ascii_digit())
}

/// The context of the value at the end of a path, from the names in the path.
fn context(path: &str, names: &Names) -> NameContext {
    let mut context = NameContext::default();
    let mut label = "";
    for part in path.split(['.', '[']) {
        let (key, is_item) = match part.strip_suffix(']') {
            Some(item) => (item, true),
            None => (part, false),
        };
        if is_item {
            context = context.step(names, key);
            label = key;
        } else {
            context = context.of_field(names, key, &Siblings::named(names, label));
            label = "";
        }
    }
    context
}

/// The summary without the numbers of values with secret names.
pub(super) fn summary(old: &View, names: &Names) -> String {
    let words = old.summary.split(", ").map(|word| {
        let numbered = word.rsplit_once(' ').filter(|(_, end)| end.contains('→'));
        match numbered {
            Some((label, _)) if is_secret(label, &old.changes, names) => label,
            _ => word,
        }
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Whether a label of the summary, or the path of a change that it stands for, names a secret.
fn is_secret(label: &str, changes: &[FieldChange], names: &Names) -> bool {
    let paths = changes.iter().map(|change| change.path.as_str());
    paths
        .filter(|path| path.ends_with(label))
        .chain([label])
        .any(|path| names_secret(path, names))
}

/// Whether a part of a path or a label names a secret.
fn names_secret(path: &str, names: &Names) -> bool {
    path.split(['.', ' ', '[', ']'])
        .any(|part| names.secret_name(part))
}

/// The last step of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PathStep<'a> {
    Key(&'a str),
    /// A list item, by its name or its number.
    Item(&'a str),
}

/// A path without its last step, and that step. Of a key with dots in it only the end is found, which is enough to
/// tell whether it looks secret.
fn last(path: &str) -> (&str, PathStep<'_>) {
    if let Some((parent, item)) = path
        .strip_suffix(']')
        .and_then(|path| path.rsplit_once('['))
    {
        return (parent, PathStep::Item(item));
    }
    let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
    (parent, PathStep::Key(key))
}

/// The steps of a path as it is shown, and the value at its end.
fn find<'d>(object: Value<'d>, path: &str) -> Option<(Vec<Segment<'d>>, Value<'d>)> {
    let mut segments = Vec::new();
    let mut at = object;
    let mut rest = path;
    while !rest.is_empty() {
        if let Some((item, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            let numbered = || item.parse().ok();
            let place = diff::position(at, item).or_else(numbered)?;
            let value = at.items().nth(place)?;
            let name = value.get("name").and_then(Value::as_str);
            let name = name.filter(|name| *name == item);
            let segment = name.map_or(Segment::Index(place), Segment::Name);
            segments.push(segment);
            at = value;
            rest = after;
            continue;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        // A key may have dots in it.
        let (key, value) = at
            .entries()
            .filter(|(key, _)| begins_with_key(rest, key))
            .max_by_key(|(key, _)| key.len())?;
        segments.push(Segment::Key(key));
        at = value;
        rest = &rest[key.len()..];
    }
    Some((segments, at))
}

fn begins_with_key(path: &str, key: &str) -> bool {
    path.strip_prefix(key)
        .is_some_and(|after| after.is_empty() || after.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests;
