//! The view of a stored Revision, made anew: with other names of secrets, or by a newer extractor. Pure.
//!
//! The list of changes depends on the generation before as well. Where that is not stored any more, what was shown is
//! gone through once more; rather too much of it is hidden than too little.

use super::diff;
use super::redact::{Names, REDACTED};
use super::{History, absent, view};
use crate::json::Value;
use crate::kinds::Kind;
use crate::revision::{FieldChange, View};

/// The beginning of what stands for a value that is hidden; the end may have been cut off.
const HIDDEN: &str = "[redact";
/// How far behind its name a value begins.
const NEAR: usize = 24;

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
            return view(kind, object, History::Changed(&deltas), names);
        }
    }
    let mut view = view(kind, object, History::Unknown, names)?;
    view.changes = old
        .changes
        .iter()
        .map(|change| hidden(change, object, names))
        .collect();
    view.summary = summary(old, names);
    // Changes that were left out then cannot be had back.
    view.truncated |= told && old.truncated;
    view.fit();
    Some(view)
}

fn hidden(change: &FieldChange, object: Value<'_>, names: &Names) -> FieldChange {
    let path = &change.path;
    let from = change.from.as_deref();
    let to = change.to.as_deref();
    FieldChange {
        path: path.clone(),
        from: from.map(|text| value(text, path, object, names)),
        to: to.map(|text| value(text, path, object, names)),
    }
}

/// One side of a change, as [`super::show`] would have shown it.
fn value(text: &str, path: &str, object: Value<'_>, names: &Names) -> String {
    if text == REDACTED {
        return text.to_owned();
    }
    let (parent, step) = last(path);
    let secret = match step {
        PathStep::Key("value") => {
            names.secret_name(last(parent).1.text())
                || name_at(object, parent).is_some_and(|name| names.secret_name(name))
        }
        PathStep::Key(key) => names.secret_name(key),
        PathStep::Item(_) => names.secret_name(last(parent).1.text()),
    };
    if secret {
        return REDACTED.to_owned();
    }
    if text.starts_with(['{', '[']) {
        return structure(text, names);
    }
    let before = step
        .text()
        .parse::<usize>()
        .ok()
        .and_then(|at| at.checked_sub(1));
    let flag = before.and_then(|before| find(object, parent)?.items().nth(before)?.as_str());
    names.argument(flag, text).into_owned()
}

/// The `name` of the object at a path.
fn name_at<'d>(object: Value<'d>, path: &str) -> Option<&'d str> {
    find(object, path)?.get("name")?.as_str()
}

/// An object or a list, perhaps cut off.
fn structure(text: &str, names: &Names) -> String {
    if let Ok(given) = serde_json::from_str::<serde_json::Value>(text) {
        let mut value = given.clone();
        names.object(&mut value);
        return if value == given {
            text.to_owned()
        } else {
            value.to_string()
        };
    }
    let mut rest = text;
    while let Some(start) = rest.find(is_of_name) {
        let end = rest[start..]
            .find(|c| !is_of_name(c))
            .map_or(rest.len(), |length| start + length);
        let shown_behind = !rest[end..]
            .chars()
            .take(NEAR)
            .collect::<String>()
            .contains(HIDDEN);
        if names.secret_name(&rest[start..end]) && shown_behind {
            return REDACTED.to_owned();
        }
        rest = &rest[end..];
    }
    names.text(text).into_owned()
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || "_-.".contains(c)
}

/// The summary without numbers of what is called as a secret is.
fn summary(old: &View, names: &Names) -> String {
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

impl<'a> PathStep<'a> {
    fn text(self) -> &'a str {
        let (Self::Key(text) | Self::Item(text)) = self;
        text
    }
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

/// The value at a path as it is shown.
fn find<'d>(object: Value<'d>, path: &str) -> Option<Value<'d>> {
    let mut at = object;
    let mut rest = path;
    while !rest.is_empty() {
        if let Some((item, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            let named = at
                .items()
                .find(|i| i.get("name").and_then(Value::as_str) == Some(item));
            at = named.or_else(|| at.items().nth(item.parse().ok()?))?;
            rest = after;
            continue;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        // A key may have dots in it.
        let (key, value) = at
            .entries()
            .filter(|(key, _)| begins_with_key(rest, key))
            .max_by_key(|(key, _)| key.len())?;
        at = value;
        rest = &rest[key.len()..];
    }
    Some(at)
}

fn begins_with_key(path: &str, key: &str) -> bool {
    path.strip_prefix(key)
        .is_some_and(|after| after.is_empty() || after.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;
    use crate::kinds::Catalogue;

    fn names() -> Names {
        Names {
            secret: vec!["*_PIN".parse().expect("a pattern")],
            plain: Vec::new(),
        }
    }

    fn deployment(pin: &str) -> String {
        format!(
            r#"{{"spec":{{"replicas":1,"scale_pin":{pin},"template":{{"spec":{{"containers":[{{"name":"a",
            "args":["--door_pin","{pin}"],"env":[{{"name":"DOOR_PIN","value":"{pin}"}}]}}]}}}}}}}}"#
        )
    }

    /// The view of the change from one to the other, made with `first`, made anew with `second`.
    fn made_anew(from: Option<&str>, first: &Names, second: &Names) -> View {
        let catalogue = Catalogue::built_in();
        let kind = catalogue
            .kinds()
            .iter()
            .find(|kind| kind.kind == "Deployment")
            .expect("built in");
        let old = deployment("1234");
        let new = deployment("5678");
        let before = Document::parse(&old).expect("JSON");
        let after = Document::parse(&new).expect("JSON");
        let deltas = diff::objects(before.root(), after.root());
        let shown = view(kind, after.root(), History::Changed(&deltas), first).expect("a view");
        let from = from.map(|text| Document::parse(text).expect("JSON"));
        again(
            kind,
            after.root(),
            from.as_ref().map(Document::root),
            &shown,
            second,
        )
        .expect("a view")
    }

    #[test]
    fn further_secrets_go_with_and_without_the_generation_before() {
        let none = Names::default();
        let before = deployment("1234");
        let shown = made_anew(None, &none, &none);
        assert_eq!(shown.summary, "scale_pin 1234→5678, args, env DOOR_PIN");
        assert!(
            shown
                .changes
                .iter()
                .all(|change| change.to.as_deref() == Some("5678")),
            "{shown:?}"
        );
        for from in [None, Some(&*before)] {
            let view = made_anew(from, &none, &names());
            assert_eq!(view.summary, "scale_pin, args, env DOOR_PIN");
            let all = serde_json::to_string(&view).expect("JSON");
            assert!(!all.contains("1234") && !all.contains("5678"), "{all}");
            assert_eq!(view.changes.len(), 3);
        }
        // With the generation before, what was hidden can be shown again.
        assert_eq!(made_anew(Some(&before), &names(), &none), shown);
    }

    #[test]
    fn whole_parts_are_gone_through() {
        let change = |path: &str, text: &str| {
            let object = Document::parse("{}").expect("JSON");
            value(text, path, object.root(), &names())
        };
        for (path, text, expected) in [
            (
                "spec.env",
                r#"[{"name":"A_PIN","value":"1"},{"name":"B","value":"2"}]"#,
                r#"[{"name":"A_PIN","value":"[redacted]"},{"name":"B","value":"2"}]"#,
            ),
            ("spec.env", r#"[{"name":"A_PIN","value":"12…"#, REDACTED),
            (
                "spec.env",
                r#"[{"name":"B","value":"12…"#,
                r#"[{"name":"B","value":"12…"#,
            ),
            (
                "spec.env",
                r#"[{"name":"API_KEY","value":"[redacted]"},{"name":"B","val…"#,
                r#"[{"name":"API_KEY","value":"[redacted]"},{"name":"B","val…"#,
            ),
            ("spec.a.door_pin", "[1,2]", REDACTED),
            ("spec.environment.items.A_PIN.value", "1", REDACTED),
            ("spec.env[A_PIN].value", "1", REDACTED),
            ("spec.some_pin[0]", "1", REDACTED),
            ("spec.replicas", "3", "3"),
        ] {
            assert_eq!(change(path, text), expected, "{path} {text}");
        }
    }

    #[test]
    fn what_was_left_out_is_said_only_where_it_still_is() {
        let catalogue = Catalogue::built_in();
        let kind = catalogue
            .kinds()
            .iter()
            .find(|kind| kind.kind == "Deployment")
            .expect("built in");
        let document = Document::parse(r#"{"spec":{}}"#).expect("JSON");
        let made = |old: View| {
            again(kind, document.root(), None, &old, &Names::default()).expect("a view")
        };
        let old = View {
            summary: "created".into(),
            truncated: true,
            ..View::default()
        };
        assert!(!made(old.clone()).truncated);
        assert_eq!(made(old.clone()).summary, "created");
        assert!(
            made(View {
                changes: vec![FieldChange::default()],
                ..old
            })
            .truncated
        );
    }
}
