//! The only reader of flags, environment and the configuration file. What leaves here is validated.

mod serving;

pub use serving::{Origin, ServeArgs};

use crate::cache::ProjectLabels;
use crate::kinds::{Catalogue, KindError};
use crate::record::Settings;
use crate::revision::SnapshotEncoding;
use crate::view::redact::Names;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use uuid::Uuid;

/// Keeps every change of every inference workload on Kubernetes as an immutable Revision.
#[derive(Parser, Debug)]
#[command(
    name = "revisor",
    version,
    propagate_version = true,
    max_term_width = 120
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of `revisor`.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Record workloads and serve their Revisions, until told to stop
    Run(Box<RunArgs>),
    /// Print the CustomResourceDefinition, for `kubectl apply -f -`
    Crds,
    /// List the kinds that are recorded, check a configuration file, count what it selects in a cluster
    Kinds(KindsArgs),
    /// Make the views of stored Revisions anew, after an upgrade or a change of kind files
    Reindex(ReindexArgs),
    /// Print how a running Revisor is doing: what is recorded up to where, what lags, what is lost
    Status(StatusArgs),
}

/// Which cluster.
#[derive(Args, Debug, Clone, Default)]
pub struct ClusterArgs {
    /// Kubeconfig file; without it the pod's own service account, or else $KUBECONFIG and ~/.kube/config
    #[arg(
        long,
        env = "REVISOR_KUBECONFIG",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub kubeconfig: Option<PathBuf>,
}

/// Flags of `revisor run`.
#[derive(Args, Debug, Clone)]
pub struct RunArgs {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Configuration file: kinds, autoscalers, snapshots, REST identity
    #[arg(
        long,
        env = "REVISOR_CONFIG",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub config: Option<PathBuf>,
    /// How the read API and the admin port are served.
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Revisions waiting to be written take at most this much memory (suffixes KiB, MiB, GiB); then reading pauses
    #[arg(
        long,
        env = "REVISOR_QUEUE_BYTES",
        hide_env_values = true,
        value_name = "BYTES",
        default_value = "64MiB"
    )]
    pub queue_bytes: Bytes,
    /// Where the checkpoint is kept; without it the pod's own namespace, or that of the kubeconfig
    #[arg(
        long,
        env = "REVISOR_NAMESPACE",
        hide_env_values = true,
        value_name = "NAME"
    )]
    pub namespace: Option<String>,
    /// How often it is checked that no event was lost, in seconds
    #[arg(long, env = "REVISOR_AUDIT_SECONDS", hide_env_values = true, value_name = "SECONDS", default_value = "300", value_parser = clap::value_parser!(u32).range(1..))]
    pub audit_seconds: u32,
    /// How many Revisions of different workloads are written at the same time
    #[arg(long, env = "REVISOR_WRITERS", hide_env_values = true, value_name = "N", default_value = "16", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub writers: u16,
    /// Whether the status of Revisions is observed: their phase, their pods, how they ended
    #[arg(long, env = "REVISOR_OBSERVE", hide_env_values = true, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub observe: bool,
    /// Whether replicas elect a leader, by a Lease; without it each does what one is enough for
    #[arg(long, env = "REVISOR_LEADER_ELECT", hide_env_values = true, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub leader_elect: bool,
    /// Name under which this replica stands for election; without it that of its host, which in a pod is the pod's
    #[arg(
        long,
        env = "REVISOR_IDENTITY",
        hide_env_values = true,
        value_name = "NAME"
    )]
    pub identity: Option<String>,
    /// How long a shutdown may take to write what is waiting, in seconds
    #[arg(
        long,
        env = "REVISOR_DRAIN_SECONDS",
        hide_env_values = true,
        value_name = "SECONDS",
        default_value = "25"
    )]
    pub drain_seconds: u32,
    /// How log lines look
    #[arg(long, env = "REVISOR_LOG_FORMAT", hide_env_values = true, value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
    /// What is logged: a level, or directives such as info,revisor::watch=debug
    #[arg(
        long,
        env = "REVISOR_LOG",
        hide_env_values = true,
        value_name = "FILTER",
        default_value = "info"
    )]
    pub log: String,
}

/// Flags of `revisor reindex`.
#[derive(Args, Debug, Clone)]
pub struct ReindexArgs {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Configuration file to take kinds and redaction from
    #[arg(
        long,
        env = "REVISOR_CONFIG",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub config: Option<PathBuf>,
    /// Only this namespace
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Commands of `revisor kinds`.
#[derive(Subcommand, Debug, Clone)]
pub enum KindsCommand {
    /// Show what would be recorded of manifests, and how it would be shown, without a cluster
    Explain(ExplainArgs),
}

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

/// Flags of `revisor status`.
#[derive(Args, Debug, Clone)]
pub struct StatusArgs {
    /// Where its admin port is
    #[arg(
        long,
        env = "REVISOR_ADMIN",
        hide_env_values = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:8081"
    )]
    pub admin: String,
    /// File with the token to show at an https:// address; in a pod that of its service account
    #[arg(
        long,
        env = "REVISOR_TOKEN_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub token_file: Option<PathBuf>,
    /// Certificate authority, in PEM, that signed its certificate
    #[arg(
        long,
        env = "REVISOR_CERTIFICATE_AUTHORITY",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub certificate_authority: Option<PathBuf>,
    /// Take any certificate, such as one that Revisor made itself
    #[arg(long, conflicts_with = "certificate_authority")]
    pub insecure_skip_tls_verify: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// How log lines look.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// How a command prints.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Columns.
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// A number of bytes: `65536`, `64KiB`, `8MiB`, `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub usize);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim() {
            "" => 1,
            "KiB" | "Ki" => 1 << 10,
            "MiB" | "Mi" => 1 << 20,
            "GiB" | "Gi" => 1 << 30,
            other => return Err(format!("unit {other:?} is not one of KiB, MiB, GiB")),
        };
        let number: usize = number
            .parse()
            .map_err(|_| format!("{text:?} is not a number of bytes"))?;
        let bytes = number
            .checked_mul(factor)
            .ok_or_else(|| format!("{text:?} is too large"))?;
        if bytes < 1 << 20 {
            Err(format!("{text:?} is less than 1MiB"))
        } else {
            Ok(Self(bytes))
        }
    }
}

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
    /// Flags contradict each other.
    #[error("--insecure-no-auth needs a loopback address, and --listen is {0}")]
    InsecureListen(SocketAddr),
}

/// The configuration file as it is written.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct File {
    kinds: Vec<crate::kinds::KindFile>,
    disabled_kinds: Vec<String>,
    autoscalers: Option<Vec<String>>,
    snapshot: SnapshotFile,
    redaction: RedactionFile,
    rest: RestFile,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct SnapshotFile {
    encoding: SnapshotEncoding,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct RedactionFile {
    secret_names: Vec<String>,
    plain_names: Vec<String>,
}

impl RedactionFile {
    fn names(&self) -> Result<Names, String> {
        let patterns = |field: &str, texts: &[String]| {
            let one = |text: &String| {
                text.parse()
                    .map_err(|error| format!("redaction.{field}: {error}"))
            };
            texts.iter().map(one).collect::<Result<Vec<_>, String>>()
        };
        let secret = patterns("secretNames", &self.secret_names)?;
        Ok(Names {
            secret,
            plain: patterns("plainNames", &self.plain_names)?,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct RestFile {
    r#type: String,
    tenant_id: i32,
    cluster_id: Option<Uuid>,
    department_labels: Vec<String>,
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

/// The validated configuration.
#[derive(Debug)]
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
}

impl Config {
    /// Reads `file`; the defaults without one.
    ///
    /// # Errors
    /// Names the file, the field and the value.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = file else {
            return Self::parse("defaults", "{}");
        };
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&file, &text),
            Err(error) => Err(ConfigError::Unreadable { file, error }),
        }
    }

    fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let malformed = |error: String| ConfigError::Malformed {
            file: file.to_owned(),
            error,
        };
        // An empty file is no document, but it says clearly enough that nothing is to be changed.
        let empty = text
            .lines()
            .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        let text = if empty { "{}" } else { text };
        let parsed: File = serde_saphyr::from_str(text).map_err(|e| malformed(e.to_string()))?;
        let names = parsed.redaction.names().map_err(malformed)?;
        let mut settings = Settings {
            encoding: parsed.snapshot.encoding,
            names,
            ..Settings::default()
        };
        if let Some(autoscalers) = parsed.autoscalers {
            settings.autoscalers = autoscalers;
        }
        Ok(Self {
            catalogue: Catalogue::with(file, &parsed.kinds, &parsed.disabled_kinds)?,
            settings,
            rest_type: parsed.rest.r#type,
            tenant_id: parsed.rest.tenant_id,
            cluster_id: parsed.rest.cluster_id,
            project_labels: ProjectLabels {
                department: parsed.rest.department_labels,
                project: parsed.rest.project_labels,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_run_has_its_variable() {
        let command = Cli::command();
        let run = command.find_subcommand("run").expect("run");
        for flag in run
            .get_arguments()
            .filter(|a| !["help", "version"].contains(&a.get_id().as_str()))
        {
            let name = flag
                .get_long()
                .expect("long flags only")
                .to_uppercase()
                .replace('-', "_");
            let variable = flag
                .get_env()
                .expect("a variable")
                .to_string_lossy()
                .into_owned();
            assert_eq!(variable, format!("REVISOR_{name}"));
        }
    }

    #[test]
    fn a_file_is_read_and_unknown_fields_are_refused_by_name() {
        let text = "autoscalers: [x]\nsnapshot: {encoding: json}\nrest: {tenantId: 7}\ndisabledKinds: [Deployment.apps]\n";
        let config = Config::parse("c.yaml", text).expect("valid");
        assert_eq!(
            (config.tenant_id, config.settings.encoding),
            (7, SnapshotEncoding::Json)
        );
        assert_eq!(config.settings.autoscalers, ["x"]);
        assert_eq!(config.rest_type, "runai-revision");
        assert_eq!(
            Config::parse("c.yaml", "# nothing\n\n")
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
            ("snapshot: {encoding: zip}", "zip"),
            ("rest: {tenantId: seven}", "seven"),
            (
                "kinds: [{kind: Thing, versions: [v1], plural: things, select: never}]",
                "select: \"never\"",
            ),
        ] {
            let error = Config::parse("c.yaml", text).expect_err(text).to_string();
            assert!(
                error.starts_with("c.yaml: ") && error.contains(field),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn bytes_have_units_and_a_least_size() {
        assert_eq!("8MiB".parse(), Ok(Bytes(8 << 20)));
        assert_eq!("2097152".parse(), Ok(Bytes(2 << 20)));
        for bad in ["", "MiB", "8MB", "1KiB", "99999999999GiB", "-1"] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad}");
        }
    }
}
