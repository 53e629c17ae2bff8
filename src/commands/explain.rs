//! `revisor kinds explain`: what would be recorded and shown of manifests, without a cluster.

use crate::config::{Config, ExplainArgs, ExplainOutput};
use crate::json::Document;
use crate::kinds::select::{Selection, select};
use crate::kinds::{Catalogue, Kind};
use crate::record::extract::components;
use crate::record::snapshot;
use crate::record::view::redact::Names;
use crate::record::view::{History, complete, view};
use crate::revision::View;
use crate::workload::Resource;
use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::Value;
use std::io::Read;

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
/// When the file cannot be read, holds something that is no manifest, or nothing of a known kind.
pub(super) fn explain(args: &ExplainArgs) -> anyhow::Result<String> {
    let config = Config::load(args.config.as_deref())?;
    let file = args.filename.display().to_string();
    let mut text = String::new();
    if file == "-" {
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
    } else {
        text = std::fs::read_to_string(&args.filename).with_context(|| file.clone())?;
    }
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&text).with_context(|| format!("{file}: is not YAML"))?;
    let mut all = Vec::new();
    for (i, document) in documents.iter().filter(|document| !document.is_null()).enumerate() {
        all.push(
            one(&config.catalogue, &config.settings.names, document)
                .with_context(|| format!("{file}: document {}", i + 1))?,
        );
    }
    if all.is_empty() {
        bail!("{file}: holds no manifest");
    }
    Ok(match args.output {
        ExplainOutput::Json => serde_json::to_string_pretty(&all)? + "\n",
        ExplainOutput::Yaml => {
            all.iter().map(serde_saphyr::to_string).collect::<Result<Vec<_>, _>>()?.join("---\n")
        }
    })
}

fn one(catalogue: &Catalogue, names: &Names, manifest: &Value) -> anyhow::Result<Explained> {
    let text = |field: &str| manifest[field].as_str().with_context(|| format!("has no {field}"));
    let (api_version, kind_name) = (text("apiVersion")?, text("kind")?);
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let named = |kind: &&std::sync::Arc<Kind>| kind.kind == kind_name && kind.group == group;
    let Some(kind) = catalogue.kinds().iter().find(named) else {
        let known: Vec<_> = catalogue.kinds().iter().map(|kind| kind.group_kind().to_string()).collect();
        bail!("kind: {kind_name:?} of {api_version:?} has no kind file (known: {})", known.join(", "));
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
        content_digest: Some(snapshot::pack(&resource, document.root())?.digest.to_string()),
        components: Vec::new(),
        view_error: None,
        view: view(kind, document.root(), History::First { generation: 1 }, names),
    };
    let found = kind.view.as_ref().map(|file| (file, components(file, &json)));
    match (found, &mut explained.view) {
        (Some((file, Ok(outputs))), Some(view)) => {
            complete(view, file, &outputs, names);
            explained.components = outputs;
        }
        (Some((_, Err(error))), _) => explained.view_error = Some(format!("view.components: {error}")),
        _ => {}
    }
    Ok(explained)
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
            let root = kind.owned_by.iter().filter(|o| o.kind == *owner).find_map(|o| o.part_of.as_ref());
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
        let deployment = catalogue.kinds().iter().find(|kind| kind.kind == "Deployment").expect("built in");
        let owned = |kind: &str, group: &str| {
            let owner = GroupKind { kind: kind.to_owned(), group: group.to_owned() };
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
