//! The status of Revisions, with real controllers, a real scheduler and fake nodes of two pools; and, for kinds whose
//! operators are not here, with the pods and statuses that those would write.

mod gone;
pub mod life;
mod restarts;
mod scripted;

pub(crate) use scripted::{Script, definitions, scripts};

use crate::support::{Revisor, World, revisions};
use devcluster::Options;
use kube::Client;
use serde_json::Value;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// One cluster with everything, and one `revisor run`, for all that do not disturb them.
fn observed() -> &'static (World, Revisor) {
    static OBSERVED: OnceLock<(World, Revisor)> = OnceLock::new();
    OBSERVED.get_or_init(|| {
        let world = World::start(&Options {
            go_max_procs: None,
            ..Options::full()
        });
        let revisor = Revisor::start(
            world.cluster.kubeconfig(),
            &["--log", "info,revisor::observe=debug"],
        );
        (world, revisor)
    })
}

/// The status of one Revision, in short.
#[derive(Clone, Debug, PartialEq, Default)]
struct Row {
    generation: i64,
    phase: String,
    reason: String,
    message: String,
    outcome: String,
    running: i64,
    ready: i64,
    pools: Vec<String>,
    gpus: String,
    status: Value,
}

impl Row {
    fn of(revision: &Value) -> Self {
        let status = revision["status"].clone();
        let text = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
        let pools = status["nodePools"].as_array().into_iter().flatten();
        Self {
            generation: revision["spec"]["generation"].as_i64().expect("a number"),
            phase: text("phase"),
            reason: text("reason"),
            message: text("message"),
            outcome: text("outcome"),
            running: status["runningPods"].as_i64().unwrap_or_default(),
            ready: status["readyPods"].as_i64().unwrap_or_default(),
            pools: pools.filter_map(Value::as_str).map(str::to_owned).collect(),
            gpus: status["allocated"]["nvidia.com/gpu"]
                .as_str()
                .unwrap_or("0")
                .to_owned(),
            status,
        }
    }
}

/// All Revisions of a namespace, oldest first.
async fn rows(client: &Client, namespace: &str) -> Vec<Row> {
    let mut all: Vec<_> = revisions(client, namespace)
        .await
        .iter()
        .map(Row::of)
        .collect();
    all.sort_by_key(|row| row.generation);
    all
}

/// Waits until the Revisions look as they should; whatever they were meanwhile is in `seen`.
async fn wait(
    client: &Client,
    namespace: &str,
    seen: &mut Vec<Vec<Row>>,
    what: &str,
    done: impl Fn(&[Row]) -> bool,
) -> Vec<Row> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let now = rows(client, namespace).await;
        if seen.last() != Some(&now) {
            seen.push(now.clone());
        }
        if done(&now) {
            return now;
        }
        assert!(
            Instant::now() < deadline,
            "{what}: {now:#?}\n{}",
            observed().1.log()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
