//! `kubectl revisor diff`: how two states differ.

mod external;

use super::Run;
use super::fetch::Keep;
use super::live::Place;
use super::print::lines;
use super::streams::Streams;
use super::workload::{Found, Scene, SettingsArgs, TargetArgs};
use crate::clock;
use crate::history::{self, Which, find};
use crate::manifest::Manifest;
use crate::redact::Names;
use crate::revision::Revision;
use crate::view;
use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

/// Show how two states of a workload differ: the last change, A against the newest, or A against B
///
/// Without the notes of controllers; other words for the same are no difference. Ends with 0 when nothing differs, with 1
/// when something does, and with more than 1 after an error. `KUBECTL_EXTERNAL_DIFF` names a program that shows the
/// differences instead, as with kubectl.
#[derive(Args, Debug)]
pub(super) struct DiffArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,
    /// The older of the two, instead of a word after the workload
    #[arg(long, value_name = "REV", allow_hyphen_values = true)]
    from: Option<Which>,
    /// The newer of the two
    #[arg(long, value_name = "REV", allow_hyphen_values = true)]
    to: Option<Which>,
    /// Compare with the workload as it is now
    #[arg(long, conflicts_with = "to")]
    live: bool,
    /// The fields that differ, one a line, instead of YAML; values that look secret are always hidden
    #[arg(long, conflicts_with = "json_patch")]
    summary: bool,
    /// A JSON Patch (RFC 6902) that makes the older state the newer one
    #[arg(long)]
    json_patch: bool,
    #[command(flatten)]
    pub(super) settings: SettingsArgs,
}

/// One of the two states.
struct Side {
    title: String,
    manifest: Manifest,
}

impl Run for DiffArgs {
    const FAILED: u8 = 2;

    async fn run(&self, scene: &Scene, streams: &mut Streams) -> anyhow::Result<u8> {
        let [mut before, mut after] = self.complete(scene).await?;
        before.manifest.remove_notes();
        after.manifest.remove_notes();
        if self.json_patch {
            return patch(before, after, scene, streams);
        }
        let reordered = Manifest::align(&before.manifest, &mut after.manifest);
        let differs = before.manifest.object() != after.manifest.object();
        if !differs && reordered.is_empty() {
            return Ok(0);
        }
        let order = lines(
            reordered
                .iter()
                .map(|path| format!("# only the order differs: {path}")),
        );
        if self.summary {
            streams.print(&format!(
                "{order}{}",
                summary(&before, &after, &scene.settings.strict_names)?
            ))?;
            return Ok(1);
        }
        if let Some(names) = &scene.settings.names {
            Manifest::hide_both(&mut before.manifest, &mut after.manifest, names);
        }
        if let Some(program) = external::program() {
            streams.print(&order)?;
            let sides = [
                (&before.title, before.manifest.yaml()?),
                (&after.title, after.manifest.yaml()?),
            ];
            return external::run(&program, sides.map(|(title, yaml)| (title.as_str(), yaml)));
        }
        let titles = [before.title.as_str(), after.title.as_str()];
        let text = Manifest::unified(&before.manifest, &after.manifest, titles)?;
        streams.print(&streams.painted(&(order + &text)))?;
        Ok(1)
    }
}

impl DiffArgs {
    async fn complete(&self, scene: &Scene) -> anyhow::Result<[Side; 2]> {
        let spoken = scene.spoken(&self.target).await?;
        let mut found = Vec::new();
        for one in spoken {
            found.push(scene.find(one, self.target.uid, Keep::All).await?);
        }
        match found.as_slice() {
            [one] => self.of_one(one, scene).await,
            [a, b] if self.from.is_none() && self.to.is_none() && !self.live => {
                let mut sides = [of_workload(a)?, of_workload(b)?];
                for side in &mut sides {
                    side.manifest.remove_names();
                }
                Ok(sides)
            }
            [_, _] => bail!(
                "--from, --to and --live are for one workload; name the revisions after the workloads"
            ),
            _ => bail!("name one workload, or two"),
        }
    }

    async fn of_one(&self, found: &Found, scene: &Scene) -> anyhow::Result<[Side; 2]> {
        let all = &found.life.revisions;
        let now = clock::now();
        let mut named = found.revisions.iter().chain(&self.from).chain(&self.to);
        let [first, second] = [named.next(), named.next()];
        if named.next().is_some() || (self.live && second.is_some()) {
            bail!("diff takes at most two revisions, and with --live at most one");
        }
        if self.live {
            let older = find(all, first.unwrap_or(&Which::FromNewest(0)), now)?;
            return Ok([side(older)?, live(found, scene).await?]);
        }
        let is_newer = found.revisions.is_empty() && self.from.is_none();
        let (older, newer) = match (first, second) {
            (Some(to), None) if is_newer => (None, find(all, to, now)?),
            (older, newer) => {
                let newer = find(all, newer.unwrap_or(&Which::FromNewest(0)), now)?;
                (older.map(|older| find(all, older, now)).transpose()?, newer)
            }
        };
        let Some(older) = older.or_else(|| history::before(all, newer)) else {
            bail!(
                "revision {} is the first that is recorded; there is nothing before it",
                newer.spec.generation
            );
        };
        Ok([side(older)?, side(newer)?])
    }
}

/// Prints a JSON Patch.
fn patch(
    mut before: Side,
    mut after: Side,
    scene: &Scene,
    streams: &mut Streams,
) -> anyhow::Result<u8> {
    let differs = before.manifest.object() != after.manifest.object();
    if let Some(names) = &scene.settings.names {
        Manifest::hide_both(&mut before.manifest, &mut after.manifest, names);
    }
    streams.print(&(Manifest::patch(&before.manifest, &after.manifest)? + "\n"))?;
    Ok(u8::from(differs))
}

fn side(revision: &Revision) -> anyhow::Result<Side> {
    Ok(Side {
        title: format!("revision {}", revision.spec.generation),
        manifest: Manifest::read(revision)?,
    })
}

fn of_workload(found: &Found) -> anyhow::Result<Side> {
    let which = match found.revisions.as_slice() {
        [] => &Which::FromNewest(0),
        [one] => one,
        _ => bail!("of two workloads one revision each can be compared"),
    };
    let revision = find(&found.life.revisions, which, clock::now())?;
    let mut side = side(revision)?;
    side.title = format!("{} {}", found.target(), side.title);
    Ok(side)
}

async fn live(found: &Found, scene: &Scene) -> anyhow::Result<Side> {
    let life = &found.life;
    let newest = life.newest();
    let kind = life.group_kind();
    let place = Place::find(
        &scene.session,
        &scene.types,
        &kind,
        &newest.spec.workload.api_version,
        life.namespace(),
        life.name(),
    );
    let live = place.await?.read(&scene.session).await?;
    let live = live.with_context(|| format!("{} is not there any more", found.target()))?;
    let title = match live["metadata"]["generation"].as_i64() {
        Some(generation) => format!("live (generation {generation})"),
        None => "live".to_owned(),
    };
    Ok(Side {
        title,
        manifest: Manifest::live(live, newest),
    })
}

/// The change in words, then each field that differs.
fn summary(before: &Side, after: &Side, names: &Names) -> anyhow::Result<String> {
    let text = |value: &Value| serde_json::to_string(value);
    let texts = [
        text(before.manifest.object())?,
        text(after.manifest.object())?,
    ];
    let mut told =
        view::told([&texts[0], &texts[1]], names).context("the content cannot be compared")?;
    if told.changes.is_empty() {
        "only labels or annotations".clone_into(&mut told.summary);
    }
    let mut out = format!("{}\n", told.summary);
    for change in &told.changes {
        let line = match (&change.from, &change.to) {
            (None, Some(to)) => format!("  + {}: {to}\n", change.path),
            (Some(from), None) => format!("  - {}: {from}\n", change.path),
            (from, to) => format!(
                "    {}: {} → {}\n",
                change.path,
                from.as_deref().unwrap_or_default(),
                to.as_deref().unwrap_or_default()
            ),
        };
        out.push_str(&line);
    }
    if told.truncated {
        out.push_str("  … and more\n");
    }
    Ok(out)
}
