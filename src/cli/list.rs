//! `kubectl revisor list`: the workloads that have a history.

use super::Run;
use super::fetch::{self, Keep};
use super::print::{ListFormat, columns, json, lines, printable, yaml};
use super::streams::Streams;
use super::workload::{Scene, SettingsArgs};
use crate::clock;
use crate::history::lives::{Life, lives};
use crate::history::moment::{Moment, age};
use crate::history::{rfc3339, serves};
use crate::revision::RevisionType;
use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

/// List the workloads that have a history: newest revision, phase, the one that serves, changes
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    /// Workloads of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only workloads that changed since this time, or within this duration: 2h, 2026-11-20T10:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Workloads that were deleted, too
    #[arg(long)]
    deleted: bool,
    #[command(flatten)]
    pub(super) settings: SettingsArgs,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: ListFormat,
}

/// A workload with a history.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    namespace: String,
    api_version: String,
    kind: String,
    name: String,
    uid: uuid::Uuid,
    /// Its newest generation.
    newest: i64,
    /// The newest generation with pods that are ready.
    serving: Option<i64>,
    phase: Option<String>,
    /// Revisions since the time that was asked for; since the beginning of the day (UTC) when none was.
    changes: usize,
    changed: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
    #[serde(skip)]
    full_name: String,
}

impl Entry {
    fn new(life: &Life, since: DateTime<Utc>) -> Option<Self> {
        let mut recorded = life
            .revisions
            .iter()
            .filter(|it| it.spec.r#type != RevisionType::Gap);
        let newest = recorded.clone().next_back()?;
        let status = newest.status.as_ref();
        let changes = recorded
            .clone()
            .filter(|it| it.spec.change_time >= since)
            .count();
        let workload = &newest.spec.workload;
        Some(Self {
            namespace: life.namespace().to_owned(),
            api_version: workload.api_version.clone(),
            kind: workload.kind.clone(),
            name: workload.name.clone(),
            uid: life.uid,
            newest: newest.spec.generation,
            serving: recorded.rfind(|it| serves(it)).map(|it| it.spec.generation),
            phase: status.and_then(|it| it.phase).map(|it| it.to_string()),
            changes,
            changed: newest.spec.change_time,
            deleted_at: life.deleted_at(),
            full_name: format!(
                "{}/{}",
                life.group_kind().to_string().to_lowercase(),
                workload.name
            ),
        })
    }
}

impl Run for ListArgs {
    async fn run(&self, scene: &Scene, streams: &mut Streams) -> anyhow::Result<u8> {
        let namespace = (!self.all_namespaces).then_some(scene.session.namespace.as_str());
        let catalogue = &scene.settings.catalogue;
        let all = fetch::revisions(&scene.session, namespace, &[], Keep::Heads, catalogue).await?;
        let now = clock::now();
        let today = now.date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
        let since = self.since.map_or(today, |moment| moment.time(now));
        let names = lives(all.revisions);
        let newest = names.values().filter_map(|lives| lives.last());
        let entries: Vec<_> = newest
            .filter_map(|life| Entry::new(life, since))
            .filter(|it| self.deleted || it.deleted_at.is_none())
            .filter(|it| self.since.is_none() || it.changes > 0)
            .collect();
        if entries.is_empty() {
            let place = namespace.map_or_else(
                || "any namespace".to_owned(),
                |it| format!("namespace {it}"),
            );
            streams.note(&format!("No workload with a history in {place}."))?;
            if matches!(
                self.output,
                ListFormat::Table | ListFormat::Wide | ListFormat::Name
            ) {
                return Ok(0);
            }
        }
        streams.print(&self.printed(&entries, now, streams.width)?)?;
        Ok(0)
    }
}

impl ListArgs {
    fn printed(
        &self,
        entries: &[Entry],
        now: DateTime<Utc>,
        width: Option<usize>,
    ) -> anyhow::Result<String> {
        Ok(match self.output {
            ListFormat::Json => json(&entries)?,
            ListFormat::Yaml => yaml(&entries)?,
            ListFormat::Name => lines(entries.iter().map(|it| it.full_name.clone())),
            ListFormat::Table | ListFormat::Wide => {
                let rows = std::iter::once(self.header())
                    .chain(entries.iter().map(|it| self.row(it, now)));
                columns(rows.collect(), usize::from(self.all_namespaces), width)
            }
        })
    }

    fn is_wide(&self) -> bool {
        self.output == ListFormat::Wide
    }

    fn header(&self) -> Vec<String> {
        let mut header = Vec::new();
        if self.all_namespaces {
            header.push("NAMESPACE");
        }
        let changes = if self.since.is_some() {
            "CHANGES"
        } else {
            "TODAY"
        };
        header.extend(["WORKLOAD", "REV", "SERVING", "PHASE", changes, "AGE"]);
        if self.is_wide() {
            header.extend(["CHANGED", "DELETED", "UID"]);
        }
        header.into_iter().map(str::to_owned).collect()
    }

    fn row(&self, entry: &Entry, now: DateTime<Utc>) -> Vec<String> {
        let mut row = Vec::new();
        if self.all_namespaces {
            row.push(entry.namespace.clone());
        }
        let phase = match entry.deleted_at {
            Some(_) => "(deleted)".to_owned(),
            None => entry.phase.clone().unwrap_or_default(),
        };
        row.extend([
            printable(&format!("{}/{}", entry.kind.to_lowercase(), entry.name)),
            entry.newest.to_string(),
            entry.serving.map(|it| it.to_string()).unwrap_or_default(),
            phase,
            entry.changes.to_string(),
            age((now - entry.changed).to_std().unwrap_or_default()),
        ]);
        if self.is_wide() {
            row.extend([
                rfc3339(entry.changed),
                entry.deleted_at.map(rfc3339).unwrap_or_default(),
                entry.uid.to_string(),
            ]);
        }
        row
    }
}
