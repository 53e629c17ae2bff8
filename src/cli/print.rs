//! Revisions as columns, JSON or YAML. Pure.

use super::HistoryFormat;
use crate::history::{missing, removed};
use crate::manifest::{hide_revision, visible_yaml};
use crate::redact::Names;
use crate::revision::{Revision, RevisionType};
use crate::table::columns;
use crate::text::{visible_json, visible_line};
use crate::view::judged;
use chrono::SecondsFormat;
use std::borrow::Cow;
use std::ops::RangeInclusive;

/// A history in the wanted format. Without names, no secret is hidden.
pub(super) fn history(
    history: &[Revision],
    format: HistoryFormat,
    names: Option<&Names>,
) -> anyhow::Result<String> {
    Ok(match format {
        HistoryFormat::Json => {
            let json = serde_json::to_string_pretty(&objects(history, names)?)?;
            visible_json(&json).into_owned() + "\n"
        }
        HistoryFormat::Yaml => {
            let list = serde_json::Value::Array(objects(history, names)?);
            visible_yaml(&list)?
        }
        HistoryFormat::Table => table(&judged_history(history, names), false),
        HistoryFormat::Wide => table(&judged_history(history, names), true),
    })
}

fn objects(
    history: &[Revision],
    names: Option<&Names>,
) -> Result<Vec<serde_json::Value>, serde_json::Error> {
    let object = |revision| match names {
        Some(names) => hide_revision(revision, names),
        None => serde_json::to_value(revision),
    };
    history.iter().map(object).collect()
}

/// Revisors that knew fewer secrets may have written the texts of a Revision.
fn judged_history<'r>(history: &'r [Revision], names: Option<&Names>) -> Cow<'r, [Revision]> {
    let judge = |names| {
        let judged = history.iter().map(|revision| judged(revision, names));
        judged.map(Cow::into_owned).collect()
    };
    names.map_or(Cow::Borrowed(history), |names| Cow::Owned(judge(names)))
}

fn table(history: &[Revision], wide: bool) -> String {
    let mut header = vec!["REV", "TIME", "CHANGE", "VIA", "PHASE", "PODS"];
    if wide {
        header.extend(["TYPE", "OUTCOME", "READY AFTER", "IMAGE", "ID"]);
    }
    let mut rows = vec![header.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for revision in history {
        rows.extend(removed(revision, history).map(removed_row));
        rows.extend(row(revision, history, wide));
    }
    columns(&rows)
}

/// The row of a generation that was recorded and is not stored any more.
fn removed_row(generation: i64) -> Vec<String> {
    vec![generation.to_string(), String::new(), "removed".to_owned()]
}

/// One row; none for a Gap whose generations were all found later.
fn row(revision: &Revision, history: &[Revision], wide: bool) -> Option<Vec<String>> {
    let spec = &revision.spec;
    let status = revision.status.as_ref();
    let number = match &spec.gap {
        Some(gap) => ranges(&missing(gap, history))?,
        None => spec.generation.to_string(),
    };
    let change = match (&spec.gap, &spec.view) {
        (Some(gap), _) => format!("not recorded: {}", gap.reason),
        (None, Some(view)) => view.summary.clone(),
        (None, None) => String::new(),
    };
    let mut row = vec![
        number,
        spec.change_time.to_rfc3339_opts(SecondsFormat::Secs, true),
        printable(&change),
        printable(spec.via.as_ref().map_or("", |via| &via.manager)),
        status
            .and_then(|s| s.phase)
            .map_or_else(String::new, |phase| phase.to_string()),
        status
            .and_then(|s| s.running_pods)
            .map(|n| n.to_string())
            .unwrap_or_default(),
    ];
    if wide {
        row.push(kind(spec.r#type).to_owned());
        let outcome = status.and_then(|s| s.outcome);
        row.push(outcome.map_or_else(String::new, |outcome| outcome.to_string()));
        let ready = status.and_then(|s| s.first_ready_time);
        row.push(
            ready
                .map(|ready| format!("{}s", (ready - spec.change_time).num_seconds().max(0)))
                .unwrap_or_default(),
        );
        row.push(printable(
            spec.view
                .as_ref()
                .and_then(|v| v.images.first())
                .map_or("", |i| i),
        ));
        row.push(spec.id.to_string());
    }
    Some(row)
}

/// `3-4,7`; none for no range.
fn ranges(ranges: &[RangeInclusive<i64>]) -> Option<String> {
    let all: Vec<_> = ranges.iter().map(range).collect();
    (!all.is_empty()).then(|| all.join(","))
}

fn range(range: &RangeInclusive<i64>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{}-{}", range.start(), range.end())
    }
}

fn kind(kind: RevisionType) -> &'static str {
    match kind {
        RevisionType::Change => "Change",
        RevisionType::Baseline => "Baseline",
        RevisionType::Gap => "Gap",
    }
}

/// Text of a workload, which must not control a terminal.
fn printable(text: &str) -> String {
    visible_line(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revision::Previous;
    use serde_json::json;

    #[test]
    fn columns_line_up_and_control_characters_are_inert() {
        let revision = |generation: i64, summary: &str| -> Revision {
            serde_json::from_value(json!({
                "apiVersion": "revisor.dev/v1alpha1", "kind": "Revision", "metadata": {"name": "x"},
                "spec": {
                    "id": uuid::Uuid::nil(), "type": "Change", "generation": generation, "resourceVersion": "1",
                    "observedVia": "Watch", "changeTime": "2026-01-01T00:00:00Z", "changeTimeSource": "Observed",
                    "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": uuid::Uuid::nil()},
                    "via": {"manager": "kubectl", "operation": "Update"}, "view": {"version": 1, "summary": summary},
                },
            }))
            .expect("a Revision")
        };
        let expected = "REV   TIME                   CHANGE                VIA       PHASE   PODS\n\
            1     2026-01-01T00:00:00Z   replicas 1→3          kubectl\n\
            10    2026-01-01T00:00:00Z   \\u{1b}[31mred, args   kubectl\n";
        let history = [
            revision(1, "replicas 1→3"),
            revision(10, "\u{1b}[31mred, args"),
        ];
        assert_eq!(table(&history, false), expected);
        let [first, mut last] = history;
        last.spec.previous = Some(Previous {
            generation: 9,
            digest: "sha256:00".to_owned(),
        });
        let expected = "REV   TIME                   CHANGE                VIA       PHASE   PODS\n\
            1     2026-01-01T00:00:00Z   replicas 1→3          kubectl\n\
            9                            removed\n\
            10    2026-01-01T00:00:00Z   \\u{1b}[31mred, args   kubectl\n";
        assert_eq!(table(&[first, last], false), expected);
    }
}
