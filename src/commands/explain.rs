//! `revisor kinds explain`: the recording and the view of manifests, without a cluster.

mod documents;

use crate::config::Config;
use crate::history::delta::{Change, changes};
use crate::json::Document;
use crate::kinds::runner::Runner;
use crate::kinds::select::{Selection, select};
use crate::kinds::{Catalogue, GroupKind, Kind};
use crate::metrics::Metrics;
use crate::record::extract::{PART, components};
use crate::redact::Names;
use crate::revision::View;
use crate::snapshot;
use crate::text::visible;
use crate::view::{History, complete, view};
use crate::workload::Resource;
use anyhow::{Context, anyhow, bail, ensure};
use clap::{Args, ValueEnum};
use documents::{Found, documents};
use serde::Serialize;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

/// Flags of `revisor kinds explain`.
#[derive(Args, Debug, Clone)]
pub struct ExplainArgs {
    /// File with manifests, such as the output of `helm template`, or a folder of them; - for standard input
    #[arg(short, long, value_name = "FILE", required = true)]
    pub filename: Vec<PathBuf>,
    /// Read the folders below a folder too
    #[arg(short = 'R', long)]
    pub recursive: bool,
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

/// The result for one manifest.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Explained {
    /// The file, and the number of the document in it.
    document: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    workload: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    kind_file: String,
    recorded: bool,
    why: String,
    /// The fields whose values are hidden wherever they are shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hidden: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_digest: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    view_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    view: Option<View>,
}

impl Explained {
    /// Adds the outputs of the kind file's program to the view, or the reason why there are none.
    async fn add_components(
        &mut self,
        kind: &Arc<Kind>,
        runner: &Runner,
        json: &str,
        names: &Names,
    ) {
        let (Some(file), Some(view)) = (&kind.view, &mut self.view) else {
            return;
        };
        match outputs(kind, runner, json.to_owned()).await {
            Ok(outputs) => {
                complete(view, file, &outputs, names);
                self.components = outputs;
                for component in &mut self.components {
                    names.object(component);
                }
            }
            Err(error) => self.view_error = Some(error),
        }
    }

    fn failure(&self) -> Option<String> {
        let error = self.view_error.as_ref()?;
        Some(format!("{}: {error}", self.workload))
    }
}

/// Explains every document of files and folders.
///
/// # Errors
/// When a file cannot be read, or holds nothing of a known kind; and, after all is printed, when a document is not YAML or
/// a program of a kind file failed.
pub(super) async fn explain(args: &ExplainArgs) -> anyhow::Result<()> {
    let config = Config::load(args.config.as_deref())?;
    let runner = Runner::new(&Metrics::new());
    let mut all = Vec::new();
    let mut failed = Vec::new();
    for Found { place, manifest } in documents(&args.filename, args.recursive)? {
        let is_manifest = manifest.is_ok();
        let explained = match manifest {
            Ok(manifest) => explain_manifest(&config, &runner, &manifest).await,
            Err(error) => Err(anyhow!(error)),
        };
        let explained = explained.unwrap_or_else(|error| Explained {
            why: format!("{error:#}"),
            ..Explained::default()
        });
        if !is_manifest {
            failed.push(format!("{place}: {}", explained.why));
        }
        all.push(Explained {
            document: place,
            ..explained
        });
    }
    if all.iter().all(|one| one.kind_file.is_empty()) {
        let why = all
            .iter()
            .map(|one| format!("{}: {}", one.document, one.why));
        bail!("{}", why.collect::<Vec<_>>().join("\n"));
    }
    super::print(&visible(&render(&all, args.output)?))?;
    failed.extend(all.iter().filter_map(Explained::failure));
    ensure!(failed.is_empty(), "{}", failed.join("; "));
    Ok(())
}

fn render(all: &[Explained], output: ExplainOutput) -> anyhow::Result<String> {
    Ok(match output {
        ExplainOutput::Json => serde_json::to_string_pretty(all)? + "\n",
        ExplainOutput::Yaml => all
            .iter()
            .map(serde_saphyr::to_string)
            .collect::<Result<Vec<_>, _>>()?
            .join("---\n"),
    })
}

async fn explain_manifest(
    config: &Config,
    runner: &Runner,
    manifest: &Value,
) -> anyhow::Result<Explained> {
    let catalogue = &config.catalogue;
    let names = &config.settings.names;
    let api_version = field(manifest, "apiVersion")?;
    let kind = find_kind(catalogue, api_version, field(manifest, "kind")?)?;
    let json = manifest.to_string();
    let document = Document::parse(&json)?;
    let selection = select(catalogue, kind, document.root(), |_| false);
    let first = History::First { generation: 1 };
    let mut explained = Explained {
        document: String::new(),
        workload: workload_name(kind, manifest),
        kind_file: kind.group_kind().to_string(),
        recorded: selection == Selection::Selected,
        why: why(catalogue, kind, &selection),
        hidden: hidden(manifest, names),
        content_digest: Some(content_digest(kind, api_version, &document)?),
        components: Vec::new(),
        view_error: None,
        view: view(kind, document.root(), first, names),
    };
    explained.add_components(kind, runner, &json, names).await;
    Ok(explained)
}

/// The fields of a manifest whose values are hidden.
fn hidden(manifest: &Value, names: &Names) -> Vec<String> {
    let mut shown = manifest.clone();
    names.object(&mut shown);
    let changes = changes(manifest, &shown);
    changes.iter().map(Change::place).collect()
}

fn field<'m>(manifest: &'m Value, name: &str) -> anyhow::Result<&'m str> {
    manifest[name]
        .as_str()
        .with_context(|| format!("has no {name}"))
}

fn workload_name(kind: &Kind, manifest: &Value) -> String {
    let name = manifest["metadata"]["name"].as_str();
    format!("{}/{}", kind.kind, name.unwrap_or("(no name)"))
}

/// Group and version; the group is empty for the core group.
fn group_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// Finds the kind file of a kind in an apiVersion.
fn find_kind<'c>(
    catalogue: &'c Catalogue,
    api_version: &str,
    name: &str,
) -> anyhow::Result<&'c Arc<Kind>> {
    let (group, version) = group_version(api_version);
    let mut kinds = catalogue.kinds().iter();
    let Some(kind) = kinds.find(|kind| kind.kind == name && kind.group == group) else {
        let known: Vec<_> = catalogue
            .kinds()
            .iter()
            .map(|kind| kind.group_kind().to_string())
            .collect();
        bail!(
            "kind: {name:?} of {api_version:?} has no kind file (known: {})",
            known.join(", ")
        );
    };
    ensure!(
        kind.versions.iter().any(|known| known == version),
        "apiVersion: {api_version:?} is none of the versions of its kind file: {}",
        kind.versions.join(", ")
    );
    Ok(kind)
}

fn content_digest(
    kind: &Kind,
    api_version: &str,
    document: &Document<'_>,
) -> anyhow::Result<String> {
    let (group, version) = group_version(api_version);
    let resource = Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.kind.clone(),
        plural: kind.plural.clone(),
    };
    Ok(snapshot::pack(&resource, document.root())?
        .digest
        .to_string())
}

/// Runs the program of the kind file as the recorder runs it, and returns its outputs.
async fn outputs(kind: &Arc<Kind>, runner: &Runner, json: String) -> Result<Vec<Value>, String> {
    let of = kind.clone();
    runner
        .run(kind, PART, move || match &of.view {
            Some(file) => components(file, &json),
            None => Ok(Vec::new()),
        })
        .await
        .map_err(|failure| {
            format!("{PART}: {failure}; Revisions are recorded without what it should find")
        })
}

/// The reason why a workload is recorded or not.
fn why(catalogue: &Catalogue, kind: &Kind, selection: &Selection) -> String {
    match selection {
        Selection::Selected => "selected".to_owned(),
        Selection::Refused => "label revisor.dev/record=false".to_owned(),
        Selection::Excluded(namespace) => format!(
            "namespaces.exclude of the configuration has its namespace {namespace}; label \
             revisor.dev/record=true selects it"
        ),
        Selection::Unmatched => {
            "it has none of the labels, and asks for no GPU by which it would be selected; \
             label revisor.dev/record=true selects it"
                .to_owned()
        }
        Selection::Owned(owner) => why_owned(catalogue, kind, owner),
    }
}

/// The reason why a workload that belongs to `owner` is not recorded itself.
fn why_owned(catalogue: &Catalogue, kind: &Kind, owner: &GroupKind) -> String {
    if catalogue.has(owner) {
        return format!("it is a part of a {owner}, a kind that is recorded itself");
    }
    match kind.part_of.iter().find(|(part, _)| part == owner) {
        Some((_, root)) => {
            format!("it is a part of a {owner}, and that of a {root}, a kind that is recorded")
        }
        None => {
            format!("ownedBy of its kind file says that a {owner} is a part of what is recorded")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn components_are_shown_without_their_secrets() {
        let manifest = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "llama"},
            "spec": {"template": {"spec": {"containers": [{
                "name": "vllm", "image": "i:1", "command": ["vllm", "serve", "--api-key"],
                "args": ["hunter2", "--port", "80"],
                "env": [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "MODE", "value": "fast"}],
            }]}}},
        });
        let runner = Runner::new(&Metrics::new());
        let explained = explain_manifest(&Config::default(), &runner, &manifest).await;
        let explained = explained.expect("a known kind");
        assert!(!explained.components.is_empty());
        let text = render(&[explained], ExplainOutput::Json).expect("JSON");
        assert!(text.contains("fast") && !text.contains("hunter2"), "{text}");
        assert!(
            text.contains("containers[vllm].env[DB_PASSWORD].value"),
            "{text}"
        );
    }

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
