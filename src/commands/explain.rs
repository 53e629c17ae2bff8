//! `revisor kinds explain`: what would be recorded and shown of manifests, without a cluster.

use crate::config::Config;
use crate::json::Document;
use crate::kinds::runner::Runner;
use crate::kinds::select::{Selection, select};
use crate::kinds::{Catalogue, Kind};
use crate::metrics::Metrics;
use crate::record::extract::{PART, components};
use crate::revision::View;
use crate::snapshot;
use crate::view::{History, complete, view};
use crate::workload::Resource;
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

/// Flags of `revisor kinds explain`.
#[derive(Args, Debug, Clone)]
pub struct ExplainArgs {
    /// File with manifests; - for standard input
    #[arg(short, long, value_name = "FILE")]
    pub filename: PathBuf,
    /// Configuration file to take kinds and redaction from
    #[arg(
        long,
        env = "REVISOR_CONFIG",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub config: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = ExplainOutput::Yaml)]
    pub output: ExplainOutput,
}

/// How `revisor kinds explain` prints.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExplainOutput {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

/// What becomes of one manifest.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    workload: String,
    kind_file: String,
    recorded: bool,
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_digest: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    view_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    view: Option<View>,
}

/// Explains every document of a file.
///
/// # Errors
/// When the file cannot be read, holds something that is no manifest, or nothing of a known kind; and, after all is
/// printed, when a program of a kind file failed.
pub(super) async fn explain(args: &ExplainArgs) -> anyhow::Result<()> {
    let config = Config::load(args.config.as_deref())?;
    let runner = Runner::new(&Metrics::new());
    let file = args.filename.display().to_string();
    let mut text = String::new();
    if file == "-" {
        std::io::stdin()
            .read_to_string(&mut text)
            .context("standard input")?;
    } else {
        text = std::fs::read_to_string(&args.filename).with_context(|| file.clone())?;
    }
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&text).with_context(|| format!("{file}: is not YAML"))?;
    let mut all = Vec::new();
    for (i, document) in documents
        .iter()
        .filter(|document| !document.is_null())
        .enumerate()
    {
        let explained = one(&config, &runner, document).await;
        all.push(explained.with_context(|| format!("{file}: document {}", i + 1))?);
    }
    if all.is_empty() {
        bail!("{file}: holds no manifest");
    }
    super::say(&match args.output {
        ExplainOutput::Json => serde_json::to_string_pretty(&all)? + "\n",
        ExplainOutput::Yaml => all
            .iter()
            .map(serde_saphyr::to_string)
            .collect::<Result<Vec<_>, _>>()?
            .join("---\n"),
    })?;
    let failed = all
        .iter()
        .filter_map(|one| Some(format!("{}: {}", one.workload, one.view_error.as_ref()?)));
    let failed: Vec<_> = failed.collect();
    anyhow::ensure!(failed.is_empty(), "{file}: {}", failed.join("; "));
    Ok(())
}

async fn one(config: &Config, runner: &Runner, manifest: &Value) -> anyhow::Result<Explained> {
    let (catalogue, names) = (&config.catalogue, &config.settings.names);
    let text = |field: &str| {
        manifest[field]
            .as_str()
            .with_context(|| format!("has no {field}"))
    };
    let (api_version, kind_name) = (text("apiVersion")?, text("kind")?);
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let named = |kind: &&Arc<Kind>| kind.kind == kind_name && kind.group == group;
    let Some(kind) = catalogue.kinds().iter().find(named) else {
        let known: Vec<_> = catalogue
            .kinds()
            .iter()
            .map(|kind| kind.group_kind().to_string())
            .collect();
        bail!(
            "kind: {kind_name:?} of {api_version:?} has no kind file (known: {})",
            known.join(", ")
        );
    };
    if !kind.versions.iter().any(|known| known == version) {
        bail!(
            "apiVersion: {api_version:?} is none of the versions of its kind file: {}",
            kind.versions.join(", ")
        );
    }
    let json = manifest.to_string();
    let document = Document::parse(&json)?;
    let selection = select(catalogue, kind, document.root());
    let resource = Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.kind.clone(),
        plural: kind.plural.clone(),
    };
    let name = manifest["metadata"]["name"].as_str().unwrap_or("(no name)");
    let mut explained = Explained {
        workload: format!("{kind_name}/{name}"),
        kind_file: kind.group_kind().to_string(),
        recorded: selection == Selection::Selected,
        why: why(catalogue, kind, &selection),
        content_digest: Some(
            snapshot::pack(&resource, document.root())?
                .digest
                .to_string(),
        ),
        components: Vec::new(),
        view_error: None,
        view: view(
            kind,
            document.root(),
            History::First { generation: 1 },
            names,
        ),
    };
    if let (Some(file), Some(view)) = (&kind.view, &mut explained.view) {
        match outputs(kind, runner, json.clone()).await {
            Ok(outputs) => {
                complete(view, file, &outputs, names);
                explained.components = outputs;
            }
            Err(error) => explained.view_error = Some(error),
        }
    }
    Ok(explained)
}

/// What the kind file's program gives, run as the recorder runs it.
async fn outputs(kind: &Arc<Kind>, runner: &Runner, json: String) -> Result<Vec<Value>, String> {
    let of = kind.clone();
    let work = move || {
        of.view
            .as_ref()
            .map_or_else(|| Ok(Vec::new()), |file| components(file, &json))
    };
    let outputs = runner.run(kind, PART, work).await;
    outputs.map_err(|failure| {
        format!("{PART}: {failure}; Revisions are recorded without what it should find")
    })
}

fn why(catalogue: &Catalogue, kind: &Kind, selection: &Selection) -> String {
    match selection {
        Selection::Selected => "selected".to_owned(),
        Selection::Refused => "label revisor.dev/record=false".to_owned(),
        Selection::Unmatched => {
            "it has none of the labels and asks for no GPU; label revisor.dev/record=true selects it"
                .to_owned()
        }
        Selection::Owned(owner) if catalogue.has(owner) => {
            format!("it is a part of a {owner}, a kind that is recorded itself")
        }
        Selection::Owned(owner) => {
            let root = kind.part_of.iter().find(|(part, _)| part == owner).map(|(_, root)| root);
            match root {
                Some(root) => {
                    format!("it is a part of a {owner}, and that of a {root}, a kind that is recorded")
                }
                None => format!("ownedBy of its kind file says that a {owner} is a part of what is recorded"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::GroupKind;

    #[test]
    fn it_says_what_is_recorded_instead() {
        let catalogue = Catalogue::built_in();
        let deployment = catalogue
            .kinds()
            .iter()
            .find(|kind| kind.kind == "Deployment")
            .expect("built in");
        let owned = |kind: &str, group: &str| {
            let owner = GroupKind {
                kind: kind.to_owned(),
                group: group.to_owned(),
            };
            why(&catalogue, deployment, &Selection::Owned(owner))
        };
        assert_eq!(
            owned("InferenceService", "serving.kserve.io"),
            "it is a part of a InferenceService.serving.kserve.io, a kind that is recorded itself"
        );
        assert_eq!(
            owned("Revision", "serving.knative.dev"),
            "it is a part of a Revision.serving.knative.dev, and that of a Service.serving.knative.dev, a kind that is recorded"
        );
    }
}
