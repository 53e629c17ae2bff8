//! The composition root of `revisor run`: the one place that names all stages and joins them.

use crate::cache::{Cache, Identity};
use crate::client::Clients;
use crate::config::{Config, RunArgs};
use crate::metrics::Metrics;
use crate::record::queue::Queue;
use crate::record::report::Reporter;
use crate::record::writer::Writer;
use crate::record::{KindRecorder, Recorder};
use crate::serve::admin::{self, Readiness};
use crate::watch::Stream;
use crate::{serve, shutdown};
use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What the tasks of a running process share.
struct Parts {
    clients: Clients,
    cache: Cache,
    queue: Queue,
    recorder: Recorder,
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
    args.validate()?;
    let config = Config::load(args.config.as_deref())?;
    let stop = shutdown::listen()?;
    // Ports first: a process that cannot be asked how it is must not record.
    let admin = listen("--admin-listen", args.admin_listen).await?;
    let rest = if args.insecure_no_auth { Some(listen("--listen", args.listen).await?) } else { None };
    let clients = Clients::connect(&args.cluster).await.context("no cluster to connect to")?;
    let parts = parts(&args, config, clients, stop).await;
    let tasks = start(&args, &parts, admin, rest);
    supervise(tasks, &parts, Duration::from_secs(args.drain_seconds.into())).await
}

async fn listen(flag: &str, address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{flag} {address}"))
}

async fn parts(args: &RunArgs, config: Config, clients: Clients, stop: CancellationToken) -> Parts {
    let metrics = Metrics::new();
    let cluster = match config.cluster_id {
        Some(id) => id,
        None => cluster_id(&clients.call).await,
    };
    let cache =
        Cache::new(Identity { r#type: config.rest_type, tenant: config.tenant_id, cluster }, &metrics);
    let queue = Queue::new(args.queue_bytes.0, &metrics);
    let recorder = Recorder {
        catalogue: Arc::new(config.catalogue),
        settings: Arc::new(config.settings),
        heads: Arc::new(cache.clone()),
        queue: queue.clone(),
        metrics: metrics.clone(),
    };
    Parts {
        clients,
        cache,
        queue,
        recorder,
        metrics,
        ready: Readiness::default(),
        filled: Readiness::default(),
        stop,
    }
}

/// The uid of namespace kube-system stands for the cluster. It is a label of answers, not worth failing for.
async fn cluster_id(client: &Client) -> Uuid {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let asked = timeout(Duration::from_secs(5), namespaces.get("kube-system")).await;
    let uid = asked.ok().and_then(Result::ok).and_then(|namespace| namespace.metadata.uid);
    uid.and_then(|uid| Uuid::try_parse(&uid).ok()).unwrap_or_else(|| {
        tracing::warn!("the uid of namespace kube-system could not be read; clusterId is all zeros");
        Uuid::nil()
    })
}

/// What runs, by when it ends.
#[derive(Default)]
struct Tasks {
    /// Ends at once when told to stop.
    reading: JoinSet<&'static str>,
    /// Ends when the queue is empty.
    writing: JoinSet<&'static str>,
    /// Ends last, so that a process that drains can still be asked how it is.
    serving: JoinSet<&'static str>,
}

fn start(args: &RunArgs, parts: &Parts, admin: TcpListener, rest: Option<TcpListener>) -> Tasks {
    let mut tasks = Tasks::default();
    let router = admin::router(parts.ready.clone(), parts.metrics.clone());
    serving(&mut tasks.serving, "admin", admin, router, CancellationToken::new());
    if let Some(rest) = rest {
        let router = serve::router(Arc::new(parts.cache.clone()), parts.filled.clone());
        serving(&mut tasks.serving, "REST", rest, router, parts.stop.clone());
    } else {
        tracing::warn!("the read API is off: it needs --insecure-no-auth and a loopback --listen");
    }
    let (reporter, reporting) = Reporter::new(parts.clients.call.clone(), &parts.metrics);
    let writer = Writer::new(parts.clients.call.clone(), parts.queue.clone(), reporter, &parts.metrics);
    for _ in 0..args.writers {
        let writer = writer.clone();
        tasks.writing.spawn(async move {
            writer.run().await;
            "writer"
        });
    }
    tasks.serving.spawn(async move {
        reporting.await;
        "reporter"
    });
    read(parts, &mut tasks.reading);
    tasks
}

fn serving(
    tasks: &mut JoinSet<&'static str>,
    name: &'static str,
    listener: TcpListener,
    router: axum::Router,
    stop: CancellationToken,
) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "{name} listening");
    }
    tasks.spawn(async move {
        if let Err(error) = serve::serve(listener, router, stop).await {
            tracing::error!(%error, "{name} failed");
        }
        name
    });
}

/// The cache first: a kind is read only when it is known what is recorded already.
fn read(parts: &Parts, reading: &mut JoinSet<&'static str>) {
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
    let (cache, client) = (parts.cache.clone(), parts.clients.watch.clone());
    reading.spawn(async move {
        cache.run(client, filled).await;
        "cache"
    });
    for kind in parts.recorder.catalogue.kinds() {
        let ready = parts.ready.gate(kind.group_kind().to_string());
        let sink = KindRecorder::new(parts.recorder.clone(), kind.clone());
        let stream = Stream::new(parts.clients.watch.clone(), kind.clone(), sink, &parts.metrics, ready);
        let mut filled = is_filled.clone();
        reading.spawn(async move {
            let _ = filled.wait_for(|filled| *filled).await;
            stream.run().await;
            "watch"
        });
    }
    is_filled.mark_unchanged();
}

/// Waits for a signal, then until everything is written. A task that ends before is a defect, and ends the process.
async fn supervise(mut tasks: Tasks, parts: &Parts, drain: Duration) -> anyhow::Result<()> {
    tokio::select! {
        // In this order: when told to stop, tasks end as they should.
        biased;
        () = parts.stop.cancelled() => {}
        ended = tasks.reading.join_next() => bail!("a task ended: {ended:?}"),
        ended = tasks.writing.join_next() => bail!("a task ended: {ended:?}"),
        ended = tasks.serving.join_next() => bail!("a task ended: {ended:?}"),
    }
    // What is read but not yet handed over will be read again at the next start.
    tasks.reading.shutdown().await;
    parts.queue.close();
    let drained = timeout(drain, async { while tasks.writing.join_next().await.is_some() {} }).await;
    let left = parts.queue.len();
    if drained.is_err() || left > 0 {
        bail!("{left} Revisions were not written in {} s", drain.as_secs());
    }
    tracing::info!("stopped; everything is written");
    Ok(())
}
