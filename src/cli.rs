//! `kubectl revisor`: reads Revisions from the API server, with the rights of its user.
//!
//! In: a command line. Out: text, without secrets unless they are asked for. Nothing here needs a running controller.

mod fetch;
mod print;

use crate::config::Config;
use crate::history::{self, Which};
use crate::manifest::{self, Manifest};
use crate::redact::Names;
use crate::revision::Revision;
use crate::text::visible_json;
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

/// Which values are hidden.
#[derive(Args, Debug)]
struct SecretArgs {
    /// Print values that look secret too; without it they are hidden
    #[arg(long)]
    show_secrets: bool,
    /// Configuration file of Revisor, to hide the names of secrets that it adds
    #[arg(
        long,
        env = "REVISOR_CONFIG",
        hide_env_values = true,
        value_name = "FILE"
    )]
    config: Option<PathBuf>,
}

impl SecretArgs {
    /// The names by which values are hidden; none when they are shown.
    fn names(&self) -> anyhow::Result<Option<Names>> {
        if self.show_secrets {
            return Ok(None);
        }
        Ok(Some(Config::load(self.config.as_deref())?.settings.names))
    }
}

#[derive(Args, Debug)]
struct HistoryArgs {
    #[command(flatten)]
    target: WorkloadArgs,
    #[command(flatten)]
    secrets: SecretArgs,
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
    #[command(flatten)]
    secrets: SecretArgs,
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
    #[command(flatten)]
    secrets: SecretArgs,
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
    /// YAML, whose apiVersion and kind are comments when values are hidden
    Yaml,
    /// JSON in one line, without apiVersion and kind when values are hidden
    Json,
}

/// The result of a command.
#[derive(Debug, PartialEq, Eq)]
pub struct Printed {
    /// Standard output.
    pub text: String,
    /// A line for standard error.
    pub warning: Option<&'static str>,
}

/// Carries the command out, and returns its output.
///
/// # Errors
/// With a message for people.
pub async fn run(args: PluginArgs) -> anyhow::Result<Printed> {
    let PluginArgs {
        command,
        connection,
    } = args;
    let (target, secrets) = match &command {
        Verb::History(args) => (&args.target, &args.secrets),
        Verb::Show(args) => (&args.target, &args.secrets),
        Verb::Diff(args) => (&args.target, &args.secrets),
    };
    let names = secrets.names()?;
    let all = fetch::history(&connection, target).await?;
    let text = match &command {
        Verb::History(args) => print::history(&all, args.output, names.as_ref())?,
        Verb::Show(args) => show(history::find(&all, args.revision)?, args.output, names)?,
        Verb::Diff(args) => diff(&all, args, names)?,
    };
    Ok(Printed {
        text,
        warning: secrets
            .show_secrets
            .then_some("values that look secret are not hidden in this output"),
    })
}

fn show(
    revision: &Revision,
    format: ManifestFormat,
    names: Option<Names>,
) -> anyhow::Result<String> {
    // A manifest that is nested too deeply to be walked can still be printed as it is stored.
    if let (ManifestFormat::Json, None) = (format, &names) {
        return Ok(visible_json(&manifest::stored(revision)?).into_owned() + "\n");
    }
    let mut manifest = Manifest::read(revision)?;
    if let Some(names) = names {
        manifest.hide(&names);
    }
    Ok(match format {
        ManifestFormat::Yaml => manifest.yaml()?,
        ManifestFormat::Json => manifest.json()? + "\n",
    })
}

fn diff(all: &[Revision], args: &DiffArgs, names: Option<Names>) -> anyhow::Result<String> {
    let to = history::find(all, args.to)?;
    let from = match args.from {
        Some(from) => Some(history::find(all, from)?),
        None => history::before(all, to),
    };
    let Some(from) = from else {
        anyhow::bail!(
            "revision {} is the first that is recorded; there is nothing before it",
            to.spec.generation
        );
    };
    let mut before = Manifest::read(from)?;
    let mut after = Manifest::read(to)?;
    if let Some(names) = names {
        Manifest::hide_both(&mut before, &mut after, &names);
    }
    let titles = [from, to].map(|revision| format!("revision {}", revision.spec.generation));
    Ok(Manifest::unified(
        &before,
        &after,
        [&titles[0], &titles[1]],
    )?)
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
