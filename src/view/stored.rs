//! A stored Revision, fit to be shown: its texts are judged again, as the Revisor that wrote them may have known fewer
//! secrets. Pure.
//!
//! `revisor reindex` makes views anew; the other texts are never written again, as the spec of a Revision is immutable
//! but for its view, and a workload that is gone has no new status.

use super::VERSION;
use super::again::{ChangeRedactor, summary};
use crate::json::Document;
use crate::redact::Names;
use crate::revision::{Revision, RevisionSpec, RevisionStatus, View};
use crate::snapshot;
use crate::text::{visible, visible_line};
use std::borrow::Cow;
use std::mem::take;

/// Beginnings of texts in the environment that say where a value comes from.
const SOURCES: &[&str] = &["secret ", "configmap ", "field ", "resource "];
/// A value from a source that has no words of its own.
const ELSEWHERE: &str = "from elsewhere";

/// The Revision without the secrets that it was stored with.
pub fn judged<'r>(revision: &'r Revision, names: &Names) -> Cow<'r, Revision> {
    let view = older_view(&revision.spec, names);
    let cause = judged_cause(&revision.spec, names);
    let status = revision.status.as_ref();
    let status = status.and_then(|status| judged_status(status, names));
    if view.is_none() && cause.is_none() && status.is_none() {
        return Cow::Borrowed(revision);
    }
    let mut shown = revision.clone();
    shown.spec.view = view.or_else(|| take(&mut shown.spec.view));
    shown.spec.change_cause = cause.or_else(|| take(&mut shown.spec.change_cause));
    shown.status = status.or_else(|| take(&mut shown.status));
    Cow::Owned(shown)
}

/// The change cause, when it shows a secret.
fn judged_cause(spec: &RevisionSpec, names: &Names) -> Option<String> {
    let cause = spec.change_cause.as_deref()?;
    hidden(cause, |cause| names.text(cause), visible)
}

/// The status, when one of its messages shows a secret.
fn judged_status(status: &RevisionStatus, names: &Names) -> Option<RevisionStatus> {
    let judge = |message: &Option<String>| {
        hidden(
            message.as_deref()?,
            |message| names.text(message),
            visible_line,
        )
    };
    let message = judge(&status.message);
    let conditions: Vec<_> = status
        .conditions
        .iter()
        .map(|condition| judge(&condition.message))
        .collect();
    if message.is_none() && conditions.iter().all(Option::is_none) {
        return None;
    }
    let mut shown = status.clone();
    shown.message = message.or(shown.message);
    for (condition, message) in shown.conditions.iter_mut().zip(conditions) {
        condition.message = message.or_else(|| condition.message.take());
    }
    Some(shown)
}

/// The text as it is shown; none when it is so already.
fn hidden<'t>(
    text: &'t str,
    judge: impl Fn(&'t str) -> Cow<'t, str>,
    visible: impl Fn(&str) -> Cow<'_, str>,
) -> Option<String> {
    let judged = judge(text);
    let shown = visible(&judged);
    (shown != text).then(|| shown.into_owned())
}

/// The view, judged again, when an older extractor made it. It is not as complete as one that is made anew.
pub fn older_view(spec: &RevisionSpec, names: &Names) -> Option<View> {
    let old = spec.view.as_ref().filter(|view| view.version < VERSION)?;
    // Only changes are judged by the names around them, which the snapshot has.
    let stored = spec
        .snapshot
        .as_ref()
        .filter(|_| !old.changes.is_empty())
        .and_then(|stored| snapshot::read(stored).ok().flatten());
    let document = Document::parse(stored.as_deref().unwrap_or("{}")).ok();
    let changes = match document.as_ref() {
        Some(document) => ChangeRedactor::new(document.root(), &old.changes, names).changes(),
        // A snapshot that cannot be read tells nothing of the values in the changes.
        None => Vec::new(),
    };
    let command: Vec<&str> = old.command.iter().map(String::as_str).collect();
    let mut view = View {
        truncated: old.truncated || changes.len() < old.changes.len(),
        changes,
        summary: visible_line(&names.text(&summary(old, names))).into_owned(),
        images: texts(&old.images, names),
        command: arguments(&[], &old.command, names),
        args: arguments(&command, &old.args, names),
        env: old.env.iter().map(|line| variable(line, names)).collect(),
        node_pools: texts(&old.node_pools, names),
        unresolved: texts(&old.unresolved, names),
        model: visible(&names.text(&old.model)).into_owned(),
        ..old.clone()
    };
    view.fit();
    Some(view)
}

fn texts(texts: &[String], names: &Names) -> Vec<String> {
    let shown = texts.iter().map(|text| names.text(text));
    shown.map(|text| visible(&text).into_owned()).collect()
}

fn arguments(before: &[&str], items: &[String], names: &Names) -> Vec<String> {
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let shown = names.arguments(before, &items).into_iter();
    shown.map(|item| visible(&item).into_owned()).collect()
}

/// `NAME=value` of an environment.
fn variable(line: &str, names: &Names) -> String {
    let Some((name, value)) = line.split_once('=') else {
        return visible(&names.text(line)).into_owned();
    };
    if is_source(value) {
        return visible(line).into_owned();
    }
    format!("{}={}", visible(name), visible(&names.value(name, value)))
}

/// Whether this stands for a value that the view never had: `from secret hf/token`.
fn is_source(value: &str) -> bool {
    let source = || value.strip_prefix("from ");
    let named = || {
        let source = source()?;
        SOURCES.iter().find_map(|kind| source.strip_prefix(kind))
    };
    value == ELSEWHERE || named().is_some_and(|name| !name.contains(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revision::FieldChange;

    /// A Revision whose view an extractor of this version made.
    fn revision(version: i32) -> Revision {
        let mut revision = crate::cache::fixture(1);
        revision.status = None;
        revision.spec.view = Some(View {
            version,
            summary: "env HF_TOKEN".to_owned(),
            ..View::default()
        });
        revision
    }

    fn view(revision: &Revision) -> &View {
        revision.spec.view.as_ref().expect("a view")
    }

    #[test]
    fn the_view_of_an_older_extractor_is_judged_again() {
        let mut stored = revision(VERSION - 1);
        let old = stored.spec.view.as_mut().expect("a view");
        old.env = ["HF_TOKEN=hunter2x", "HF_TOKEN2=from secret hf/token", "A=b"]
            .map(str::to_owned)
            .to_vec();
        old.command = ["curl", "-u"].map(str::to_owned).to_vec();
        old.args = ["svc:hunter2x", "https://x.example.com"]
            .map(str::to_owned)
            .to_vec();
        old.changes = vec![FieldChange {
            path: "spec.template.spec.containers[a].args".to_owned(),
            from: Some(r#"["svc:hunter2x"]"#.to_owned()),
            ..FieldChange::default()
        }];
        let shown = judged(&stored, &Names::default());
        let shown = view(&shown);
        assert_eq!(
            shown.env,
            [
                "HF_TOKEN=[redacted]",
                "HF_TOKEN2=from secret hf/token",
                "A=b"
            ]
        );
        assert_eq!(shown.args, ["svc:[redacted]", "https://x.example.com"]);
        assert_eq!(
            shown.version,
            VERSION - 1,
            "it is not as complete as a new one"
        );
        assert_eq!(shown.changes.len(), 1);
    }

    #[test]
    fn the_arguments_of_a_container_are_judged_with_the_command_that_went_with_them() {
        let mut stored = revision(VERSION - 1);
        let path = |field: &str| format!("spec.template.spec.containers[a].{field}");
        let change = |field: &str, from: &str| FieldChange {
            path: path(field),
            from: Some(from.to_owned()),
            ..FieldChange::default()
        };
        let args = r#"["-a","hunter2x","ping"]"#;
        for (command, expected) in [
            (
                change("command", r#"["redis-cli"]"#),
                r#"["-a","[redacted]","ping"]"#,
            ),
            (change("command", r#"["nice"]"#), args),
            // A part of the command does not tell which one it is.
            (change("command[0]", "nice"), "[redacted]"),
        ] {
            let old = stored.spec.view.as_mut().expect("a view");
            old.changes = vec![change("args", args), command];
            let shown = older_view(&stored.spec, &Names::default()).expect("a view");
            assert_eq!(shown.changes[0].from.as_deref(), Some(expected));
        }
    }

    #[test]
    fn texts_that_are_never_written_again_are_judged_whatever_the_view_is() {
        let mut stored = revision(VERSION);
        stored.spec.change_cause = Some("set HF_TOKEN=hunter2x".to_owned());
        stored.status = Some(RevisionStatus {
            message: Some("login failed: password=hunter2x".to_owned()),
            ..RevisionStatus::default()
        });
        let shown = judged(&stored, &Names::default());
        assert_eq!(
            shown.spec.change_cause.as_deref(),
            Some("set HF_TOKEN=[redacted]")
        );
        let status = shown.status.as_ref().expect("a status");
        assert_eq!(
            status.message.as_deref(),
            Some("login failed: password=[redacted]")
        );
        assert_eq!(shown.spec.view, stored.spec.view);
    }

    #[test]
    fn a_revision_without_secrets_is_not_copied() {
        let mut stored = revision(VERSION);
        stored.spec.change_cause = Some("a new image".to_owned());
        assert!(matches!(
            judged(&stored, &Names::default()),
            Cow::Borrowed(_)
        ));
    }
}
