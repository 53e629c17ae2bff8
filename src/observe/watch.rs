//! Watches pods and nodes: with the labels that kind files name, where they name any, and pruned at once.

use super::owners::Owners;
use super::pod::{PodObject, Pruner};
use super::subjects::{OwnerLookup, OwnerLookups};
use super::{ObserverDeps, ObserverState};
use crate::json::without_value;
use crate::kinds::{Kind, PodLabel};
use futures::stream::FuturesUnordered;
use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Node;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use uuid::Uuid;

/// A page is in memory as a whole.
const PAGE: u32 = 100;
/// How often it is looked whether there is a first workload of a kind, and for pods whose owners have to be asked.
const TICK: Duration = Duration::from_millis(500);
/// After a failure it is waited for so long.
const PAUSE: Duration = Duration::from_secs(5);
/// Owners that cannot be asked for so often in a row are not waited for any more.
const PATIENCE: u32 = 12;
/// So many pods' owners are asked for at the same time.
const SIDE_BY_SIDE: usize = 8;

/// Until it is dropped.
pub(super) async fn run(
    shared: &ObserverState,
    deps: &ObserverDeps,
    watches: &BTreeMap<String, Vec<Arc<Kind>>>,
    pruner: &Pruner,
    owners: &Owners,
) {
    let mut tasks = FuturesUnordered::new();
    for (source, (selector, kinds)) in (0..).zip(watches) {
        tasks.push(pods(shared, deps, pruner, source, selector, kinds));
    }
    tokio::select! {
        _ = tasks.next() => {}
        () = nodes(shared, deps) => {}
        () = find(shared, owners) => {}
    }
}

/// The label selectors of all kinds, each with the kinds whose pods it finds.
pub(super) fn selectors(kinds: &[Arc<Kind>]) -> BTreeMap<String, Vec<Arc<Kind>>> {
    let mut selectors: BTreeMap<String, Vec<Arc<Kind>>> = BTreeMap::new();
    for kind in kinds {
        // A workload may be made of workloads of other kinds, and then its pods look like theirs.
        let is_named = kind
            .pods
            .labels
            .iter()
            .any(|(_, label)| *label == PodLabel::Name);
        let wholes = kinds
            .iter()
            .filter(|whole| is_named && kind.owned_by.contains(&whole.group_kind()));
        selectors
            .entry(kind.pods.selector())
            .or_default()
            .extend(wholes.chain([kind]).cloned());
    }
    selectors
}

/// The pods of some kinds, once there is a workload of one.
async fn pods(
    shared: &ObserverState,
    deps: &ObserverDeps,
    pruner: &Pruner,
    source: u32,
    selector: &str,
    kinds: &[Arc<Kind>],
) {
    while !shared.subjects.lock().has_kind(kinds) {
        sleep(TICK).await;
    }
    tracing::debug!(selector, "watching pods");
    let config = watcher::Config::default().labels(selector).page_size(PAGE);
    let events = watcher(Api::<PodObject>::all(deps.watch.clone()), config).default_backoff();
    pin_mut!(events);
    let mut listed = HashSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(pod)) => listed.extend(put(shared, pruner, source, pod)),
            Ok(Event::InitDone) => {
                shared
                    .subjects
                    .lock()
                    .pods_listed(source, &std::mem::take(&mut listed));
            }
            Ok(Event::Apply(pod)) => {
                put(shared, pruner, source, pod);
            }
            Ok(Event::Delete(pod)) => {
                if let Some(uid) = uid(&pod) {
                    shared.subjects.lock().pod_gone(source, uid);
                }
            }
            Err(error) => {
                if is_forbidden(&error) {
                    // Without this right nothing will be known of them: the rest decides.
                    shared.subjects.lock().pods_complete(source);
                }
                let error = without_value(&error);
                tracing::warn!(error, selector, "watching pods failed; statuses may be old");
            }
        }
        let count = shared.subjects.lock().pod_count();
        deps.metrics
            .observed_pods
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

/// Whether a list was refused for lack of a right.
fn is_forbidden(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 403)
}

fn uid(pod: &PodObject) -> Option<Uuid> {
    Uuid::try_parse(&pod.uid()?).ok()
}

fn put(shared: &ObserverState, pruner: &Pruner, source: u32, pod: PodObject) -> Option<Uuid> {
    let uid = uid(&pod)?;
    let (pod, owner) = pruner.prune(pod)?;
    shared.subjects.lock().pod(source, uid, pod, owner);
    Some(uid)
}

/// Asks for the owners of pods whose labels do not name their workload.
///
/// While some cannot be asked for, nothing is decided of workloads whose pods they may be; but not for ever.
async fn find(shared: &ObserverState, owners: &Owners) {
    let mut failures = 0;
    loop {
        sleep(TICK).await;
        let OwnerLookups { lookups, watches } = shared.subjects.lock().take_lookups();
        let mut found = futures::stream::iter(lookups)
            .map(|lookup| find_one(shared, owners, lookup))
            .buffer_unordered(SIDE_BY_SIDE);
        let mut failed = None;
        while let Some((uid, found)) = found.next().await {
            match found {
                Ok(Some(workload)) => shared.subjects.lock().claim(uid, workload),
                // It stays parked until there is a new workload in its namespace.
                Ok(None) => {}
                Err(error) => {
                    failed = Some(error);
                    shared.subjects.lock().look_up_again(uid);
                }
            }
        }
        failures = if failed.is_some() { failures + 1 } else { 0 };
        if failures == 0 || failures > PATIENCE {
            shared.subjects.lock().looked_up(&watches);
        }
        if let Some(error) = failed {
            tracing::warn!(
                error = without_value(&format!("{error:#}")),
                "owners of pods could not be read; they will be asked for again"
            );
            sleep(PAUSE).await;
        }
    }
}

/// The workload of one pod.
async fn find_one(
    shared: &ObserverState,
    owners: &Owners,
    lookup: OwnerLookup,
) -> (Uuid, anyhow::Result<Option<Uuid>>) {
    let OwnerLookup {
        uid,
        namespace,
        owner,
    } = lookup;
    let known = |uid| shared.subjects.lock().has(uid);
    (uid, owners.workload(&namespace, owner, known).await)
}

/// Keeps the pool of each node; nodes without a label are in none that has to be kept.
async fn nodes(shared: &ObserverState, deps: &ObserverDeps) {
    let api = Api::<PartialObjectMeta<Node>>::all(deps.watch.clone());
    let events = watcher(api, watcher::Config::default().page_size(PAGE)).default_backoff();
    pin_mut!(events);
    let kinds = deps.kinds.first();
    let labels = kinds.map_or_else(Arc::default, |kind| kind.hardware.node_pool_labels.clone());
    let mut listed = HashSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(node)) => {
                listed.insert(tell(shared, &node, &labels));
            }
            Ok(Event::InitDone) => {
                shared.subjects.lock().nodes_listed(&listed);
            }
            Ok(Event::Apply(node)) => {
                tell(shared, &node, &labels);
            }
            Ok(Event::Delete(node)) => shared.subjects.lock().pool(node.name_any().into(), None),
            Err(error) => {
                if is_forbidden(&error) {
                    shared.subjects.lock().nodes_complete();
                }
                tracing::warn!(%error, "watching nodes failed; node pools may be old");
            }
        }
    }
}

fn tell(
    shared: &ObserverState,
    node: &PartialObjectMeta<Node>,
    pool_labels: &[String],
) -> Arc<str> {
    let name: Arc<str> = node.name_any().into();
    let pool = pool_labels
        .iter()
        .filter_map(|label| node.labels().get(label))
        .find(|pool| !pool.is_empty());
    shared
        .subjects
        .lock()
        .pool(name.clone(), pool.map(|pool| pool.as_str().into()));
    name
}
