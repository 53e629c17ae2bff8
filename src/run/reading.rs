//! Starts the tasks of a replica that read the API server.

use super::deps::Deps;
use super::replica::Replica;
use super::tasks::{Tasks, raised};
use crate::kinds::Kind;
use crate::observe::ObserverDeps;
use crate::record::KindRecorder;
use crate::watch::checkpoint::{Checkpoint, Follower, Start, Unusable};
use crate::watch::{Stream, StreamDeps};
use futures::FutureExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// A kind and what records it.
type Recording = (Arc<Kind>, KindRecorder);

/// For so long recording waits at the start for the labels of namespaces, of which one may say that nothing is recorded:
/// recording too much is better than too little.
const NAMESPACES_WAIT: Duration = Duration::from_secs(5);

/// Starts them. The cache is filled first, because a kind is read only when its recorded Revisions are known.
pub(super) fn start(replica: &mut Replica) {
    let deps = &replica.deps;
    let tasks = &mut replica.reading;
    let (filled, is_filled) = watch::channel(false);
    let is_named = follow_namespaces(deps, tasks);
    open_gates(deps, &is_filled, &is_named, tasks);
    fill_cache(deps, filled, tasks);
    let cache = deps.cache.clone();
    let reporter = deps.recorder.reporter.clone();
    let telling = cache.tell_forged(deps.clients.call.clone(), reporter);
    tasks.spawn("forged Revisions", telling);
    let checkpoint = follow_kinds(deps, &is_filled, &is_named, tasks);
    tasks.spawn("quiet generations", deps.quiet.clone().run());
    let observer = deps.recorder.observer.clone();
    tasks.spawn("observer", observer.run(observer_deps(deps)));
    tasks.spawn("checkpoint", checkpoint.clone().run());
    replica.checkpoint = Some(checkpoint);
}

/// Neither the replica nor what it serves is ready before the cache is filled, and before the labels of namespaces
/// are known, so that nothing is served with the wrong project.
fn open_gates(
    deps: &Deps,
    is_filled: &watch::Receiver<bool>,
    is_named: &watch::Receiver<bool>,
    tasks: &mut Tasks,
) {
    for readiness in [&deps.ready, &deps.filled] {
        for (name, is_open) in [("Revisions", is_filled), ("namespaces", is_named)] {
            let gate = readiness.gate(name);
            let is_open = is_open.clone();
            tasks.spawn("gate", async move {
                raised(is_open).await;
                gate.send_replace(true);
                std::future::pending::<()>().await;
            });
        }
    }
}

fn follow_namespaces(deps: &Deps, tasks: &mut Tasks) -> watch::Receiver<bool> {
    let (named, is_named) = watch::channel(false);
    let client = deps.clients.watch.clone();
    let cache = deps.cache.clone();
    tasks.spawn(
        "namespaces",
        cache.follow_namespaces(client, deps.labels.clone(), named),
    );
    is_named
}

fn fill_cache(deps: &Deps, filled: watch::Sender<bool>, tasks: &mut Tasks) {
    let client = deps.clients.watch.clone();
    tasks.spawn("cache", deps.cache.clone().run(client, filled));
}

/// Follows each kind from where the checkpoint says, once the cache is filled.
fn follow_kinds(
    deps: &Deps,
    is_filled: &watch::Receiver<bool>,
    is_named: &watch::Receiver<bool>,
    tasks: &mut Tasks,
) -> Arc<Checkpoint> {
    let recordings = recordings(deps);
    let checkpoint = Arc::new(checkpoint(deps, &recordings));
    let loading = checkpoint.clone();
    let positions = async move { loading.load().await }.boxed().shared();
    for (kind, recorder) in recordings {
        let key = kind.group_kind().to_string();
        let (listed, is_listed) = watch::channel(false);
        let gate = deps.ready.gate(key.clone());
        tasks.spawn(
            "gate",
            open_when_begun(is_listed.clone(), checkpoint.clone(), key.clone(), gate),
        );
        let observer = recorder.observer();
        let tried = kind.clone();
        tasks.spawn("list of workloads", async move {
            raised(is_listed).await;
            observer.tried(&tried);
            std::future::pending::<()>().await;
        });
        let positions = positions.clone();
        let is_filled = is_filled.clone();
        let is_named = is_named.clone();
        let deps = stream_deps(deps, &kind, listed);
        tasks.spawn("watch", async move {
            raised(is_filled).await;
            // What is not known by then counts as soon as it is.
            let _ = timeout(NAMESPACES_WAIT, raised(is_named)).await;
            let start = positions.await.remove(&key);
            let start = start.unwrap_or(Start::Begin(Unusable::Absent));
            Stream::new(deps, start, recorder).run().await;
        });
    }
    checkpoint
}

/// A kind is ready when it was listed, and the place from which a restart goes on is written down.
async fn open_when_begun(
    is_listed: watch::Receiver<bool>,
    checkpoint: Arc<Checkpoint>,
    key: String,
    gate: watch::Sender<bool>,
) {
    raised(is_listed).await;
    checkpoint.has_begun(&key).await;
    gate.send_replace(true);
    std::future::pending::<()>().await;
}

fn recordings(deps: &Deps) -> Vec<Recording> {
    deps.recorder
        .catalogue
        .kinds()
        .iter()
        .map(|kind| {
            let recorder = KindRecorder::new(deps.recorder.clone(), kind.clone());
            (kind.clone(), recorder)
        })
        .collect()
}

fn checkpoint(deps: &Deps, recordings: &[Recording]) -> Checkpoint {
    let followers = recordings.iter().map(|(kind, recorder)| Follower {
        key: kind.group_kind().to_string(),
        kind: kind.kind.clone(),
        progress: Arc::new(recorder.ledger()),
    });
    Checkpoint::new(
        deps.clients.call.clone(),
        &deps.namespace,
        followers.collect(),
        &deps.metrics,
    )
}

fn observer_deps(deps: &Deps) -> ObserverDeps {
    ObserverDeps {
        watch: deps.clients.watch.clone(),
        call: deps.clients.call.clone(),
        kinds: deps.recorder.catalogue.kinds().to_vec(),
        runner: deps.recorder.extractor.runner().clone(),
        names: deps.recorder.settings.names.clone(),
        queue: deps.queue.clone(),
        leads: deps.leads.clone(),
        metrics: deps.metrics.clone(),
    }
}

fn stream_deps(deps: &Deps, kind: &Arc<Kind>, listed: watch::Sender<bool>) -> StreamDeps {
    StreamDeps {
        watch: deps.clients.watch.clone(),
        call: deps.clients.call.clone(),
        catalogue: deps.recorder.catalogue.clone(),
        kind: kind.clone(),
        heads: Arc::new(deps.cache.clone()),
        metrics: deps.metrics.clone(),
        ready: listed,
        room: deps.room.clone(),
        audit: deps.audit,
        rewound: deps.rewound.clone(),
    }
}
