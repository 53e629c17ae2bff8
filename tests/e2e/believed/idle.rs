//! A kind of which nothing is written for long, where etcd announces its progress every ten minutes only.

use crate::settled::History;
use crate::support::{INFERENCE_SERVICE, Revisor, World};
use devcluster::{Component, Options};
use std::time::{Duration, Instant};
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_kind_is_not_blind_after_a_restart_of_the_api_server() {
    let own = World::start(&Options {
        announces: false,
        compaction_interval: Some(Duration::from_secs(20)),
        ..Options::minimal()
    });
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let history = History::recorded(&own, "idle").await;
    // Deployments and others rest; this kind does not. Longer than two watches, and than history is kept.
    let began = Instant::now();
    let mut number = 0;
    while began.elapsed() < Duration::from_secs(130) {
        history.edit("w0", number..number + 20).await;
        number += 20;
        sleep(Duration::from_secs(2)).await;
    }
    let restarted = own.cluster.restart(Component::ApiServer(0));
    restarted.expect("an API server");
    let last = history.edit("w0", number..number + 1).await;
    own.wait_recorded(&revisor, INFERENCE_SERVICE, &last);
    // A watch of each kind was opened again, or its history was gone.
    sleep(Duration::from_secs(60)).await;
    let blind = revisor.metric("revisor_blind_intervals_total", "");
    assert!(blind.abs() < 0.5, "{blind} intervals:\n{}", revisor.log());
    revisor.assert_nothing_lost();
}
