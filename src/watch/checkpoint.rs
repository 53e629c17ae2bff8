//! Where a restart goes on: one ConfigMap with a key per kind. Written after everything before it is recorded, so it may
//! be older than the truth and never newer; several replicas may write it, each says what is true.

mod entry;

pub use entry::CheckpointEntry;

use super::Position;
use crate::metrics::{self, Metrics};
use crate::workload::{Ack, ResourceVersion};
use http::{Request, StatusCode, header};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Name of the ConfigMap.
pub const CHECKPOINT: &str = "revisor-checkpoint";

const EVERY: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_secs(10);
/// Without an answer for so long, recording starts without a checkpoint rather than not at all.
const TRIES: u32 = 6;

/// How far the recording of a kind has come.
pub trait Progress: Send + Sync {
    /// Everything up to there is durable.
    fn ack(&self) -> Ack;
    /// The newest intervals in which something may have gone unseen.
    fn blind_intervals(&self) -> Vec<(ResourceVersion, ResourceVersion)>;
    /// Notes how long the oldest of what is on its way has been so.
    fn measure(&self);
    /// Takes over what an earlier process wrote down.
    fn take_over(&self, entry: &CheckpointEntry);
}

/// One kind in the checkpoint.
pub struct Follower {
    /// Its key: kind and group.
    pub key: String,
    /// Its kind.
    pub kind: String,
    /// How far it has come.
    pub progress: Arc<dyn Progress>,
}

/// The checkpoint.
pub struct Checkpoint {
    client: Client,
    namespace: String,
    followers: Vec<Follower>,
    metrics: Metrics,
    written: Mutex<BTreeMap<String, String>>,
}

/// A right is missing: asking again does not help.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Forbidden(String);

#[derive(Deserialize, Default)]
struct ConfigMap {
    #[serde(default)]
    data: BTreeMap<String, String>,
}

impl Checkpoint {
    /// The checkpoint of `followers` in a namespace.
    pub fn new(
        client: Client,
        namespace: &str,
        followers: Vec<Follower>,
        metrics: &Metrics,
    ) -> Self {
        let namespace = namespace.to_owned();
        Self {
            client,
            namespace,
            followers,
            metrics: metrics.clone(),
            written: Mutex::default(),
        }
    }

    /// Reads what an earlier process wrote, by key.
    pub async fn load(&self) -> BTreeMap<String, Position> {
        let mut wait = Duration::from_millis(250);
        for _ in 0..TRIES {
            match self.read().await {
                Ok(stored) => return self.positions(&stored),
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "the checkpoint could not be read"
                    );
                    if error.is::<Forbidden>() {
                        break;
                    }
                    sleep(wait).await;
                    wait *= 2;
                }
            }
        }
        tracing::error!(
            namespace = self.namespace,
            "starting without the checkpoint {CHECKPOINT}: workloads that were made meanwhile begin where they are now"
        );
        BTreeMap::new()
    }

    fn positions(&self, stored: &ConfigMap) -> BTreeMap<String, Position> {
        let mut positions = BTreeMap::new();
        for follower in &self.followers {
            let Some(text) = stored.data.get(&follower.key) else {
                continue;
            };
            let Ok(entry) = CheckpointEntry::decode(text) else {
                tracing::error!(
                    key = follower.key,
                    text,
                    "this entry of the checkpoint {CHECKPOINT} is damaged; going on without it"
                );
                continue;
            };
            follower.progress.take_over(&entry);
            positions.insert(follower.key.clone(), entry.position);
        }
        positions
    }

    /// Writes it every ten seconds, for ever.
    pub async fn run(self: Arc<Self>) {
        loop {
            for _ in 0..EVERY.as_secs() {
                sleep(Duration::from_secs(1)).await;
                self.followers
                    .iter()
                    .for_each(|follower| follower.progress.measure());
            }
            self.save().await;
        }
    }

    /// Writes what has moved.
    pub async fn save(&self) {
        let moved = self.moved();
        if moved.is_empty() {
            return;
        }
        match self.write(&moved).await {
            Ok(()) => self.written.lock().extend(moved),
            Err(error) => {
                self.metrics.checkpoint_failures.inc();
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the checkpoint could not be written; a restart goes on from an older place"
                );
            }
        }
    }

    /// The entries that are not written as they are now, by key.
    fn moved(&self) -> BTreeMap<String, String> {
        let mut moved = BTreeMap::new();
        for follower in &self.followers {
            let ack = follower.progress.ack();
            self.metrics
                .checkpoint_resource_version
                .get_or_create(&metrics::kind(&follower.kind))
                .set(ack.through.as_metric());
            if ack.through != ResourceVersion::default() {
                let entry = CheckpointEntry::new(ack, follower.progress.blind_intervals());
                moved.insert(follower.key.clone(), entry.encode());
            }
        }
        let written = self.written.lock();
        moved.retain(|key, text| written.get(key) != Some(text));
        moved
    }

    async fn read(&self) -> anyhow::Result<ConfigMap> {
        let request = Request::get(self.path(true)).body(Body::empty())?;
        match self.send(request).await? {
            (StatusCode::NOT_FOUND, _) => Ok(ConfigMap::default()),
            (_, body) => Ok(serde_json::from_slice(&body)?),
        }
    }

    async fn write(&self, data: &BTreeMap<String, String>) -> anyhow::Result<()> {
        let body = serde_json::to_vec(&serde_json::json!({ "data": data }))?;
        let patch = Request::patch(self.path(true))
            .header(header::CONTENT_TYPE, "application/merge-patch+json");
        if self.send(patch.body(Body::from(body))?).await?.0 != StatusCode::NOT_FOUND {
            return Ok(());
        }
        let body = serde_json::to_vec(&serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CHECKPOINT}, "data": data,
        }))?;
        let post = Request::post(self.path(false)).header(header::CONTENT_TYPE, "application/json");
        match self.send(post.body(Body::from(body))?).await?.0 {
            StatusCode::NOT_FOUND => anyhow::bail!("there is no namespace {}", self.namespace),
            _ => Ok(()),
        }
    }

    fn path(&self, named: bool) -> String {
        let collection = format!("/api/v1/namespaces/{}/configmaps", self.namespace);
        if named {
            format!("{collection}/{CHECKPOINT}")
        } else {
            collection
        }
    }

    /// A success or a 404; everything else is an error.
    async fn send(&self, request: Request<Body>) -> anyhow::Result<(StatusCode, Vec<u8>)> {
        let answer = timeout(DEADLINE, self.client.send(request)).await??;
        let code = answer.status();
        let body = timeout(
            DEADLINE,
            http_body_util::BodyExt::collect(answer.into_body()),
        )
        .await??
        .to_bytes();
        if code.is_success() || code == StatusCode::NOT_FOUND {
            return Ok((code, body.to_vec()));
        }
        let status: kube::core::Status = serde_json::from_slice(&body).unwrap_or_default();
        if code == StatusCode::FORBIDDEN {
            return Err(Forbidden(status.message).into());
        }
        anyhow::bail!("{code}: {}", status.message)
    }
}
