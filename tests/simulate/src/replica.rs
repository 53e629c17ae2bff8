//! Replicas of Revisor, as it is shipped: started on the simulated network, killed by being dropped, started again.

use crate::network::Link;
use crate::oracle::Promise;
use crate::world::{INSTALLATION, World};
use clap::Parser;
use kube::Client;
use revisor::client::Clients;
use revisor::config::Config;
use revisor::kinds::runner::Runner;
use revisor::run::{self, Bytes, RunArgs};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Kinds that are not in the simulated world are not asked for.
const CONFIG: &str = "disabledKinds: [StatefulSet.apps, LeaderWorkerSet.leaderworkerset.x-k8s.io, \
    LLMInferenceService.serving.kserve.io, Service.serving.knative.dev, RayService.ray.io, NIMService.apps.nvidia.com, \
    DynamoGraphDeployment.nvidia.com, Rollout.argoproj.io, InferenceWorkload.run.ai]";

/// A process takes so long to start.
const START: Duration = Duration::from_millis(300);

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    run: RunArgs,
}

/// The configuration of every replica. Its kind files are read once, before the first history.
///
/// # Panics
/// When the configuration is not valid.
pub fn config() -> &'static Config {
    static READ: OnceLock<Config> = OnceLock::new();
    READ.get_or_init(|| {
        let mut config = Config::parse(CONFIG).expect("a valid configuration");
        config.runner = Runner::inline;
        config
    })
}

fn args(world: &World, replica: usize) -> RunArgs {
    let observe = if world.is_observed {
        "--observe=true"
    } else {
        "--observe=false"
    };
    let name = format!("replica-{replica}");
    let flags = [
        "run",
        "--namespace",
        INSTALLATION,
        observe,
        "--identity",
        &name,
    ];
    let mut args = Flags::parse_from(flags).run;
    if let Some(kib) = world.queue {
        args.queue_bytes = Bytes(kib << 10);
    }
    args
}

/// Runs a replica until it is dropped: starts it again whenever it is killed. It starts for the
/// first time after `installed` milliseconds.
pub async fn live(world: Arc<World>, replica: usize, installed: u64) {
    if installed > 0 {
        sleep(Duration::from_millis(installed)).await;
    }
    loop {
        let clients = clients(&world, replica);
        let stop = CancellationToken::new();
        let running = Box::pin(run::with(
            args(&world, replica),
            config().clone(),
            clients,
            stop,
            None,
        ));
        tokio::select! {
            biased;
            () = world.kills[replica].notified() => {}
            ended = running => {
                let text = format!("replica {replica} has ended: {ended:?}");
                world.state.lock().oracle.violated(Promise::NoEnd, text);
            }
        }
        let away = world.gone(replica);
        sleep(START + Duration::from_millis(away)).await;
        world
            .state
            .lock()
            .trace
            .note(&format!("replica {replica} starts"));
    }
}

fn clients(world: &Arc<World>, replica: usize) -> Clients {
    let client = || {
        let link = Link {
            world: world.clone(),
            replica,
        };
        Client::new(link, "default")
    };
    Clients::new(client(), client(), "default".to_owned())
}
