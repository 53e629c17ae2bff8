//! `kubectl revisor`: reads Revisions from the API server, with the rights of its user.
//!
//! In: a command line. Out: text. Uses `history` and `revision` only; nothing here needs a running controller.

mod fetch;
mod print;

use crate::history::{self, Which};
use crate::text::visible;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// The history of inference workloads.
#[derive(Parser, Debug)]
#[command(
    name = "kubectl revisor",
    bin_name = "kubectl revisor",
    version,
    max_term_width = 100
)]
pub struct PluginArgs {
    /// What to do.
    #[command(subcommand)]
    command: Verb,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// List the revisions of a workload, oldest first
    History(HistoryArgs),
    /// Print a workload as it was
    Show(ShowArgs),
    /// Show what changed between two revisions
    #[command(alias = "why")]
    Diff(DiffArgs),
}

/// Which workload.
#[derive(Args, Debug)]
struct WorkloadArgs {
    /// The workload, for example inferenceservice/llama-70b
    #[arg(value_name = "TYPE/NAME")]
    workload: String,
    /// Its uid, when several workloads had this name one after the other
    #[arg(long)]
    uid: Option<uuid::Uuid>,
}

/// Which cluster, and where in it.
#[derive(Args, Debug)]
struct ConnectionArgs {
    /// Namespace of the workload; the one of the current context when not given
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    /// Kubeconfig file; $KUBECONFIG or ~/.kube/config when not given
    #[arg(long, value_name = "FILE", global = true)]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, global = true)]
    context: Option<String>,
}

#[derive(Args, Debug)]
struct HistoryArgs {
    #[command(flatten)]
    target: WorkloadArgs,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = HistoryFormat::Table)]
    output: HistoryFormat,
}

#[derive(Args, Debug)]
struct ShowArgs {
    #[command(flatten)]
    target: WorkloadArgs,
    /// Which revision: a generation, or -1 for the newest, -2 for the one before
    #[arg(long, default_value = "-1", allow_hyphen_values = true)]
    revision: Which,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = ManifestFormat::Yaml)]
    output: ManifestFormat,
}

#[derive(Args, Debug)]
struct DiffArgs {
    #[command(flatten)]
    target: WorkloadArgs,
    /// The newer of the two: a generation, or -1 for the newest
    #[arg(long, default_value = "-1", allow_hyphen_values = true)]
    to: Which,
    /// The older of the two; the one before the newer when not given
    #[arg(long, allow_hyphen_values = true)]
    from: Option<Which>,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum HistoryFormat {
    /// Columns
    Table,
    /// Columns, and images, types and times
    Wide,
    /// The Revisions as JSON
    Json,
    /// The Revisions as YAML
    Yaml,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum ManifestFormat {
    /// YAML, fit for kubectl apply
    Yaml,
    /// The JSON that was stored
    Json,
}

/// Does what the command line says, and returns what is to be printed.
///
/// # Errors
/// With a message for people.
pub async fn run(args: PluginArgs) -> anyhow::Result<String> {
    let PluginArgs {
        command,
        connection,
    } = args;
    match command {
        Verb::History(args) => print::history(
            &fetch::history(&connection, &args.target).await?,
            args.output,
        ),
        Verb::Show(args) => {
            let all = fetch::history(&connection, &args.target).await?;
            let revision = history::find(&all, args.revision)?;
            Ok(match args.output {
                ManifestFormat::Yaml => history::yaml(revision)?,
                ManifestFormat::Json => history::manifest(revision)? + "\n",
            })
        }
        Verb::Diff(args) => diff(&connection, &args).await,
    }
}

async fn diff(connection: &ConnectionArgs, args: &DiffArgs) -> anyhow::Result<String> {
    let all = fetch::history(connection, &args.target).await?;
    let to = history::find(&all, args.to)?;
    let from = match args.from {
        Some(from) => Some(history::find(&all, from)?),
        None => history::before(&all, to),
    };
    let Some(from) = from else {
        anyhow::bail!(
            "revision {} is the first that is recorded; there is nothing before it",
            to.spec.generation
        );
    };
    Ok(visible(&history::diff(from, to)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        PluginArgs::command().debug_assert();
        let parsed = PluginArgs::try_parse_from([
            "kubectl-revisor",
            "diff",
            "deployment/x",
            "--from",
            "-3",
            "--to=-2",
            "-n",
            "x",
        ]);
        assert!(parsed.is_ok(), "{parsed:?}");
    }
}
