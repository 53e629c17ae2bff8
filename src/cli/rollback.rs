//! `kubectl revisor rollback`: brings a workload back to an earlier revision, exactly, by one write.
//!
//! 1. Complete: the Revision, its content, the workload as it is now.
//! 2. Validate: it is not being deleted, and nobody else would write it again at once.
//! 3. Run: a dry run, and the difference that it shows; the question; the write; the hand-back of fields; the wait.
//!
//! A workload that was deleted is created again (`restore`).

mod plan;
mod refs;
mod repo;
mod restore;
mod scalers;
mod told;
mod wait;
mod write;

use super::Run;
use super::fetch::Keep;
use super::live::Place;
use super::streams::Streams;
use super::workload::{Found, Scene, SettingsArgs, TargetArgs};
use crate::clock;
use crate::history::moment::duration;
use crate::history::owner::{controller, owner};
use crate::history::{Which, find, skipped};
use crate::kinds::Kind;
use crate::manifest::Manifest;
use crate::redact::Names;
use crate::revision::Revision;
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use plan::Plan;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Bring a workload back to an earlier revision, or restore it after it was deleted
///
/// Shows what will change, asks, and writes the old content as it was. Replicas stay as they are now. There is no default
/// revision: name one, or last-good.
#[derive(Args, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct RollbackArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Only show what would change: as the API server would store it, or without asking it
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, default_missing_value = "server", require_equals = true)]
    dry_run: DryRun,
    /// Wait until the revision runs, or has failed
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = limit)]
    timeout: Duration,
    /// Also where a delivery tool owns the workload, and will undo it
    #[arg(long)]
    force: bool,
    /// Replicas of the revision, instead of those of now
    #[arg(long)]
    restore_replicas: bool,
    /// Write without a dry run, where a webhook refuses those
    #[arg(long)]
    skip_dry_run: bool,
    /// File of manifests that a delivery tool applies: prints a diff of it for `git apply`, and writes nothing
    #[arg(long, value_name = "FILE")]
    repo_file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) settings: SettingsArgs,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Default)]
enum DryRun {
    /// Write
    #[default]
    None,
    /// Ask the API server, and write nothing
    Server,
    /// Ask nothing
    Client,
}

fn limit(text: &str) -> Result<Duration, String> {
    duration(text).ok_or_else(|| format!("{text:?} is no duration, such as 90s or 10m"))
}

/// A rollback, completed.
struct Rollback<'a> {
    args: &'a RollbackArgs,
    scene: &'a Scene,
    found: Found,
    /// The revision to go back to.
    revision: Revision,
    /// Its content.
    old: Value,
    kind: Option<Arc<Kind>>,
    place: Place,
}

impl Run for RollbackArgs {
    const UNREAD: u8 = 1;

    async fn run(&self, scene: &Scene, streams: &mut Streams) -> anyhow::Result<u8> {
        let rollback = self.complete(scene, streams).await?;
        if let Some(moved) = rollback.moved_version() {
            streams.warn(&moved)?;
        }
        match rollback.place.read(&scene.session).await? {
            Some(live) => {
                rollback.validate(&live, streams)?;
                rollback.write(live, streams).await
            }
            None => rollback.restore(streams).await,
        }
    }
}

impl RollbackArgs {
    async fn complete<'a>(
        &'a self,
        scene: &'a Scene,
        streams: &mut Streams,
    ) -> anyhow::Result<Rollback<'a>> {
        let found = scene.one(&self.target, Keep::All).await?;
        let all = &found.life.revisions;
        let which = match found.revisions.as_slice() {
            [one] => one,
            [] => bail!(
                "which revision? Name one, or last-good: kubectl revisor history {}{}",
                found.target(),
                scene.session.flags(found.life.namespace())
            ),
            _ => bail!("rollback takes one revision"),
        };
        let revision = find(all, which, clock::now())?.clone();
        if *which == Which::LastGood {
            for (generation, why) in skipped(all) {
                streams.note(&format!("revision {generation} is skipped: {why}"))?;
            }
        }
        let old = Manifest::read(&revision)?.into_object();
        let kind = found.life.group_kind();
        let place = Place::find(
            &scene.session,
            &scene.types,
            &kind,
            &revision.spec.workload.api_version,
            found.life.namespace(),
            found.life.name(),
        );
        Ok(Rollback {
            args: self,
            scene,
            kind: found.kind(&scene.types),
            place: place.await?,
            found,
            revision,
            old,
        })
    }
}

impl Rollback<'_> {
    /// Refuses where the write would come to nothing.
    fn validate(&self, live: &Value, streams: &mut Streams) -> anyhow::Result<()> {
        let target = self.found.target();
        if let Some(time) = live["metadata"]["deletionTimestamp"].as_str() {
            bail!("{target} is being deleted since {time}: nothing that is written to it lasts");
        }
        if let Some(controller) = controller(live) {
            let flags = self.scene.session.flags(&self.place.namespace);
            bail!(
                "{target} is made by {controller}, which would write it again: roll that back instead \
                 (kubectl revisor history {}{flags})",
                controller.to_lowercase()
            );
        }
        let Some(owner) = owner(live) else {
            return Ok(());
        };
        let undone = format!(
            "{} ({}) owns {target} and undoes a rollback {}",
            owner.tool, owner.name, owner.undone
        );
        if self.args.force || self.args.repo_file.is_some() || self.args.dry_run != DryRun::None {
            return Ok(streams.warn(&undone)?);
        }
        let plan = self.plan(live);
        let patch = self.applicable(repo::merge_patch(&plan, live)?);
        streams.note(&format!(
            "# what would be changed where {} takes it from, as a merge patch:",
            owner.tool
        ))?;
        streams.print(&patch)?;
        bail!(
            "{undone}: change it there (--repo-file FILE makes a diff of a manifest), or --force it"
        )
    }

    /// A text without its secrets, unless they are shown.
    fn hidden(&self, text: &str) -> String {
        match &self.scene.settings.names {
            Some(names) => names.text(text).into_owned(),
            None => text.to_owned(),
        }
    }

    /// A patch that no program takes when values in it are hidden: applied, it would overwrite them.
    fn applicable(&self, patch: String) -> String {
        let shown = self.hidden(&patch);
        if shown == patch {
            return patch;
        }
        let lines = shown.lines().map(|line| format!("# {line}\n"));
        let notice =
            "# values that look secret are hidden; with --show-secrets this can be applied\n";
        std::iter::once(notice.to_owned()).chain(lines).collect()
    }

    fn plan(&self, live: &Value) -> Plan {
        let keeps = !self.args.restore_replicas;
        Plan::new(self.kind.as_deref(), live, &self.old, keeps)
    }

    /// A warning where the revision was recorded in a version that is not served any more.
    fn moved_version(&self) -> Option<String> {
        let recorded = &self.revision.spec.workload.api_version;
        let served = self.place.resource.api_version();
        (*recorded != served).then(|| {
            format!("the revision was recorded in {recorded}, which is not served any more: it is written in {served}, and fields of another name are dropped")
        })
    }

    fn generation(&self) -> i64 {
        self.revision.spec.generation
    }

    /// Asks, unless that is not wanted.
    fn confirm(&self, question: &str, streams: &mut Streams) -> anyhow::Result<bool> {
        if self.args.yes {
            return Ok(true);
        }
        let answer = streams.ask(question)?;
        let answer = answer.context("there is nobody to ask: --yes goes on without a question")?;
        if !answer {
            streams.note("Nothing was changed.")?;
        }
        Ok(answer)
    }
}

/// The difference of two states as text, without secrets unless they are shown; empty when nothing differs.
fn difference(
    before: Manifest,
    after: Manifest,
    titles: [&str; 2],
    names: Option<&Names>,
) -> anyhow::Result<String> {
    let [mut before, mut after] = [before, after];
    before.remove_notes();
    after.remove_notes();
    Manifest::align(&before, &mut after);
    if let Some(names) = names {
        Manifest::hide_both(&mut before, &mut after, names);
    }
    let text = Manifest::unified(&before, &after, titles)?;
    // The notice of hidden values names a command for two revisions, and the later state is none so far.
    Ok(
        match text
            .strip_prefix("# ")
            .and_then(|text| text.split_once('\n'))
        {
            Some((_, text)) => {
                format!("# values that look secret are hidden; --show-secrets shows them\n{text}")
            }
            None => text,
        },
    )
}
