//! What serves runs, whatever is newer: traffic that is shared, and traffic that is pinned back.

use super::script::script;
use super::{Played, Row, Stage};
use crate::support::{Revisor, patch};
use serde_json::{Value, json};
use std::time::Duration;

fn traffic(old: &str, new: &str) -> Value {
    json!([{"revisionName": old, "percent": 90}, {"revisionName": new, "percent": 10, "latestRevision": true}])
}

fn serves(row: &Row, pods: i64) -> bool {
    (row.phase.as_str(), row.reason.as_str(), row.ready) == ("Running", "ServesTraffic", pods)
}

/// Nine tenths of the traffic stay with the pods of before.
async fn canary(stage: &Stage) {
    let script = script("InferenceService");
    let played = Played::begin(stage, &script).await;
    played.first_runs().await;
    played.second_comes_while_the_first_serves().await;
    let components = json!({"predictor": {"traffic": traffic("a", "b")}});
    played.status(&json!({"components": components})).await;
    for name in played.names('b') {
        stage.pod_is(&played.namespace, &name, true).await;
    }
    let both =
        |rows: &[Row]| rows[1].phase == "Running" && rows[1].ready == 2 && serves(&rows[0], 2);
    played.wait("both serve", both).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    played
        .wait("both serve for as long as that lasts", both)
        .await;
    played
        .status(&json!({"components": {"predictor": {"traffic": [{"revisionName": "b", "percent": 100}]}}}))
        .await;
    played
        .wait("the older one does not any more", |rows| {
            rows[0].phase == "Terminating"
        })
        .await;
}

/// A Revision that was over has pods again.
async fn pinned_back(stage: &mut Stage) {
    let script = script("Service");
    let played = Played::begin(stage, &script).await;
    played.first_runs().await;
    played.second_comes_while_the_first_serves().await;
    played.first_is_replaced_and_gone().await;
    let spec = json!({"spec": {"traffic": traffic("w-a", "w-b")}});
    patch(&stage.client, &played.path, &spec).await;
    let status = json!({"observedGeneration": 3, "traffic": traffic("w-a", "w-b")});
    played.status(&status).await;
    played.make_pods('c', 0, "-again", true).await;
    let back = |rows: &[Row]| {
        let newest = rows.len() == 3 && rows[2].phase == "Running" && rows[2].ready == 1;
        newest && serves(&rows[0], 1) && rows[1].phase == "Stopped" && rows[1].running == 0
    };
    played.wait("the first serves again", back).await;
    let namespace = played.namespace.clone();
    stage.revisor.signal("KILL");
    stage.revisor.exit_code();
    stage.revisor = Revisor::start(stage.world.cluster.kubeconfig(), &[]);
    tokio::time::sleep(Duration::from_secs(15)).await;
    stage
        .wait(&namespace, "it does so after a restart", back)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_serves_runs_whatever_is_newer() {
    let mut stage = Stage::set().await;
    canary(&stage).await;
    pinned_back(&mut stage).await;
}
