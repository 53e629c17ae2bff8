//! What observing costs: a storm of rollouts with and without it, and the memory of a pod.

use crate::support::{DEPLOYMENT, Revisor, World, client, edit, patch, post, read};
use crate::{lag, median, percentile};
use devcluster::Options;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const WORKLOADS: usize = 200;
const PODS: usize = 5;
const EDITORS: usize = 8;
/// Recording with observing may be so much later than without, at the 99th percentile.
const LAG_TARGET: f64 = 1.2;
const PATCHES_TARGET: f64 = 6.0;
const KEPT_PODS: usize = 10_000;
/// Pods that are there before: what the first ones take is not theirs alone.
const FIRST_PODS: usize = 2_000;
const POD_TARGET: f64 = 1024.0;

/// One storm: 200 rollouts of 5 pods begin at once.
struct Storm {
    p50: f64,
    p99: f64,
    seconds: f64,
    patches: f64,
    owner_reads: f64,
    reads: f64,
}

pub(crate) async fn run(rounds: usize, met: &mut bool) {
    let (world, namespace) = stage().await;
    let mut with = Vec::new();
    let mut without = Vec::new();
    for number in 0..rounds {
        for on in [number % 2 == 0, number % 2 != 0] {
            let storm = storm(&world, &namespace, on, 2 * number + usize::from(on) + 2).await;
            eprintln!(
                "storm {}, observing {}: lag p50 {:.0} ms, p99 {:.0} ms, all pods replaced in {:.0} s, {:.0} patches",
                number + 1,
                if on { "on" } else { "off" },
                storm.p50,
                storm.p99,
                storm.seconds,
                storm.patches
            );
            if on {
                with.push(storm);
            } else {
                without.push(storm);
            }
        }
    }
    let of =
        |all: &[Storm], pick: fn(&Storm) -> f64| median(&all.iter().map(pick).collect::<Vec<_>>());
    let ratio = median(
        &with
            .iter()
            .zip(&without)
            .map(|(a, b)| a.p99 / b.p99)
            .collect::<Vec<_>>(),
    );
    #[allow(clippy::cast_precision_loss)]
    let patches = of(&with, |s| s.patches) / WORKLOADS as f64;
    *met &= ratio <= LAG_TARGET && patches <= PATCHES_TARGET;
    println!(
        "\n| {WORKLOADS} Deployments of {PODS} pods rolled at once | observing | not observing |\n|---|---|---|"
    );
    let row = |what: &str, pick: fn(&Storm) -> f64| {
        println!(
            "| {what} | {:.0} | {:.0} |",
            of(&with, pick),
            of(&without, pick)
        );
    };
    row("recording lag p50, ms", |s| s.p50);
    row("recording lag p99, ms", |s| s.p99);
    row("until every pod is replaced and ready, s", |s| s.seconds);
    row("patches of statuses", |s| s.patches);
    row("owners read", |s| s.owner_reads);
    row("Revisions read again", |s| s.reads);
    println!("| **ratio of the lags' p99 (target ≤ {LAG_TARGET})** | **{ratio:.2}** | |");
    println!("| **patches for each Revision (target ≤ {PATCHES_TARGET})** | **{patches:.1}** | |");
}

/// The workloads, all running.
async fn stage() -> (World, String) {
    let world = crate::world(Options::full()).await;
    let api = world.client().await;
    let resources = json!({"cpu": "640", "memory": "5Ti", "pods": "500", "nvidia.com/gpu": "80"});
    for i in 0..10 {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("storm-{i}"),
            "labels": {"kai.scheduler/node-pool": format!("pool-{}", i % 2)}}, "status": {"allocatable": resources, "capacity": resources}});
        post(&api, "/api/v1/nodes", &node).await;
    }
    let namespace = world.namespace("storm").await;
    make(&world, &namespace).await;
    wait_for_pods(&world, &namespace, 1).await;
    (world, namespace)
}

fn template(version: usize) -> Value {
    json!({"terminationGracePeriodSeconds": 1, "containers": [
        {"name": "vllm", "image": format!("vllm:{version}"), "resources": {"requests": {"cpu": "100m"}}}]})
}

/// Makes every workload.
async fn make(world: &World, namespace: &str) {
    let mut tasks = JoinSet::new();
    for editor in 0..EDITORS {
        let client = client(world.cluster.kubeconfig()).await;
        let path = DEPLOYMENT.path(namespace);
        tasks.spawn(async move {
            for i in (editor..WORKLOADS).step_by(EDITORS) {
                let name = format!("w{i}");
                let mut object = DEPLOYMENT.example();
                object["metadata"] =
                    json!({"name": name, "labels": {"revisor.dev/record": "true"}});
                object["spec"]["replicas"] = PODS.into();
                object["spec"]["selector"]["matchLabels"] = json!({"app": name});
                object["spec"]["template"] =
                    json!({"metadata": {"labels": {"app": name}}, "spec": template(1)});
                post(&client, &path, &object).await;
            }
        });
    }
    tasks.join_all().await;
}

/// Until every Deployment says that all of its pods are new and ready.
async fn wait_for_pods(world: &World, namespace: &str, least_generation: i64) {
    let api = world.client().await;
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        let list = read(&api, &DEPLOYMENT.path(namespace)).await;
        let done = |deployment: &&Value| {
            let status = &deployment["status"];
            let generation = deployment["metadata"]["generation"].as_i64();
            generation >= Some(least_generation)
                && status["observedGeneration"].as_i64() == generation
                && ["updatedReplicas", "readyReplicas", "replicas"]
                    .iter()
                    .all(|field| status[*field] == PODS)
        };
        let count = list["items"]
            .as_array()
            .expect("items")
            .iter()
            .filter(done)
            .count();
        if count == WORKLOADS {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "only {count} Deployments are rolled out"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn storm(world: &World, namespace: &str, on: bool, version: usize) -> Storm {
    let flag = format!("--observe={on}");
    let revisor = Revisor::start(world.cluster.kubeconfig(), &[&flag, "--leader-elect=false"]);
    settle(&revisor, on).await;
    let counts = |name: &str| revisor.metric(name, "");
    let before = [
        "revisor_status_patches_total",
        "revisor_owner_reads_total",
        "revisor_status_reads_total",
    ]
    .map(counts);
    let started = Instant::now();
    let change = json!({"spec": {"template": {"spec": template(version)}}});
    let edits = (0..WORKLOADS)
        .map(|i| {
            (
                format!("{}/w{i}", DEPLOYMENT.path(namespace)),
                change.clone(),
            )
        })
        .collect();
    let lags = lag::of(world, namespace, edits, EDITORS).await;
    let api = world.client().await;
    let newest = read(&api, &format!("{}/w0", DEPLOYMENT.path(namespace))).await;
    wait_for_pods(
        world,
        namespace,
        newest["metadata"]["generation"].as_i64().expect("a number"),
    )
    .await;
    let seconds = started.elapsed().as_secs_f64();
    settle(&revisor, on).await;
    let after = [
        "revisor_status_patches_total",
        "revisor_owner_reads_total",
        "revisor_status_reads_total",
    ]
    .map(counts);
    Storm {
        p50: percentile(&lags, 0.5),
        p99: percentile(&lags, 0.99),
        seconds,
        patches: after[0] - before[0],
        owner_reads: after[1] - before[1],
        reads: after[2] - before[2],
    }
}

/// Until no status was written for longer than numbers may wait.
async fn settle(revisor: &Revisor, on: bool) {
    let mut last = (-1.0, Instant::now());
    while on && last.1.elapsed() < Duration::from_secs(13) {
        let patches = revisor.metric("revisor_status_patches_total", "");
        if (patches - last.0).abs() > 0.5 {
            last = (patches, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// What a pod takes: those of one workload, without anybody who plays them.
pub(crate) async fn memory(met: &mut bool) {
    let world = crate::world(Options::minimal()).await;
    let api = world.client().await;
    let namespace = world.namespace("pods").await;
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    post(
        &api,
        &format!("/api/v1/namespaces/{namespace}/serviceaccounts"),
        &account,
    )
    .await;
    let revisor = Revisor::start(world.cluster.kubeconfig(), &["--leader-elect=false"]);
    let mut object = DEPLOYMENT.example();
    object["metadata"]["name"] = "w".into();
    let made = post(&api, &DEPLOYMENT.path(&namespace), &object).await;
    edit(
        &api,
        &format!("{}/w", DEPLOYMENT.path(&namespace)),
        1,
        |_| json!({"spec": {"replicas": 2}}),
    )
    .await;
    patch(
        &api,
        &format!("{}/w", DEPLOYMENT.path(&namespace)),
        &json!({"metadata": {"labels": {"a": "b"}}}),
    )
    .await;
    settle(&revisor, true).await;
    let first = with_pods(&world, &namespace, &made.uid, &revisor, 0..FIRST_PODS).await;
    let all = with_pods(
        &world,
        &namespace,
        &made.uid,
        &revisor,
        FIRST_PODS..FIRST_PODS + KEPT_PODS,
    )
    .await;
    #[allow(clippy::cast_precision_loss)]
    let each = (all - first) / KEPT_PODS as f64;
    *met &= each <= POD_TARGET;
    println!(
        "\n| {KEPT_PODS} pods of one Deployment, beside {FIRST_PODS} others | bytes each (target ≤ {POD_TARGET:.0}) |\n|---|---|\n| resident memory, net | **{each:.0}** |"
    );
}

/// Resident memory once these are there too.
async fn with_pods(
    world: &World,
    namespace: &str,
    uid: &str,
    revisor: &Revisor,
    which: std::ops::Range<usize>,
) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let count = which.end as f64;
    make_pods(world, namespace, uid, which).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    while revisor.metric("revisor_observed_pods", "") < count {
        assert!(Instant::now() < deadline, "the pods did not come");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    settle(revisor, true).await;
    #[allow(clippy::cast_precision_loss)]
    let resident = revisor.resident() as f64;
    resident
}

async fn make_pods(world: &World, namespace: &str, uid: &str, which: std::ops::Range<usize>) {
    let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "w", "uid": uid, "controller": true}]);
    let spec = DEPLOYMENT.example()["spec"]["template"]["spec"].clone();
    let mut tasks = JoinSet::new();
    for maker in 0..crate::CONNECTIONS {
        let client = client(world.cluster.kubeconfig()).await;
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let owner = owner.clone();
        let mut spec = spec.clone();
        let which = which.clone();
        spec["nodeName"] = "n1".into();
        spec["automountServiceAccountToken"] = false.into();
        tasks.spawn(async move {
            for i in which.skip(maker).step_by(crate::CONNECTIONS) {
                let name = format!("llama-8b-7d4b9c6f5d-{i:05}");
                let labels = json!({"app": "llama-8b", "pod-template-hash": "7d4b9c6f5d"});
                let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels, "ownerReferences": owner}, "spec": spec});
                post(&client, &path, &pod).await;
            }
        });
    }
    tasks.join_all().await;
}
