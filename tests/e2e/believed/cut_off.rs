//! A replica that hears nothing for a while, in which another one records and compares on, and history is compacted.

use crate::settled::until;
use crate::support::{DEPLOYMENT, Meta, Revisor, World, patch, post, read, revisions, send};
use devcluster::{Component, Options};
use http::Method;
use kube::Client;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Compaction takes history that is once to twice as old.
const COMPACTION: Duration = Duration::from_secs(20);
/// Four times the fifteen seconds within which a replica that comes back has caught up.
const BACK: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_cut_off_believes_what_another_has_compared() {
    cut_off(Duration::from_secs(60)).await;
}

/// A workload that an autoscaler and people change.
struct Scaled {
    client: Client,
    path: String,
    namespace: String,
}

impl Scaled {
    async fn begin(own: &World) -> Self {
        let client = own.client().await;
        let namespace = own.namespace("scaled").await;
        post(&client, &DEPLOYMENT.path(&namespace), &DEPLOYMENT.example()).await;
        let path = format!("{}/llama-8b", DEPLOYMENT.path(&namespace));
        Self {
            client,
            path,
            namespace,
        }
    }

    /// An autoscaler writes other replicas than before.
    async fn scale(&self, number: usize) {
        let uri = format!("{}/scale?fieldManager=kube-controller-manager", self.path);
        let replicas = json!({"spec": {"replicas": 2 + number % 50}}).to_string();
        let merge = "application/merge-patch+json";
        let (code, body) = send(&self.client, Method::PATCH, &uri, merge, &replicas).await;
        assert_eq!(code, 200, "{body}");
    }

    async fn edit(&self, number: usize) -> Meta {
        let note = json!({"metadata": {"annotations": {"touched": number.to_string()}}});
        let template = json!({"spec": {"template": note}});
        patch(&self.client, &self.path, &template).await
    }

    async fn present(&self) -> Meta {
        let object = read(&self.client, &self.path).await;
        serde_json::from_value(object["metadata"].clone()).expect("metadata")
    }

    async fn revisions(&self) -> Vec<Value> {
        revisions(&self.client, &self.namespace).await
    }
}

/// Of two replicas one is cut off for `time` under an autoscaler, with an edit in the middle.
pub async fn cut_off(time: Duration) {
    let options = Options {
        compaction_interval: Some(COMPACTION),
        ..Options::minimal()
    };
    let own = World::start(&options);
    let scaled = Scaled::begin(&own).await;
    let a = Revisor::start(own.cluster.kubeconfig(), &[]);
    let b = Revisor::start(own.cluster.kubeconfig(), &[]);
    let first = scaled.edit(0).await;
    own.wait_recorded(&a, DEPLOYMENT, &first);
    own.wait_recorded(&b, DEPLOYMENT, &first);
    b.signal("STOP");
    // Whatever lies in the connections of the one that is cut off is lost with them.
    let restarted = own.cluster.restart(Component::ApiServer(0));
    restarted.expect("an API server");
    let began = Instant::now();
    let mut writes = 0;
    while began.elapsed() < time {
        scaled.scale(writes).await;
        writes += 1;
        if writes == 20 {
            scaled.edit(writes).await;
        }
        sleep(Duration::from_millis(500)).await;
    }
    let quiet = scaled.present().await;
    own.wait_recorded(&a, DEPLOYMENT, &quiet);
    // What was written until now can be read back no more.
    sleep(2 * COMPACTION + Duration::from_secs(5)).await;
    let restarted = own.cluster.restart(Component::ApiServer(0));
    restarted.expect("an API server");
    b.signal("CONT");
    let last = scaled.edit(1000).await;
    own.wait_recorded(&a, DEPLOYMENT, &last);
    own.wait_recorded(&b, DEPLOYMENT, &last);
    assert_believed(&own, &scaled, &[&a, &b]).await;
    // A restart finds nothing else.
    drop((a, b));
    let again = Revisor::start(own.cluster.kubeconfig(), &[]);
    let last = scaled.edit(1001).await;
    own.wait_recorded(&again, DEPLOYMENT, &last);
    assert_believed(&own, &scaled, &[&again]).await;
}

/// Exactly the changes are recorded, and nothing is said to be lost.
async fn assert_believed(own: &World, scaled: &Scaled, replicas: &[&Revisor]) {
    own.assert_recorded(&scaled.namespace, &[DEPLOYMENT]).await;
    let is_gap = |revision: &Value| revision["spec"]["type"] == "Gap";
    let no_gap = async || !scaled.revisions().await.iter().any(is_gap);
    until(BACK, "no Gap", no_gap).await;
    for revisor in replicas {
        revisor.assert_nothing_lost();
    }
}
