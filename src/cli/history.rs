//! `kubectl revisor history`: the revisions of a workload.

mod rows;

use super::Run;
use super::fetch::{self, Keep};
use super::print::{ListFormat, columns, json, lines, objects, yaml};
use super::streams::Streams;
use super::workload::{Found, Scene, SettingsArgs, TargetArgs};
use crate::clock;
use crate::history::lives::{Life, Name, lives};
use crate::history::moment::Moment;
use crate::history::selector::Selector;
use crate::manifest::Manifest;
use crate::revision::Revision;
use anyhow::bail;
use clap::Args;
use std::collections::BTreeMap;

/// List the revisions of a workload, oldest first; a star marks those that serve
#[derive(Args, Debug)]
pub(super) struct HistoryArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,
    /// Workloads of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Workloads whose newest revision has these labels
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<Selector>,
    /// Only revisions since this time, or within this duration: 2h, 2026-11-20T10:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    #[command(flatten)]
    pub(super) settings: SettingsArgs,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: ListFormat,
}

impl Run for HistoryArgs {
    async fn run(&self, scene: &Scene, streams: &mut Streams) -> anyhow::Result<u8> {
        self.validate()?;
        let histories = self.complete(scene).await?;
        let names = scene.settings.names.as_ref();
        let text = match self.output {
            ListFormat::Json | ListFormat::Yaml => {
                let all: Vec<Revision> = histories.iter().flat_map(|it| self.chosen(it)).collect();
                let objects = objects(&all, names)?;
                if self.output == ListFormat::Json {
                    json(&objects)?
                } else {
                    yaml(&objects)?
                }
            }
            ListFormat::Name => {
                let all = histories.iter().flat_map(|it| self.chosen(it));
                lines(
                    all.filter_map(|it| it.metadata.name)
                        .map(|it| format!("revision.revisor.dev/{it}")),
                )
            }
            ListFormat::Table | ListFormat::Wide => {
                let table = rows::Table {
                    is_wide: self.output == ListFormat::Wide,
                    since: self.since.map(|moment| moment.time(clock::now())),
                    now: clock::now(),
                    names,
                };
                let titled = histories.len() > 1 || self.all_namespaces;
                let mut text = String::new();
                for found in &histories {
                    if titled {
                        text.push_str(&title(found, text.is_empty()));
                    }
                    text.push_str(&columns(table.rows(found), 1, streams.width));
                }
                text
            }
        };
        streams.print(&text)?;
        Ok(0)
    }
}

fn title(found: &Found, is_first: bool) -> String {
    let line = if is_first { "" } else { "\n" };
    format!("{line}{} in {}:\n", found.target(), found.life.namespace())
}

impl HistoryArgs {
    fn validate(&self) -> anyhow::Result<()> {
        let names_one = !self.target.words.is_empty() || self.target.filename.is_some();
        if names_one && (self.all_namespaces || self.selector.is_some()) {
            bail!("a workload is named: -A and -l choose several, and need none");
        }
        Ok(())
    }

    async fn complete(&self, scene: &Scene) -> anyhow::Result<Vec<Found>> {
        let is_table = matches!(self.output, ListFormat::Table | ListFormat::Wide);
        let keep = if is_table { Keep::Normal } else { Keep::All };
        if !self.all_namespaces && self.selector.is_none() {
            let found = scene.one(&self.target, keep).await?;
            if !found.revisions.is_empty() {
                bail!("history takes no revision; `show` and `diff` do");
            }
            return Ok(vec![found]);
        }
        // Labels are in the snapshots.
        let keep = if self.selector.is_some() {
            Keep::All
        } else {
            keep
        };
        let namespace = (!self.all_namespaces).then_some(scene.session.namespace.as_str());
        let catalogue = &scene.settings.catalogue;
        let fetched = fetch::revisions(&scene.session, namespace, &[], keep, catalogue).await?;
        let names: BTreeMap<Name, Vec<Life>> = lives(fetched.revisions);
        let chosen = names.into_values().filter_map(|mut lives| {
            let life = lives.pop()?;
            let is_meant = |it: &Selector| it.matches(&labels(&life));
            if !self.selector.as_ref().is_none_or(is_meant) {
                return None;
            }
            let uids: Vec<_> = lives.iter().chain([&life]).map(|it| it.uid).collect();
            let own = fetched
                .normals
                .iter()
                .filter(|((uid, _), _)| uids.contains(uid));
            let normals = own.map(|(key, normal)| (*key, normal.clone())).collect();
            Some(Found {
                earlier: lives,
                revisions: Vec::new(),
                normals,
                life,
            })
        });
        let chosen: Vec<_> = chosen.collect();
        if chosen.is_empty() {
            bail!("no workload with a history matches");
        }
        Ok(chosen)
    }

    fn chosen(&self, found: &Found) -> Vec<Revision> {
        let since = self.since.map(|moment| moment.time(clock::now()));
        let all = found
            .earlier
            .iter()
            .flat_map(|life| &life.revisions)
            .chain(&found.life.revisions);
        all.filter(|it| since.is_none_or(|since| it.spec.change_time >= since))
            .cloned()
            .collect()
    }
}

/// The labels of the newest state of a workload.
fn labels(life: &Life) -> BTreeMap<String, String> {
    let newest = life
        .revisions
        .iter()
        .rev()
        .find_map(|it| Manifest::read(it).ok());
    newest.map(|manifest| manifest.labels()).unwrap_or_default()
}
