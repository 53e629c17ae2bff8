//! The composition root of `revisor run`: the one place that names all stages and joins them.

mod serving;

use crate::cache::{Cache, Identity, ProjectLabels};
use crate::client::Clients;
use crate::config::{Config, RunArgs};
use crate::kinds::Kind;
use crate::lead::{Elector, identity};
use crate::metrics::Metrics;
use crate::observe::{self, Observer};
use crate::record::extract::Extractor;
use crate::record::queue::Queue;
use crate::record::quiet::Quiet;
use crate::record::report::Reporter;
use crate::record::writer::Writer;
use crate::record::{KindRecorder, Recorder};
use crate::serve::admin::Readiness;
use crate::shutdown;
use crate::watch::checkpoint::{Checkpoint, Follower};
use crate::watch::{self as watching, Stream};
use anyhow::{Context, bail};
use futures::FutureExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use serving::Ports;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What the tasks of a running process share.
struct Parts {
    clients: Clients,
    cache: Cache,
    labels: ProjectLabels,
    queue: Queue,
    recorder: Recorder,
    quiet: Quiet,
    namespace: String,
    audit: Duration,
    rewound: Arc<Notify>,
    leads: watch::Receiver<bool>,
    metrics: Metrics,
    ready: Readiness,
    filled: Readiness,
    stop: CancellationToken,
}

/// Records and serves until a signal; then writes what is waiting.
///
/// # Errors
/// When something cannot be set up, a task ends that should not, or Revisions are left unwritten.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    args.serve.validate()?;
    let config = Config::load(args.config.as_deref())?;
    let stop = shutdown::listen()?;
    let ports = Ports::take(&args.serve).await?;
    let clients = Clients::connect(&args.cluster)
        .await
        .context("no cluster to connect to")?;
    let (elector, leads) = elector(&args, &clients);
    let (parts, reporting) = parts(&args, config, clients, (stop, leads)).await;
    let mut tasks = start(&args, &parts, ports)?;
    if let Some(elector) = elector {
        let stop = parts.stop.clone();
        tasks.writing.spawn(async move {
            elector.run(stop).await;
            "elector"
        });
    }
    tasks.serving.spawn(async move {
        reporting.await;
        "reporter"
    });
    supervise(
        tasks,
        &parts,
        Duration::from_secs(args.drain_seconds.into()),
    )
    .await
}

/// Without an election everybody leads.
fn elector(args: &RunArgs, clients: &Clients) -> (Option<Elector>, watch::Receiver<bool>) {
    if !args.leader_elect {
        return (None, watch::channel(true).1);
    }
    let namespace = args.namespace.as_deref().unwrap_or(&clients.namespace);
    let name = args.identity.clone().unwrap_or_else(identity);
    let (elector, leads) = Elector::new(clients.call.clone(), namespace, &name);
    (Some(elector), leads)
}

async fn parts(
    args: &RunArgs,
    config: Config,
    clients: Clients,
    (stop, leads): (CancellationToken, watch::Receiver<bool>),
) -> (Parts, impl Future<Output = ()> + Send + use<>) {
    let namespace = args
        .namespace
        .clone()
        .unwrap_or_else(|| clients.namespace.clone());
    let metrics = Metrics::new();
    let cluster = match config.cluster_id {
        Some(id) => id,
        None => cluster_id(&clients.call).await,
    };
    let observer = if args.observe {
        Observer::new(config.catalogue.kinds())
    } else {
        Observer::none()
    };
    let identity = Identity {
        r#type: config.rest_type,
        tenant: config.tenant_id,
        cluster,
    };
    let cache = Cache::new(identity, observer.clone(), &metrics);
    let queue = Queue::new(args.queue_bytes.0, &metrics);
    let quiet = Quiet::new(queue.clone());
    let (reporter, reporting) = Reporter::new(clients.call.clone(), &namespace, &metrics);
    let extractor = Extractor::new(config.settings.names.clone(), &metrics);
    let recorder = Recorder {
        catalogue: Arc::new(config.catalogue),
        settings: Arc::new(config.settings),
        heads: Arc::new(cache.clone()),
        queue: queue.clone(),
        quiet: quiet.clone(),
        extractor,
        reporter,
        observer,
        metrics: metrics.clone(),
    };
    let parts = Parts {
        clients,
        cache,
        labels: config.project_labels,
        queue,
        recorder,
        quiet,
        namespace,
        audit: Duration::from_secs(args.audit_seconds.into()),
        rewound: Arc::default(),
        leads,
        metrics,
        ready: Readiness::default(),
        filled: Readiness::default(),
        stop,
    };
    (parts, reporting)
}

/// The uid of namespace kube-system stands for the cluster. It is a label of answers, not worth failing for.
async fn cluster_id(client: &Client) -> Uuid {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let asked = timeout(Duration::from_secs(5), namespaces.get("kube-system")).await;
    let uid = asked
        .ok()
        .and_then(Result::ok)
        .and_then(|namespace| namespace.metadata.uid);
    uid.and_then(|uid| Uuid::try_parse(&uid).ok())
        .unwrap_or_else(|| {
            tracing::warn!(
                "the uid of namespace kube-system could not be read; clusterId is all zeros"
            );
            Uuid::nil()
        })
}

/// What runs, by when it ends.
#[derive(Default)]
struct Tasks {
    /// Ends at once when told to stop.
    reading: JoinSet<&'static str>,
    /// Written a last time when everything else is.
    checkpoint: Option<Arc<Checkpoint>>,
    /// Ends when the queue is empty.
    writing: JoinSet<&'static str>,
    /// Ends last, so that a process that drains can still be asked how it is.
    serving: JoinSet<&'static str>,
}

fn start(args: &RunArgs, parts: &Parts, ports: Ports) -> anyhow::Result<Tasks> {
    let mut tasks = Tasks::default();
    serving::start(args, parts, ports, &mut tasks.serving)?;
    let reporter = parts.recorder.reporter.clone();
    let writer = Writer::new(
        parts.clients.call.clone(),
        parts.queue.clone(),
        reporter,
        &parts.metrics,
    );
    for _ in 0..args.writers {
        let writer = writer.clone();
        tasks.writing.spawn(async move {
            writer.run().await;
            "writer"
        });
    }
    read(parts, &mut tasks);
    Ok(tasks)
}

/// The cache first: a kind is read only when it is known what is recorded already.
fn read(parts: &Parts, tasks: &mut Tasks) {
    let Tasks {
        reading,
        checkpoint: slot,
        ..
    } = tasks;
    let (filled, mut is_filled) = watch::channel(false);
    for (readiness, name) in [(&parts.ready, "Revisions"), (&parts.filled, "Revisions")] {
        let gate = readiness.gate(name);
        let mut filled = is_filled.clone();
        reading.spawn(async move {
            let _ = filled.wait_for(|filled| *filled).await;
            gate.send_replace(true);
            std::future::pending().await
        });
    }
    // What namespaces say first, so that nothing is served with the wrong project.
    let (named, mut is_named) = watch::channel(false);
    let (cache, client, labels) = (
        parts.cache.clone(),
        parts.clients.watch.clone(),
        parts.labels.clone(),
    );
    reading.spawn(async move {
        cache.follow_namespaces(client, labels, named).await;
        "namespaces"
    });
    let (cache, client) = (parts.cache.clone(), parts.clients.watch.clone());
    reading.spawn(async move {
        let _ = is_named.wait_for(|named| *named).await;
        cache.run(client, filled).await;
        "cache"
    });
    let sinks = parts.recorder.catalogue.kinds();
    let sinks: Vec<_> = sinks
        .iter()
        .map(|kind| {
            (
                kind,
                KindRecorder::new(parts.recorder.clone(), kind.clone()),
            )
        })
        .collect();
    let checkpoint = Arc::new(checkpoint(parts, &sinks));
    let loading = checkpoint.clone();
    let places = async move { loading.load().await }.boxed().shared();
    for (kind, sink) in sinks {
        let (mut stream, key) = (stream_parts(parts, kind), kind.group_kind().to_string());
        let (places, mut filled) = (places.clone(), is_filled.clone());
        reading.spawn(async move {
            let _ = filled.wait_for(|filled| *filled).await;
            stream.since = places.await.get(&key).copied();
            Stream::new(stream, sink).run().await;
            "watch"
        });
    }
    let quiet = parts.quiet.clone();
    reading.spawn(async move {
        quiet.run().await;
        "quiet generations"
    });
    let observer = parts.recorder.observer.clone().run(observe_parts(parts));
    reading.spawn(async move {
        observer.await;
        "observer"
    });
    let saving = checkpoint.clone();
    reading.spawn(async move {
        saving.run().await;
        "checkpoint"
    });
    *slot = Some(checkpoint);
    is_filled.mark_unchanged();
}

fn observe_parts(parts: &Parts) -> observe::Parts {
    observe::Parts {
        watch: parts.clients.watch.clone(),
        call: parts.clients.call.clone(),
        kinds: parts.recorder.catalogue.kinds().to_vec(),
        runner: parts.recorder.extractor.runner().clone(),
        names: parts.recorder.settings.names.clone(),
        queue: parts.queue.clone(),
        leads: parts.leads.clone(),
        metrics: parts.metrics.clone(),
    }
}

fn checkpoint(parts: &Parts, sinks: &[(&Arc<Kind>, KindRecorder)]) -> Checkpoint {
    let follower = |(kind, sink): &(&Arc<Kind>, KindRecorder)| Follower {
        key: kind.group_kind().to_string(),
        kind: kind.kind.clone(),
        progress: Arc::new(sink.ledger()),
    };
    let followers = sinks.iter().map(follower).collect();
    Checkpoint::new(
        parts.clients.call.clone(),
        &parts.namespace,
        followers,
        &parts.metrics,
    )
}

fn stream_parts(parts: &Parts, kind: &Arc<Kind>) -> watching::Parts {
    watching::Parts {
        watch: parts.clients.watch.clone(),
        call: parts.clients.call.clone(),
        kind: kind.clone(),
        metrics: parts.metrics.clone(),
        ready: parts.ready.gate(kind.group_kind().to_string()),
        since: None,
        audit: parts.audit,
        rewound: parts.rewound.clone(),
    }
}

/// etcd was restored: what is in memory, and what waits to be written, is of another history.
async fn start_over(tasks: &mut Tasks, parts: &Parts) {
    // First of all, so that nobody is told that there is nothing.
    parts.ready.reset();
    parts.filled.reset();
    tasks.reading.shutdown().await;
    parts.queue.clear();
    parts.quiet.clear();
    parts.cache.clear();
    parts.recorder.observer.clear();
    read(parts, tasks);
}

/// Waits for a signal, then until everything is written. A task that ends before is a defect, and ends the process.
async fn supervise(mut tasks: Tasks, parts: &Parts, drain: Duration) -> anyhow::Result<()> {
    while !parts.stop.is_cancelled() {
        tokio::select! {
        // In this order: when told to stop, tasks end as they should.
        biased;
        () = parts.stop.cancelled() => {}
        () = parts.rewound.notified() => start_over(&mut tasks, parts).await,
        ended = tasks.reading.join_next() => bail!("a task ended: {ended:?}"),
        ended = tasks.writing.join_next() => bail!("a task ended: {ended:?}"),
        ended = tasks.serving.join_next() => bail!("a task ended: {ended:?}"),
        }
    }
    // What is read but not yet handed over will be read again at the next start.
    tasks.reading.shutdown().await;
    let drained = timeout(drain, async {
        parts.quiet.flush().await;
        parts.queue.close();
        while tasks.writing.join_next().await.is_some() {}
    })
    .await;
    if let Some(checkpoint) = tasks.checkpoint {
        checkpoint.save().await;
    }
    // Requests that are under way get their answers; it gives them a while and then ends by itself.
    while tasks
        .serving
        .join_next()
        .await
        .is_some_and(|ended| !ended.is_ok_and(|name| name == serving::REST))
    {}
    let left = parts.queue.len();
    if drained.is_err() || left > 0 {
        bail!("{left} Revisions were not written in {} s", drain.as_secs());
    }
    tracing::info!("stopped; everything is written");
    Ok(())
}
