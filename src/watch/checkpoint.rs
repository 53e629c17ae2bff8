//! Where a restart goes on: one ConfigMap with two keys per kind. Written after everything before it is recorded, so it
//! may be older than the truth and never newer; several replicas may write it, each says what is true.

mod entry;
mod stored;

pub use entry::{CheckpointEntry, Exception};
pub use stored::{Start, Unusable, starts};

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
use stored::{CLUSTER, settled_key};
use tokio::time::{sleep, timeout};

/// Name of the ConfigMap.
pub const CHECKPOINT: &str = "revisor-checkpoint";

const EVERY: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest wait between two questions for it.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How far the recording of a kind has come.
pub trait Progress: Send + Sync {
    /// Everything up to there is durable, except the exceptions.
    fn ack(&self) -> Ack;
    /// The entry for earlier releases, in which there are no exceptions, and the one for this.
    fn entries(&self) -> [CheckpointEntry; 2];
    /// The second of these entries is stored.
    fn written(&self, settled: &CheckpointEntry);
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
    /// Changes that the next write makes besides: no text takes the key out.
    besides: Mutex<BTreeMap<String, Option<String>>>,
}

/// The content of the next write.
#[derive(Default)]
struct Moved {
    /// The entries that are not stored as they are now, by key.
    texts: BTreeMap<String, String>,
    /// The entry with exceptions of each kind, which is stored when that write has succeeded.
    settled: Vec<(Arc<dyn Progress>, CheckpointEntry)>,
}

#[derive(Deserialize, Default)]
struct ConfigMap {
    #[serde(default)]
    data: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Namespace {
    metadata: NamespaceMetadata,
}

#[derive(Deserialize)]
struct NamespaceMetadata {
    uid: String,
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
            besides: Mutex::default(),
        }
    }

    /// Reads what an earlier process wrote, by key. It asks until there is an answer: to go on without a checkpoint that
    /// is there would leave out, in silence, whatever happened since it was written.
    pub async fn load(&self) -> BTreeMap<String, Start> {
        let mut wait = Duration::from_millis(250);
        loop {
            match self.stored().await {
                Ok((cluster, data)) => return self.take_over(cluster, &data),
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        namespace = self.namespace,
                        "the ConfigMap {CHECKPOINT} could not be read; recording starts when it can be"
                    );
                    sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    /// The uid of the cluster, if it may be read, and the data of the ConfigMap.
    async fn stored(&self) -> anyhow::Result<(Option<String>, BTreeMap<String, String>)> {
        Ok((self.cluster().await?, self.read().await?.data))
    }

    /// metadata.uid of the namespace kube-system, which identifies a cluster.
    async fn cluster(&self) -> anyhow::Result<Option<String>> {
        let request = Request::get("/api/v1/namespaces/kube-system").body(Body::empty())?;
        let (code, body) = self.answer(request).await?;
        if code == StatusCode::FORBIDDEN || code == StatusCode::NOT_FOUND {
            tracing::warn!(
                "the uid of namespace kube-system cannot be read; whether the checkpoint is of this \
                 cluster is not known"
            );
            return Ok(None);
        }
        let body = success(code, body)?;
        Ok(Some(
            serde_json::from_slice::<Namespace>(&body)?.metadata.uid,
        ))
    }

    fn take_over(
        &self,
        cluster: Option<String>,
        data: &BTreeMap<String, String>,
    ) -> BTreeMap<String, Start> {
        let keys = self.followers.iter().map(|follower| follower.key.as_str());
        let starts = starts(keys, cluster.as_deref(), data);
        if stored::is_foreign(cluster.as_deref(), data) {
            tracing::error!(
                namespace = self.namespace,
                "the ConfigMap {CHECKPOINT} is of another cluster; it is not used, and is replaced"
            );
            let others = data.keys().map(|key| (key.clone(), None));
            self.besides.lock().extend(others);
        }
        if cluster.is_some() && data.get(CLUSTER) != cluster.as_ref() {
            self.besides.lock().insert(CLUSTER.to_owned(), cluster);
        }
        for follower in &self.followers {
            match starts.get(&follower.key) {
                Some(Start::Resume(entry)) => follower.progress.take_over(entry),
                Some(Start::Begin(Unusable::Damaged)) => tracing::error!(
                    key = follower.key,
                    "this entry of the ConfigMap {CHECKPOINT} is damaged; going on without it"
                ),
                _ => {}
            }
        }
        starts
    }

    /// Writes it every ten seconds, for ever; at first every second, so that a process that is ended again and again
    /// gets further each time.
    pub async fn run(self: Arc<Self>) {
        for second in 1_u64.. {
            sleep(Duration::from_secs(1)).await;
            self.followers
                .iter()
                .for_each(|follower| follower.progress.measure());
            if second <= EVERY.as_secs() || second.is_multiple_of(EVERY.as_secs()) {
                self.save().await;
            }
        }
    }

    /// Returns when a kind that has a place has one in the ConfigMap: from then on a restart misses nothing of it.
    pub async fn has_begun(&self, key: &str) {
        let follower = self.followers.iter().find(|follower| follower.key == key);
        let has_place =
            || follower.is_some_and(|one| one.progress.ack().through != ResourceVersion::default());
        while has_place() && !self.written.lock().contains_key(key) {
            self.save().await;
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Writes what has moved.
    pub async fn save(&self) {
        let moved = self.moved();
        if moved.texts.is_empty() {
            return;
        }
        let besides = std::mem::take(&mut *self.besides.lock());
        let texts = moved
            .texts
            .iter()
            .map(|(key, text)| (key.clone(), Some(text.clone())));
        let data = besides.clone().into_iter().chain(texts).collect();
        match self.write(&data).await {
            Ok(()) => {
                self.written.lock().extend(moved.texts);
                for (progress, settled) in &moved.settled {
                    progress.written(settled);
                }
            }
            Err(error) => {
                self.besides.lock().extend(besides);
                self.metrics.checkpoint_failures.inc();
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the checkpoint could not be written; a restart goes on from an older place"
                );
            }
        }
    }

    fn moved(&self) -> Moved {
        let mut moved = Moved::default();
        for follower in &self.followers {
            let ack = follower.progress.ack();
            self.metrics
                .checkpoint_resource_version
                .get_or_create(&metrics::kind(&follower.kind))
                .set(ack.through.as_metric());
            if ack.through != ResourceVersion::default() {
                let [conservative, settled] = follower.progress.entries();
                let texts = &mut moved.texts;
                texts.insert(follower.key.clone(), conservative.encode());
                texts.insert(settled_key(&follower.key), settled.encode());
                moved.settled.push((follower.progress.clone(), settled));
            }
        }
        let written = self.written.lock();
        moved
            .texts
            .retain(|key, text| written.get(key) != Some(text));
        moved
    }

    async fn read(&self) -> anyhow::Result<ConfigMap> {
        let request = Request::get(self.path(true)).body(Body::empty())?;
        match self.send(request).await? {
            (StatusCode::NOT_FOUND, _) => Ok(ConfigMap::default()),
            (_, body) => Ok(serde_json::from_slice(&body)?),
        }
    }

    async fn write(&self, data: &BTreeMap<String, Option<String>>) -> anyhow::Result<()> {
        let body = serde_json::to_vec(&serde_json::json!({ "data": data }))?;
        let patch = Request::patch(self.path(true))
            .header(header::CONTENT_TYPE, "application/merge-patch+json");
        if self.send(patch.body(Body::from(body))?).await?.0 != StatusCode::NOT_FOUND {
            return Ok(());
        }
        let texts = data
            .iter()
            .filter_map(|(key, text)| Some((key, text.as_ref()?)));
        let body = serde_json::to_vec(&serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CHECKPOINT},
            "data": texts.collect::<BTreeMap<_, _>>(),
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
        match self.answer(request).await? {
            (StatusCode::NOT_FOUND, body) => Ok((StatusCode::NOT_FOUND, body)),
            (code, body) => Ok((code, success(code, body)?)),
        }
    }

    async fn answer(&self, request: Request<Body>) -> anyhow::Result<(StatusCode, Vec<u8>)> {
        let answer = timeout(DEADLINE, self.client.send(request)).await??;
        let code = answer.status();
        let collected = http_body_util::BodyExt::collect(answer.into_body());
        let body = timeout(DEADLINE, collected).await??.to_bytes();
        Ok((code, body.to_vec()))
    }
}

/// The body of a success.
fn success(code: StatusCode, body: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    if code.is_success() {
        return Ok(body);
    }
    let status: kube::core::Status = serde_json::from_slice(&body).unwrap_or_default();
    anyhow::bail!("{code}: {}", status.message)
}
