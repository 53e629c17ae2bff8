//! `revisor kinds`: lists the kinds that are recorded, and with `--cluster` counts what is selected in a cluster.
//!
//! In: the catalogue of the configuration, and LISTs of each kind. Out: a table, JSON or YAML.

use super::ExplainArgs;
use crate::client::Clients;
use crate::client::page::{page, uri};
use crate::config::{ClusterArgs, Config, Output};
use crate::json::Document;
use crate::kinds::select::{Selection, select};
use crate::kinds::{Catalogue, Kind, Select};
use crate::table::columns;
use crate::watch::{Discovery, resource};
use clap::{Args, Subcommand};
use kube::Client;
use serde::Serialize;
use std::path::PathBuf;

/// Objects of a page of a LIST.
const PAGE: usize = 500;

/// Flags of `revisor kinds`.
#[derive(Args, Debug, Clone)]
#[command(args_conflicts_with_subcommands = true)]
pub struct KindsArgs {
    /// What to do instead of listing.
    #[command(subcommand)]
    pub command: Option<KindsCommand>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster_args: ClusterArgs,
    /// Configuration file to check and to take kinds from
    #[arg(
        long,
        env = "REVISOR_CONFIG",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub config: Option<PathBuf>,
    /// Ask the cluster which kinds it serves and how many objects are selected
    #[arg(long)]
    pub cluster: bool,
    /// Print the ClusterRole that recording them needs, for `kubectl apply -f -`
    #[arg(long, conflicts_with_all = ["cluster", "output"])]
    pub rbac: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Commands of `revisor kinds`.
#[derive(Subcommand, Debug, Clone)]
pub enum KindsCommand {
    /// Show what would be recorded of manifests, and how it would be shown, without a cluster
    Explain(ExplainArgs),
}

/// One kind, as it is listed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KindRow {
    kind: String,
    group: String,
    versions: Vec<String>,
    selected: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<KindCount>,
}

impl KindRow {
    fn new(kind: &Kind, found: Option<KindCount>) -> Self {
        Self {
            kind: kind.kind.clone(),
            group: kind.group.clone(),
            versions: kind.versions.clone(),
            selected: rule(&kind.select),
            found,
        }
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.kind.clone(),
            self.group.clone(),
            self.versions.join(","),
            self.selected.clone(),
        ]
    }

    /// The line below the table that tells the count; none without a count.
    fn count_line(&self) -> Option<String> {
        let found = self.found.as_ref()?;
        Some(match found.version {
            None => format!("{} is not installed\n", self.kind),
            Some(_) => format!(
                "{} of {} {}s selected\n",
                found.selected, found.objects, self.kind
            ),
        })
    }
}

/// Objects of a kind in a cluster.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct KindCount {
    /// The version that the cluster offers; none when the kind is not installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    selected: usize,
    objects: usize,
}

/// Lists the kinds of the configuration.
///
/// # Errors
/// When the configuration cannot be used, or the cluster cannot be asked.
pub(super) async fn kinds(args: &KindsArgs) -> anyhow::Result<String> {
    let catalogue = Config::load(args.config.as_deref())?.catalogue;
    if args.rbac {
        return super::rbac(&catalogue);
    }
    let client = if args.cluster {
        let kubeconfig = args.cluster_args.kubeconfig.as_deref();
        Some(Clients::connect(kubeconfig).await?.call)
    } else {
        None
    };
    let mut rows = Vec::new();
    for kind in catalogue.kinds() {
        let found = match &client {
            Some(client) => Some(count(client, &catalogue, kind).await?),
            None => None,
        };
        rows.push(KindRow::new(kind, found));
    }
    Ok(match args.output {
        Output::Json => serde_json::to_string_pretty(&rows)? + "\n",
        Output::Yaml => serde_saphyr::to_string(&rows)?,
        Output::Table => table(&rows),
    })
}

/// The rule by which objects of a kind are selected, in words.
fn rule(select: &Select) -> String {
    match select {
        Select::Always => "always".to_owned(),
        Select::Any {
            labels,
            gpu,
            present,
        } => labels
            .iter()
            .map(|(key, value)| label_rule(key, value.as_deref()))
            .chain(gpu.then(|| "requests a GPU".to_owned()))
            .chain(present.iter().map(|path| format!("has {path}")))
            .collect::<Vec<_>>()
            .join(", or "),
    }
}

fn label_rule(key: &str, value: Option<&str>) -> String {
    match value {
        Some(value) => format!("label {key}={value}"),
        None => format!("label {key}"),
    }
}

/// Reads all objects of a kind, and selects among them as recording would.
async fn count(client: &Client, catalogue: &Catalogue, kind: &Kind) -> anyhow::Result<KindCount> {
    let mut count = KindCount::default();
    let Discovery::Offered(resource) = resource(client, kind).await? else {
        return Ok(count);
    };
    let collection = resource.path(None);
    count.version = Some(resource.version.clone());
    let mut token = String::new();
    loop {
        let page = page(client, &uri(&collection, PAGE, &token), None).await?;
        count.objects += page.items.len();
        for item in &page.items {
            let object = Document::parse(item.get())?;
            let selection = select(catalogue, kind, object.root(), |_| false);
            count.selected += usize::from(selection == Selection::Selected);
        }
        token = page.token;
        if token.is_empty() {
            return Ok(count);
        }
    }
}

fn table(rows: &[KindRow]) -> String {
    let header = ["KIND", "GROUP", "VERSIONS", "RECORDED WHEN"].map(str::to_owned);
    let cells: Vec<_> = std::iter::once(header.to_vec())
        .chain(rows.iter().map(KindRow::cells))
        .collect();
    let mut text = columns(&cells);
    text.extend(rows.iter().filter_map(KindRow::count_line));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up_and_counts() {
        let row = |kind: &str, found| KindRow {
            kind: kind.into(),
            group: "apps".into(),
            versions: vec!["v1".into()],
            selected: rule(&Select::Any {
                labels: vec![("a".into(), Some("b".into()))],
                gpu: true,
                present: Vec::new(),
            }),
            found,
        };
        let found = |version: Option<&str>| {
            Some(KindCount {
                version: version.map(str::to_owned),
                selected: 12,
                objects: 340,
            })
        };
        let text = table(&[
            row("Deployment", found(Some("v1"))),
            row("X", found(None)),
            row("Y", None),
        ]);
        let expected = "KIND         GROUP   VERSIONS   RECORDED WHEN\n\
            Deployment   apps    v1         label a=b, or requests a GPU\n\
            X            apps    v1         label a=b, or requests a GPU\n\
            Y            apps    v1         label a=b, or requests a GPU\n\
            12 of 340 Deployments selected\nX is not installed\n";
        assert_eq!(text, expected);
    }
}
