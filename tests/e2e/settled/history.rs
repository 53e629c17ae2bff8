//! One kind in one namespace: its edits, and the comparison of its Revisions with the states that
//! etcd stored.

use crate::oracle::Oracle;
use crate::support::{
    INFERENCE_SERVICE, Kind, Meta, World, edit, gaps, post, recorded, revisions, send,
};
use crate::traffic::uri;
use http::Method;
use kube::Client;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// A workload's uid and a generation of it.
pub type Key = (String, i64);

/// One kind in a namespace of its own.
pub struct History {
    pub client: Client,
    pub namespace: String,
    kind: Kind,
    oracle: Oracle,
}

impl History {
    /// InferenceServices in a fresh namespace.
    pub async fn begin(world: &World, purpose: &str) -> Self {
        Self::of(world, INFERENCE_SERVICE, &world.oracle, purpose).await
    }

    /// A kind in a fresh namespace; `oracle` watches the kind in etcd.
    pub async fn of(world: &World, kind: Kind, oracle: &Oracle, purpose: &str) -> Self {
        Self {
            client: world.client().await,
            namespace: world.namespace(purpose).await,
            kind,
            oracle: oracle.clone(),
        }
    }

    /// InferenceServices in a fresh namespace, with the workload `w0`, which is recorded.
    pub async fn recorded(world: &World, purpose: &str) -> Self {
        let history = Self::begin(world, purpose).await;
        let created = history.create("w0").await;
        history
            .assert_complete(&created, Duration::from_secs(60))
            .await;
        history
    }

    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.kind.path(&self.namespace))
    }

    pub async fn create(&self, name: &str) -> Meta {
        let mut object = if self.kind.registry == INFERENCE_SERVICE.registry {
            self.kind.example()
        } else {
            let version = self.kind.api.trim_start_matches("apis/");
            json!({"apiVersion": version, "kind": self.kind.kind, "metadata": {}, "spec": {}})
        };
        object["metadata"]["name"] = name.into();
        post(&self.client, &self.kind.path(&self.namespace), &object).await
    }

    /// Edits a workload once for each of `numbers`, which have to be new to it.
    pub async fn edit(&self, name: &str, numbers: Range<usize>) -> Meta {
        let numbers: Vec<_> = numbers.collect();
        let change = |i: usize| {
            if self.kind.registry == INFERENCE_SERVICE.registry {
                uri(numbers[i])
            } else {
                json!({"spec": {"n": numbers[i]}})
            }
        };
        edit(&self.client, &self.path(name), numbers.len(), change).await
    }

    pub async fn delete(&self, name: &str) {
        let path = self.path(name);
        let (code, body) = send(&self.client, Method::DELETE, &path, "application/json", "").await;
        assert_eq!(code, 200, "{body}");
    }

    /// The Revisions that are stored.
    pub async fn revisions(&self) -> Vec<Value> {
        revisions(&self.client, &self.namespace).await
    }

    /// The generations that have to be recorded, and are not, or with another content.
    async fn missing(&self) -> BTreeSet<Key> {
        let expected = self.oracle.expected(self.kind.registry, &self.namespace);
        let recorded = recorded(&self.client, &self.namespace).await;
        expected
            .iter()
            .filter(|(key, spec)| recorded.get(*key) != Some(*spec))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Waits until `is_left_out` is true of each generation up to `last` that is not recorded.
    pub async fn wait(&self, last: &Meta, limit: Duration, is_left_out: impl Fn(&Key) -> bool) {
        self.oracle
            .wait_for(self.kind.registry, &last.uid, last.generation);
        let deadline = Instant::now() + limit;
        loop {
            let missing = self.missing().await;
            if missing.iter().all(&is_left_out) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{} misses {missing:?} after {limit:?}",
                self.namespace
            );
            sleep(Duration::from_millis(250)).await;
        }
    }

    /// Waits until every generation up to `last` is recorded with its content. Nothing else is
    /// recorded, and nothing is in a Gap.
    pub async fn assert_complete(&self, last: &Meta, limit: Duration) -> usize {
        self.wait(last, limit, |_| false).await;
        let expected = self.oracle.expected(self.kind.registry, &self.namespace);
        let recorded = recorded(&self.client, &self.namespace).await;
        let extra: Vec<_> = recorded
            .keys()
            .filter(|key| !expected.contains_key(*key))
            .collect();
        assert!(extra.is_empty(), "{}: extra {extra:?}", self.namespace);
        let gaps = gaps(&self.client, &self.namespace).await;
        assert!(gaps.is_empty(), "{}: in Gaps {gaps:?}", self.namespace);
        expected.len()
    }
}
