//! What the tests of the read API share: a server, a workload with a history, and the paths to it.

use super::rest::Rest;
use crate::support::{DEPLOYMENT, Meta, Revisor, World, edit, post, world};
use serde_json::{Value, json};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Of a workload and of a Revision that are not there.
pub const UNKNOWN: &str = "11111111-2222-3333-4444-555555555555";
/// Where pages may come from that read.
pub const ORIGIN: &str = "https://ui.example";

/// One server for the tests that do not disturb it; a second replica of `revisor()`.
pub fn secure() -> &'static Revisor {
    static SECURE: OnceLock<Revisor> = OnceLock::new();
    SECURE.get_or_init(|| {
        let flags = ["--sdk-token-endpoint", "--cors-allowed-origin", ORIGIN];
        Revisor::start_secure(world().cluster.kubeconfig(), &flags)
    })
}

/// A Deployment with three revisions, which `revisor` serves.
pub async fn workload(world: &World, revisor: &Revisor, namespace: &str) -> Meta {
    let client = world.client().await;
    let made = post(&client, &DEPLOYMENT.path(namespace), &DEPLOYMENT.example()).await;
    let path = format!("{}/{}", DEPLOYMENT.path(namespace), made.name);
    let change = |i: usize| json!({"spec": {"minReadySeconds": i + 1, "template": {"spec": {"terminationGracePeriodSeconds": 30 + i}}}});
    let last = edit(&client, &path, 2, change).await;
    revisor.wait_recorded(DEPLOYMENT, last.version());
    last
}

pub fn list(id: &str) -> String {
    format!("/api/v1/workloads/inferences/{id}/revisions")
}

pub fn one(id: &str) -> String {
    format!("/api/v1/workloads/inferences/revisions/{id}")
}

/// Asks until all `count` revisions are in the cache.
pub async fn listed(rest: &Rest, uid: &str, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = rest.get(&list(uid)).await;
        if answer.status == 200 {
            let all = answer.json()["revisions"]
                .as_array()
                .expect("a list")
                .clone();
            if all.len() == count {
                return all;
            }
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
