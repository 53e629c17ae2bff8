//! Shared by these tests: a cluster with one replica, bounds, and questions to the API server.

use crate::support::{Revisor, World, read};
use devcluster::Options;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Four times the half minute within which recording goes on after the cause of a hold has ended.
pub const AFTER_A_HOLD: Duration = Duration::from_secs(120);
/// Four times the five seconds within which an edit is recorded while other namespaces are held.
pub const UNHELD: Duration = Duration::from_secs(20);
/// Four times the twenty seconds within which a restart reads back a few dozen generations.
pub const AFTER_A_START: Duration = Duration::from_secs(80);

/// One cluster with controllers, a scheduler and fake nodes, and one `revisor run`, for tests that
/// refuse Revisions in namespaces of their own.
pub fn stage() -> &'static (World, Revisor) {
    static STAGE: OnceLock<(World, Revisor)> = OnceLock::new();
    STAGE.get_or_init(|| {
        let world = World::start(&Options::full());
        let revisor = Revisor::start(world.cluster.kubeconfig(), &[]);
        (world, revisor)
    })
}

/// A client that shows every answer as it is: it repeats no request and unpacks no body.
pub async fn plain_client(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .expect("a config");
    config.default_retry = false;
    config.disable_compression = true;
    Client::try_from(config).expect("a client")
}

/// Waits until `condition` comes true; `wanted` names it in the failure.
pub async fn until(limit: Duration, wanted: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition().await {
        assert!(Instant::now() < deadline, "{wanted}: not within {limit:?}");
        sleep(Duration::from_millis(250)).await;
    }
}

/// The Events of a namespace with this reason.
pub async fn events(client: &Client, namespace: &str, reason: &str) -> Vec<Value> {
    let list = read(client, &format!("/api/v1/namespaces/{namespace}/events")).await;
    let all = list["items"].as_array().expect("items").iter();
    all.filter(|event| event["reason"] == reason)
        .cloned()
        .collect()
}

/// No generation is lost, and none differs from its Revision.
pub fn assert_nothing_lost(revisor: &Revisor) {
    revisor.assert_nothing_lost();
}
