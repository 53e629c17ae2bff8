//! The dependencies that the tasks of a replica share, made of flags, the configuration and clients.

use super::RunArgs;
use crate::cache::{Cache, Identity, ProjectLabels};
use crate::client::Clients;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::observe::Observer;
use crate::record::Recorder;
use crate::record::extract::Extractor;
use crate::record::queue::{Peers, Queue};
use crate::record::quiet::Quiet;
use crate::record::report::Reporter;
use crate::serve::admin::Readiness;
use crate::watch::Room;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long the start may wait for the cluster's id.
const CLUSTER_ID_DEADLINE: Duration = Duration::from_secs(5);

/// The holder of the Lease: this replica, another one, or none.
pub(super) struct LeaseNews {
    /// Whether this replica holds it.
    pub(super) leads: watch::Receiver<bool>,
    /// Whether another one is seen to hold it.
    pub(super) led: watch::Receiver<bool>,
}

/// The dependencies that the tasks of a replica share.
pub(super) struct Deps {
    pub(super) clients: Clients,
    pub(super) cache: Cache,
    pub(super) labels: ProjectLabels,
    pub(super) queue: Queue,
    /// Where there is no room for changes.
    pub(super) room: Room,
    pub(super) recorder: Recorder,
    pub(super) quiet: Quiet,
    /// Namespace of the checkpoint and the Lease.
    pub(super) namespace: String,
    pub(super) audit: Duration,
    /// Notified when etcd was restored.
    pub(super) rewound: Arc<Notify>,
    pub(super) leads: watch::Receiver<bool>,
    /// The name under which the replica stands for election.
    pub(super) identity: Option<String>,
    pub(super) metrics: Metrics,
    /// Whether the replica is ready.
    pub(super) ready: Readiness,
    /// Whether the cache is filled, which is all that serving needs.
    pub(super) filled: Readiness,
    pub(super) stop: CancellationToken,
}

impl Deps {
    /// Makes everything that is shared, and the task that sends the reporter's Events.
    pub(super) async fn new(
        args: &RunArgs,
        config: Config,
        clients: Clients,
        lease: LeaseNews,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let LeaseNews { leads, led } = lease;
        let namespace = args.namespace(&clients).to_owned();
        let metrics = Metrics::new();
        let identity = identity(&config, &clients.call).await;
        let observer = observer(args, &config);
        let names = Arc::new(config.settings.names.clone());
        let cache = Cache::new(identity, observer.clone(), names, &metrics);
        let room = Room::default();
        let share = usize::from(args.writers);
        let queue = Queue::new(args.queue_bytes.0, share, room.clone(), &metrics);
        let (reporter, reporting) = Reporter::new(clients.call.clone(), &namespace, &metrics);
        let labels = config.project_labels.clone();
        queue.share(Peers {
            leads: leads.clone(),
            led,
            archive: Arc::new(cache.clone()),
        });
        let recorder = recorder(config, &cache, queue.clone(), reporter, observer, &metrics);
        let deps = Self {
            clients,
            cache,
            labels,
            queue,
            room,
            quiet: recorder.quiet.clone(),
            recorder,
            namespace,
            audit: Duration::from_secs(args.audit_seconds.into()),
            rewound: Arc::default(),
            leads,
            identity: args.identity.clone(),
            metrics,
            ready: Readiness::default(),
            filled: Readiness::default(),
            stop,
        };
        (deps, reporting)
    }
}

fn observer(args: &RunArgs, config: &Config) -> Observer {
    if args.observe {
        Observer::new(config.catalogue.kinds())
    } else {
        Observer::none()
    }
}

fn recorder(
    config: Config,
    cache: &Cache,
    queue: Queue,
    reporter: Reporter,
    observer: Observer,
    metrics: &Metrics,
) -> Recorder {
    let runner = (config.runner)(metrics);
    Recorder {
        extractor: Extractor::with(runner, config.settings.names.clone()),
        catalogue: Arc::new(config.catalogue),
        settings: Arc::new(config.settings),
        archive: Arc::new(cache.clone()),
        lives: cache.lives(),
        quiet: Quiet::new(queue.clone()),
        queue,
        reporter,
        observer,
        metrics: metrics.clone(),
    }
}

async fn identity(config: &Config, client: &Client) -> Identity {
    Identity {
        r#type: config.rest_type.clone(),
        tenant: config.tenant_id,
        cluster: match config.cluster_id {
            Some(id) => id,
            None => cluster_id(client).await,
        },
        hardware: config.catalogue.hardware(),
    }
}

/// The uid of namespace kube-system stands for the cluster. It is a label of answers, not worth failing for.
async fn cluster_id(client: &Client) -> Uuid {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    timeout(CLUSTER_ID_DEADLINE, namespaces.get("kube-system"))
        .await
        .ok()
        .and_then(Result::ok)
        .and_then(|namespace| namespace.metadata.uid)
        .and_then(|uid| Uuid::try_parse(&uid).ok())
        .unwrap_or_else(|| {
            tracing::warn!(
                "the uid of namespace kube-system could not be read; clusterId is all zeros"
            );
            Uuid::nil()
        })
}
