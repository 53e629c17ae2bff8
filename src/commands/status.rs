//! `revisor status`: the state of an installation, or of one replica at an address.
//!
//! In: `/readyz`, `/status` and `/metrics` of the admin port of each replica. Out: tables, JSON or YAML, and an error
//! when something is lost or held.

mod admin;
mod forward;
mod kinds;
mod replica;
mod samples;
mod sum;

use crate::clock;
use crate::config::{ClusterArgs, Output};
use admin::AdminPort;
use anyhow::{Context, bail};
use clap::Args;
use forward::Installation;
use kinds::KindStatus;
use kube::ResourceExt;
use replica::Replica;
use samples::Samples;
use std::path::PathBuf;
use sum::{ReplicaState, Status};

/// Flags of `revisor status`.
#[derive(Args, Debug, Clone)]
pub struct StatusArgs {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Namespace in which Revisor is installed; all replicas there are asked, each over a port-forward
    #[arg(
        short,
        long,
        env = "REVISOR_NAMESPACE",
        hide_env_values = true,
        value_name = "NAME",
        default_value = "revisor"
    )]
    pub namespace: String,
    /// The admin port of its pods
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    pub admin_port: u16,
    /// Ask the one replica whose admin port is at this address, such as http://127.0.0.1:8081, and no cluster
    #[arg(
        long,
        env = "REVISOR_ADMIN",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub admin: Option<String>,
    /// File with the token to show; without it one is made for the account revisor-reader, or with --admin in a pod that
    /// of its service account
    #[arg(
        long,
        env = "REVISOR_TOKEN_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub token_file: Option<PathBuf>,
    /// Certificate authority, in PEM, that signed the certificate; without it, and without --admin, that of the ConfigMap
    /// revisor-ca
    #[arg(
        long,
        env = "REVISOR_CERTIFICATE_AUTHORITY",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub certificate_authority: Option<PathBuf>,
    /// Take any certificate, such as one that Revisor made itself
    #[arg(long, conflicts_with = "certificate_authority", requires = "admin")]
    pub insecure_skip_tls_verify: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// The result of the command.
pub(super) struct StatusAnswer {
    /// The text for standard output.
    pub(super) text: String,
    /// An error when something is lost or held, or a replica could not be asked.
    pub(super) verdict: anyhow::Result<()>,
}

/// Asks all replicas, or the one at `--admin`.
///
/// # Errors
/// When there is nobody to ask.
pub(super) async fn status(args: &StatusArgs) -> anyhow::Result<StatusAnswer> {
    let status = match &args.admin {
        Some(address) => {
            let port = AdminPort::at(address, args)?;
            Status::new(vec![ask(&port).await?])
        }
        None => Status::new(ask_all(args).await?),
    };
    let text = match args.output {
        Output::Json => serde_json::to_string_pretty(&status)? + "\n",
        Output::Yaml => serde_saphyr::to_string(&status)?,
        Output::Table => sum::tables(&status, clock::now()),
    };
    Ok(StatusAnswer {
        text,
        verdict: verdict(&status),
    })
}

/// An error that names everything that is lost or held, or could not be asked.
fn verdict(status: &Status) -> anyhow::Result<()> {
    let troubles = status.troubles();
    if !troubles.is_empty() {
        bail!("{}", troubles.join("; "));
    }
    Ok(())
}

/// One state for each replica of the installation; one that cannot be asked is a state too.
async fn ask_all(args: &StatusArgs) -> anyhow::Result<Vec<ReplicaState>> {
    let (installation, pods) = Installation::find(args).await?;
    let mut states = Vec::new();
    for pod in &pods {
        let state = match installation.admin(pod).await {
            Ok(port) => ask(&port).await,
            Err(error) => Err(error),
        };
        states.push(state.unwrap_or_else(|error| {
            ReplicaState::unreachable(&pod.name_any(), format!("{error:#}"))
        }));
    }
    Ok(states)
}

async fn ask(port: &AdminPort) -> anyhow::Result<ReplicaState> {
    let ready = port.probe().await?;
    let body = port.read("/status").await?;
    let replica: Replica = serde_json::from_str(&body)
        .with_context(|| format!("{}/status is not the status of a Revisor", port.address()))?;
    let metrics = port.read("/metrics").await?;
    let samples = Samples::parse(&metrics);
    Ok(ReplicaState {
        name: replica
            .identity
            .clone()
            .unwrap_or_else(|| port.address().to_owned()),
        ready,
        etcd_rewinds: samples.total("revisor_etcd_rewinds_total"),
        checkpoint_failures: samples.total("revisor_checkpoint_failures_total"),
        kinds: samples
            .kinds()
            .into_iter()
            .map(|kind| KindStatus::read(kind, &samples))
            .collect(),
        replica: Some(replica),
    })
}
