//! The composition root of `revisor run`: it and the files of `run/` alone name all stages and join them.
//!
//! In: flags, the configuration file, the environment, signals and ports, which [`run`] reads. [`with`] reads none of
//! them: it is one replica as a value, which a test or a simulator runs on clients of its own, and kills by dropping it.

mod args;
mod certificate;
mod definition;
mod deps;
mod reading;
mod replica;
mod serving;
mod tasks;

pub use args::{Bytes, Life, Origin, RunArgs, ServeArgs};
pub use serving::Ports;

use crate::client::Clients;
use crate::config::Config;
use crate::lead::{self, Elector};
use crate::shutdown;
use anyhow::Context;
use deps::{Deps, LeaseNews};
use replica::Replica;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Records and serves until a signal; then writes what is waiting.
///
/// # Errors
/// When something cannot be set up, a task ends that should not, or Revisions are left unwritten.
pub async fn run(mut args: RunArgs) -> anyhow::Result<()> {
    args.serve.validate()?;
    let config = Config::load(args.config.as_deref())?;
    let stop = shutdown::listen()?;
    let ports = Ports::take(&args.serve).await?;
    let clients = Clients::connect(args.cluster.kubeconfig.as_deref())
        .await
        .context("no cluster to connect to")?;
    definition::check(&clients.call, args.namespace(&clients)).await?;
    args.identity.get_or_insert_with(lead::identity);
    with(args, config, clients, stop, Some(ports)).await
}

/// Records, and serves on `ports`, until `stop` is cancelled; then writes what is waiting. Without ports nothing is
/// served. Dropping the future ends everything that it started, as a kill ends a process.
///
/// The configuration counts, not `args.config`; the clients count, not `args.cluster`. An election needs
/// `args.identity`; without `args.namespace` the clients' namespace counts.
///
/// # Errors
/// When something cannot be set up, a task ends that should not, or Revisions are left unwritten.
pub async fn with(
    args: RunArgs,
    config: Config,
    clients: Clients,
    stop: CancellationToken,
    ports: Option<Ports>,
) -> anyhow::Result<()> {
    let (elector, leads) = elector(&args, &clients)?;
    let led = elector
        .as_ref()
        .map_or_else(|| watch::channel(false).1, Elector::led);
    let lease = LeaseNews { leads, led };
    let (deps, reporting) = Deps::new(&args, config, clients, lease, stop.clone()).await;
    let mut replica = Replica::new(deps);
    if let Some(ports) = ports {
        serving::start(&args.serve, ports, &mut replica)?;
    }
    replica.serving.spawn("reporter", reporting);
    if replica.is_let_write().await {
        replica.write(args.writers);
        reading::start(&mut replica);
        if let Some(elector) = elector {
            replica.writing.spawn("elector", elector.run(stop));
        }
        replica.supervise().await?;
    }
    replica
        .finish(Duration::from_secs(args.drain_seconds.into()))
        .await
}

/// Without an election every replica leads.
fn elector(
    args: &RunArgs,
    clients: &Clients,
) -> anyhow::Result<(Option<Elector>, watch::Receiver<bool>)> {
    if !args.leader_elect {
        return Ok((None, watch::channel(true).1));
    }
    let name = args
        .identity
        .as_deref()
        .context("an election needs an identity")?;
    let (elector, leads) = Elector::new(clients.call.clone(), args.namespace(clients), name);
    Ok((Some(elector), leads))
}
