//! `kubectl revisor at`: workloads as they were at a time.

use super::Run;
use super::fetch::{self, Keep};
use super::print::ManifestFormat;
use super::show::printed;
use super::streams::Streams;
use super::workload::{Scene, SettingsArgs, TargetArgs};
use crate::clock;
use crate::history::at::at_version;
use crate::history::lives::{Life, lives};
use crate::history::moment::Moment;
use crate::history::{HistoryError, Which, find};
use crate::revision::Revision;
use crate::workload::ResourceVersion;
use anyhow::bail;
use clap::Args;

/// Print workloads as they were at a time: all of a namespace, or one
#[derive(Args, Debug)]
pub(super) struct AtArgs {
    /// The time, such as 2h (ago), 3d or 2026-11-20T10:00Z, which means the end of its second; then a workload, when not all
    /// are meant. With --resource-version only the workload
    #[arg(value_name = "TIME [WORKLOAD]")]
    words: Vec<String>,
    /// The state at this resourceVersion, instead of a time
    #[arg(long, value_name = "N")]
    resource_version: Option<ResourceVersion>,
    /// Workloads of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    #[command(flatten)]
    pub(super) settings: SettingsArgs,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: ManifestFormat,
}

/// The point in the past that is meant.
#[derive(Clone, Copy, Debug)]
enum Point {
    Time(Moment),
    At(ResourceVersion),
}

impl Run for AtArgs {
    async fn run(&self, scene: &Scene, streams: &mut Streams) -> anyhow::Result<u8> {
        let (point, words) = self.validate()?;
        let lives = self.complete(scene, words).await?;
        let mut texts = Vec::new();
        for life in &lives {
            let revision = match state(life, point, &lives) {
                Ok(Some(revision)) => revision,
                Ok(None) => continue,
                Err(missing) if lives.len() > 1 => {
                    streams.warn(&format!("{}: {missing}", said(life)))?;
                    continue;
                }
                Err(missing) => return Err(missing),
            };
            match self.text(revision, life, scene) {
                Ok(text) => texts.push(text),
                Err(missing) => streams.warn(&format!("{}: {missing}", said(life)))?,
            }
        }
        if texts.is_empty() {
            bail!("no workload that is recorded was there then");
        }
        let text = match self.output {
            ManifestFormat::Yaml => texts.join("---\n"),
            ManifestFormat::Json | ManifestFormat::Name => texts.concat(),
        };
        streams.print(&text)?;
        Ok(0)
    }
}

fn said(life: &Life) -> String {
    let kind = life.group_kind().kind.to_lowercase();
    format!("{kind}/{} in {}", life.name(), life.namespace())
}

impl AtArgs {
    fn validate(&self) -> anyhow::Result<(Point, &[String])> {
        if let Some(version) = self.resource_version {
            return Ok((Point::At(version), &self.words));
        }
        let Some((time, rest)) = self.words.split_first() else {
            bail!("a time is missing: 2h, 2026-11-20T10:00Z, or --resource-version N");
        };
        let time = time.strip_prefix('@').unwrap_or(time);
        let moment = time
            .parse()
            .map_err(|error: String| anyhow::anyhow!(error))?;
        Ok((Point::Time(moment), rest))
    }

    /// All lives of one workload, or of all that were meant.
    async fn complete(&self, scene: &Scene, words: &[String]) -> anyhow::Result<Vec<Life>> {
        if !words.is_empty() {
            if self.all_namespaces {
                bail!("a workload is named: -A chooses several, and needs none");
            }
            let target = TargetArgs {
                words: words.to_vec(),
                ..TargetArgs::default()
            };
            let found = scene.one(&target, Keep::All).await?;
            return Ok(found.earlier.into_iter().chain([found.life]).collect());
        }
        let namespace = (!self.all_namespaces).then_some(scene.session.namespace.as_str());
        let catalogue = &scene.settings.catalogue;
        let all = fetch::revisions(&scene.session, namespace, &[], Keep::All, catalogue).await?;
        Ok(lives(all.revisions).into_values().flatten().collect())
    }

    fn text(&self, revision: &Revision, life: &Life, scene: &Scene) -> anyhow::Result<String> {
        if self.output == ManifestFormat::Name {
            return Ok(format!("{} {}\n", said(life), revision.spec.generation));
        }
        printed(revision, self.output, scene.settings.names.as_ref())
    }
}

/// The Revision of a workload that was in force; none when it was not there.
fn state<'l>(life: &'l Life, point: Point, all: &[Life]) -> anyhow::Result<Option<&'l Revision>> {
    match point {
        Point::Time(moment) => match find(&life.revisions, &Which::At(moment), clock::now()) {
            Ok(revision) => Ok(Some(revision)),
            Err(HistoryError::TooEarly(..) | HistoryError::Deleted(..)) => Ok(None),
            Err(missing) => Err(missing.into()),
        },
        Point::At(version) => Ok(at_version(life, version, all)?),
    }
}
