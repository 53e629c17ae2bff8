//! The rows of a history. Pure.

use super::super::print::{judged_by, printable};
use super::super::workload::Found;
use crate::history::lives::Life;
use crate::history::managed::MANAGER;
use crate::history::moment::age;
use crate::history::same::{Relation, relations};
use crate::history::{missing, removed, rfc3339, serves};
use crate::redact::Names;
use crate::revision::{Revision, RevisionSpec, RevisionType};
use crate::view::NO_EFFECT;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How a history is shown.
pub(super) struct Table<'a> {
    /// With all columns, and generations of which there is no Revision.
    pub(super) is_wide: bool,
    /// Revisions that are older are left out.
    pub(super) since: Option<DateTime<Utc>>,
    /// Ages count from here.
    pub(super) now: DateTime<Utc>,
    /// The names by which values are hidden; none when they are shown.
    pub(super) names: Option<&'a Names>,
}

const COLUMNS: [&str; 8] = [
    "REV",
    "CHANGE",
    "VIA",
    "PHASE",
    "OUTCOME",
    "PODS",
    "READY-AFTER",
    "AGE",
];
const WIDE: [&str; 7] = ["TYPE", "CAUSE", "OWNER", "IMAGE", "MODEL", "TIME", "ID"];

impl Table<'_> {
    /// The header, then the rows of all workloads of the name, each of the earlier ones above a divider.
    pub(super) fn rows(&self, found: &Found) -> Vec<Vec<String>> {
        let mut header: Vec<_> = COLUMNS.iter().map(ToString::to_string).collect();
        if self.is_wide {
            header.extend(WIDE.iter().map(ToString::to_string));
        }
        let mut rows = vec![header];
        for life in &found.earlier {
            rows.extend(self.life(life, found));
            rows.push(vec!["--".to_owned(), divider(life)]);
        }
        rows.extend(self.life(&found.life, found));
        rows
    }

    fn life(&self, life: &Life, found: &Found) -> Vec<Vec<String>> {
        let relations = relations_of(life, found);
        let mut rows = Vec::new();
        let mut expected = None;
        for revision in &life.revisions {
            let generation = revision.spec.generation;
            if self
                .since
                .is_some_and(|since| revision.spec.change_time < since)
            {
                expected = None;
                continue;
            }
            let first = revision
                .spec
                .gap
                .as_ref()
                .map_or(generation, |gap| gap.from);
            let gone = removed(revision, &life.revisions);
            if let Some(generation) = gone {
                rows.push(vec![generation.to_string(), "removed".to_owned()]);
            }
            let from = expected.filter(|from| *from < first && self.is_wide && gone.is_none());
            if let Some(from) = from {
                rows.push(vec![
                    range(&(from..=first - 1)),
                    unrecorded(revision).to_owned(),
                ]);
            }
            expected = Some(generation.max(expected.unwrap_or_default()) + 1);
            let relation = relations.get(&generation).copied().unwrap_or_default();
            rows.extend(self.row(revision, life, relation));
        }
        rows
    }

    /// One row; none for a Gap whose generations were all found later.
    fn row(&self, revision: &Revision, life: &Life, relation: Relation) -> Option<Vec<String>> {
        let judged = judged_by(revision, self.names);
        let spec = &judged.spec;
        let status = judged.status.as_ref();
        let number = match &spec.gap {
            Some(gap) => ranges(&missing(gap, &life.revisions))?,
            None if serves(&judged) => format!("{}*", spec.generation),
            None => spec.generation.to_string(),
        };
        let text = |value: Option<String>| value.unwrap_or_default();
        let mut row = vec![
            number,
            printable(&change(spec, relation)),
            printable(via(spec)),
            text(status.and_then(|it| it.phase).map(|it| it.to_string())),
            text(status.and_then(|it| it.outcome).map(|it| it.to_string())),
            text(
                status
                    .and_then(|it| it.running_pods)
                    .map(|it| it.to_string()),
            ),
            text(
                status
                    .and_then(|it| it.first_ready_time)
                    .map(|it| between(spec.change_time, it)),
            ),
            between(spec.change_time, self.now),
        ];
        if self.is_wide {
            let named = spec.view.as_ref().and_then(|view| view.images.first());
            // A runtime or a preset may name it, and then the pods know it.
            let image = named.or_else(|| status?.images.first());
            let model = spec.view.as_ref().map_or("", |view| &view.model);
            let owner = spec
                .source
                .as_ref()
                .map(|it| format!("{}/{}", it.tool, it.name));
            row.extend([
                type_name(spec.r#type).to_owned(),
                printable(spec.change_cause.as_deref().unwrap_or_default()),
                printable(&owner.unwrap_or_default()),
                printable(image.map_or("", String::as_str)),
                printable(model),
                rfc3339(spec.change_time),
                spec.id.to_string(),
            ]);
        }
        Some(row)
    }
}

/// The field manager that made the change. Kubernetes tells none for most removals.
fn via(spec: &RevisionSpec) -> &str {
    match &spec.via {
        Some(via) => &via.manager,
        None if spec.r#type == RevisionType::Change => "unknown",
        None => "",
    }
}

/// The reason why generations before a Revision have none. Those of the first release do not name the one before.
fn unrecorded(revision: &Revision) -> &'static str {
    if revision.spec.previous.is_some() {
        "(no revision: nothing changed)"
    } else {
        "(no revision: nothing changed, or it was removed)"
    }
}

fn relations_of(life: &Life, found: &Found) -> BTreeMap<i64, Relation> {
    let recorded = life
        .revisions
        .iter()
        .filter(|it| it.spec.r#type != RevisionType::Gap);
    let normals: Vec<_> = recorded
        .map(|it| it.spec.generation)
        .map(|generation| {
            (
                generation,
                found.normals.get(&(life.uid, generation)).cloned(),
            )
        })
        .collect();
    let generations = normals.iter().map(|(generation, _)| *generation);
    generations.zip(relations(&normals)).collect()
}

/// The change in words, and what it makes the workload equal to. Only the plugin rolls back: whoever else wrote an old
/// state may have meant something else.
fn change(spec: &RevisionSpec, relation: Relation) -> String {
    if let Some(gap) = &spec.gap {
        return format!("not recorded: {}", gap.reason);
    }
    let summary = spec.view.as_ref().map_or("", |view| view.summary.as_str());
    let by_plugin = spec.via.as_ref().is_some_and(|via| via.manager == MANAGER);
    match relation {
        Relation {
            no_effect: true, ..
        } if !summary.starts_with(NO_EFFECT) => format!("{summary} (no effect)"),
        Relation {
            same_as: Some(older),
            ..
        } if by_plugin => format!("rolled back to {older}: {summary}"),
        Relation {
            same_as: Some(older),
            ..
        } => format!("{summary} (same as {older})"),
        _ => summary.to_owned(),
    }
}

fn divider(life: &Life) -> String {
    let end = life
        .deleted_at()
        .map_or_else(String::new, |time| format!(", deleted {}", rfc3339(time)));
    format!(
        "recreated: above is an earlier workload of this name{end} (uid {})",
        life.uid
    )
}

fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    age((to - from).to_std().unwrap_or(Duration::ZERO))
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

fn type_name(kind: RevisionType) -> &'static str {
    match kind {
        RevisionType::Change => "Change",
        RevisionType::Baseline => "Baseline",
        RevisionType::Gap => "Gap",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::same::normal_of;
    use crate::history::sample::{gap, of, revision};
    use serde_json::json;
    use uuid::Uuid;

    fn viewed(
        mut revision: Revision,
        summary: &str,
        via: &str,
        status: serde_json::Value,
    ) -> Revision {
        let view = json!({"version": 1, "summary": summary, "images": ["m:1"]});
        revision.spec.view = Some(serde_json::from_value(view).expect("a view"));
        let via = json!({"manager": via, "operation": "Update"});
        revision.spec.via = Some(serde_json::from_value(via).expect("an author"));
        revision.status = Some(serde_json::from_value(status).expect("a status"));
        revision
    }

    fn found(earlier: Vec<Life>, revisions: Vec<Revision>) -> Found {
        let life = Life {
            uid: Uuid::nil(),
            revisions,
        };
        let all = earlier
            .iter()
            .flat_map(|it| &it.revisions)
            .chain(&life.revisions);
        let normals = all.filter_map(|it| {
            Some((
                (it.spec.workload.uid, it.spec.generation),
                normal_of(None, it)?,
            ))
        });
        Found {
            normals: normals.collect(),
            earlier,
            life,
            revisions: Vec::new(),
        }
    }

    fn table(found: &Found, is_wide: bool) -> Vec<String> {
        let now = "2026-01-01T00:01:00Z".parse().expect("a time");
        let table = Table {
            is_wide,
            since: None,
            now,
            names: None,
        };
        let text = crate::table::columns(&table.rows(found));
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn rows_tell_what_serves_what_is_missing_and_what_is_the_same() {
        let ready = json!({"phase": "Running", "runningPods": 2, "readyPods": 2, "outcome": "Succeeded", "firstReadyTime": "2026-01-01T00:00:41Z"});
        let all = found(
            vec![],
            vec![
                viewed(revision(1, "a"), "created", "kubectl", ready),
                gap(3, 4),
                viewed(
                    revision(5, "b"),
                    "image\u{1b}[31m",
                    "kubectl",
                    json!({"phase": "Failed", "outcome": "Failed"}),
                ),
                viewed(revision(6, "a"), "image", MANAGER, json!({})),
                viewed(
                    of(
                        7,
                        &json!({"replicas": 1, "x": {}, "template": {"spec": {"containers": [{"name": "m", "image": "a"}]}}}),
                    ),
                    "+x",
                    "editor",
                    json!({}),
                ),
                viewed(revision(8, "b"), "image", "editor", json!({})),
            ],
        );
        assert_eq!(
            table(&all, false),
            [
                "REV   CHANGE                    VIA               PHASE     OUTCOME     PODS   READY-AFTER   AGE",
                "1*    created                   kubectl           Running   Succeeded   2      41s           60s",
                "3-4   not recorded: Compacted                                                                60s",
                "5     image\\u{1b}[31m           kubectl           Failed    Failed                           60s",
                "6     rolled back to 1: image   kubectl-revisor                                              60s",
                "7     +x (no effect)            editor                                                       60s",
                "8     image (same as 5)         editor                                                       60s",
            ]
        );
        let wide = table(&all, true);
        assert!(
            wide[2].starts_with("2 ") && wide[2].contains("no revision: nothing changed"),
            "{wide:#?}"
        );
        assert!(
            wide[1].contains("m:1") && wide[1].contains("2026-01-01T00:00:00Z"),
            "{wide:#?}"
        );
    }

    #[test]
    fn an_earlier_workload_of_the_name_stands_above_a_divider() {
        let mut old = viewed(
            revision(1, "a"),
            "created",
            "kubectl",
            json!({"workloadDeletionTime": "2026-01-01T00:00:30Z"}),
        );
        old.spec.workload.uid = Uuid::from_u128(7);
        let earlier = vec![Life {
            uid: Uuid::from_u128(7),
            revisions: vec![old],
        }];
        let all = found(
            earlier,
            vec![viewed(revision(1, "b"), "created", "kubectl", json!({}))],
        );
        let lines = table(&all, false);
        assert!(lines[2].contains("recreated: above is an earlier workload of this name, deleted 2026-01-01T00:00:30Z (uid 00000000-0000-0000-0000-000000000007)"), "{lines:#?}");
        assert_eq!(lines.len(), 4);
    }
}
