//! Asks about the Revisions that are not believed, and says which of them are forged.
//!
//! In: the suspects that the cache has. Out: one question about each to the API server, which proves that it is forged or
//! leaves it a suspect; Events, metrics, the log; and those again that turned out to be genuine.
//!
//! A Revision above the generation of its workload proves nothing by itself: the watch of its kind may be late, and another
//! replica may have recorded it. A consistent read that was begun after the Revision was seen, and that shows an older
//! generation, does.

use super::claims::{Doubt, Live};
use super::feed::{self, Event};
use super::suspects::{Key, Suspect};
use super::{Cache, Fill};
use crate::client::page::page;
use crate::client::path::segment;
use crate::json::without_value;
use crate::metrics::{Metrics, ReasonLabels};
use crate::record::report::Reporter;
use crate::revision::{GROUP, VERSION};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};
use uuid::Uuid;

const TICK: Duration = Duration::from_secs(1);
/// So many are asked about at once: anybody can store any number of them.
const AT_ONCE: usize = 8;
/// The reason of the Events.
const REASON: &str = "RevisionForged";
/// Metadata is all that is asked for.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// Forged Revisions of one namespace, by one reason.
#[derive(Debug, PartialEq)]
struct Found {
    /// The first of them.
    name: String,
    /// How many there are besides.
    others: usize,
}

impl Cache {
    /// Says which Revisions are forged, until it is dropped.
    pub async fn tell_forged(self, client: Client, reporter: Reporter) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut found: BTreeMap<(String, Doubt), Found> = BTreeMap::new();
            let due = self.index.write().suspects().due(Instant::now(), AT_ONCE);
            for (key, suspect) in due {
                if !self.is_forged(&client, &key, &suspect).await {
                    continue;
                }
                self.index.write().suspects().tell(&key);
                found
                    .entry((key.namespace.clone(), suspect.doubt))
                    .and_modify(|found| found.others += 1)
                    .or_insert(Found {
                        name: key.name,
                        others: 0,
                    });
            }
            for ((namespace, doubt), found) in found {
                tell(&reporter, &namespace, doubt, &found);
            }
            self.count_forged();
        }
    }

    fn count_forged(&self) {
        let told = self.read().forged();
        for doubt in Doubt::ALL {
            let reason = doubt.as_str();
            let count = told.get(&doubt).copied().unwrap_or_default();
            let gauge = self.metrics.forged.get_or_create(&ReasonLabels { reason });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Whether a suspect is proven to be forged: by itself, or by the workload as it is now.
    async fn is_forged(&self, client: &Client, key: &Key, suspect: &Suspect) -> bool {
        let is_still = self.read().is_suspect(key);
        if !is_still || suspect.doubt != Doubt::Generation {
            return is_still;
        }
        let live = self.live.read().get(key.workload).cloned();
        let Some(live) = live else { return false };
        match generation(client, &live, key.workload, &suspect.workload).await {
            Ok(Some(generation)) => generation < suspect.generation,
            // It is gone, or another one has its name: the watch shows that.
            Ok(None) => false,
            Err(error) => {
                let error = without_value(&format!("{error:#}"));
                tracing::debug!(error, "a workload could not be asked for");
                false
            }
        }
    }

    /// Reads those again that turned out to be genuine, until it is dropped.
    pub(super) async fn reread(&self, client: &Client, fill: &parking_lot::Mutex<Fill>) {
        loop {
            self.reread.notified().await;
            let genuine = self.read().genuine(&self.live.read());
            for key in genuine {
                match feed::one(client, &key.namespace, &key.name).await {
                    Ok(Some(revision)) => self.put_again(&key, revision, fill),
                    // The watch shows that it is gone.
                    Ok(None) => {}
                    Err(error) => {
                        let error = without_value(&format!("{error:#}"));
                        tracing::warn!(error, "a Revision could not be read again");
                        tokio::time::sleep(TICK).await;
                        self.reread.notify_one();
                    }
                }
            }
        }
    }

    /// Puts in what was read again, unless the watch has shown it meanwhile: that is not older.
    fn put_again(
        &self,
        key: &Key,
        revision: crate::revision::Revision,
        fill: &parking_lot::Mutex<Fill>,
    ) {
        let is_awaited = self.index.write().awaits(key);
        if is_awaited {
            let (ready, _) = tokio::sync::watch::channel(false);
            self.take(Event::Put(revision), &mut fill.lock(), &ready);
        }
    }
}

/// How many Revisions are said to be forged.
pub fn count_forged(metrics: &Metrics) -> i64 {
    let count = |doubt: &Doubt| {
        let reason = doubt.as_str();
        metrics.forged.get_or_create(&ReasonLabels { reason }).get()
    };
    Doubt::ALL.iter().map(count).sum()
}

fn tell(reporter: &Reporter, namespace: &str, doubt: Doubt, found: &Found) {
    let Found { name, others } = found;
    let why = doubt.explain();
    let more = match others {
        0 => String::new(),
        others => format!(" (and {others} others)"),
    };
    tracing::warn!(
        namespace,
        name,
        others,
        why,
        "a Revision is forged; it is not served"
    );
    let revision = ObjectReference {
        api_version: Some(format!("{GROUP}/{VERSION}")),
        kind: Some("Revision".to_owned()),
        namespace: Some(namespace.to_owned()),
        name: Some(name.clone()),
        ..ObjectReference::default()
    };
    let note = format!("Revision {name}{more} is not believed and not served: {why}");
    reporter.warn_of(revision, REASON, note);
}

#[derive(Deserialize)]
struct Named {
    metadata: NamedMetadata,
}

#[derive(Deserialize)]
struct NamedMetadata {
    uid: Uuid,
    #[serde(default)]
    generation: i64,
}

/// The generation that a workload has now; none when it is gone.
async fn generation(
    client: &Client,
    live: &Live,
    uid: Uuid,
    name: &str,
) -> anyhow::Result<Option<i64>> {
    let Some(name) = segment(name) else {
        return Ok(None);
    };
    let collection = live.resource.path(Some(&live.namespace));
    let uri = format!("{collection}?fieldSelector=metadata.name%3D{name}");
    let page = page(client, &uri, Some(METADATA)).await?;
    let all = page.items.iter();
    let ours = all
        .filter_map(|raw| serde_json::from_str::<Named>(raw.get()).ok())
        .find(|named| named.metadata.uid == uid);
    Ok(ours.map(|named| named.metadata.generation))
}
