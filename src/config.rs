//! The configuration file: its schema, and the validated [`Config`] that is made of it.

mod args;

pub use args::{ClusterArgs, Output};

use crate::cache::ProjectLabels;
use crate::kinds::runner::Runner;
use crate::kinds::select::Scope;
use crate::kinds::{Catalogue, Hardware, KindError, KindFile, is_label_key};
use crate::metrics::Metrics;
use crate::record::Settings;
use crate::redact::{Names, Pattern, PlainPaths};
use crate::revision::SnapshotEncoding;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;
use uuid::Uuid;

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{file}: {error}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        error: std::io::Error,
    },
    /// It is not the YAML that is expected.
    #[error("{file}: {error}")]
    Malformed {
        /// The file.
        file: String,
        /// Line, field and value.
        error: String,
    },
    /// A kind in it is wrong.
    #[error(transparent)]
    Kind(#[from] KindError),
}

fn malformed(file: &str, error: String) -> ConfigError {
    ConfigError::Malformed {
        file: file.to_owned(),
        error,
    }
}

/// The configuration file as it is written. The comments on its fields are docs/configuration.md.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct File {
    /// Kinds of workloads beside the built-in ones, each as a kind file has it. One of the same kind and group takes the
    /// place of the built-in one.
    kinds: Vec<KindFile>,
    /// Kinds, as `Kind.group`, that are not recorded; the objects that theirs own are recorded instead.
    #[schemars(example = json!(["Deployment.apps"]))]
    disabled_kinds: Vec<String>,
    /// Field managers that scale through the subresource `scale` and are no people: what they do to replicas is no change.
    #[schemars(example = json!(["kube-controller-manager", "keda-operator"]))]
    autoscalers: Vec<String>,
    /// Names of resources that are accelerators beside those that are known by their vendor or by a word such as `gpu`; a
    /// trailing `*` stands for any ending. What asks for one is recorded by kinds with `select.gpu`.
    #[schemars(example = json!(["chips.example.com/*"]))]
    accelerators: Vec<String>,
    /// Labels of nodes whose value is the name of a node pool, by preference. They take the place of those that are built in.
    #[schemars(example = json!(["kai.scheduler/node-pool", "example.com/pool"]))]
    node_pool_labels: Vec<String>,
    /// Whether kinds with `select.gpu` are recorded because they ask for an accelerator; without it only by their labels.
    #[schemars(example = json!(false))]
    select_by_gpu: bool,
    namespaces: NamespacesFile,
    snapshot: SnapshotFile,
    redaction: RedactionFile,
    rest: RestFile,
}

impl Default for File {
    fn default() -> Self {
        Self {
            kinds: Vec::new(),
            disabled_kinds: Vec::new(),
            autoscalers: Settings::default().autoscalers,
            accelerators: Vec::new(),
            node_pool_labels: Hardware::default().node_pool_labels.to_vec(),
            select_by_gpu: true,
            namespaces: NamespacesFile::default(),
            snapshot: SnapshotFile::default(),
            redaction: RedactionFile::default(),
            rest: RestFile::default(),
        }
    }
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
struct NamespacesFile {
    /// Namespaces of which nothing is recorded but what has the label `revisor.dev/record=true`; a trailing `*` stands for
    /// any ending. The label `revisor.dev/record=false` of a namespace says the same.
    #[schemars(example = json!(["kube-*", "sandbox"]))]
    exclude: Vec<String>,
}

impl File {
    fn scope(&self) -> Scope {
        Scope {
            by_gpu: self.select_by_gpu,
            excluded_namespaces: self.namespaces.exclude.as_slice().into(),
        }
    }

    fn hardware(&self) -> Result<Hardware, String> {
        let is_name =
            |name: &str| is_label_key(name.strip_suffix('*').unwrap_or(name).trim_end_matches('/'));
        if let Some(name) = self.accelerators.iter().find(|name| !is_name(name)) {
            return Err(format!(
                "accelerators: {name:?} is not a resource name, or the beginning of one and `*`"
            ));
        }
        if let Some(label) = self
            .node_pool_labels
            .iter()
            .find(|label| !is_label_key(label))
        {
            return Err(format!("nodePoolLabels: {label:?} is not a label key"));
        }
        Ok(Hardware {
            accelerators: self.accelerators.as_slice().into(),
            node_pool_labels: self.node_pool_labels.as_slice().into(),
        })
    }
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
struct SnapshotFile {
    /// How the workload is kept in a Revision: small, or as JSON that can be read with `kubectl`.
    #[schemars(example = json!("json"))]
    encoding: SnapshotEncoding,
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct RedactionFile {
    /// Names whose values are hidden beside those that are known as secret; `*` stands for any text.
    #[schemars(example = json!(["ACME_*_LICENCE"]))]
    secret_names: Vec<String>,
    /// Names whose values are shown although they look secret; `*` stands for any text.
    #[schemars(example = json!(["TOKENIZER_PATH"]))]
    plain_names: Vec<String>,
    /// Paths below which nothing is hidden: keys, and names of items in brackets. A path stands for every place whose path
    /// ends with it.
    #[schemars(example = json!(["containers[main].args"]))]
    plain_paths: Vec<String>,
}

impl RedactionFile {
    fn names(&self) -> Result<Names, String> {
        Ok(Names {
            secret: patterns("secretNames", &self.secret_names)?,
            plain: patterns("plainNames", &self.plain_names)?,
            plain_paths: PlainPaths::parse(&self.plain_paths)
                .map_err(|error| format!("redaction.plainPaths: {error}"))?,
        })
    }
}

fn patterns(field: &str, texts: &[String]) -> Result<Vec<Pattern>, String> {
    texts
        .iter()
        .map(|text| {
            text.parse()
                .map_err(|error| format!("redaction.{field}: {error}"))
        })
        .collect()
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct RestFile {
    /// `type` of every revision over REST.
    #[schemars(example = json!("runai-revision"))]
    r#type: String,
    /// `tenantId` of every revision over REST.
    #[schemars(example = json!(1001))]
    tenant_id: i32,
    /// `clusterId` of every revision over REST. Without it the uid of the namespace kube-system.
    #[schemars(example = json!("5c1f7a52-0d0f-4c8e-9a53-1d2f0c8b7e11"))]
    cluster_id: Option<Uuid>,
    /// Labels of a namespace whose value is `departmentId`; the first that it has counts.
    #[schemars(example = json!(["example.com/department"]))]
    department_labels: Vec<String>,
    /// Labels of a namespace whose value is `projectId`; the first that it has counts.
    #[schemars(example = json!(["kai/project"]))]
    project_labels: Vec<String>,
}

impl Default for RestFile {
    fn default() -> Self {
        Self {
            r#type: "runai-revision".to_owned(),
            tenant_id: 1001,
            cluster_id: None,
            department_labels: Vec::new(),
            project_labels: vec!["kai/project".to_owned(), "runai/queue".to_owned()],
        }
    }
}

/// The JSON schema of the configuration file, with a description and an example of every setting.
pub fn schema() -> Value {
    let generator = SchemaSettings::default()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator();
    generator.into_root_schema_for::<File>().to_value()
}

/// The validated configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The kinds that are recorded.
    pub catalogue: Catalogue,
    /// How they are recorded.
    pub settings: Settings,
    /// `type` of the REST contract.
    pub rest_type: String,
    /// `tenantId` of the REST contract.
    pub tenant_id: i32,
    /// `clusterId` of the REST contract; the uid of namespace kube-system when absent.
    pub cluster_id: Option<Uuid>,
    /// Labels of namespaces that say `departmentId` and `projectId`.
    pub project_labels: ProjectLabels,
    /// Makes the runner of the programs of kind files. A simulator sets one that needs no thread; the file cannot.
    pub runner: fn(&Metrics) -> Runner,
}

impl Config {
    /// Reads `file`; the defaults without one.
    ///
    /// # Errors
    /// Names the file, the field and the value.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = file else {
            return Ok(Self::default());
        };
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::read(&file, &text),
            Err(error) => Err(ConfigError::Unreadable { file, error }),
        }
    }

    /// Reads a configuration that comes from no file.
    ///
    /// # Errors
    /// Names the field and the value.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Self::read("configuration", text)
    }

    fn read(file: &str, text: &str) -> Result<Self, ConfigError> {
        let parsed: File = if is_empty(text) {
            File::default()
        } else {
            serde_saphyr::from_str(text).map_err(|e| malformed(file, e.to_string()))?
        };
        let names = parsed.redaction.names().map_err(|e| malformed(file, e))?;
        let hardware = parsed.hardware().map_err(|e| malformed(file, e))?;
        let catalogue = Catalogue::with(file, &parsed.kinds, &parsed.disabled_kinds)?;
        let catalogue = catalogue.knowing(&hardware).within(parsed.scope());
        Ok(Self::new(parsed, catalogue, names))
    }

    fn new(file: File, catalogue: Catalogue, names: Names) -> Self {
        Self {
            catalogue,
            settings: Settings {
                autoscalers: file.autoscalers,
                encoding: file.snapshot.encoding,
                names,
            },
            rest_type: file.rest.r#type,
            tenant_id: file.rest.tenant_id,
            cluster_id: file.rest.cluster_id,
            project_labels: ProjectLabels {
                department: file.rest.department_labels,
                project: file.rest.project_labels,
            },
            runner: Runner::new,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new(File::default(), Catalogue::built_in(), Names::default())
    }
}

/// An empty file is not a YAML document, but it says clearly enough that nothing is to be changed.
fn is_empty(text: &str) -> bool {
    text.lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_a_file_is_read_and_says_nothing_of_one() {
        let empty = Config::parse("").expect("valid");
        assert_eq!(empty.project_labels, Config::default().project_labels);
        assert_eq!(empty.tenant_id, Config::default().tenant_id);
        let error = Config::parse("autoscaler: [x]").expect_err("refused");
        assert!(error.to_string().starts_with("configuration: "), "{error}");
    }

    #[test]
    fn accelerators_and_node_pools_reach_every_kind() {
        let text = "accelerators: [chips.example.com/*]\nnodePoolLabels: [example.com/pool]\n";
        let config = Config::parse(text).expect("valid");
        for kind in config.catalogue.kinds() {
            assert!(kind.hardware.is_accelerator("chips.example.com/a"));
            let view = kind.view.as_ref().expect("a view");
            assert_eq!(
                *view.hardware.node_pool_labels,
                ["example.com/pool".to_owned()]
            );
        }
    }

    #[test]
    fn a_file_is_read_and_unknown_fields_are_refused_by_name() {
        let text = "autoscalers: [x]\nsnapshot: {encoding: json}\nrest: {tenantId: 7}\ndisabledKinds: [Deployment.apps]\n";
        let config = Config::read("c.yaml", text).expect("valid");
        assert_eq!(
            (config.tenant_id, config.settings.encoding),
            (7, SnapshotEncoding::Json)
        );
        assert_eq!(config.settings.autoscalers, ["x"]);
        assert_eq!(config.rest_type, "runai-revision");
        assert_eq!(
            Config::read("c.yaml", "# nothing\n\n")
                .expect("valid")
                .settings
                .autoscalers
                .len(),
            2
        );
        for (text, field) in [
            ("autoscaler: [x]", "autoscaler"),
            ("snapshot: {encodin: json}", "encodin"),
            (
                "redaction: {secretNames: [\"**\"]}",
                "redaction.secretNames: \"**\"",
            ),
            (
                "redaction: {plainPaths: [\"env[0]\"]}",
                "redaction.plainPaths: \"env[0]\"",
            ),
            ("snapshot: {encoding: zip}", "zip"),
            ("accelerators: [\"a b\"]", "accelerators: \"a b\""),
            ("nodePoolLabels: [\"a/b/c\"]", "nodePoolLabels: \"a/b/c\""),
            ("rest: {tenantId: seven}", "seven"),
            (
                "kinds: [{kind: Thing, versions: [v1], plural: things, select: never}]",
                "select: \"never\"",
            ),
        ] {
            let error = Config::read("c.yaml", text).expect_err(text).to_string();
            assert!(
                error.starts_with("c.yaml: ") && error.contains(field),
                "{text}: {error}"
            );
        }
    }
}
