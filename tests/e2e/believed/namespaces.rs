//! A namespace is deleted, and made anew under its name, while Revisions of the old one wait: the new one gets none.

use super::stage::BACK;
use crate::settled::{History, limit, until};
use crate::support::{INFERENCE_SERVICE, Meta, Revisor, World, post};
use devcluster::Options;
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_made_anew_gets_nothing_of_the_old_one() {
    let own = World::start(&Options {
        controller_manager: true,
        ..Options::minimal()
    });
    let mut revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    for is_away in [false, true] {
        let history = History::recorded(&own, "anew").await;
        limit(&history, 1).await;
        let old = history.edit("w0", 0..4).await;
        let waits = async || revisor.metric("revisor_write_held", "QuotaExceeded") > 0.5;
        until(BACK, "the queue is held", waits).await;
        // The new namespace is younger by more than the clocks of two API servers may differ.
        sleep(Duration::from_secs(7)).await;
        if is_away {
            drop(revisor);
            replace(&own, &history).await;
            revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
        } else {
            replace(&own, &history).await;
        }
        let created = create(&history).await;
        assert_ne!(created.uid, old.uid);
        let last = history.edit("w0", 100..103).await;
        assert_alone(&own, &history, &revisor, &last).await;
    }
}

async fn create(history: &History) -> Meta {
    let mut object = INFERENCE_SERVICE.example();
    object["metadata"]["name"] = "w0".into();
    let path = INFERENCE_SERVICE.path(&history.namespace);
    post(&history.client, &path, &object).await
}

/// Deletes the namespace and makes it anew at once.
async fn replace(own: &World, history: &History) {
    let name = &history.namespace;
    own.kubectl(&["delete", "namespace", name, "--timeout=60s"]);
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    post(&history.client, "/api/v1/namespaces", &body).await;
}

/// The new workload is recorded, and nothing else, also a while later.
async fn assert_alone(own: &World, history: &History, revisor: &Revisor, last: &Meta) {
    own.wait_recorded(revisor, INFERENCE_SERVICE, last);
    let is_old = |key: &(String, i64)| key.0 != last.uid;
    history.wait(last, BACK, is_old).await;
    // As long as the longest wait of a held namespace.
    sleep(Duration::from_secs(12)).await;
    let revisions = history.revisions().await;
    assert_eq!(revisions.len(), 4, "{revisions:?}");
    let of = |revision: &serde_json::Value| {
        let uid = revision["spec"]["workload"]["uid"].as_str();
        uid.map(str::to_owned)
    };
    assert!(
        revisions
            .iter()
            .all(|one| of(one).as_ref() == Some(&last.uid))
    );
    revisor.assert_nothing_lost();
}
