//! Every Revision there is, in memory: fed by its own watch, read by `serve`, asked by `record` at the start.
//!
//! In: LIST and WATCH of Revisions. Out: [`Head`]s for `record`, rendered JSON for `serve` (through [`Read`], the one
//! thing it knows). Level-triggered: only the present set counts, so kube-rs' own watcher feeds it.

mod index;
mod render;

pub use render::Identity;

use crate::metrics::Metrics;
use crate::record::Heads;
use crate::revision::Revision;
use crate::workload::Head;
use bytes::Bytes;
use futures::StreamExt;
use index::Index;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;
use uuid::Uuid;

/// A page is in memory as a whole, several times over.
const PAGE: u32 = 200;

/// What `serve` may ask.
pub trait Read: Send + Sync {
    /// The Revisions of a workload as JSON objects, newest first; none when the workload is not known.
    fn list(&self, workload: Uuid) -> Option<Vec<Bytes>>;
}

/// The cache. Cloning shares it.
#[derive(Clone)]
pub struct Cache {
    index: Arc<RwLock<Index>>,
    identity: Arc<Identity>,
    metrics: Metrics,
}

impl Cache {
    /// An empty cache.
    pub fn new(identity: Identity, metrics: &Metrics) -> Self {
        Self { index: Arc::default(), identity: Arc::new(identity), metrics: metrics.clone() }
    }

    /// Follows all Revisions until it is dropped. `ready` turns true when the first list is in.
    pub async fn run(self, client: Client, ready: watch::Sender<bool>) {
        let api: Api<Revision> = Api::all(client);
        let events = watcher(api, watcher::Config::default().page_size(PAGE)).default_backoff();
        let mut events = std::pin::pin!(events);
        let mut fresh: Option<Index> = None;
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Init) => fresh = Some(self.update(|index| index.successor())),
                Ok(watcher::Event::InitApply(revision)) => {
                    fresh.get_or_insert_default().put(&revision, &self.identity);
                }
                Ok(watcher::Event::InitDone) => {
                    self.update(|index| *index = fresh.take().unwrap_or_default());
                    ready.send_replace(true);
                }
                Ok(watcher::Event::Apply(revision)) => {
                    self.update(|index| index.put(&revision, &self.identity));
                }
                Ok(watcher::Event::Delete(revision)) => self.update(|index| index.remove(&revision)),
                Err(error) => explain(&error),
            }
        }
    }

    /// Forgets everything: it was of another history.
    pub fn clear(&self) {
        self.update(|index| *index = Index::default());
    }

    fn update<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut index);
        self.metrics.cached.set(i64::try_from(index.len()).unwrap_or(i64::MAX));
        result
    }
}

impl Heads for Cache {
    fn hand_over(&self, group: &str, kind: &str) -> Vec<(Uuid, Head)> {
        self.update(|index| index.hand_over(group, kind))
    }

    fn recorded(&self, workload: Uuid, generations: &RangeInclusive<i64>) -> BTreeSet<i64> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).recorded(workload, generations)
    }
}

impl Read for Cache {
    fn list(&self, workload: Uuid) -> Option<Vec<Bytes>> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).list(workload)
    }
}

/// The most likely mistake of an installation gets its remedy.
fn explain(error: &watcher::Error) {
    let missing = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    };
    if missing {
        tracing::error!(
            "the CustomResourceDefinition revisions.revisor.dev is not installed: `revisor crds | kubectl apply -f -`"
        );
    } else {
        tracing::warn!(%error, "reading Revisions failed");
    }
}
