//! `kubectl revisor show`: a workload as it was.

use super::Run;
use super::fetch::Keep;
use super::print::ManifestFormat;
use super::streams::Streams;
use super::workload::{Scene, SettingsArgs, TargetArgs};
use crate::clock;
use crate::history::{Which, find};
use crate::manifest::{self, Manifest, ManifestError};
use crate::redact::Names;
use crate::revision::Revision;
use crate::text::visible_json;
use anyhow::bail;
use clap::Args;

/// Print a workload as it was in a revision; the newest when none is named
#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,
    /// The revision, instead of a word after the workload
    #[arg(long, value_name = "REV", allow_hyphen_values = true)]
    revision: Option<Which>,
    #[command(flatten)]
    pub(super) settings: SettingsArgs,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: ManifestFormat,
}

impl Run for ShowArgs {
    async fn run(&self, scene: &Scene, streams: &mut Streams) -> anyhow::Result<u8> {
        let found = scene.one(&self.target, Keep::All).await?;
        let which = match (found.revisions.as_slice(), &self.revision) {
            ([], None) => Which::FromNewest(0),
            ([one], None) | ([], Some(one)) => one.clone(),
            _ => bail!("show takes one revision"),
        };
        let revision = find(&found.life.revisions, &which, clock::now())?;
        if self.output == ManifestFormat::Name {
            let name = revision.metadata.name.as_deref().unwrap_or_default();
            streams.print(&format!("revision.revisor.dev/{name}\n"))?;
            return Ok(0);
        }
        let text = printed(revision, self.output, scene.settings.names.as_ref())?;
        streams.print(&text)?;
        Ok(0)
    }
}

/// The manifest that a Revision stores.
pub(super) fn printed(
    revision: &Revision,
    format: ManifestFormat,
    names: Option<&Names>,
) -> anyhow::Result<String> {
    let is_stored = format == ManifestFormat::Json && names.is_none();
    let mut manifest = match Manifest::read(revision) {
        // One that is nested too deeply to be walked can still be printed as it is stored.
        Err(ManifestError::TooDeep(_)) if is_stored => {
            return Ok(visible_json(&manifest::stored(revision)?).into_owned() + "\n");
        }
        read => read?,
    };
    manifest.remove_notes();
    if let Some(names) = names {
        manifest.hide(names);
    }
    Ok(match format {
        ManifestFormat::Json => manifest.json()? + "\n",
        ManifestFormat::Yaml | ManifestFormat::Name => manifest.yaml()?,
    })
}
